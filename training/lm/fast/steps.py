"""The steps between matrix products, each with a backward pass of few operations: norm, rotation, gate."""

import torch
from torch.nn import functional as F


class Norm(torch.autograd.Function):
    """RMSNorm over the last dimension (Zhang and Sennrich 2019) in fp32; `weight` is fp32."""

    @staticmethod
    def forward(ctx, x, weight, eps: float, offset: float):
        wide = x.float()
        shrink = torch.rsqrt(wide.square().mean(-1, keepdim=True).add_(eps))
        factor = weight + offset if offset else weight
        ctx.save_for_backward(x, shrink, factor)
        return (wide * shrink).mul_(factor).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        x, shrink, factor = ctx.saved_tensors
        unit = x.float() * shrink
        wide = grad.float()
        weight = None
        if ctx.needs_input_grad[1]:
            weight = (wide * unit).flatten(0, -2).sum(0)
        if not ctx.needs_input_grad[0]:
            return None, weight, None, None
        wide = wide * factor
        share = (wide * unit).mean(-1, keepdim=True)
        return wide.addcmul_(unit, share, value=-1).mul_(shrink).to(x.dtype), weight, None, None


class Rotate(torch.autograd.Function):
    """Rotary position embedding (Su et al. 2021) of (T, H, D) by (T, 1, D) cosines and sines."""

    @staticmethod
    def forward(ctx, x_THD, cos, sin):
        ctx.save_for_backward(cos, sin)
        return _rotated(x_THD, cos, sin, 1.0)

    @staticmethod
    def backward(ctx, grad):
        return _rotated(grad, *ctx.saved_tensors, -1.0), None, None


def _rotated(x, cos, sin, way: float):
    half = x.shape[-1] // 2
    out = x * cos
    out[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-way)
    out[..., half:].addcmul_(x[..., :half], sin[..., half:], value=way)
    return out


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
        if ctx.is_silu:
            torch.mul(grad, F.silu(gate), out=of_value)
            of_gate.copy_(torch.ops.aten.silu_backward(grad * value, gate))
        else:
            torch.mul(grad, F.gelu(gate, approximate="tanh"), out=of_value)
            slope = torch.ops.aten.gelu_backward(grad * value, gate, approximate="tanh")
            of_gate.copy_(slope)
        return out, None
