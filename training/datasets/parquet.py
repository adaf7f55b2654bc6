"""Rows out of Parquet by pyarrow, some hundred at a time. Knows no columns."""

import datetime
import decimal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.datasets.grids import Row
from training.errors import UserError

BATCH_ROWS = 256
COLUMNS_LIMIT = 16_384


class Parquet:
    """A Parquet file as a grid whose first row names the columns."""

    label, delimiter = "parquet", ""
    notes = ()

    def __init__(self, path: Path) -> None:
        """Raises: UserError `parquet_broken`, `columns_too_many`."""
        self.path = path
        file = self._opened()
        self.header: list[str] = list(file.schema_arrow.names)
        self.row_count = file.metadata.num_rows
        self.done = 0.0
        if len(self.header) > COLUMNS_LIMIT:
            raise UserError("columns_too_many", found=len(self.header), limit=COLUMNS_LIMIT)

    def _opened(self) -> Any:
        import pyarrow.parquet  # here, since other files need none of it

        try:
            return pyarrow.parquet.ParquetFile(self.path, memory_map=False)
        except (OSError, ValueError, NotImplementedError, pyarrow.ArrowException) as error:
            raise UserError("parquet_broken") from error

    def rows(self) -> Iterator[Row]:
        """Raises: UserError `parquet_broken`."""
        import pyarrow

        yield 1, list(self.header), None
        number = 1
        try:
            for batch in self._opened().iter_batches(BATCH_ROWS, use_threads=False):
                for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    number += 1
                    yield number, [value(one) for one in values], None
                self.done = number / max(number, self.row_count)
        except (OSError, ValueError, NotImplementedError, pyarrow.ArrowException) as error:
            raise UserError("parquet_broken") from error


def value(one: object) -> object:
    """Return a value as JSON would hold it, or as text."""
    if one is None or isinstance(one, (str, bool, int, float, list, dict)):
        return one
    if isinstance(one, datetime.datetime):
        return one.isoformat(" ", "seconds")
    if isinstance(one, (datetime.date, datetime.time, decimal.Decimal)):
        return str(one)
    return one
