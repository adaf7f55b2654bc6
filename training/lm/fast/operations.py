"""The steps between matrix products by PyTorch's own operations, for GPUs: what kernels.py does on
processors, with the same arguments, which are tensors here. Any device computes them.
"""

import torch
from torch.nn import functional as F

CUBE = 0.044715
GELU = (2 / torch.pi) ** 0.5


def norm(x_nC, weight_C, eps: float, offset: float, out_nK, shrink_n) -> None:
    wide = x_nC.float()
    torch.rsqrt(wide.square().mean(-1).add_(eps), out=shrink_n)
    out_nK[:, : x_nC.shape[1]] = wide * shrink_n[:, None] * (weight_C + offset)


def norm_back(
    grad_nC, x_nC, shrink_n, weight_C, offset: float, further_nC, grad_x_nC, grad_weight_C
) -> None:
    unit, grad = x_nC * shrink_n[:, None], grad_nC.float()
    if len(grad_weight_C):
        grad_weight_C += (grad * unit).sum(0)
    found = _unnormed(grad * (weight_C + offset), unit, shrink_n[:, None])
    grad_x_nC.copy_(found + further_nC if len(further_nC) else found)


def _unnormed(slope, unit, shrink) -> torch.Tensor:
    """Return the gradient of what was multiplied by `shrink` to become `unit`."""
    return (slope - unit * (slope * unit).mean(-1, keepdim=True)) * shrink


def heads(
    wide_nN, first: int, cos_nD, sin_nD, weight_D, eps: float, offset: float, out_HnD
) -> None:
    x = _by_head(wide_nN, first, out_HnD.shape).float()
    if len(weight_D):
        x = x * _shrink(x, eps) * (weight_D + offset)
    out_HnD.copy_(x * cos_nD + x.roll(x.shape[-1] // 2, -1) * sin_nD)


def heads_back(
    grad_HnD, wide_nN, first: int, cos_nD, sin_nD, weight_D, eps: float, offset: float, grad_nN,
    grad_weight_D,
) -> None:  # fmt: skip
    grad = grad_HnD.float()
    slope = grad * cos_nD + (grad * sin_nD).roll(grad.shape[-1] // 2, -1)
    if len(weight_D):
        x = _by_head(wide_nN, first, grad_HnD.shape).float()
        shrink = _shrink(x, eps)
        unit = x * shrink
        if len(grad_weight_D):
            grad_weight_D += (slope * unit).sum((0, 1))
        slope = _unnormed(slope * (weight_D + offset), unit, shrink)
    _by_head(grad_nN, first, grad_HnD.shape).copy_(slope)


def _by_head(wide_nN: torch.Tensor, first: int, shape: torch.Size) -> torch.Tensor:
    """Return the heads from column `first` on in a shape (H, n, D), a view."""
    count, _, size = shape
    return wide_nN[:, first : first + count * size].unflatten(1, (count, size)).transpose(0, 1)


def _shrink(x: torch.Tensor, eps: float) -> torch.Tensor:
    return torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)


def cross_entropy(logits_LV, labels_L, loss_L) -> None:
    wide, own = logits_LV.float(), labels_L[:, None]
    total = wide.logsumexp(-1, keepdim=True)
    loss_L.copy_((total - wide.gather(1, own))[:, 0])
    chances = wide.sub_(total).exp_()
    logits_LV.copy_(chances.scatter_add_(1, own, chances.new_full(own.shape, -1)))


def gate(both_nJ, is_silu: bool, out_nK) -> None:
    x, value = both_nJ.float().chunk(2, 1)
    out_nK[:, : x.shape[1]] = (F.silu(x) if is_silu else F.gelu(x, approximate="tanh")) * value


def gate_back(grad_nC, both_nJ, is_silu: bool, grad_nJ) -> None:
    x, value = both_nJ.float().chunk(2, 1)
    grad = grad_nC.float()
    inside = x if is_silu else 2 * GELU * (x + CUBE * x**3)
    slope = 1 if is_silu else 2 * GELU * (1 + 3 * CUBE * x**2)
    opened = inside.sigmoid()
    of_gate = grad * value * opened * (1 + x * (1 - opened) * slope)
    grad_nJ[:, : x.shape[1]] = of_gate
    grad_nJ[:, x.shape[1] :] = grad * x * opened
