"""What is wrong with rows of data: every check by its name, and the rows that each cure takes.

In: data (data.py). Out: findings. A check's limits stand in its docstring; its words are
report_words'. Knows no files.
"""

from collections.abc import Callable, Iterator

import numpy as np

from training.datasets import personal
from training.datasets.check import near
from training.datasets.check.data import MANY, Data, Finding, firsts, together, told
from training.datasets.check.features import LANGUAGES, REGISTERS
from training.datasets.check.patterns import Flag
from training.datasets.check.terms import (
    BAD,
    BALANCE,
    INFO,
    KEEP_ONE,
    LEAVE_OUT,
    LEVELS,
    MASK,
    NORMALISE,
    PERSONAL,
    PERSONAL_MARK,
    SURELY_PERSONAL,
    WARN,
    plain_text,
)  # fmt: skip

REFUSALS_WANTED = 0.05
"""Share of refusals beyond which a model learns to refuse too much (the guide's rule)."""
SAME_ANSWER = 0.1
"""Share of rows with one and the same answer that is too much where answers are no labels."""
SHORT_ANSWER = 15
"""Code points below which Latin letters are a name rather than a language."""
MAIN_SHARE = 0.6
"""Share from which on a language, a form or a register counts as the rule."""
ODD_SHARE = 0.03
"""Share of rows out of register below which a slip is no mixture."""
LABEL_ROWS = 5
"""Rows that a label must have to be learnt."""
LABEL_RATIO = 10
"""How many times the rarest label the commonest may be there."""


Check = Callable[[Data], Iterator[Finding]]
CHECKS: list[Check] = []


def check(function: Check) -> Check:
    CHECKS.append(function)
    return function


# --- rows that are there twice ------------------------------------------------------------------
@check
def duplicates(data: Data) -> Iterator[Finding]:
    """Rows whose whole conversation is the same, letter by letter."""
    again = np.flatnonzero(data.first_line != data.numbers)
    if len(again):
        originals = np.unique(data.first_line[again])
        groups = together(data.first_line, np.union1d(originals, again))
        yield Finding("duplicates", WARN, again, {KEEP_ONE: again}, groups=groups)


@check
def near_duplicates(data: Data) -> Iterator[Finding]:
    """Rows of at least ten letters that share four fifths of their three-letter pieces or more,
    beyond what a fifth of all rows share, and all numbers, but for a few words at most, and whose
    answers are alike too. One changed name is not told from one changed word. Rows that are the same
    anyway count as one."""
    rows, records = data.rows, data.records
    once = np.flatnonzero(data.first_line == data.numbers)
    lengths = records["question_length"] + records["answer_length"]
    pairs = near.alike(rows.sketches, records["numbers"], once, lengths, rows.common, rows.texts)
    pairs = near.with_like_answers(pairs, records["answer"], rows.answers)
    twins = near.later_twins(pairs)
    if twins:
        again = np.array(sorted(twins))
        kept = np.array([twins[row] for row in again.tolist()])
        first = data.numbers.copy()
        first[again] = kept
        groups = together(first, np.union1d(kept, again))
        yield Finding("near_duplicates", WARN, again, {KEEP_ONE: again}, groups=groups)


@check
def conflicts(data: Data) -> Iterator[Finding]:
    """The same question (with all that was said before) with answers that differ in more than
    blanks, case and end signs. Whether both may be right is the reader's to say."""
    records = data.records
    question = data.first_question
    answer = firsts(records["answer"])
    is_new = firsts(question * np.int64(data.count + 1) + answer) == data.numbers
    different = np.bincount(question[is_new], minlength=data.count)
    rows = np.flatnonzero(different[question] > 1)
    if len(rows):
        others = rows[answer[rows] != answer[question[rows]]]
        cures = {KEEP_ONE: others, LEAVE_OUT: rows}
        groups = together(question, rows[is_new[rows]])
        count = int(np.count_nonzero(different > 1))
        yield Finding("conflicts", WARN, rows, cures, {"questions": count}, groups)


