"""The steps between matrix products as loops over tokens, compiled by Numba: each reads and writes its
numbers once, where operations of PyTorch would write down every intermediate one.

bfloat16 goes in and out as its bits (uint16), float32 as itself; all arithmetic is in float32. One
call runs on one thread and lets the others go on (lanes.py shares out the tokens).
"""

import fcntl
from collections.abc import Callable

import numpy as np
import torch
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload

F = np.float32
KINDS = types.uint16, types.float32
LOOSE = {"reassoc", "contract", "arcp", "nsz", "afn"}
"""Sums may be in any order. That nothing is infinite or no number may not be taken for granted: a run
that diverges has to be seen."""
LOWEST = -1e30
"""Added to scores that are hidden: as good as minus infinity, and safe to calculate with."""
_UNDERFLOW, _NOTHING = F(-80), F(2e-35)
"""Below, e to the x is taken for nothing: near the smallest numbers processors slow down."""
_GELU = F((2 / np.pi) ** 0.5)
_CUBE = F(0.044715)


def numbers(x: torch.Tensor) -> np.ndarray:
    """Return a tensor's memory as the loops take it."""
    x = x.detach()
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()


def _compiled(*told: str) -> Callable:
    """Compile a function for both dtypes, or take what was compiled before. Arguments are told as `x2`,
    numbers in two dimensions; `f1` and `i1`, float32 and int64 in one; `f`, `i` and `b`, one float, whole
    number or truth."""

    def typed(one: str, kind) -> types.Type:
        if len(one) == 1:
            return {"f": types.float32, "i": types.int64, "b": types.boolean}[one]
        of = {"x": kind, "f": types.float32, "i": types.int64}[one[0]]
        return types.Array(of, int(one[1]), "C")

    def compile_(function: Callable) -> Callable:
        signatures = [types.void(*(typed(one, kind) for one in told)) for kind in KINDS]
        with open(__file__) as file:  # what Numba keeps is not made for two that write it
            fcntl.flock(file, fcntl.LOCK_EX)
            options = {"nogil": True, "fastmath": LOOSE, "error_model": "numpy"}
            try:
                return njit(signatures, cache=True, **options)(function)
            except (OSError, RuntimeError):  # there is no room to keep it, or no place
                return njit(signatures, **options)(function)

    return compile_


# --- one number ---------------------------------------------------------------------------------
@intrinsic
def _bits(typing, x):
    return types.uint32(types.float32), lambda _, at, __, x: at.bitcast(x[0], ir.IntType(32))


@intrinsic
def _float(typing, x):
    return types.float32(types.uint32), lambda _, at, __, x: at.bitcast(x[0], ir.FloatType())


def _wide(x):
    raise NotImplementedError  # only within compiled code


@overload(_wide, inline="always")
def _compile_wide(x):
    if x == types.uint16:
        return lambda x: _float(np.uint32(x) << np.uint32(16))
    return lambda x: x


def _narrow(x, like):
    raise NotImplementedError


@overload(_narrow, inline="always")
def _compile_narrow(x, like):
    """Round to the dtype of an array, to the nearest and if two are, to the even one."""
    if like.dtype == types.uint16:

        def rounded(x, like):
            bits = _bits(F(x))
            odd = (bits >> np.uint32(16)) & np.uint32(1)
            return np.uint16((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16))

        return rounded
    return lambda x, like: F(x)


@njit(inline="always", fastmath=LOOSE)
def _exp(x):
    """e to the x: 2 to a whole power, times a polynomial of what is left (as in Cephes' expf)."""
    x = min(max(x, _UNDERFLOW), F(88))
    whole = np.floor(x * F(1.44269504) + F(0.5))
    x = x - whole * F(0.693359375) + whole * F(2.12194440e-4)
    y = F(1.98756915e-4)
    y = y * x + F(1.39819995e-3)
    y = y * x + F(8.33345191e-3)
    y = y * x + F(4.16657959e-2)
    y = y * x + F(1.66666655e-1)
    y = y * x + F(5.00000012e-1)
    y = y * x * x + x + F(1)
    return y * _float(np.uint32(np.int32(whole) + np.int32(127)) << np.uint32(23))


# --- norms --------------------------------------------------------------------------------------
@_compiled("x2", "f1", "f", "f", "x2", "f1")
def norm(x_nC, weight_C, eps, offset, out_nK, shrink_n):
    """RMSNorm into the first C columns of `out_nK`; `shrink_n` gets what each row is multiplied by."""
    n, width = x_nC.shape
    for i in range(n):
        squares = F(0)
        for c in range(width):
            squares += _wide(x_nC[i, c]) * _wide(x_nC[i, c])
        shrink = F(1) / np.sqrt(squares / F(width) + eps)
        shrink_n[i] = shrink
        for c in range(width):
            found = _wide(x_nC[i, c]) * shrink * (weight_C[c] + offset)
            out_nK[i, c] = _narrow(found, out_nK)


