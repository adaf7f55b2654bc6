"""Streams of a model and its adapters: prompts in, logits out, many streams at once.

Prompts go through in pieces by matrix products; then each step takes all streams one token further
(loops.py). In "exact" mode weights are bfloat16, and everything else is float32: it says what
transformers says in float32. In "fast" mode weights are int8 and keys and values bfloat16. Knows no
chat template, no sampling and no request.
"""

import math
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from training.lm.decode import loops
from training.lm.decode.loops import PAGE
from training.lm.decode.pages import Pages, names
from training.lm.decode.weights import Adapter, Model
from training.lm.fast import kernels
from training.lm.fast.kernels import numbers
from training.lm.load import has_bf16

PIECE = 256
"""Tokens of a prompt that go through at once: between two pieces other streams go on."""
MOST = 16
"""Streams at once."""
WIDENED = 2**21
"""Weights that are widened at once."""
CACHE_TOKENS = 32_768
"""Which the cache holds, for all streams together and what they said before; more where the context
is longer."""


@dataclass(eq=False)
class Stream:
    ids: list[int]
    """Prompt without its last token, and what was appended since."""
    last: int
    """The prompt's last token, which the first step appends."""
    adapter: Adapter | None
    name: bytes
    """What pages of its beginning are known by."""
    pages: list[int] = field(default_factory=list)
    done: int = 0
    """Tokens whose keys and values are in the cache."""
    reused: int = 0
    """Of these, tokens that were there before."""
    kept: int = 0
    """Pages that were made known."""
    promised: int = 0
    """Pages that it may take until its end."""

    @property
    def is_read(self) -> bool:
        return self.done == len(self.ids)


