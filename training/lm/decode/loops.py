"""One token of each of some streams through all layers of a decoder, compiled by Numba.

Reading the weights is what takes the time; here each is read once for all streams, and nothing else is
written down on the way. Threads («lanes») share the rows of each matrix and meet five times a layer.
B: streams, L: layers, C: states, H query heads of D, K key heads, I: inner states, R: ranks of a LoRA.
"""

import fcntl
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic, overload

from training.lm.fast.kernels import LOOSE, F, _exp, _narrow, _sigmoid, _wide

PAGE = 32
"""Tokens of a page of the cache."""
_PATIENCE = 2000
"""Looks at whether the others have come before the processor is given to somebody else."""
FAST = {"fastmath": LOOSE, "error_model": "numpy"}


class Weights(NamedTuple):
    """Matrices are bfloat16 as its bits, or int8; each row is multiplied by its scale."""

    qkv_LNC: np.ndarray
    qkv_scale_LN: np.ndarray
    qkv_bias_LN: np.ndarray
    """(0, 0) without one."""
    out_LCN: np.ndarray
    out_scale_LC: np.ndarray
    gate_up_LJC: np.ndarray
    gate_up_scale_LJ: np.ndarray
    down_LCI: np.ndarray
    down_scale_LC: np.ndarray
    head_1VC: np.ndarray
    head_scale_1V: np.ndarray
    before_attention_LC: np.ndarray
    before_mlp_LC: np.ndarray
    after_attention_LC: np.ndarray
    """(0, 0) where the family has none, as those below."""
    after_mlp_LC: np.ndarray
    q_norm_LD: np.ndarray
    k_norm_LD: np.ndarray
    last_1C: np.ndarray
    windows_L: np.ndarray
    """How many tokens back a token sees, itself with them; 0 for all."""
    ropes_L: np.ndarray
    """Which of the rotations a layer takes."""


class Shape(NamedTuple):
    heads: int
    key_heads: int
    size: int
    """Of a head."""
    eps: np.float32
    offset: np.float32
    """Added to the weights of norms."""
    scaling: np.float32
    is_silu: bool


class Streams(NamedTuple):
    x_BC: np.ndarray
    """Embedded tokens."""
    cos_SBD: np.ndarray
    sin_SBD: np.ndarray
    """For each rotation; negative in the first half."""
    positions_B: np.ndarray
    tables_BP: np.ndarray
    """The pages of each stream, in order."""
    keys_PLKTD: np.ndarray
    values_PLKTD: np.ndarray
    adapters_B: np.ndarray
    """Where the numbers of a stream's LoRA lie in memory (pack_adapter); 0 without one."""
    ranks_B: np.ndarray


class Shared(NamedTuple):
    """What lanes show one another."""

    qkv_BN: np.ndarray
    attended_BN: np.ndarray
    inner_BI: np.ndarray
    y_BC: np.ndarray
    logits_BV: np.ndarray
    arrived: np.ndarray
    """(1,), int64: how often any lane has come to a meeting; 0 before a step."""


# --- meetings -----------------------------------------------------------------------------------
@intrinsic
def _add(typing, array, amount):
    """Add to the first number of an int64 array, for all threads to see; return the sum."""

    def made(context, at, signature, given):
        place = context.make_array(signature.args[0])(context, at, given[0]).data
        before = at.atomic_rmw("add", place, given[1], "seq_cst")
        return at.add(before, given[1])

    return types.int64(array, types.int64), made


_give_way = types.ExternalFunction("sched_yield", types.int32())


@njit(inline="always")
def _meet(arrived, lanes, turn):
    """Wait until all lanes have come to their meeting number `turn`, counted from 1."""
    if lanes > 1 and _add(arrived, 1) < turn * lanes:
        looks = 0
        while _add(arrived, 0) < turn * lanes:
            looks += 1
            if looks > _PATIENCE:
                _give_way()
    return turn + 1


# --- parts --------------------------------------------------------------------------------------
@intrinsic
def _pointer(typing, address):
    def made(context, at, signature, given):
        return at.inttoptr(given[0], ir.FloatType().as_pointer())

    return types.CPointer(types.float32)(types.int64), made


def _weight(x):
    raise NotImplementedError  # only within compiled code


@overload(_weight, inline="always")
def _compile_weight(x):
    if x == types.int8:
        return lambda x: F(x)
    return lambda x: _wide(x)


