"""JSON records out of text: one a line, over several lines, one after the other, in an array, or
in an object that wraps one list.

Lines go in; (line, text, object or Mistake) come out. Knows no keys but those that begin a
record, by which it finds its way again after a broken one.
"""

import json
import re
from collections.abc import Iterable, Iterator

from training.datasets.lines import LINE_LIMIT, LineTooLong
from training.datasets.names import NAMES, known_as
from training.datasets.shapes import ROW_LIMIT, Mistake

RAW_NEWLINES = "raw_newlines_mended"
Found = tuple[int, str, dict | Mistake]
"""Line where the record begins, its text, and its value: a Mistake where it has none."""

TOKEN = re.compile(r'\\.|["{}]', re.DOTALL)
STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
SEPARATORS = " \t\r\n,[]\ufeff\0"
LENIENT = json.JSONDecoder(strict=False)
TURN_KEYS = {"role", "content", "from", "value"}
BEGINNINGS = {*NAMES["messages"], *NAMES["prompt"], *NAMES["answer"], *NAMES["system"]}
FIRST_KEY = re.compile(r"""\{\s*["']([^"'\\]{1,100})["']\s*:""")
LEARNT_LINES = 100
WRAPPER = re.compile(
    r'[\s\ufeff\0]*\{(?:\s*"[^"\\]{0,100}"\s*:\s*(?:"[^"\\]{0,200}"|[-+.\w]{1,40})\s*,){0,20}'
    r'\s*"([^"\\]{1,100})"\s*:\s*\[\s*(?=\{\s*"([^"\\]{1,100})"\s*:)'
)


def wrapper_length(head: str, messages_key: str = "") -> int:
    """Return how many letters of a file open an object that only wraps the list of records."""
    match = WRAPPER.match(head)
    if match is None or known_as(match[2]) in TURN_KEYS:
        return 0
    return 0 if known_as(match[1]) in (*NAMES["messages"], known_as(messages_key)) else match.end()


class Objects:
    """Takes lines and gives records; `notes` says what was mended."""

    def __init__(self, notes: set[str], skip: int = 0) -> None:
        self.notes = notes
        self.skip = skip
        """Letters at the beginning that open a wrapper."""
        self.is_wrapped, self.is_over = bool(skip), False
        self.beginnings = set(BEGINNINGS)
        self._forget()

    def _forget(self) -> None:
        self.parts: list[str] = []
        self.size = self.start = self.depth = 0
        self.in_string = False

    @property
    def is_within(self) -> bool:
        """Whether a record has begun and not ended."""
        return bool(self.depth or self.skip or self.is_over)

    def feed(self, number: int, line: str) -> Iterator[Found]:
        """Take one line and yield the records that end in it."""
        if self.skip:
            line, self.skip = line[self.skip :], max(0, self.skip - len(line))
        if self.is_over:
            return
        if self.depth and self._begins_record(line):
            yield from self.end()
        if self.depth:
            yield from self._scan(number, line)
            return
        bare = line.strip(" \t\r\n\ufeff\0")
        if not bare or bare.startswith("```"):
            return
        try:
            value = json.loads(bare)
        except (ValueError, RecursionError):
            yield from self._scan(number, line)
            return
        yield from self._whole(number, bare, value)

    def feed_too_long(self, error: LineTooLong) -> Iterator[Found]:
        yield from self.end()
        yield error.line, error.row, Mistake("line_too_long", limit_mb=LINE_LIMIT >> 20)

    def _whole(self, number: int, bare: str, value: object) -> Iterator[Found]:
        if isinstance(value, dict):
            self.learn(number, value)
            yield number, bare, value
        elif isinstance(value, list) and (not value or any(isinstance(i, dict) for i in value)):
            for item in value:
                found = item if isinstance(item, dict) else Mistake("not_object")
                yield number, _shown(item), found
        else:
            yield number, bare, Mistake("not_object")

    def learn(self, number: int, value: Iterable[str]) -> None:
        """Remember with what key the records of this file begin."""
        if number < LEARNT_LINES and len(self.beginnings) < 100 and value:
            self.beginnings.add(known_as(next(iter(value))))

    def _begins_record(self, line: str) -> bool:
        """Say whether a line within a record can only be the next one's beginning."""
        match = FIRST_KEY.match(line)
        return match is not None and known_as(match[1]) in self.beginnings

    def _scan(self, number: int, line: str) -> Iterator[Found]:
        """Follow braces and quotes until the outermost brace closes."""
        begin, is_stray = 0, False
        for match in TOKEN.finditer(line):
            token = match[0]
            if token == "{" and not self.in_string:
                if not self.depth:
                    is_stray |= self._is_stray(line[begin : match.start()])
                    if self.is_over:
                        return
                    begin, self.start = match.start(), number
                self.depth += 1
            elif token == "}" and self.depth and not self.in_string:
                self.depth -= 1
                if not self.depth:
                    yield self._record(line[begin : match.end()])
                    begin = match.end()
            elif token == '"' and self.depth:
                self.in_string = not self.in_string
        if self.depth:
            yield from self._keep(line[begin:])
        else:
            is_stray |= self._is_stray(line[begin:])
        if is_stray:
            yield number, line, Mistake("json_unreadable", column=1)

    def _is_stray(self, between: str) -> bool:
        """Say whether there is text between records; what comes after a wrapped list is none."""
        if self.is_wrapped and "]" in between:
            self.is_over = True
            between = between.partition("]")[0]
        return bool(between.strip(SEPARATORS))

    def _keep(self, rest: str) -> Iterator[Found]:
        self.parts.append(rest)
        self.size += len(rest)
        if self.size > LINE_LIMIT:
            yield from self.end()

    def _record(self, rest: str) -> Found:
        text, start = "".join([*self.parts, rest]), self.start
        self._forget()
        try:
            value = LENIENT.decode(text)
            if "\n" in text and (mended := STRING.sub(_without_raw_newlines, text)) != text:
                self.notes.add(RAW_NEWLINES)
                value = LENIENT.decode(mended)
        except (ValueError, RecursionError) as error:
            return start, text, Mistake("json_unreadable", column=getattr(error, "colno", 1))
        return start, text, value

    def end(self) -> Iterator[Found]:
        """Give up the record that was begun."""
        if self.depth:
            text = "".join(part[:ROW_LIMIT] for part in self.parts[:ROW_LIMIT])
            yield self.start, text, Mistake("json_unreadable", column=1)
        self._forget()


def _shown(item: object) -> str:
    try:
        return json.dumps(item, ensure_ascii=False)[:ROW_LIMIT]
    except RecursionError:
        return "…"


def _without_raw_newlines(match: re.Match) -> str:
    """Write a string's raw newlines as escapes and take off the indent that its lines share."""
    string = match[0]
    if "\n" not in string:
        return string
    first, *rest = string.split("\n")
    indents = [len(line) - len(line.lstrip(" \t")) for line in rest if line.strip(' \t"')]
    indent = min(indents, default=0)
    return "\\n".join([first, *(line[indent:] if line.strip() else "" for line in rest)])
