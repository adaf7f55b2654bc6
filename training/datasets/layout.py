"""What a file looks like, for a person to correct: a plain dict of bounded size.

Made of what the reader recognised, whether or not reading succeeds then.
"""

import json
from collections.abc import Sequence

from training.datasets import names
from training.datasets.names import Shape
from training.datasets.records import shown

SIZE_LIMIT = 100_000
"""Bytes of the layout as JSON."""
COLUMNS_LIMIT, NAME_LIMIT, SHEETS_LIMIT, HEAD_ROWS = 150, 200, 50, 5
CELL_LIMITS = (200, 80, 30, 10, 4)
"""Letters of a cell, the first limit by which the whole fits."""


def of(
    header: Sequence[str], head: Sequence[Sequence], known: Shape | None, **facts: object
) -> dict:
    """Lay out names, first rows and recognised mapping beside other facts."""
    mapping = names.mapping(known, tuple(header)) if known else {}
    sheets = facts.pop("sheets", None)
    if isinstance(sheets, list):
        facts["sheets"] = [_cut(name, 40) for name in sheets[:SHEETS_LIMIT]]
    layout: dict = facts | {"mapping": {part: name[:200] for part, name in mapping.items()}}
    layout["columns"] = [_cut(names.clean(name), NAME_LIMIT) for name in header[:COLUMNS_LIMIT]]
    for limit in CELL_LIMITS:
        layout["head"] = [
            [_cut(shown(cell), limit) for cell in row[:COLUMNS_LIMIT]] for row in head[:HEAD_ROWS]
        ]
        if len(json.dumps(layout, ensure_ascii=False).encode()) <= SIZE_LIMIT:
            return layout
    layout["head"] = []
    return layout


def of_unreadable(encodings: Sequence[str]) -> dict:
    """Lay out a text whose encoding is not known, so that one can be chosen."""
    facts = {"kind": "table", "encoding": "", "delimiter": "", "format": ""}
    return of([], [], None, encodings=list(encodings), **facts)


def _cut(text: str, limit: int) -> str:
    text = names.printable(text[: limit + 1])
    return text if len(text) <= limit else text[:limit] + "…"
