"""Attention over a packed row: each example attends to itself alone, exactly as if it were by itself.

Registered with transformers as the attention named PACKED; the model's forward gets `segments`.
Shapes: B = 1, H query heads, K key heads, T tokens of the row, D of a head.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import cast

import torch
import torch.nn.functional as F

from training.lm.fast.attention import Span

PACKED = "dadeum_packed"
FLASH_TYPES = (torch.bfloat16, torch.float16)
FLASH_SIZE = 256
"""Numbers of a head at most."""


@dataclass(frozen=True)
class Segments:
    """Which tokens of a row see which, as FlashAttention is told it."""

    spans: Sequence[Span]
    starts_S: torch.Tensor
    """Where each span begins, and last where the row ends: int32, where the row is."""
    key_starts_S: torch.Tensor
    """Likewise among the keys."""
    keys_J: torch.Tensor | None
    """The keys of all spans one after another, where beginnings are shared; None: they are the row."""
    longest: int
    most_keys: int
    """Tokens of a span, and keys that it sees, at most."""

    @classmethod
    def of(cls, spans: Sequence[Span], place: torch.device) -> "Segments":
        """`spans` lie end to end."""
        lengths = [span.end - span.start for span in spans]
        starts, longest = _starts(lengths, place), max(lengths)
        if not any(span.shared for span in spans):
            return cls(spans, starts, starts, None, longest, longest)
        seen = [
            torch.cat([torch.arange(one.shared_start, one.shared_end), torch.arange(one.start, one.end)])
            for one in spans
        ]  # fmt: skip
        counts = [len(keys) for keys in seen]
        key_starts = _starts(counts, place)
        return cls(spans, starts, key_starts, torch.cat(seen).to(place), longest, max(counts))


def _starts(lengths: Iterable[int], place: torch.device) -> torch.Tensor:
    return torch.tensor([0, *accumulate(lengths)], dtype=torch.int32).to(place)


def within(
    q_THD: torch.Tensor, k_TKD: torch.Tensor, v_TKD: torch.Tensor, segments: Segments,
    scale: float | None, window: int | None,
) -> torch.Tensor:  # fmt: skip
    """Return (T, H, D) causal attention of each span to itself and what it shares, `window` tokens back
    or all: by one call of FlashAttention (Dao 2023) where the GPU has it."""
    if segments.keys_J is not None:  # in fp32, in which gradients of shared keys are to add up
        k_TKD, v_TKD = (
            x.float().index_select(0, segments.keys_J).to(x.dtype) for x in (k_TKD, v_TKD)
        )
    if has_flash(q_THD):
        # not before: it takes long, and processors have no use for it
        from torch.nn.attention.varlen import varlen_attn

        found = varlen_attn(
            q_THD, k_TKD, v_TKD, segments.starts_S, segments.key_starts_S, segments.longest,
            segments.most_keys, scale=scale, window_size=((window or 0) - 1, 0), enable_gqa=True,
        )  # fmt: skip
        return cast(torch.Tensor, found)  # it tells no more, unless it is asked to
    q_BHTD, k_BKTD, v_BKTD = (x.transpose(0, 1)[None] for x in (q_THD, k_TKD, v_TKD))
    parts, first = [], 0
    for span in segments.spans:
        keys = slice(first, first + span.shared + span.end - span.start)
        own = q_BHTD[:, :, span.start : span.end]
        parts.append(_one(own, k_BKTD[:, :, keys], v_BKTD[:, :, keys], scale, window))
        first = keys.stop
    return torch.cat(parts, dim=2)[0].transpose(0, 1)


def has_flash(q_THD: torch.Tensor) -> bool:
    size = q_THD.shape[-1]
    fits = q_THD.dtype in FLASH_TYPES and size <= FLASH_SIZE and size % 8 == 0
    return q_THD.is_cuda and fits and _gpu_has_flash()


@cache
def _gpu_has_flash() -> bool:
    """Say whether this build of PyTorch has it, and the GPU is of the first generation that runs it or later."""
    is_built = torch.backends.cuda.is_flash_attention_available()
    return is_built and torch.cuda.get_device_capability() >= (8, 0)


def _one(query, key, value, scale: float | None, window: int | None) -> torch.Tensor:
    """The last query sees the last key. Keys stand once for each query head: GPUs without FlashAttention
    that are given them shared keep the square of the length."""
    queries, keys = query.shape[2], key.shape[2]
    if (times := query.shape[1] // key.shape[1]) > 1:
        key, value = (x.repeat_interleave(times, 1) for x in (key, value))
    mask = None
    if queries < keys or (window and keys > window):
        place = torch.arange(keys, device=query.device)
        distance = place[keys - queries :, None] - place[None]
        mask = (distance >= 0) & (distance < (window or keys))
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, is_causal=mask is None, scale=scale
    )


def packed_attention(
    module: torch.nn.Module,
    query_BHTD: torch.Tensor,
    key_BKTD: torch.Tensor,
    value_BKTD: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    segments: Segments | None = None,
    **unused: object,
) -> tuple[torch.Tensor, None]:
    """Return (B, T, H, D) causal attention within each segment."""
    place = query_BHTD.device
    segments = segments or Segments.of([Span(0, query_BHTD.shape[2])], place)
    q, k, v = (x[0].transpose(0, 1) for x in (query_BHTD, key_BKTD, value_BKTD))
    if torch.is_autocast_enabled(place.type):  # rotary embedding has made queries and keys wide
        kind = torch.get_autocast_dtype(place.type)
        q, k, v = q.to(kind), k.to(kind), v.to(kind)
    return within(q, k, v, segments, scaling, sliding_window)[None].contiguous(), None


def register() -> None:
    """Make PACKED known to transformers; it needs no mask of theirs."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(PACKED, packed_attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(PACKED, lambda *args, **kwargs: None)