@njit(**FAST)
def _norm(x_BC, weight_LC, layer, eps, offset, out_BC):
    streams, width = x_BC.shape
    for b in range(streams):
        squares = F(0)
        for c in range(width):
            squares += x_BC[b, c] * x_BC[b, c]
        shrink = F(1) / np.sqrt(squares / F(width) + eps)
        for c in range(width):
            out_BC[b, c] = x_BC[b, c] * shrink * (weight_LC[layer, c] + offset)


@njit(**FAST)
def _multiply(w_LNK, scale_LN, layer, first, last, x_BK, out_BN, row_K):
    """Fill the columns from `first` to `last` of the product."""
    streams, width = x_BK.shape
    n, rest = first, first
    if streams == 1:
        rest = last - (last - first) % 4
    while n < rest:  # four sums at once, so that none waits for its own
        total, second, third, fourth = F(0), F(0), F(0), F(0)
        for k in range(width):
            x = x_BK[0, k]
            total += _weight(w_LNK[layer, n, k]) * x
            second += _weight(w_LNK[layer, n + 1, k]) * x
            third += _weight(w_LNK[layer, n + 2, k]) * x
            fourth += _weight(w_LNK[layer, n + 3, k]) * x
        out_BN[0, n] = total * scale_LN[layer, n]
        out_BN[0, n + 1] = second * scale_LN[layer, n + 1]
        out_BN[0, n + 2] = third * scale_LN[layer, n + 2]
        out_BN[0, n + 3] = fourth * scale_LN[layer, n + 3]
        n += 4
    for n in range(rest, last):
        scale = scale_LN[layer, n]
        for k in range(width):
            row_K[k] = _weight(w_LNK[layer, n, k]) * scale
        whole = streams // 4 * 4
        for b in range(0, whole, 4):
            total, second, third, fourth = F(0), F(0), F(0), F(0)
            for k in range(width):
                total += row_K[k] * x_BK[b, k]
                second += row_K[k] * x_BK[b + 1, k]
                third += row_K[k] * x_BK[b + 2, k]
                fourth += row_K[k] * x_BK[b + 3, k]
            out_BN[b, n], out_BN[b + 1, n] = total, second
            out_BN[b + 2, n], out_BN[b + 3, n] = third, fourth
        for b in range(whole, streams):
            total = F(0)
            for k in range(width):
                total += row_K[k] * x_BK[b, k]
            out_BN[b, n] = total


@njit(**FAST)
def _adapt(address, start, rank, ends, first, last, x_BK, b, out_BN, low_R):
    """Add a LoRA's part to the columns from `first` to `last` of a stream's product; return where the
    numbers of the next one begin. `ends` are the ends of the linear layers that lie side by side."""
    width, count, rows = x_BK.shape[1], len(ends), ends[len(ends) - 1]
    down = carray(_pointer(address + 4 * start), count * rank * width)
    up = carray(_pointer(address + 4 * (start + count * rank * width)), rows * rank)
    begin = 0
    for one in range(count):
        low, high = max(first, begin), min(last, ends[one])
        begin = ends[one]
        if low >= high:
            continue
        for r in range(rank):
            total = F(0)
            for k in range(width):
                total += down[(one * rank + r) * width + k] * x_BK[b, k]
            low_R[r] = total
        for n in range(low, high):
            total = F(0)
            for r in range(rank):
                total += up[n * rank + r] * low_R[r]
            out_BN[b, n] += total
    return start + count * rank * width + rows * rank


@njit(inline="always")
def _share(size, lane, lanes):
    """Return where a lane's rows begin and end."""
    return size * lane // lanes, size * (lane + 1) // lanes


@njit(**FAST)
def _turn(qkv_BN, b, start, norm_LD, layer, shape, cos_SBD, sin_SBD, rope, out_D):
    """Norm a head if the family does so, and turn it by its position."""
    size = shape.size
    half = size // 2
    shrink = F(1)
    if len(norm_LD):
        squares = F(0)
        for d in range(size):
            squares += qkv_BN[b, start + d] * qkv_BN[b, start + d]
        shrink = F(1) / np.sqrt(squares / F(size) + shape.eps)
        for d in range(size):
            qkv_BN[b, start + d] *= shrink * (norm_LD[layer, d] + shape.offset)
    for d in range(half):
        low, high = qkv_BN[b, start + d], qkv_BN[b, start + half + d]
        out_D[d] = low * cos_SBD[rope, b, d] + high * sin_SBD[rope, b, d]
        out_D[half + d] = high * cos_SBD[rope, b, half + d] + low * sin_SBD[rope, b, half + d]


