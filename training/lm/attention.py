"""Attention over a packed row: each example attends to itself alone, exactly as if it were by itself.

Registered with transformers as the attention named PACKED; the model's forward gets `segments`.
Shapes: B = 1, H query heads, K key heads, T tokens of the row, D of a head.
"""

import torch
import torch.nn.functional as F

PACKED = "dadeum_packed"


def packed_attention(
    module: torch.nn.Module,
    query_BHTD: torch.Tensor,
    key_BKTD: torch.Tensor,
    value_BKTD: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    segments: list[tuple[int, int]] | None = None,
    **unused: object,
) -> tuple[torch.Tensor, None]:
    """Return (B, T, H, D) causal attention within each segment."""
    whole = [(0, query_BHTD.shape[2])]
    parts = [
        _one(
            query_BHTD[:, :, start:end],
            key_BKTD[:, :, start:end],
            value_BKTD[:, :, start:end],
            scaling,
            sliding_window,
        )
        for start, end in segments or whole
    ]
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous(), None


def _one(query, key, value, scaling: float | None, window: int | None) -> torch.Tensor:
    length = query.shape[2]
    if window and length > window:
        place = torch.arange(length, device=query.device)
        distance = place[:, None] - place[None]
        mask = (distance >= 0) & (distance < window)
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, scale=scaling, enable_gqa=True
        )
    return F.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=scaling, enable_gqa=True
    )


def register() -> None:
    """Make PACKED known to transformers; it needs no mask of theirs."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(PACKED, packed_attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(PACKED, lambda *args, **kwargs: None)
