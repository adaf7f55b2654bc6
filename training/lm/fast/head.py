"""The last layer: logits of the labelled positions, their cross entropy and its gradient, some at a time."""

import torch
from torch.nn import functional as F

from training.lm.fast import backend

CHUNK = 256
"""Labels at once: their logits are as wide as the vocabulary."""


class CrossEntropy(torch.autograd.Function):
    """(L, C) states and L labels → the summed cross entropy. The gradient is made on the way, where
    the logits are at hand."""

    @staticmethod
    def forward(ctx, x_LC, labels_L, head, lane):
        is_learning = ctx.needs_input_grad[0]
        loss_L = x_LC.new_empty(len(labels_L), dtype=torch.float32)
        grad_LC = torch.empty_like(x_LC) if is_learning else None
        grad_VC = None
        for start in range(0, len(labels_L), CHUNK):
            rows = slice(start, start + CHUNK)
            x = x_LC[rows]
            logits = F.linear(x, head.weight, head.bias)
            backend.steps_for(logits).cross_entropy(logits, labels_L[rows], loss_L[rows])
            if not is_learning:
                continue
            torch.mm(logits, head.weight, out=grad_LC[rows])
            if head.is_trained:
                found = logits.t() @ x
                grad_VC = found.float() if grad_VC is None else grad_VC.add_(found)
        ctx.save_for_backward(grad_LC)
        ctx.told = head, grad_VC, lane
        return loss_L.sum()

    @staticmethod
    def backward(ctx, scale):
        (grad_LC,), (head, grad_VC, lane) = ctx.saved_tensors, ctx.told
        if head.is_trained:
            if grad_VC is None:  # a lane without labels
                grad_VC = torch.zeros_like(head.parameter)
            lane.give(head.parameter, grad_VC.mul_(scale))
        return grad_LC.mul_(scale), None, None, None


class Head:
    """The weights, shared with the embedding or not, in the dtype of computing."""

    def __init__(self, linear, kind: torch.dtype) -> None:
        self.parameter, self.bias = linear.weight, linear.bias
        self.is_trained = self.parameter.requires_grad
        self.weight = self.parameter.detach().to(kind, copy=False)

    def refresh(self) -> None:
        if self.is_trained and self.weight.dtype != self.parameter.dtype:
            self.weight.copy_(self.parameter)