@njit(**FAST)
def _attend(shape, weights, streams, layer, b, head, qkv_BN, out_BN, q_D, scores):
    """Let the queries of one key head see the stream's tokens, the newest of which is added."""
    keys, values, size = streams.keys_PLKTD, streams.values_PLKTD, shape.size
    group = shape.heads // shape.key_heads
    rope, window = weights.ropes_L[layer], weights.windows_L[layer]
    position = streams.positions_B[b]
    page, place = streams.tables_BP[b, position // PAGE], position % PAGE
    start = (shape.heads + head) * size
    _turn(
        qkv_BN, b, start, weights.k_norm_LD, layer, shape, streams.cos_SBD, streams.sin_SBD, rope,
        q_D,
    )  # fmt: skip
    value = (shape.heads + shape.key_heads + head) * size
    for d in range(size):
        keys[page, layer, head, place, d] = _narrow(q_D[d], keys)
        values[page, layer, head, place, d] = _narrow(qkv_BN[b, value + d], values)
    oldest = max(0, position + 1 - window) if window else 0
    for g in range(group):
        start = (head * group + g) * size
        _turn(
            qkv_BN, b, start, weights.q_norm_LD, layer, shape, streams.cos_SBD, streams.sin_SBD,
            rope, q_D,
        )  # fmt: skip
        highest = F(-1e30)
        for t in range(oldest, position + 1):
            page, place = streams.tables_BP[b, t // PAGE], t % PAGE
            score = F(0)
            for d in range(size):
                score += q_D[d] * _wide(keys[page, layer, head, place, d])
            scores[t] = score * shape.scaling
            highest = max(highest, scores[t])
        total = F(0)
        for t in range(oldest, position + 1):
            scores[t] = _exp(scores[t] - highest)
            total += scores[t]
        for d in range(size):
            q_D[d] = F(0)
        for t in range(oldest, position + 1):
            page, place = streams.tables_BP[b, t // PAGE], t % PAGE
            for d in range(size):
                q_D[d] += scores[t] * _wide(values[page, layer, head, place, d])
        for d in range(size):
            out_BN[b, start + d] = q_D[d] / total


# --- the step -----------------------------------------------------------------------------------
def _step(shape, weights, streams, shared, lane, lanes):
    """Fill `logits_BV` with what follows each stream's token, whose keys and values join the cache."""
    count, width = streams.x_BC.shape
    layers, inner = weights.down_LCI.shape[0], weights.down_LCI.shape[2]
    inputs, turn = weights.out_LCN.shape[2], 1
    q_end = shape.heads * shape.size
    k_end = q_end + shape.key_heads * shape.size
    ends_qkv = (q_end, k_end, 2 * k_end - q_end)
    ends_out, ends_both = (width,), (inner, 2 * inner)
    x_BC = streams.x_BC.copy()
    normed_BC, y_BC = np.empty_like(x_BC), np.empty_like(x_BC)
    both_BJ = np.empty((count, 2 * inner), F)
    row_K = np.empty(max(width, inner, inputs), F)
    scores = np.empty(streams.positions_B.max() + 1, F)
    q_D = np.empty(shape.size, F)
    low_R = np.empty(max(1, streams.ranks_B.max()), F)
    starts_B = np.zeros(count, np.int64)
    for layer in range(layers):
        _norm(x_BC, weights.before_attention_LC, layer, shape.eps, shape.offset, normed_BC)
        first, last = _share(ends_qkv[2], lane, lanes)
        _multiply(
            weights.qkv_LNC, weights.qkv_scale_LN, layer, first, last, normed_BC, shared.qkv_BN,
            row_K,
        )  # fmt: skip
        for b in range(count):
            if len(weights.qkv_bias_LN):
                for n in range(first, last):
                    shared.qkv_BN[b, n] += weights.qkv_bias_LN[layer, n]
            if streams.adapters_B[b]:
                starts_B[b] = _adapt(
                    streams.adapters_B[b], starts_B[b], streams.ranks_B[b], ends_qkv, first, last,
                    normed_BC, b, shared.qkv_BN, low_R,
                )  # fmt: skip
        turn = _meet(shared.arrived, lanes, turn)
        for pair in range(lane, count * shape.key_heads, lanes):
            b, head = pair // shape.key_heads, pair % shape.key_heads
            _attend(
                shape, weights, streams, layer, b, head, shared.qkv_BN, shared.attended_BN, q_D,
                scores,
            )  # fmt: skip
        turn = _meet(shared.arrived, lanes, turn)
        first, last = _share(width, lane, lanes)
        _multiply(
            weights.out_LCN, weights.out_scale_LC, layer, first, last, shared.attended_BN,
            shared.y_BC, row_K,
        )  # fmt: skip
        for b in range(count):
            if streams.adapters_B[b]:
                starts_B[b] = _adapt(
                    streams.adapters_B[b], starts_B[b], streams.ranks_B[b], ends_out, first, last,
                    shared.attended_BN, b, shared.y_BC, low_R,
                )  # fmt: skip
        turn = _meet(shared.arrived, lanes, turn)
        if len(weights.after_attention_LC):
            _norm(shared.y_BC, weights.after_attention_LC, layer, shape.eps, shape.offset, y_BC)
            x_BC += y_BC
        else:
            x_BC += shared.y_BC
        _norm(x_BC, weights.before_mlp_LC, layer, shape.eps, shape.offset, normed_BC)
        first, last = _share(inner, lane, lanes)
        for side in range(2):
            _multiply(
                weights.gate_up_LJC, weights.gate_up_scale_LJ, layer, side * inner + first,
                side * inner + last, normed_BC, both_BJ, row_K,
            )  # fmt: skip
        for b in range(count):
            if streams.adapters_B[b]:
                start = starts_B[b]
                for side in range(2):
                    starts_B[b] = _adapt(
                        streams.adapters_B[b], start, streams.ranks_B[b], ends_both,
                        side * inner + first, side * inner + last, normed_BC, b, both_BJ, low_R,
                    )  # fmt: skip
            for c in range(first, last):
                x = both_BJ[b, c]
                inside = x if shape.is_silu else F(1.5957691216) * (x + F(0.044715) * x * x * x)
                shared.inner_BI[b, c] = x * _sigmoid(inside) * both_BJ[b, inner + c]
        turn = _meet(shared.arrived, lanes, turn)
        first, last = _share(width, lane, lanes)
        _multiply(
            weights.down_LCI, weights.down_scale_LC, layer, first, last, shared.inner_BI,
            shared.y_BC, row_K,
        )  # fmt: skip
        for b in range(count):
            if streams.adapters_B[b]:
                starts_B[b] = _adapt(
                    streams.adapters_B[b], starts_B[b], streams.ranks_B[b], ends_out, first, last,
                    shared.inner_BI, b, shared.y_BC, low_R,
                )  # fmt: skip
        turn = _meet(shared.arrived, lanes, turn)
        if len(weights.after_mlp_LC):
            _norm(shared.y_BC, weights.after_mlp_LC, layer, shape.eps, shape.offset, y_BC)
            x_BC += y_BC
        else:
            x_BC += shared.y_BC
    _norm(x_BC, weights.last_1C, 0, shape.eps, shape.offset, normed_BC)
    first, last = _share(weights.head_1VC.shape[1], lane, lanes)
    _multiply(
        weights.head_1VC, weights.head_scale_1V, 0, first, last, normed_BC, shared.logits_BV, row_K
    )


def _array(kind: types.Type, name: str) -> types.Type:
    return types.Array(kind, len(name.rsplit("_", 1)[1]), "C")


def _signature(weight: types.Type, cache: types.Type):
    """Return the types of a step over weights and a cache of these dtypes."""
    matrices = ("qkv_LNC", "out_LCN", "gate_up_LJC", "down_LCI", "head_1VC")
    whole = {"windows_L", "ropes_L", "positions_B", "tables_BP", "adapters_B", "ranks_B"}

    def kind(name: str) -> types.Type:
        if name in matrices:
            return weight
        if name in ("keys_PLKTD", "values_PLKTD"):
            return cache
        return types.int64 if name in whole else types.float32

    def of(made: type) -> types.Type:
        fields = [_array(kind(name), name) for name in made._fields if name != "arrived"]
        if "arrived" in made._fields:
            fields.append(types.Array(types.int64, 1, "C"))
        return types.NamedTuple(fields, made)

    whole_, real = types.int64, types.float32
    shape = types.NamedTuple([whole_, whole_, whole_, real, real, real, types.boolean], Shape)
    return types.void(shape, of(Weights), of(Streams), of(Shared), whole_, whole_)


with open(__file__) as _file:  # what Numba keeps is not made for two that write it
    fcntl.flock(_file, fcntl.LOCK_EX)
    step = njit(
        [_signature(types.uint16, types.float32), _signature(types.int8, types.uint16)],
        nogil=True, cache=True, **FAST,
    )(_step)  # fmt: skip
