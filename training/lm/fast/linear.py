"""Linear layers that read the same input, as one matrix product; their LoRA is computed inside it.

`[x, x·Aᵀ] · [W, s·B]ᵀ` adds up in fp32 and rounds once, so that bf16 loses none of the LoRA's small
changes: added to a rounded result, most of them would vanish.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from training.lm.fast.lanes import Lane

ALIGNED = 8
"""Numbers that rows of a matrix are a multiple of: products of rows that are none are slow."""


class Group:
    """What a group of linear layers computes, from the weights that their modules hold."""

    def __init__(self, linears: Sequence[Any], kind: torch.dtype) -> None:
        """`linears` are nn.Linear or PEFT's LoRA layers; `kind` is the dtype to compute in. Frozen
        weights move into the joined matrix, and the modules see them there."""
        self.adapted = [one for one in linears if hasattr(one, "lora_A")]
        self.bases = [getattr(one, "base_layer", one) for one in linears]
        self.sizes = [base.weight.shape[0] for base in self.bases]
        self.inputs = self.bases[0].weight.shape[1]
        self.ranks = [one.lora_A["default"].weight.shape[0] for one in self.adapted]
        self.rank = sum(self.ranks)
        self.room = self.rank and self.rank + -(self.inputs + self.rank) % ALIGNED
        """Columns that its input's memory should have free at the right."""
        self.is_trained = self.bases[0].weight.requires_grad
        if self.adapted and (len(self.adapted) < len(linears) or self.is_trained):
            raise ValueError("all layers of a group have a LoRA on frozen weights, or none has")
        shape = sum(self.sizes), self.inputs + self.room
        place = self.bases[0].weight.device
        self.joined_NK = torch.zeros(shape, dtype=kind, device=place)
        self.down_RK = torch.zeros(self.rank, self.inputs, dtype=kind, device=place)
        biases = [base.bias for base in self.bases]
        self.bias_N = None if biases[0] is None else torch.cat(biases).detach().to(kind)
        self.moved: list[Any] = []
        """Layers whose weights lie in the joined matrix."""
        self._take_over()
        self.refresh()

    @property
    def _rows(self) -> list[slice]:
        return _slices(self.sizes)

    @property
    def _columns(self) -> list[slice]:
        return _slices(self.ranks)

    def _take_over(self) -> None:
        """Have the modules hold their weights in the joined matrix, where both have the same dtype."""
        for base, rows in zip(self.bases, self._rows, strict=True):
            place = self.joined_NK[rows, : self.inputs]
            place.copy_(base.weight.detach())
            if not base.weight.requires_grad or base.weight.dtype == place.dtype:
                base.weight.data = place
                self.moved.append(base)

    def release(self) -> None:
        """Give the modules weights of their own again, as saving a model wants them; no more is computed."""
        for base in self.moved:
            base.weight.data = base.weight.detach().clone()
        self.joined_NK = self.joined_NK.new_empty(0)

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over what an optimiser step has changed."""
        for base, rows in zip(self.bases, self._rows, strict=True):
            if base not in self.moved:
                self.joined_NK[rows].copy_(base.weight)
        if self.is_trained and self.bias_N is not None:
            torch.cat([base.bias for base in self.bases], out=self.bias_N)
        places = zip(self.adapted, self._rows, self._columns, strict=False)
        for one, rows, columns in places:
            self.down_RK[columns].copy_(one.lora_A["default"].weight)
            up = one.lora_B["default"].weight * one.scaling["default"]
            self.joined_NK[rows, self.inputs :][:, columns].copy_(up)

    def __call__(self, x_TC: torch.Tensor, lane: Lane) -> torch.Tensor:
        """Return (T, N): what all layers of the group make of the input, side by side. The backward
        pass gives the lane the gradients of what is trained."""
        if self.adapted:
            return _Adapted.apply(x_TC, self, lane)
        return _Plain.apply(x_TC, self, lane)


def _slices(sizes: Sequence[int]) -> list[slice]:
    found, start = [], 0
    for size in sizes:
        found.append(slice(start, start + size))
        start += size
    return found


class _Adapted(torch.autograd.Function):
    """Frozen weights with a LoRA on each layer."""

    @staticmethod
    def forward(ctx, x_TC, group: Group, lane: Lane):
        wide = _widened(x_TC, group.joined_NK.shape[1])
        end = group.inputs + group.rank
        torch.mm(x_TC, group.down_RK.t(), out=wide[:, group.inputs : end])
        wide[:, end:] = 0
        ctx.save_for_backward(wide)
        ctx.told = group, lane
        return F.linear(wide, group.joined_NK, group.bias_N)

    @staticmethod
    def backward(ctx, grad_TN):
        (wide,), (group, lane) = ctx.saved_tensors, ctx.told
        low = slice(group.inputs, group.inputs + group.rank)
        x_TC, low_TR = wide[:, : group.inputs], wide[:, low]
        grad_wide = grad_TN @ group.joined_NK
        grad_TR = grad_wide[:, low]
        down = (grad_TR.t() @ x_TC).float()
        up = (low_TR.t().contiguous() @ grad_TN).float()
        for one, rows, columns in zip(group.adapted, group._rows, group._columns, strict=True):
            lane.give(one.lora_A["default"].weight, down[columns])
            found = up[columns, rows].t().contiguous().mul_(one.scaling["default"])
            lane.give(one.lora_B["default"].weight, found)
        return torch.addmm(grad_wide[:, : group.inputs], grad_TR, group.down_RK), None, None


def _widened(x_TC: torch.Tensor, width: int) -> torch.Tensor:
    """Return (T, width) that begins with the columns of `x_TC`: where they lie, if they have room."""
    length, inputs = x_TC.shape
    if x_TC.stride() == (width, 1) and x_TC.storage_offset() == 0:
        return x_TC.as_strided((length, width), (width, 1))
    wide = x_TC.new_empty(length, width)
    wide[:, :inputs] = x_TC
    return wide


class _Plain(torch.autograd.Function):
    """Weights without LoRA: frozen, or trained themselves and computed from a copy."""

    @staticmethod
    def forward(ctx, x_TC, group: Group, lane: Lane):
        if group.is_trained:
            ctx.save_for_backward(x_TC)
        ctx.told = group, lane
        return F.linear(x_TC, group.joined_NK, group.bias_N)

    @staticmethod
    def backward(ctx, grad_TN):
        group, lane = ctx.told
        if group.is_trained:
            (x_TC,) = ctx.saved_tensors
            whole = (grad_TN.t() @ x_TC).float()
            sums = None if group.bias_N is None else grad_TN.float().sum(0)
            for base, rows in zip(group.bases, group._rows, strict=True):
                lane.give(base.weight, whole[rows])
                if sums is not None:
                    lane.give(base.bias, sums[rows])
        return grad_TN @ group.joined_NK, None, None
