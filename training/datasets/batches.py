"""Items come in one by one and go out in lists, so that neither many nor large ones take much memory.
Knows nothing of what they are."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def batches(
    items: Iterable[Item], size_of: Callable[[Item], int], *, most: int, most_size: int
) -> Iterator[list[Item]]:
    """Yield lists of `most` items; a shorter one as soon as it is larger than `most_size`."""
    batch: list[Item] = []
    size = 0
    for item in items:
        batch.append(item)
        size += size_of(item)
        if len(batch) == most or size > most_size:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
