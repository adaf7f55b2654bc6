"""Causal attention of packed examples by blocks of matrix products, forward and backward.

An example sees itself and the prompt that it shares with others, which stands in the row once.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch

BLOCK = 256
"""Queries that are computed at once."""
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


@lru_cache(maxsize=64)
def _hidden(queries: int, keys: int, first: int, window: int | None) -> torch.Tensor | None:
    """Return which keys a block's queries must not see (queries, keys), if any; query 0 stands at
    key `first`."""
    place = torch.arange(queries)[:, None] + first
    other = torch.arange(keys)[None]
    mask = other > place
    if window:
        mask |= place - other >= window
    return mask if bool(mask.any()) else None


class Packed(torch.autograd.Function):
    """(T, H, D) queries, (T, K, D) keys and values → (T, H, D)."""

    @staticmethod
    def forward(ctx, q_THD, k_TKD, v_TKD, spans, scale: float, window: int | None):
        out_THD = torch.empty_like(q_THD)
        kept: list[torch.Tensor] = []
        for span in spans:
            k_KSD, v_KSD = _whole(k_TKD, span), _whole(v_TKD, span)
            for begin in range(span.start, span.end, BLOCK):
                block = _Block(span, begin, window)
                q_KQD = _queries(q_THD, block, k_KSD.shape[0])
                probabilities = block.probabilities(q_KQD, k_KSD, scale)
                found = torch.bmm(probabilities, v_KSD[:, block.seen])
                _put(out_THD, block, found)
                if ctx is not None:
                    kept.append(probabilities if block.is_kept else q_KQD.new_empty(0))
        ctx.save_for_backward(q_THD, k_TKD, v_TKD, out_THD, *kept)
        ctx.told = spans, scale, window
        return out_THD

    @staticmethod
    def backward(ctx, grad_THD):
        q_THD, k_TKD, v_TKD, out_THD, *kept = ctx.saved_tensors
        spans, scale, window = ctx.told
        grad_q = torch.empty_like(q_THD)
        grad_k, grad_v = torch.zeros_like(k_TKD), torch.zeros_like(v_TKD)
        remembered = iter(kept)
        delta_TH = (grad_THD.float() * out_THD.float()).sum(-1)
        for span in spans:
            k_KSD, v_KSD = _whole(k_TKD, span), _whole(v_TKD, span)
            sum_k = torch.zeros(k_KSD.shape, dtype=torch.float32)
            sum_v = torch.zeros(v_KSD.shape, dtype=torch.float32)
            for begin in range(span.start, span.end, BLOCK):
                block = _Block(span, begin, window)
                heads = k_KSD.shape[0]
                q_KQD, grad_KQD = (_queries(x, block, heads) for x in (q_THD, grad_THD))
                probabilities = next(remembered)
                if not block.is_kept:
                    probabilities = block.probabilities(q_KQD, k_KSD, scale)
                delta_KQ1 = _queries(delta_TH[..., None], block, heads).to(q_THD.dtype)
                slope = torch.bmm(grad_KQD, v_KSD[:, block.seen].transpose(1, 2))
                slope = slope.sub_(delta_KQ1).mul_(probabilities).mul_(scale)
                _put(grad_q, block, torch.bmm(slope, k_KSD[:, block.seen]))
                sum_k[:, block.seen] += torch.bmm(slope.transpose(1, 2), q_KQD)
                sum_v[:, block.seen] += torch.bmm(probabilities.transpose(1, 2), grad_KQD)
            _add(grad_k, span, sum_k)
            _add(grad_v, span, sum_v)
        return grad_q, grad_k, grad_v, None, None, None


class _Block:
    """Some queries of an example, and the keys that any of them sees."""

    def __init__(self, span: Span, begin: int, window: int | None) -> None:
        self.begin, self.end = begin, min(begin + BLOCK, span.end)
        first = begin - span.start + span.shared
        """Where the first query stands among the example's keys."""
        lowest = max(0, first - window + 1) if window else 0
        self.seen = slice(lowest, first + self.end - begin)
        self.mask = _hidden(self.end - begin, self.seen.stop - lowest, first - lowest, window)
        self.is_kept = self.seen.stop - lowest <= KEPT

    def probabilities(self, q_KQD, k_KSD, scale: float) -> torch.Tensor:
        scores = torch.bmm(q_KQD, k_KSD[:, self.seen].transpose(1, 2))
        scores = (scores.float() if scores.dtype != torch.float32 else scores).mul_(scale)
        if self.mask is not None:
            queries = self.end - self.begin
            by_head = scores.view(scores.shape[0], -1, queries, scores.shape[-1])
            by_head.masked_fill_(self.mask, float("-inf"))
        return torch.softmax(scores, -1).to(q_KQD.dtype)


def _whole(x_TKD: torch.Tensor, span: Span) -> torch.Tensor:
    """Return an example's keys (K, S, D), the shared ones first."""
    own = x_TKD[span.start : span.end]
    if span.shared:
        own = torch.cat([x_TKD[span.shared_start : span.shared_end], own])
    return own.transpose(0, 1).contiguous()


def _add(grad_TKD: torch.Tensor, span: Span, found_KSD: torch.Tensor) -> None:
    found = found_KSD.transpose(0, 1).to(grad_TKD.dtype)
    grad_TKD[span.start : span.end] += found[span.shared :]
    if span.shared:
        grad_TKD[span.shared_start : span.shared_end] += found[: span.shared]


def _queries(x_THD: torch.Tensor, block: _Block, key_heads: int) -> torch.Tensor:
    """Return a block of queries with those of one key head side by side: (K, H/K · Q, D)."""
    own = x_THD[block.begin : block.end]
    queries, heads, size = own.shape
    grouped = own.view(queries, key_heads, heads // key_heads, size).permute(1, 2, 0, 3)
    return grouped.reshape(key_heads, -1, size)


def _put(out_THD: torch.Tensor, block: _Block, found_KQD: torch.Tensor) -> None:
    queries = block.end - block.begin
    key_heads, _, size = found_KQD.shape
    by_head = found_KQD.view(key_heads, -1, queries, size).permute(2, 0, 1, 3)
    out_THD[block.begin : block.end] = by_head.reshape(queries, -1, size)
