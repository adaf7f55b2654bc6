"""The steps between matrix products, each with a backward pass of few operations: norm, rotation, gate.

Which operations were taken is measured: some that say the same take ten times as long on a processor.
"""

import torch
from torch.nn import functional as F


class Norm(torch.autograd.Function):
    """RMSNorm over the last dimension (Zhang and Sennrich 2019) in fp32; `weight` is fp32."""

    @staticmethod
    def forward(ctx, x, weight, eps: float, offset: float, lane):
        wide = x.float()
        length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        shrink = length.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        factor = weight + offset if offset else weight
        ctx.save_for_backward(x, shrink, factor)
        ctx.told = weight, lane
        return (wide * shrink).mul_(factor).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        x, shrink, factor = ctx.saved_tensors
        weight, lane = ctx.told
        unit = x.float() * shrink
        wide = grad.float()
        if weight.requires_grad:
            lane.give(weight, (wide * unit).flatten(0, -2).sum(0))
        wide = wide * factor
        share = (wide * unit).sum(-1, keepdim=True).div_(x.shape[-1])
        found = wide.sub_(unit.mul_(share)).mul_(shrink).to(x.dtype)
        return found, None, None, None, None


class Rotate(torch.autograd.Function):
    """Rotary position embedding (Su et al. 2021) of (H, n, D) by (n, D) cosines and signed sines, as
    `signed` makes them."""

    @staticmethod
    def forward(ctx, x_HnD, cos_nD, sin_nD):
        ctx.save_for_backward(cos_nD, sin_nD)
        return _swapped(x_HnD).mul_(sin_nD).addcmul_(x_HnD, cos_nD)

    @staticmethod
    def backward(ctx, grad):
        cos_nD, sin_nD = ctx.saved_tensors
        return _swapped(grad * sin_nD).addcmul_(grad, cos_nD), None, None


def signed(sin_nD: torch.Tensor) -> torch.Tensor:
    """Return the sines by which swapped halves are multiplied: negative for the first half."""
    first, second = sin_nD.chunk(2, -1)
    return torch.cat([-first, second], -1)


def _swapped(x: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, -1)
    return torch.cat([second, first], -1)


class Gate(torch.autograd.Function):
    """(T, 2·I) gates and values side by side → (T, I): act(gate) · value."""

    @staticmethod
    def forward(ctx, both, is_silu: bool):
        gate, value = both.chunk(2, -1)
        active = F.silu(gate) if is_silu else F.gelu(gate, approximate="tanh")
        ctx.save_for_backward(both)
        ctx.is_silu = is_silu
        return active.mul_(value)

    @staticmethod
    def backward(ctx, grad):
        (both,) = ctx.saved_tensors
        gate, value = both.chunk(2, -1)
        out = torch.empty_like(both)
        of_gate, of_value = out.chunk(2, -1)
        active = F.silu(gate) if ctx.is_silu else F.gelu(gate, approximate="tanh")
        torch.mul(grad, active, out=of_value)
        torch.mul(grad, value, out=active)
        if ctx.is_silu:
            torch.ops.aten.silu_backward.grad_input(active, gate, grad_input=of_gate)
        else:
            of_gate.copy_(torch.ops.aten.gelu_backward(active, gate, approximate="tanh"))
        return out, None


class Embed(torch.autograd.Function):
    """Rows of the embedding in a dtype; some families scale them."""

    @staticmethod
    def forward(ctx, ids_n, begun, module, kind, lane):
        ctx.save_for_backward(ids_n)
        ctx.told = module, lane
        return module(ids_n).to(kind)

    @staticmethod
    def backward(ctx, grad):
        module, lane = ctx.told
        if module.weight.requires_grad:
            (ids_n,) = ctx.saved_tensors
            scale = float(getattr(module, "embed_scale", 1.0))
            lane.give(module.weight, grad.float().mul_(scale), ids_n)
        return None, None, None, None, None
