"""Causal attention of packed examples by blocks of matrix products, forward and backward.

An example sees itself and the prompt that it shares with others, which stands in the row once. Short
examples that lie side by side are one block, with a mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch

from training.lm.fast import kernels
from training.lm.fast.kernels import F, numbers

BLOCK = 128
"""Queries that are computed at once."""
TOGETHER = 512
"""Keys up to which neighbours are put into one block."""
GAP = 64
"""Keys that nobody sees, and that are computed rather than cut out."""
KEPT = 1280
"""Keys up to which the probabilities are kept for the backward pass; beyond, they are made again, since
they grow with the square."""


@dataclass(frozen=True)
class Span:
    """Where an example's own tokens lie in the row, and where the shared ones before them."""

    start: int
    end: int
    shared_start: int = 0
    shared_end: int = 0

    @property
    def shared(self) -> int:
        return self.shared_end - self.shared_start


@dataclass
class Block:
    """Some queries, and the keys that any of them sees."""

    begin: int
    end: int
    keys: tuple[tuple[int, int], ...]
    """Ranges of the row, in order."""
    mask: torch.Tensor | None = None
    """Added to the scores of the last keys: (queries, some keys), 0 or kernels.LOWEST, in fp32."""

    @property
    def seen(self) -> int:
        return sum(end - start for start, end in self.keys)

    @property
    def is_kept(self) -> bool:
        return self.seen <= KEPT


def plan(spans: Sequence[Span], begin: int, end: int, window: int | None) -> list[Block]:
    """Return the blocks of the tokens from `begin` to `end` of the row."""
    found: list[Block] = []
    for span in spans:
        low, high = max(span.start, begin), min(span.end, end)
        for start in range(low, high, BLOCK):
            one = Block(start, min(start + BLOCK, high), _seen(span, start, high, window))
            joined = _joined(found[-1], one) if found else None
            if joined:
                found[-1] = joined
            else:
                found.append(one)
    for block in found:
        block.mask = _mask(block, spans, window)
    return found


def _seen(span: Span, start: int, high: int, window: int | None) -> tuple[tuple[int, int], ...]:
    """Return the keys of the queries from `start` to the end of their block."""
    end = min(start + BLOCK, high)
    own, shared = span.start, span.shared_start
    if window:
        lowest = start - span.start + span.shared - window + 1  # among the keys of the example
        own = max(own, span.start + lowest - span.shared)
        shared = max(shared, span.shared_start + lowest)
    ranges = [(own, end)]
    if shared < span.shared_end:
        ranges.insert(0, (shared, span.shared_end))
    return _union(ranges)


def _union(ranges: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1] + GAP:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return tuple(found)


def _joined(one: Block, other: Block) -> Block | None:
    keys = _union([*one.keys, *other.keys])
    both = Block(one.begin, other.end, keys)
    fits = other.end - one.begin <= BLOCK and both.seen <= TOGETHER
    return both if one.end == other.begin and fits else None


def _mask(block: Block, spans: Sequence[Span], window: int | None) -> torch.Tensor | None:
    """Return what hides keys from queries; it begins with the first key that is hidden from any."""
    inside = [span for span in spans if span.start < block.end and span.end > block.begin]
    if len(inside) == 1 and not window:
        (span,) = inside
        if block.seen == span.shared + block.end - span.start:  # and nobody else's between them
            return _causal(block.end - block.begin)
    key = torch.cat([torch.arange(*ends) for ends in block.keys])[None]
    query = torch.arange(block.begin, block.end)[:, None]
    sizes = torch.tensor([min(s.end, block.end) - max(s.start, block.begin) for s in inside])

    def of_each(values) -> torch.Tensor:
        return torch.tensor(list(values)).repeat_interleave(sizes)[:, None]

    start, shared_start = of_each(s.start for s in inside), of_each(s.shared_start for s in inside)
    shared_end = of_each(s.shared_end for s in inside)
    shared = shared_end - shared_start
    is_own = (key >= start) & (key <= query)
    is_shared = (key >= shared_start) & (key < shared_end)
    if window:
        place = query - start + shared
        is_own &= place - (key - start + shared) < window
        is_shared &= place - (key - shared_start) < window
    hidden = ~(is_own | is_shared)
    (columns,) = torch.nonzero(hidden.any(0), as_tuple=True)
    if not len(columns):
        return None
    hidden = hidden[:, int(columns[0]) :]
    return torch.zeros(hidden.shape).masked_fill_(hidden, kernels.LOWEST)


@lru_cache(maxsize=512)
def _causal(queries: int) -> torch.Tensor:
    return torch.full((queries, queries), kernels.LOWEST).triu_(1)


