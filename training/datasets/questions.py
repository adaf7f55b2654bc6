"""`python -m training.datasets.questions FOLDER`: a file or a data version in, questions out.

A question is a conversation that waits for its answer, and what the answer should be, where that is
known. Files are read as data is (read.py), but answers may be missing: a column of questions is
enough, and a plain text has a question a line. Knows no Django.
"""

import json
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from training.chat import Example, Message
from training.datasets import names, shapes, store
from training.datasets.choices import Choices
from training.datasets.grids import Csv, is_blank
from training.datasets.names import MESSAGES, NAMES, PAIR, Place, Shape
from training.datasets.read import Reader
from training.datasets.records import Records
from training.datasets.shapes import Meaning, Mistake, Problem, problem
from training.datasets.tables import Table
from training.errors import UserError

MOST = 500
"""Questions that are asked together."""
LIMIT_BYTES = 20 << 20
"""Of a file of questions."""
LETTERS = 100_000
"""Of one text."""
SEED = 42
"""Of the random choice, which is therefore the same each time."""
PROBLEMS_TOLD = 50
FOUND = "questions.jsonl"
EXPECTED = (
    "정답", "모범 답안", "모범답안", "바라는 답변", "기대 답변", "기대답변", "expected",
    "expected_answer", "expected answer", "reference", "target", "label",
)  # fmt: skip
"""What a column of expected answers is called beside the names that data's answers go by."""
PLAIN = (".txt", ".text", ".md")


@dataclass(frozen=True, slots=True)
class Question:
    messages: tuple[Message, ...]
    """The conversation; the user speaks last."""
    expected: str = ""
    """Empty where nobody knows."""

    @classmethod
    def of(cls, example: Example) -> "Question":
        """Ask for the last answer of an example."""
        return cls(example.messages[:-1], example.messages[-1].content)

    def as_dict(self) -> dict:
        return Example(self.messages).as_dict() | {"expected": self.expected}


Found = Question | Problem


# --- a file -------------------------------------------------------------------------------------
def read(
    path: Path, file_name: str, choices: Choices, tell: Callable[[dict], None] = lambda layout: None
) -> Iterator[Found]:
    """Yield what a file asks; `tell` gets its layout before. The choices' mapping names the columns
    of the questions (`prompt`), of the expected answers and of a system prompt.

    Raises: UserError of Reader, `column_unknown`, `question_column_unknown`.
    """
    reader = Reader(path, choices)
    if is_plain(reader, file_name):
        yield from _lines(reader)
        return
    reader = _reopened(reader, path)
    header = tuple(reader.source.header)
    known = None
    try:
        known = shape(reader.source)
    finally:
        tell(reader.layout | {"mapping": names.mapping(known, header) if known else {}})
    if known.is_grouped:
        for found in reader:
            yield _checked(Question.of(found) if isinstance(found, Example) else found)
        return
    records = reader.source.records(Meaning(known, header, reader.notes))
    for line, values, meaning, mistake, shown in records:
        try:
            if mistake or meaning is None:
                raise mistake or Mistake("prompt_missing")
            yield _checked(_asked(meaning, values), line)
        except Mistake as error:
            yield problem(line, error, shown())


def is_plain(reader: Reader, file_name: str) -> bool:
    """Say whether a text has no columns but a question a line."""
    source = reader.source
    if not isinstance(source, Table) or not isinstance(source.grid, Csv) or reader.choices.mapping:
        return False
    has_columns = source.shape is not None or _place(source.header, NAMES["prompt"]) is not None
    is_text = file_name.lower().endswith(PLAIN)
    return is_text and (not has_columns or len(source.header) == 1)


def _lines(reader: Reader) -> Iterator[Found]:
    assert isinstance(reader.source, Table) and isinstance(reader.source.grid, Csv)
    lines = reader.source.grid.open_lines()
    is_first = True
    try:
        for line in lines:
            text = line.strip("\ufeff\0 \t\r\n")
            is_name = is_first and names.known_as(text) in NAMES["prompt"]
            if text and not is_name:
                try:
                    asked = Question((Message("user", shapes.text(text, "", reader.notes)),))
                    yield _checked(asked, lines.number)
                except Mistake as mistake:
                    yield problem(lines.number, mistake, text)
            is_first = is_first and not text
    finally:
        lines.close()


def _reopened(reader: Reader, path: Path) -> Reader:
    """Return a reader that takes a single column for one: commas in its texts part no cells, and a
    first row that names nothing is a question."""
    source, choices = reader.source, reader.choices
    if not isinstance(source, Table) or choices.mapping or source.shape is not None:
        return reader
    first = next((row[1] for row in source.grid.rows() if not is_blank(row[1])), [])
    if isinstance(source.grid, Csv) and not choices.delimiter and len(first) == 1:
        choices = replace(choices, delimiter="\t")
        reader = Reader(path, choices)
    header = reader.source.header
    is_nameless = len(header) == 1 and _place(header, (*NAMES["prompt"], *EXPECTED)) is None
    if is_nameless and choices.has_header is None:
        reader = Reader(path, replace(choices, has_header=False))
    return reader