# --- answers ------------------------------------------------------------------------------------
@check
def refusals(data: Data) -> Iterator[Finding]:
    """More than a twentieth of the answers refuse or say that they do not know, as the usual Korean
    and English phrases have it; a phrase that is quoted in an answer counts too."""
    rows = data.flagged(Flag.REFUSAL)
    share = len(rows) / max(1, data.count)
    if data.count >= MANY and share > REFUSALS_WANTED and not data.labels:
        cures = {BALANCE: data.beyond(rows, REFUSALS_WANTED), LEAVE_OUT: rows}
        level = BAD if share >= 0.2 else WARN
        yield Finding("refusals", level, rows, cures, {"share": share, "wanted": REFUSALS_WANTED})


@check
def same_answer(data: Data) -> Iterator[Finding]:
    """One answer that stands in more than a tenth of the rows, where answers are no labels."""
    if data.count < MANY or data.labels:
        return
    _, inverse, counts = np.unique(data.records["answer"], return_inverse=True, return_counts=True)
    most = int(counts.argmax())
    share = counts[most] / data.count
    if share > SAME_ANSWER:
        rows = np.flatnonzero(inverse == most)
        kept = SAME_ANSWER / 2
        cures = {BALANCE: data.beyond(rows, kept)}
        params = {
            "share": float(share),
            "answer": told(data.rows.answer(int(rows[0]))),
            "kept": kept,
        }
        yield Finding("same_answer", WARN, rows, cures, params)


@check
def label_skew(data: Data) -> Iterator[Finding]:
    """A classification in which one label is there ten times as often as another, or a label less
    than five times. A label is an answer; data is taken for a classification when its answers are
    short (30 letters), few (100) and each there four times on average."""
    if not data.labels:
        return
    counts = [len(label.rows) for label in data.labels]
    rare = [n for n in counts if n < LABEL_ROWS or n * LABEL_RATIO < counts[0]]
    if not rare:
        return
    usual = [n for n in counts if n >= LABEL_ROWS] or counts  # a slip says nothing of the others
    limit = max(2 * int(np.median(usual)), LABEL_ROWS * 4)
    too_many = [data.drawn(one.rows, len(one.rows) - limit) for one in data.labels]
    rows = np.sort(np.concatenate([one.rows for one in data.labels[-len(rare) :]]))
    cures = {BALANCE: np.sort(np.concatenate(too_many)), LEAVE_OUT: rows}
    if usual[0] <= LABEL_RATIO * usual[-1]:
        del cures[BALANCE]
    params = {
        "most": counts[0], "least": counts[-1], "labels": len(counts), "limit": limit,
        "commonest": told(data.labels[0].name), "rarest": told(data.labels[-1].name),
    }  # fmt: skip
    yield Finding("label_skew", WARN, rows, cures, params)


@check
def label_spellings(data: Data) -> Iterator[Finding]:
    """Labels that differ in blanks, case or end signs only; the commonest spelling is kept."""
    several = [label for label in data.labels if len(label.odd)]
    if several:
        rows = np.sort(np.concatenate([label.odd for label in several]))
        spellings = {
            plain_text(data.rows.answer(row)): label.name
            for label in several
            for row in label.odd[
                firsts(data.records["answer"][label.odd]) == np.arange(len(label.odd))
            ].tolist()
        }
        params = {"spellings": spellings, "labels": len(several)}
        yield Finding("label_spellings", WARN, rows, {NORMALISE: rows}, params)


@check
def copies(data: Data) -> Iterator[Finding]:
    """Answers that are their question, with at most half as much of their own. Where texts are to be
    corrected, those without a mistake are found too, and are no fault."""
    yield from _flagged(data, "copies", WARN, Flag.COPY)


@check
def broken(data: Data) -> Iterator[Finding]:
    """Answers that are an empty cell's name (null, NaN, #N/A, …) or nothing but signs; where
    they are labels, those that come five times are meant."""
    rows = data.flagged(Flag.BROKEN)
    for label in data.labels:
        if len(label.rows) >= LABEL_ROWS:
            rows = np.setdiff1d(rows, label.rows)
    if len(rows):
        yield Finding("broken", BAD, rows, {LEAVE_OUT: rows})