class Attend(torch.autograd.Function):
    """A lane's (H, n, D) queries, (K, n, D) keys and values → (n, H · D), with room at the right."""

    @staticmethod
    def forward(ctx, q_HnD, k_KnD, v_KnD, blocks, scale: float, room: int, lane):
        parts = lane.meet((k_KnD, v_KnD))[: lane.index + 1]
        k_KTD, v_KTD = (_side_by_side(pieces) for pieces in zip(*parts, strict=True))
        heads, length, size = q_HnD.shape
        out_nN = q_HnD.new_empty(length, heads * size + room)[:, : heads * size]
        out_HnD = _by_head(out_nN, size)
        kept: list[torch.Tensor] = []
        for block in blocks:
            rows = slice(block.begin - lane.begin, block.end - lane.begin)
            q_KQD = _grouped(q_HnD, rows, len(k_KTD))
            probabilities = _probabilities(q_KQD, _taken(k_KTD, block), block, scale)
            _put(out_HnD, rows, torch.bmm(probabilities, _taken(v_KTD, block)))
            kept.append(probabilities if block.is_kept else q_KQD.new_empty(0))
        ctx.save_for_backward(q_HnD, k_KTD, v_KTD, *kept)
        ctx.told = blocks, scale, lane
        return out_nN

    @staticmethod
    def backward(ctx, grad_nN):
        q_HnD, k_KTD, v_KTD, *kept = ctx.saved_tensors
        blocks, scale, lane = ctx.told
        grad_HnD = _by_head(grad_nN, q_HnD.shape[2])
        grad_q = torch.empty_like(q_HnD)
        sum_k, sum_v = (torch.zeros(k_KTD.shape, dtype=torch.float32) for _ in range(2))
        for block, remembered in zip(blocks, kept, strict=True):
            rows = slice(block.begin - lane.begin, block.end - lane.begin)
            q_KQD, grad_KQD = (_grouped(x, rows, len(k_KTD)) for x in (q_HnD, grad_HnD))
            keys = _taken(k_KTD, block)
            if not block.is_kept:
                remembered = _probabilities(q_KQD, keys, block, scale)
            slope = torch.bmm(grad_KQD, _taken(v_KTD, block).transpose(1, 2))
            kernels.softmax_back(_lines(slope), _lines(remembered), F(scale))
            _put(grad_q, rows, torch.bmm(slope, keys))
            _spread(sum_k, block, torch.bmm(slope.transpose(1, 2), q_KQD))
            _spread(sum_v, block, torch.bmm(remembered.transpose(1, 2), grad_KQD))
        own = slice(lane.begin, lane.end)
        found = lane.meet_with_gifts((sum_k, sum_v))[lane.index :]
        grad_k, grad_v = (
            sum(part[:, own] for part in parts).to(q_HnD.dtype)
            for parts in zip(*found, strict=True)
        )
        return grad_q, grad_k, grad_v, None, None, None, None


def _by_head(x_nN: torch.Tensor, size: int) -> torch.Tensor:
    """(n, H · D) → (H, n, D), a view."""
    return x_nN.unflatten(1, (-1, size)).transpose(0, 1)


def _lines(x_KQS: torch.Tensor):
    return numbers(x_KQS.view(-1, x_KQS.shape[-1]))


def _side_by_side(pieces: Sequence[torch.Tensor]) -> torch.Tensor:
    return pieces[0] if len(pieces) == 1 else torch.cat(list(pieces), 1)


def _taken(x_KTD: torch.Tensor, block: Block) -> torch.Tensor:
    return _side_by_side([x_KTD[:, start:end] for start, end in block.keys])


def _spread(sum_KTD: torch.Tensor, block: Block, found_KSD: torch.Tensor) -> None:
    """Add what is found for a block's keys where they lie in the row."""
    done = 0
    for start, end in block.keys:
        sum_KTD[:, start:end] += found_KSD[:, done : done + end - start]
        done += end - start


def _probabilities(q_KQD, k_KSD, block: Block, scale: float) -> torch.Tensor:
    scores = torch.bmm(q_KQD, k_KSD.transpose(1, 2))
    mask = torch.empty(0, 0) if block.mask is None else block.mask
    kernels.softmax(_lines(scores), F(scale), numbers(mask))
    return scores


def _grouped(x_HnD: torch.Tensor, rows: slice, key_heads: int) -> torch.Tensor:
    """Return a block of queries with those of one key head side by side: (K, H/K · Q, D)."""
    own = x_HnD[:, rows]
    return own.reshape(key_heads, -1, own.shape[-1])


def _put(out_HnD: torch.Tensor, rows: slice, found_KQD: torch.Tensor) -> None:
    target = out_HnD[:, rows]
    target.copy_(found_KQD.view(target.shape))