class Decoder:
    def __init__(self, causal: Any, *, is_int8: bool, threads: int, tokens: int = 0):
        """`causal` is a model of transformers, whose weights are copied; with `tokens` the cache holds
        so many. Raises: Unknown."""
        self.model = model = Model(causal, is_int8)
        self.kind = torch.bfloat16 if is_int8 else torch.float32
        shape = model.shape
        tokens = tokens or max(CACHE_TOKENS, model.context_length)
        self.cache = Pages(
            math.ceil(tokens / PAGE), model.layers, shape.key_heads, shape.size, self.kind
        )
        widest = max(WIDENED, model.config.hidden_size, model.config.intermediate_size)
        self._wide = torch.empty(widest, dtype=torch.bfloat16 if is_int8 else torch.float32)
        self.lanes = Lanes(threads)
        self.streams: list[Stream] = []

    # --- streams ------------------------------------------------------------------------------
    def admit(
        self, prompt: Sequence[int], adapter: Adapter | None, name: str, most: int
    ) -> Stream | None:
        """Begin a stream of at most so many tokens more; None while there is no room for it. `name` is
        the adapter's: what went through another is of no use."""
        whole = min(len(prompt) + most, self.model.context_length)
        stream = Stream(list(prompt[:-1]), prompt[-1], adapter, name.encode())
        stream.pages = self.cache.find(stream.name, prompt)
        stream.promised = math.ceil(whole / PAGE)
        promised = sum(one.promised - len(one.pages) for one in [*self.streams, stream])
        if len(self.streams) >= MOST or (promised > self.cache.room and self.streams):
            self.cache.give_back(stream.pages)
            return None
        stream.done = stream.reused = len(stream.pages) * PAGE
        stream.kept = len(stream.pages)
        self.streams.append(stream)
        return stream

    def leave(self, stream: Stream) -> None:
        self.streams.remove(stream)
        self.cache.give_back(stream.pages)

    # --- a prompt -----------------------------------------------------------------------------
    @torch.inference_mode()
    def read(self, stream: Stream) -> None:
        """Take the next piece of a prompt whose stream is not read yet."""
        piece = stream.ids[stream.done : stream.done + PIECE]
        self._grow(stream, stream.done + len(piece))
        self._go_through(stream, piece)
        stream.done += len(piece)
        self._keep(stream)

    def _go_through(self, stream: Stream, piece: Sequence[int]) -> None:
        """Put the keys and values of a piece into the cache, layer by layer."""
        model, weights, shape = self.model, self.model.weights, self.model.shape
        positions = torch.arange(stream.done, stream.done + len(piece))
        turns = model.turns(positions)
        x_nC = model.embedded(torch.tensor(piece))
        for layer in range(model.layers):
            found = _normed(x_nC, weights.before_attention_LC[layer], shape)
            qkv = self._product(model.qkv, layer, found, stream.adapter, "qkv")
            if len(weights.qkv_bias_LN):
                qkv += torch.from_numpy(weights.qkv_bias_LN[layer])
            found = self._attend(stream, layer, qkv, turns)
            if layer == model.layers - 1:
                return  # what the last layer says of them nobody asks
            found = self._product(model.out, layer, found, stream.adapter, "out")
            if len(weights.after_attention_LC):
                found = _normed(found, weights.after_attention_LC[layer], shape)
            x_nC = x_nC + found
            found = _normed(x_nC, weights.before_mlp_LC[layer], shape)
            both = self._product(model.gate_up, layer, found, stream.adapter, "gate_up")
            gated = torch.empty(len(both), both.shape[1] // 2)
            kernels.gate(numbers(both), shape.is_silu, numbers(gated))
            found = self._product(model.down, layer, gated, stream.adapter, "down")
            if len(weights.after_mlp_LC):
                found = _normed(found, weights.after_mlp_LC[layer], shape)
            x_nC = x_nC + found

    def _attend(self, stream: Stream, layer: int, qkv_nN, turns) -> torch.Tensor:
        """Put a piece's keys and values into the cache; return what its (n, H · D) queries see."""
        weights, shape, n = self.model.weights, self.model.shape, len(qkv_nN)
        rope, window = int(weights.ropes_L[layer]), int(weights.windows_L[layer])
        cos_nD, sin_nD = (numbers(turn[rope].contiguous()) for turn in turns)
        made, first = [], 0
        for count, norm_LD in (
            (shape.heads, weights.q_norm_LD),
            (shape.key_heads, weights.k_norm_LD),
        ):
            norm_D = norm_LD[layer] if len(norm_LD) else np.empty(0, np.float32)
            out_HnD = torch.empty(count, n, shape.size)
            kernels.heads(
                numbers(qkv_nN), first, cos_nD, sin_nD, norm_D, shape.eps, shape.offset,
                numbers(out_HnD),
            )  # fmt: skip
            made.append(out_HnD.to(self.kind))
            first += count * shape.size
        q_HnD, k_KnD = made
        v_KnD = qkv_nN[:, first:].unflatten(1, (shape.key_heads, -1)).transpose(0, 1).to(self.kind)
        self._write(stream, layer, k_KnD, v_KnD)
        end = stream.done + n
        k_KTD, v_KTD = (self._gathered(part, stream, layer, end) for part in self._pools)
        mask = None
        if stream.done or window:
            distance = torch.arange(stream.done, end)[:, None] - torch.arange(end)[None]
            mask = distance >= 0
            if window:
                mask &= distance < window
        found = F.scaled_dot_product_attention(
            q_HnD[None], k_KTD[None], v_KTD[None], attn_mask=mask, is_causal=mask is None,
            scale=float(shape.scaling), enable_gqa=True,
        )  # fmt: skip
        return found[0].transpose(0, 1).flatten(1).float()

    @property
    def _pools(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.cache.keys.view(self.kind), self.cache.values.view(self.kind)

    def _write(self, stream: Stream, layer: int, k_KnD, v_KnD) -> None:
        for pool, found in zip(self._pools, (k_KnD, v_KnD), strict=True):
            place, end = stream.done, stream.done + found.shape[1]
            while place < end:
                stop = min(end, (place // PAGE + 1) * PAGE)
                page = pool[stream.pages[place // PAGE], layer]
                begin = place % PAGE
                page[:, begin : begin + stop - place] = found[
                    :, place - stream.done : stop - stream.done
                ]
                place = stop

    def _gathered(self, pool: torch.Tensor, stream: Stream, layer: int, end: int) -> torch.Tensor:
        """Return a stream's first keys or values (K, end, D) side by side."""
        pages = torch.tensor(stream.pages[: math.ceil(end / PAGE)])
        found = pool[pages, layer]  # pages, K, PAGE, D
        return found.transpose(0, 1).flatten(1, 2)[:, :end]

    def _product(self, matrix, layer: int, x_nK, adapter: Adapter | None = None, group: str = ""):
        """Multiply in the mode's precision; return (n, N) in fp32.

        Weights are widened a few rows at a time, always at the same place, so that they are still in the
        processor's cache when they are multiplied.
        """
        values_NK, is_int8 = matrix.values_LNK[layer], self.model.is_int8
        found = torch.empty(len(x_nK), len(values_NK))
        given_nK = x_nK.bfloat16() if is_int8 else x_nK
        rows = max(1, WIDENED // values_NK.shape[1])
        for start in range(0, len(values_NK), rows):
            part = values_NK[start : start + rows]
            wide = self._wide[: part.numel()].view(part.shape).copy_(part)
            multiply = F.linear if is_int8 else exact_linear
            found[:, start : start + rows] = multiply(given_nK, wide)
        if is_int8:
            found *= matrix.scale_LN[layer]
        if adapter and group:
            down, up = adapter.groups[group][layer]
            low_nR = x_nK @ down.t()
            ranks, rows = down.shape[0] // adapter.rank, 0
            ends = self.model.ends[group]
            for one in range(ranks):
                part = low_nR[:, one * adapter.rank : (one + 1) * adapter.rank]
                found[:, rows : ends[one]] += part @ up[rows : ends[one]].t()
                rows = ends[one]
        return found

    # --- a step -------------------------------------------------------------------------------
    @torch.inference_mode()
    def step(self, streams: Sequence[Stream], tokens: Sequence[int]) -> torch.Tensor:
        """Append a token to each stream, which is read; return the float32 logits (B, V) of
        what follows."""
        model, shape, count = self.model, self.model.shape, len(streams)
        for stream, token in zip(streams, tokens, strict=True):
            stream.ids.append(token)
            self._grow(stream, len(stream.ids))
        positions = torch.tensor([stream.done for stream in streams])
        longest = max(len(stream.pages) for stream in streams)
        tables = np.zeros((count, longest), np.int64)
        for row, stream in zip(tables, streams, strict=True):
            row[: len(stream.pages)] = stream.pages
        cos, sin = model.turns(positions)
        adapters = [stream.adapter for stream in streams]
        given = loops.Streams(
            model.embedded(torch.tensor(list(tokens))).numpy(), cos.contiguous().numpy(),
            sin.contiguous().numpy(), positions.numpy(), tables, self.cache.keys.numpy(),
            self.cache.values.numpy(),
            np.array([one.address if one else 0 for one in adapters], np.int64),
            np.array([one.rank if one else 0 for one in adapters], np.int64),
        )  # fmt: skip
        width, inner = model.config.hidden_size, model.config.intermediate_size
        real = np.float32
        shared = loops.Shared(
            np.empty((count, model.ends["qkv"][-1]), real),
            np.empty((count, shape.heads * shape.size), real), np.empty((count, inner), real),
            np.empty((count, width), real), np.empty((count, model.vocabulary), real),
            np.zeros(1, np.int64),
        )  # fmt: skip
        self.lanes.run(shape, model.weights, given, shared)
        for stream in streams:
            stream.done += 1
            self._keep(stream)
        return torch.from_numpy(shared.logits_BV)

    def _grow(self, stream: Stream, tokens: int) -> None:
        while len(stream.pages) * PAGE < tokens:
            stream.pages.append(self.cache.take())

    def _keep(self, stream: Stream) -> None:
        """Make pages known that have become full."""
        full = stream.done // PAGE
        if full > stream.kept:
            for place, name in enumerate(names(stream.name, stream.ids[: full * PAGE])):
                if place >= stream.kept:
                    self.cache.keep(stream.pages[place], name)
            stream.kept = full


def _normed(x_nC: torch.Tensor, weight_C: np.ndarray, shape: loops.Shape) -> torch.Tensor:
    out, shrink = torch.empty_like(x_nC), torch.empty(len(x_nC))
    kernels.norm(numbers(x_nC), weight_C, shape.eps, shape.offset, numbers(out), numbers(shrink))
    return out


def exact_linear(x_nK: torch.Tensor, w_NK: torch.Tensor) -> torch.Tensor:
    """Multiply fp32 by weights that are bf16 in truth, with nearly the rounding of fp32.

    Where the processor has AMX, twice in bf16 with sums in fp32 is several times as fast: what rounding
    the inputs leaves over is multiplied by itself.
    """
    with _by_bf16():
        if not rounds_inputs():
            return F.linear(x_nK, w_NK)
        high = x_nK.bfloat16().float()
        return F.linear(high, w_NK) + F.linear(x_nK - high, w_NK)


@contextmanager
def _by_bf16() -> Iterator[None]:
    """Let oneDNN multiply fp32 in its own way, which is the faster one even where it does not round."""
    backend, before = torch.backends.mkldnn.matmul, torch.backends.mkldnn.matmul.fp32_precision
    if has_bf16():
        backend.fp32_precision = "bf16"
    try:
        yield
    finally:
        backend.fp32_precision = before


@cache
def rounds_inputs() -> bool:
    """Say whether oneDNN rounds what it multiplies, where it may."""
    left, right = (torch.randn(256, 256) for _ in range(2))
    with _by_bf16():
        away = (left @ right - (left.double() @ right.double())).abs().max()
    return float(away) > 1e-2


class Lanes:
    """Threads that take a step together, kept from step to step."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._work: list[queue.SimpleQueue] = [queue.SimpleQueue() for _ in range(count - 1)]
        self._done: queue.SimpleQueue = queue.SimpleQueue()
        for lane, work in enumerate(self._work, start=1):
            given = lane, count, work, self._done
            threading.Thread(target=_walk, args=given, name=f"lane {lane}", daemon=True).start()

    def run(self, *given: Any) -> None:
        for work in self._work:
            work.put(given)
        loops.step(*given, 0, self.count)
        for _ in self._work:
            self._done.get()

    def __del__(self) -> None:
        for work in self._work:
            work.put(None)


def _walk(lane: int, count: int, work: queue.SimpleQueue, done: queue.SimpleQueue) -> None:
    """Take part in steps until None comes; holds nothing of a model in between."""
    while (given := work.get()) is not None:
        loops.step(*given, lane, count)
        del given
        done.put(lane)
