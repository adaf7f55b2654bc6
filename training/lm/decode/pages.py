"""The cache of keys and values in pages, which streams share where they begin alike.

A page that is full is known by all the tokens up to its end (and the adapter that they went through), so
that the next turn of a conversation finds its history. Pages that nobody uses stay known until room is
wanted, the longest unused go first.
"""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import torch

from training.lm.decode.loops import PAGE


class Pages:
    def __init__(self, count: int, layers: int, key_heads: int, size: int, kind: torch.dtype):
        shape = count, layers, key_heads, PAGE, size
        # from the system, which gives memory only to what is written
        self.keys, self.values = (
            torch.from_numpy(np.zeros(shape, np.float32 if kind == torch.float32 else np.uint16))
            for _ in range(2)
        )
        self.kind = kind
        self.count = count
        self._free = list(range(count - 1, -1, -1))
        self._uses = [0] * count
        self._names: list[bytes | None] = [None] * count
        self._known: dict[bytes, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()
        """Known pages that nobody uses, the longest unused first."""

    @property
    def room(self) -> int:
        """How many pages can be taken."""
        return len(self._free) + len(self._idle)

    def find(self, beginning: bytes, ids: Sequence[int]) -> list[int]:
        """Take known pages that hold the first of these tokens; the last token is never among them,
        since what follows it has to be computed."""
        found: list[int] = []
        for name in names(beginning, ids[:-1]):
            page = self._known.get(name)
            if page is None:
                break
            self._idle.pop(page, None)
            self._uses[page] += 1
            found.append(page)
        return found

    def take(self) -> int:
        """Return a page to write to. Raises: IndexError when all are in use."""
        if self._free:
            page = self._free.pop()
        else:
            if not self._idle:
                raise IndexError("no page is free")
            page, _ = self._idle.popitem(last=False)
            self._forget(page)
        self._uses[page] = 1
        return page

    def keep(self, page: int, name: bytes) -> None:
        """Make a full page known; where another holds the same, that one stays."""
        if name not in self._known:
            self._known[name], self._names[page] = page, name

    def give_back(self, pages: Sequence[int]) -> None:
        for page in reversed(
            pages
        ):  # of a stream, its beginning is the likeliest to be wanted again
            self._uses[page] -= 1
            if self._uses[page]:
                continue
            if self._names[page] is None:
                self._free.append(page)
            else:
                self._idle[page] = None

    def forget_all(self) -> None:
        """Forget what nobody uses: an adapter has changed, or its memory is wanted."""
        for page in list(self._idle):
            self._forget(page)
            self._free.append(page)
        self._idle.clear()

    def _forget(self, page: int) -> None:
        name = self._names[page]
        if name is not None:
            del self._known[name]
            self._names[page] = None


def names(beginning: bytes, ids: Sequence[int]) -> list[bytes]:
    """Return what each full page of these tokens is known by."""
    found, name = [], beginning
    for start in range(0, len(ids) // PAGE * PAGE, PAGE):
        line = np.asarray(ids[start : start + PAGE], np.int64).tobytes()
        name = blake2b(name + line, digest_size=16).digest()
        found.append(name)
    return found