def _flagged(
    data: Data, key: str, level: str, flag: Flag, cures: tuple[str, ...] = (LEAVE_OUT,)
) -> Iterator[Finding]:
    rows = data.flagged(flag)
    if len(rows):
        yield Finding(key, level, rows, dict.fromkeys(cures, rows))


# --- how it is written --------------------------------------------------------------------------
@check
def registers(data: Data) -> Iterator[Finding]:
    """Answers whose sentences end otherwise than most do: 해요체, 합쇼체, 반말 (with 평어). Told by
    the ends of sentences; an answer counts by the register of most of its sentences. Labels have
    none."""
    if data.labels:
        return
    known = data.records["register"]
    counts = np.bincount(known, minlength=len(REGISTERS))
    counts[0] = 0
    total = int(counts.sum())
    odd = total - int(counts.max())
    if data.count < MANY or odd < max(2, ODD_SHARE * total):
        return
    main = int(counts.argmax())
    rows = np.flatnonzero((known != main) & (known != 0))
    params = {
        "main": REGISTERS[main], "share": counts[main] / total,
        "counts": {name: int(counts[number]) for number, name in enumerate(REGISTERS) if number},
    }  # fmt: skip
    yield Finding("registers", WARN, rows, _if_main(rows, counts[main] / total), params)


def _if_main(rows: np.ndarray, share: float) -> dict[str, np.ndarray]:
    """Offer to leave the others out where most rows keep to the rule."""
    return {LEAVE_OUT: rows} if share >= MAIN_SHARE else {}


@check
def languages(data: Data) -> Iterator[Finding]:
    """Answers in another language than most, told by their letters; one that has less than two, a
    program, or a short name in Latin letters (NATO, iPhone) is in none. Translations into two
    languages are found too, and are no fault."""
    known = data.records["answered_in"].copy()
    known[data.flagged(Flag.BROKEN | Flag.CODE)] = 0
    is_short = data.records["answer_length"] < SHORT_ANSWER
    if np.bincount(known, minlength=len(LANGUAGES)).argmax() != LANGUAGES.index("en"):
        known[is_short & (known == LANGUAGES.index("en"))] = 0
    counts = np.bincount(known, minlength=len(LANGUAGES))
    counts[0] = 0
    total = int(counts.sum())
    main = int(counts.argmax())
    rows = np.flatnonzero((known != main) & (known != 0))
    if data.count < MANY or not len(rows) or data.labels:
        return
    share = counts[main] / total
    params = {
        "main": LANGUAGES[main], "share": share,
        "counts": {name: int(counts[number]) for number, name in enumerate(LANGUAGES) if number},
    }  # fmt: skip
    level = WARN if share >= MAIN_SHARE else INFO
    yield Finding("languages", level, rows, _if_main(rows, share), params)


@check
def foreign_letters(data: Data) -> Iterator[Finding]:
    """Korean answers with two or more Chinese or Japanese letters in a row, not in brackets."""
    yield from _flagged(data, "foreign_letters", INFO, Flag.FOREIGN)


@check
def mojibake(data: Data) -> Iterator[Finding]:
    """Letters that were read in a wrong encoding once: the sign for a lost letter, or the typical
    rows of UTF-8 or CP949 read as something else."""
    yield from _flagged(data, "mojibake", BAD, Flag.MOJIBAKE)


@check
def control_characters(data: Data) -> Iterator[Finding]:
    """Characters that nobody sees: control and format characters, and HWP's private bullets."""
    yield from _flagged(data, "control_characters", WARN, Flag.CONTROL, (NORMALISE, LEAVE_OUT))


@check
def spaces(data: Data) -> Iterator[Finding]:
    """Blanks around a text, two empty lines in a row, three blanks inside a line."""
    yield from _flagged(data, "spaces", INFO, Flag.SPACES, (NORMALISE, LEAVE_OUT))


@check
def html(data: Data) -> Iterator[Finding]:
    """Tags and entities of web pages. Answers that teach HTML are found too, and are no fault."""
    yield from _flagged(data, "html", WARN, Flag.HTML, (NORMALISE, LEAVE_OUT))


@check
def chat_marks(data: Data) -> Iterator[Finding]:
    """Marks of other models' templates, or the speaker's name in front of an answer."""
    yield from _flagged(data, "chat_marks", BAD, Flag.CHAT_MARK, (NORMALISE, LEAVE_OUT))


