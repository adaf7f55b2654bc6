"""JSON records out of text: one a line, over several lines, one after the other, or in an array.

Lines go in; (line, text, object or Mistake) come out. Knows no keys but those that begin a
record, by which it finds its way again after a broken one.
"""

import json
import re
from collections.abc import Iterator

from training.datasets.encoding import LINE_LIMIT, Lines, LineTooLong
from training.datasets.shapes import NAMES, ROW_LIMIT, Mistake

RAW_NEWLINES = "raw_newlines_mended"
Found = tuple[int, str, dict | Mistake]
"""Line where the record begins, its text, and its value: a Mistake where it has none."""

TOKEN = re.compile(r'\\.|["{}]', re.DOTALL)
STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
SEPARATORS = " \t\r\n,[]\ufeff\0"
LENIENT = json.JSONDecoder(strict=False)
BEGINNINGS = {*NAMES["messages"], *NAMES["prompt"], *NAMES["answer"], *NAMES["system"]}
FIRST_KEY = re.compile(r"""\{\s*["']([^"'\\]{1,100})["']\s*:""")


class Objects:
    """Iterates over the records of JSON text; `notes` says what was mended."""

    def __init__(self, lines: Lines, notes: set[str]) -> None:
        self.lines = lines
        self.notes = notes
        self.beginnings = set(BEGINNINGS)
        self._forget()

    def _forget(self) -> None:
        self.parts: list[str] = []
        self.size = self.start = self.depth = 0
        self.in_string = False

    def __iter__(self) -> Iterator[Found]:
        while True:
            try:
                line = next(self.lines, None)
            except LineTooLong as error:
                yield from self._broken()
                yield error.line, error.row, Mistake("line_too_long", limit_mb=LINE_LIMIT >> 20)
                continue
            if line is None:
                break
            yield from self._take(line)
        yield from self._broken()

    def _take(self, line: str) -> Iterator[Found]:
        if self.depth and self._begins_record(line):
            yield from self._broken()
        if self.depth:
            yield from self._scan(line)
            return
        bare = line.strip(" \t\r\n\ufeff\0")
        if not bare or bare.startswith("```"):
            return
        try:
            value = json.loads(bare)
        except (ValueError, RecursionError):
            yield from self._scan(line)
            return
        yield from self._whole(bare, value)

    def _whole(self, bare: str, value: object) -> Iterator[Found]:
        number = self.lines.number
        if isinstance(value, dict):
            if len(self.beginnings) < 100 and number < 100 and value:
                self.beginnings.add(next(iter(value)).strip().casefold())
            yield number, bare, value
        elif isinstance(value, list) and (not value or any(isinstance(i, dict) for i in value)):
            for item in value:
                found = item if isinstance(item, dict) else Mistake("not_object")
                yield number, _shown(item), found
        else:
            yield number, bare, Mistake("not_object")

    def _begins_record(self, line: str) -> bool:
        """Say whether a line within a record can only be the next one's beginning."""
        match = FIRST_KEY.match(line)
        return match is not None and match[1].strip().casefold() in self.beginnings

    def _scan(self, line: str) -> Iterator[Found]:
        """Follow braces and quotes until the outermost brace closes."""
        begin, is_stray = 0, False
        for match in TOKEN.finditer(line):
            token = match[0]
            if token == "{" and not self.in_string:
                if not self.depth:
                    is_stray |= bool(line[begin : match.start()].strip(SEPARATORS))
                    begin, self.start = match.start(), self.lines.number
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
            is_stray |= bool(line[begin:].strip(SEPARATORS))
        if is_stray:
            yield self.lines.number, line, Mistake("json_unreadable", column=1)

    def _keep(self, rest: str) -> Iterator[Found]:
        self.parts.append(rest)
        self.size += len(rest)
        if self.size > LINE_LIMIT:
            yield from self._broken()

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

    def _broken(self) -> Iterator[Found]:
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