@_compiled("x2", "x2", "f1", "f1", "f", "x2", "x2", "f1")
def norm_back(grad_nC, x_nC, shrink_n, weight_C, offset, further_nC, grad_x_nC, grad_weight_C):
    """Add the norm's gradient to `further_nC`, unless that is empty; fill or leave `grad_weight_C`."""
    n, width = x_nC.shape
    is_further, is_trained = len(further_nC) > 0, len(grad_weight_C) > 0
    for i in range(n):
        shrink, share = shrink_n[i], F(0)
        for c in range(width):
            slope = _wide(grad_nC[i, c]) * (weight_C[c] + offset)
            share += slope * _wide(x_nC[i, c])
        share *= shrink * shrink / F(width)
        if is_trained:
            for c in range(width):
                grad_weight_C[c] += _wide(grad_nC[i, c]) * _wide(x_nC[i, c]) * shrink
        if is_further:
            for c in range(width):
                slope = _wide(grad_nC[i, c]) * (weight_C[c] + offset)
                found = (slope - _wide(x_nC[i, c]) * share) * shrink
                grad_x_nC[i, c] = _narrow(found + _wide(further_nC[i, c]), grad_x_nC)
        else:
            for c in range(width):
                slope = _wide(grad_nC[i, c]) * (weight_C[c] + offset)
                found = (slope - _wide(x_nC[i, c]) * share) * shrink
                grad_x_nC[i, c] = _narrow(found, grad_x_nC)


# --- heads of attention -------------------------------------------------------------------------
@_compiled("x2", "i", "f2", "f2", "f1", "f", "f", "x3")
def heads(wide_nN, first, cos_nD, sin_nD, weight_D, eps, offset, out_HnD):
    """Take heads from column `first` on, norm them unless `weight_D` is empty, and turn them by their
    positions (rotary embedding; `sin_nD` negative in its first half)."""
    count, n, size = out_HnD.shape
    half, is_normed = size // 2, len(weight_D) > 0
    turned = np.empty(size, F)
    for i in range(n):
        for head in range(count):
            start = first + head * size
            for d in range(size):
                turned[d] = _wide(wide_nN[i, start + d])
            if is_normed:
                squares = F(0)
                for d in range(size):
                    squares += turned[d] * turned[d]
                shrink = F(1) / np.sqrt(squares / F(size) + eps)
                for d in range(size):
                    turned[d] *= shrink * (weight_D[d] + offset)
            for d in range(half):
                low, high = turned[d], turned[half + d]
                out_HnD[head, i, d] = _narrow(low * cos_nD[i, d] + high * sin_nD[i, d], out_HnD)
                found = high * cos_nD[i, half + d] + low * sin_nD[i, half + d]
                out_HnD[head, i, half + d] = _narrow(found, out_HnD)


@_compiled("x3", "x2", "i", "f2", "f2", "f1", "f", "f", "x2", "f1")
def heads_back(
    grad_HnD, wide_nN, first, cos_nD, sin_nD, weight_D, eps, offset, grad_nN, grad_weight_D
):
    count, n, size = grad_HnD.shape
    half, is_normed, is_trained = size // 2, len(weight_D) > 0, len(grad_weight_D) > 0
    slope, unit = np.empty(size, F), np.empty(size, F)
    for i in range(n):
        for head in range(count):
            start = first + head * size
            for d in range(half):
                low, high = _wide(grad_HnD[head, i, d]), _wide(grad_HnD[head, i, half + d])
                slope[d] = low * cos_nD[i, d] + high * sin_nD[i, half + d]
                slope[half + d] = high * cos_nD[i, half + d] + low * sin_nD[i, d]
            if is_normed:
                squares, share = F(0), F(0)
                for d in range(size):
                    unit[d] = _wide(wide_nN[i, start + d])
                    squares += unit[d] * unit[d]
                shrink = F(1) / np.sqrt(squares / F(size) + eps)
                for d in range(size):
                    unit[d] *= shrink
                if is_trained:
                    for d in range(size):
                        grad_weight_D[d] += slope[d] * unit[d]
                for d in range(size):
                    slope[d] *= weight_D[d] + offset
                    share += slope[d] * unit[d]
                share /= F(size)
                for d in range(size):
                    slope[d] = (slope[d] - unit[d] * share) * shrink
            for d in range(size):
                grad_nN[i, start + d] = _narrow(slope[d], grad_nN)


