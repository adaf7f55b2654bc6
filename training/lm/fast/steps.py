"""The steps between matrix products, each with its backward pass: embedding, norm, heads, gate.

What a group of linear layers with a LoRA reads is written where that group wants it: `room` columns
are left free at its right (linear.py).
"""

import torch

from training.lm.fast import backend


def _with_room(x_nC: torch.Tensor, width: int, room: int) -> torch.Tensor:
    return x_nC.new_empty(len(x_nC), width + room)


class Norm(torch.autograd.Function):
    """(n, C) → RMSNorm (Zhang and Sennrich 2019) in fp32; `weight` is fp32."""

    @staticmethod
    def forward(ctx, x_nC, weight, eps: float, offset: float, room: int, lane):
        x_nC = x_nC.contiguous()
        n, width = x_nC.shape
        out_nK = _with_room(x_nC, width, room)
        shrink_n = x_nC.new_empty(n, dtype=torch.float32)
        backend.steps_for(x_nC).norm(x_nC, weight, eps, offset, out_nK, shrink_n)
        ctx.save_for_backward(x_nC, shrink_n)
        ctx.told = weight, offset, lane
        return out_nK[:, :width]

    @staticmethod
    def backward(ctx, grad_nC):
        return _norm_back(ctx, grad_nC, None), None, None, None, None, None


class AddNorm(torch.autograd.Function):
    """Two (n, C) → their sum, and the RMSNorm of that."""

    @staticmethod
    def forward(ctx, x_nC, y_nC, weight, eps: float, offset: float, room: int, lane):
        ctx.set_materialize_grads(False)
        sum_nC = x_nC + y_nC
        return sum_nC, Norm.forward(ctx, sum_nC, weight, eps, offset, room, lane)

    @staticmethod
    def backward(ctx, further_nC, grad_nC):
        found = _norm_back(ctx, grad_nC, further_nC)
        return found, found, None, None, None, None, None


def _norm_back(ctx, grad_nC, further_nC) -> torch.Tensor:
    x_nC, shrink_n = ctx.saved_tensors
    weight, offset, lane = ctx.told
    grad_weight = _room_for_gradient(weight)
    found = torch.empty_like(x_nC)
    further_nC = x_nC[:0] if further_nC is None else further_nC.contiguous()
    backend.steps_for(x_nC).norm_back(
        grad_nC.contiguous(), x_nC, shrink_n, weight, offset, further_nC, found, grad_weight
    )
    if weight.requires_grad:
        lane.give(weight, grad_weight)
    return found


class Heads(torch.autograd.Function):
    """(n, (H + 2 K) · D) queries, keys and values side by side → (H, n, D), (K, n, D), (K, n, D), or
    `by_token` (n, H, D), (n, K, D), (n, K, D): queries and keys normed where the family norms them, then
    turned by rotary position embedding (Su et al. 2021), of which `turns` has the (n, D) cosines and
    signed sines, as `signed` makes them, in fp32."""

    @staticmethod
    def forward(
        ctx, all_nN, counts: tuple[int, int], turns, norms, offset: float, by_token: bool, lane
    ):
        """`norms`: (weight of queries, weight of keys, eps) or None."""
        ctx.save_for_backward(all_nN if norms else all_nN[:0])
        ctx.told = counts, turns, norms, offset, by_token, lane
        n, (heads, key_heads), size = len(all_nN), counts, turns[0].shape[1]
        found, first = [], 0
        for count, weight in zip((heads, key_heads), _weights(norms), strict=True):
            out = all_nN.new_empty((n, count, size) if by_token else (count, n, size))
            eps = norms[2] if norms else 0.0
            out_HnD = out.transpose(0, 1) if by_token else out
            backend.steps_for(out).heads(all_nN, first, *turns, weight, eps, offset, out_HnD)
            found.append(out)
            first += count * size
        values = all_nN[:, first:].unflatten(1, (key_heads, size))
        return *found, values.clone() if by_token else values.transpose(0, 1).contiguous()

    @staticmethod
    def backward(ctx, grad_q, grad_k, grad_v):
        (all_nN,) = ctx.saved_tensors
        counts, turns, norms, offset, by_token, lane = ctx.told
        if by_token:
            grad_q, grad_k, grad_v = (x.transpose(0, 1) for x in (grad_q, grad_k, grad_v))
        found, first = all_nN.new_empty(grad_q.shape[1], all_nN.shape[1]), 0
        for grad, weight in zip((grad_q, grad_k), _weights(norms), strict=True):
            grad_weight = _room_for_gradient(weight)
            backend.steps_for(grad).heads_back(
                grad if by_token else grad.contiguous(), all_nN, first, *turns, weight,
                norms[2] if norms else 0.0, offset, found, grad_weight,
            )  # fmt: skip
            if weight.requires_grad:
                lane.give(weight, grad_weight)
            first += grad.shape[0] * grad.shape[2]
        found[:, first:].unflatten(1, (counts[1], -1)).copy_(grad_v.transpose(0, 1))
        return found, None, None, None, None, None, None


def _room_for_gradient(weight: torch.Tensor) -> torch.Tensor:
    """Return zeros in the weight's shape; none where it is not trained."""
    return weight.new_zeros(weight.numel() if weight.requires_grad else 0)


def _weights(norms) -> tuple[torch.Tensor, torch.Tensor]:
    return norms[:2] if norms else (torch.empty(0), torch.empty(0))


def signed(sin_nD: torch.Tensor) -> torch.Tensor:
    """Return the sines by which swapped halves are multiplied: negative for the first half."""
    first, second = sin_nD.chunk(2, -1)
    return torch.cat([-first, second], -1)


class Gate(torch.autograd.Function):
    """(n, 2 · I) gates and values side by side → (n, I): act(gate) · value."""

    @staticmethod
    def forward(ctx, both_nJ, is_silu: bool, room: int):
        width = both_nJ.shape[1] // 2
        out_nK = _with_room(both_nJ, width, room)
        backend.steps_for(both_nJ).gate(both_nJ, is_silu, out_nK)
        ctx.save_for_backward(both_nJ)
        ctx.is_silu = is_silu
        return out_nK[:, :width]

    @staticmethod
    def backward(ctx, grad_nC):
        (both_nJ,) = ctx.saved_tensors
        found = torch.empty_like(both_nJ)
        backend.steps_for(both_nJ).gate_back(grad_nC.contiguous(), both_nJ, ctx.is_silu, found)
        return found, None, None


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
            scale = getattr(module, "embed_scale", 1.0)
            lane.give(module.weight, grad.float().mul_(scale), ids_n)
        return None, None, None, None, None
