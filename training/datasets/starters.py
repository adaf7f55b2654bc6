"""A file to begin one's own data with: a kind of work goes in, its five examples come out as a file.

The XLSX has the rows under the kind's columns and, on a second sheet, how to write them; the JSONL
has the same examples as conversations.
"""

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from django.utils.translation import gettext as _

from training.chat import Example
from training.datasets import export
from training.datasets.read import Reader
from training.works import Work

FOLDER = Path(__file__).parent / "samples" / "works"
WIDTH, WIDE, WIDEST = 12, 50, 90
"""Letters in a line of a number, of a text, of advice."""


def _path(work: Work) -> Path:
    return FOLDER / f"{work.key}.jsonl"


@lru_cache(maxsize=16)
def examples(work: Work) -> tuple[Example, ...]:
    """Return a kind's examples the way the reader reads its rows."""
    return tuple(found for found in Reader(_path(work)) if isinstance(found, Example))


def columns(work: Work) -> list[str]:
    """Return the names of a template's columns, as the reader knows them (names.py)."""
    return list(rows(work)[0])


def rows(work: Work) -> list[dict]:
    """Return a kind's rows, by column."""
    return [json.loads(line) for line in _path(work).read_text("utf-8").splitlines()]


def jsonl(work: Work) -> Iterator[bytes]:
    for example in examples(work):
        yield json.dumps(example.as_dict(), ensure_ascii=False).encode() + b"\n"


def xlsx(work: Work) -> Iterator[bytes]:
    found = rows(work)
    table = [columns(work), *(list(row.values()) for row in found)]
    widths = tuple(WIDE if isinstance(cell, str) else WIDTH for cell in found[0].values())
    return export.workbook(
        [
            export.Sheet(_("예제"), table, widths),
            export.Sheet(_("쓰는 법"), [[line] for line in told(work)], (WIDEST,)),
        ]
    )


def told(work: Work) -> list[str]:
    """Return the lines of the second sheet."""
    begin = _("첫 시트의 예제 다섯 개를 지우고, 열 이름은 그대로 둔 채 직접 쓴 예제를 적으세요.")
    return [str(work.label), str(work.summary), *map(str, work.advice), begin]


FORMATS = {"xlsx": (xlsx, export.FORMATS["xlsx"][1]), "jsonl": (jsonl, export.FORMATS["jsonl"][1])}
"""File ending -> what makes it, and its media type."""


def file_name(work: Work, ending: str) -> str:
    stem = _("{work} 양식").format(work=work.label).replace("/", "·")
    return f"{stem}.{ending}"