# --- attention ----------------------------------------------------------------------------------
@njit(inline="always", fastmath=LOOSE)
def _highest(line, tops):
    """Return the highest number of a line, by as many at once as there are `tops`, which divide it."""
    step = len(tops)
    for j in range(step):
        tops[j] = line[j]
    for first in range(step, len(line), step):
        for j in range(step):
            tops[j] = max(tops[j], line[first + j])
    found = tops[0]
    for j in range(step):
        found = max(found, tops[j])
    return found


@njit(inline="always", fastmath=LOOSE)
def _exponents(line, count, tops):
    """Turn `count` numbers of a line into e to their distance from the highest; return that and the sum."""
    highest, total = _highest(line, tops), F(0)
    for k in range(count):
        chance = _exp(line[k] - highest)
        line[k] = chance if chance > _NOTHING else F(0)
    for k in range(count):
        total += line[k]
    return highest, total


@_compiled("x2", "f", "f2")
def softmax(scores_RS, scale, mask_QM):
    """Scale scores and put their softmax in their place. Row r is of query r modulo Q, for which the
    mask is added to the last M scores."""
    rows, keys = scores_RS.shape
    queries, masked = mask_QM.shape
    tops = np.empty(16, F)
    line = np.full((keys + 15) // 16 * 16, F(LOWEST))
    for r in range(rows):
        for k in range(keys):
            line[k] = _wide(scores_RS[r, k]) * scale
        if queries:
            for k in range(masked):
                line[keys - masked + k] += mask_QM[r % queries, k]
        _, total = _exponents(line, keys, tops)
        share = F(1) / total
        for k in range(keys):
            scores_RS[r, k] = _narrow(line[k] * share, scores_RS)


@_compiled("x2", "x2", "f")
def softmax_back(slope_RS, chances_RS, scale):
    """Turn gradients of the softmax into those of the scores before they were scaled, in place."""
    rows, keys = slope_RS.shape
    for r in range(rows):
        share = F(0)
        for k in range(keys):
            share += _wide(slope_RS[r, k]) * _wide(chances_RS[r, k])
        for k in range(keys):
            found = (_wide(slope_RS[r, k]) - share) * _wide(chances_RS[r, k]) * scale
            slope_RS[r, k] = _narrow(found, slope_RS)


# --- the loss -----------------------------------------------------------------------------------
@_compiled("x2", "i1", "f1")
def cross_entropy(logits_LV, labels_L, loss_L):
    """Fill `loss_L`, and put the gradients of its sum in the logits' place."""
    labels, words = logits_LV.shape
    tops = np.empty(16, F)
    line = np.full((words + 15) // 16 * 16, F(LOWEST))
    for r in range(labels):
        nothing = F(0)  # unless one of the logits is no number, which an exponent would hide
        for k in range(words):
            line[k] = _wide(logits_LV[r, k])
            nothing += line[k] * F(0)
        label = labels_L[r]
        own = line[label]
        highest, total = _exponents(line, words, tops)
        loss_L[r] = np.log(total) + highest - own + nothing
        share = F(1) / total
        for k in range(words):
            logits_LV[r, k] = _narrow(line[k] * share, logits_LV)
        logits_LV[r, label] = _narrow(line[label] * share - F(1), logits_LV)


# --- the gate of the MLP ------------------------------------------------------------------------
@njit(inline="always", fastmath=LOOSE)
def _sigmoid(x):
    return F(1) / (F(1) + _exp(-x))


@_compiled("x2", "b", "x2")
def gate(both_nJ, is_silu, out_nK):
    """act(gate) · value of gates and values side by side: SiLU, or GELU by tanh."""
    n, width = both_nJ.shape[0], both_nJ.shape[1] // 2
    for i in range(n):
        for c in range(width):
            x = _wide(both_nJ[i, c])
            inside = x if is_silu else F(2) * _GELU * (x + _CUBE * x * x * x)
            found = x * _sigmoid(inside) * _wide(both_nJ[i, width + c])
            out_nK[i, c] = _narrow(found, out_nK)


@_compiled("x2", "x2", "b", "x2")
def gate_back(grad_nC, both_nJ, is_silu, grad_nJ):
    n, width = both_nJ.shape[0], both_nJ.shape[1] // 2
    for i in range(n):
        for c in range(width):
            x, grad = _wide(both_nJ[i, c]), _wide(grad_nC[i, c])
            inside = x if is_silu else F(2) * _GELU * (x + _CUBE * x * x * x)
            slope = F(1) if is_silu else F(2) * _GELU * (F(1) + F(3) * _CUBE * x * x)
            open_ = _sigmoid(inside)
            of_gate = open_ + x * open_ * (F(1) - open_) * slope
            value = _wide(both_nJ[i, width + c])
            grad_nJ[i, c] = _narrow(grad * value * of_gate, grad_nJ)
            grad_nJ[i, width + c] = _narrow(grad * x * open_, grad_nJ)