@check
def placeholders(data: Data) -> Iterator[Finding]:
    """Places of a form that nobody filled in: {name}, [회사명], OOO, TODO."""
    yield from _flagged(data, "placeholders", WARN, Flag.PLACEHOLDER)


@check
def forms(data: Data) -> Iterator[Finding]:
    """Questions without the marks (such as «질문:» or «### 지시») that most have, or with marks
    that most have not; and rows with or without a system prompt where most are otherwise."""
    if data.count < MANY:
        return
    values, inverse, counts = np.unique(
        data.records["form"], return_inverse=True, return_counts=True
    )
    main = int(counts.argmax())
    share = counts[main] / data.count
    if MAIN_SHARE <= share < 1:
        is_odd = inverse != main
        if values[main] == 0:  # a mark that comes once is no form
            is_odd &= counts[inverse] >= 3
        rows = np.flatnonzero(is_odd)
        if len(rows):
            params = {"share": share, "has_marks": bool(values[main])}
            level = WARN if values[main] else INFO
            yield Finding("forms", level, rows, {LEAVE_OUT: rows}, params)
    yield from _system_prompts(data)


def _system_prompts(data: Data) -> Iterator[Finding]:
    has = (data.records["flags"] & Flag.SYSTEM) > 0
    share = has.mean()
    if 0 < share < 1:
        rows = np.flatnonzero(has != (share >= 0.5))
        params = {"share": float(share)}
        cures = _if_main(rows, max(share, 1 - share))
        yield Finding("system_prompts", WARN, rows, cures, params)


# --- training and validation --------------------------------------------------------------------
@check
def overlap(data: Data) -> Iterator[Finding]:
    """Questions that are also in the data that was split off from this one, or that this one was
    split off from; blanks, case and end signs aside."""
    if data.beside is None:
        return
    rows = np.flatnonzero(np.isin(data.records["question"], data.beside))
    if len(rows):
        yield Finding("overlap", BAD, rows, {LEAVE_OUT: rows})


@check
def validation_leak(data: Data) -> Iterator[Finding]:
    """Questions that come again, so that some will be both trained and asked when training holds
    examples out to check itself. The number is what chance makes of it, not a certain split."""
    question = data.first_question
    sizes = np.bincount(question, minlength=data.count)[question]
    share = data.validation_share
    expected = float((share * (1 - share ** (sizes - 1.0)))[sizes > 1].sum())
    if expected < (1 if data.labels else 0.5):
        return
    again = np.flatnonzero(question != data.numbers)
    held_out = max(1.0, share * data.count)
    params = {"expected": round(expected), "share": min(1.0, expected / held_out)}
    level = WARN if params["share"] >= 0.05 else INFO
    groups = together(question, np.flatnonzero(sizes > 1))
    yield Finding("validation_leak", level, again, {KEEP_ONE: again}, params, groups)


@check
def few(data: Data) -> Iterator[Finding]:
    """Fewer examples than are needed to train."""
    if 0 < data.count < data.minimum:
        params = {"count": data.count, "minimum": data.minimum, "more": data.minimum - data.count}
        yield Finding("few", BAD, np.zeros(0, int), params=params)


# --- people -------------------------------------------------------------------------------------
@check
def personal_data(data: Data) -> Iterator[Finding]:
    """Numbers and addresses of people, kind by kind (personal.py says what makes one); and all of them
    together where there are several kinds."""
    found = []
    for number, kind in enumerate(personal.KINDS):
        rows = np.flatnonzero(data.records["personal"] & (1 << number))
        if len(rows):
            level = BAD if kind in SURELY_PERSONAL else INFO
            key = PERSONAL_MARK + kind
            found.append(Finding(key, level, rows, {MASK: rows}, {"kinds": [kind]}))
    if len(found) > 1:
        rows = np.flatnonzero(data.records["personal"])
        kinds = [kind for one in found for kind in one.params["kinds"]]
        level = min((one.level for one in found), key=LEVELS.index)
        yield Finding(PERSONAL, level, rows, {MASK: rows}, {"kinds": kinds})
    yield from found