def shape(source: Table | Records) -> Shape:
    """Return where questions and expected answers stand: as the user says, as data is read, or by
    the name of the questions' column alone.

    Raises: UserError `column_unknown`, `question_column_unknown`.
    """
    header = source.header
    if mapping := source.choices.mapping:
        return Shape(PAIR, {part: _index(header, name) for part, name in mapping.items()})
    if source.shape is not None:
        return source.shape
    asked = _place(header, NAMES["prompt"])
    if asked is None and len(header) == 1:
        asked = 0
    if asked is None:
        raise UserError("question_column_unknown", columns=names.listed(header))
    places: dict[str, Place] = {"prompt": asked}
    for part, known in (("answer", (*NAMES["answer"], *EXPECTED)), ("system", NAMES["system"])):
        place = _place(header, known)
        if place is not None and place != asked:
            places[part] = place
    return Shape(PAIR, places)


def _place(header: Iterable[str], known: Iterable[str]) -> int | None:
    low = [names.known_as(name) for name in header]
    return next((low.index(name) for name in known if name in low), None)


def _index(header: list[str], name: str) -> Place:
    found = _place(header, (names.known_as(name),))
    if found is None:
        raise UserError("column_unknown", name=names.listed([name]), columns=names.listed(header))
    return found


def _asked(meaning: Meaning, values) -> Question:
    """Make the question that one record is.

    Raises: Mistake of Meaning.example, but not for want of an answer.
    """
    if meaning.shape.kind == MESSAGES:
        return _talk(meaning, values)
    if "history" in meaning.shape.places:
        return Question.of(meaning.example(values))
    prompt, system = meaning.prompt(values), meaning.text("system", values)
    if not prompt.strip():
        raise Mistake("prompt_empty")
    asked = (Message("user", prompt),)
    messages = (Message("system", system), *asked) if system.strip() else asked
    return Question(messages, meaning.text("answer", values).strip())


def _talk(meaning: Meaning, values) -> Question:
    """A conversation asks for its last answer; one that ends with the user's words asks for the
    next."""
    place = meaning.shape.places["messages"]
    assert isinstance(place, int)
    said = shapes.turns(values[place], meaning.notes)
    role, content = shapes.role(said[-1][0], len(said)), said[-1][1]
    if role == "assistant" and isinstance(content, str) and not content.strip():
        role = shapes.role(said[-2][0], len(said) - 1) if len(said) > 1 else role
        said = said[:-1] or said
    is_open = role == "user"
    if is_open:
        said = [*said, ("assistant", "-")]
    system = meaning.text("system", values)
    if system.strip() and shapes.role(said[0][0], 1) != "system":
        said = [("system", system), *said]
    found = Question.of(shapes.conversation(said, meaning.notes))
    return replace(found, expected="") if is_open else found


def _checked(found: Found, line: int = 0) -> Found:
    """Refuse what no model reads."""
    if isinstance(found, Problem):
        return found
    longest = max(found.messages, key=lambda message: len(message.content)).content
    if len(longest) <= LETTERS:
        return found
    mistake = Mistake("text_too_long", length=len(longest), limit=LETTERS)
    return problem(line, mistake, longest)


# --- choosing -----------------------------------------------------------------------------------
def chosen(count: int, most: int, is_random: bool) -> list[int]:
    """Return which of `count` things are taken, in order: the first, or some by a chance that always
    falls the same."""
    if count <= most or not is_random:
        return list(range(min(count, most)))
    return sorted(random.Random(SEED).sample(range(count), most))


def of_rows(folder: Path, rows: list[int]) -> Iterator[Question]:
    """Yield the questions that a data folder's live rows (rising numbers) ask."""
    view = store.view(folder)
    for _position, example in view.at([view.position(row) for row in rows]):
        yield Question.of(example)


def keep(folder: Path, found: Iterable[Question]) -> None:
    """Write questions into a folder."""
    with (folder / FOUND).open("w", encoding="utf-8") as file:
        for question in found:
            file.write(json.dumps(question.as_dict(), ensure_ascii=False) + "\n")


def kept(folder: Path) -> Iterator[dict]:
    """Yield what `keep` has written: messages and expected."""
    with (folder / FOUND).open(encoding="utf-8") as file:
        yield from map(json.loads, file)


# --- the child ----------------------------------------------------------------------------------
def run(folder: Path) -> None:
    """Do what a folder's order says and tell what was found.

    Raises: UserError of read.
    """
    from training.datasets.child import say

    order = json.loads((folder / "order.json").read_text("utf-8"))
    most, is_random = order["most"], order["is_random"]
    problems: list[Problem] = []
    if order["source"] == "file":
        asked: list[Question] = []
        choices = Choices.of(order["choices"])
        tell = lambda layout: say("layout", layout=layout)  # noqa: E731
        for found in read(folder / "raw", order["file_name"], choices, tell):
            (asked if isinstance(found, Question) else problems).append(found)  # type: ignore[arg-type]
        count = len(asked)
        keep(folder, (asked[place] for place in chosen(count, most, is_random)))
    else:
        part = folder / "part"
        count = len(store.view(part))
        keep(folder, of_rows(part, chosen(count, most, is_random)))
    told = [one.as_dict() for one in problems[:PROBLEMS_TOLD]]
    say("read", found=count, problems=len(problems), told=told)


if __name__ == "__main__":
    from training.datasets.child import main

    sys.exit(main(run))
