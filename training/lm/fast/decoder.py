"""A decoder of transformers, computed over packed rows by groups of linear layers.

It reads the weights where the model (or PEFT's around it) holds them; loading, saving and generating
are theirs. What it does not know it refuses, and the plain path is taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from training import costs
from training.lm.fast.attention import Attend, Block, Span, plan
from training.lm.fast.head import CrossEntropy, Head
from training.lm.fast.lanes import Lane, Lanes
from training.lm.fast.linear import Group
from training.lm.fast.steps import Embed, Gate, Norm, Rotate, signed

KINDS = costs.FAST
ACTIVATIONS = {"silu": True, "gelu_pytorch_tanh": False}
ATTENTION = 3
"""How many times as long as in matrix products of layers an operation in attention takes."""


class Unknown(Exception):
    """Something of the model that this decoder does not compute."""


@dataclass(frozen=True)
class Row:
    """Examples end to end, as trainer/batch.py packs them."""

    ids_T: torch.Tensor
    positions_T: torch.Tensor
    """Begin at 0 for each example."""
    spans: Sequence[Span]
    label_positions_L: torch.Tensor
    """In T, ascending: whose next token is trained."""
    labels_L: torch.Tensor


class Decoder:
    def __init__(self, model: Any, kind: torch.dtype) -> None:
        """`model` is the causal language model of transformers, with PEFT's layers in it or without;
        `kind` the dtype to compute in.

        Raises: Unknown.
        """
        config = model.config
        activation = getattr(config, "hidden_activation", None) or getattr(
            config, "hidden_act", None
        )
        if config.model_type not in KINDS or activation not in ACTIVATIONS:
            raise Unknown(config.model_type)
        if getattr(config, "final_logit_softcapping", None):
            raise Unknown("soft-capped logits")
        self.model, self.kind = model, kind
        self.inner = model.model
        self.offset = 1.0 if config.model_type.startswith("gemma") else 0.0
        self.is_silu = ACTIVATIONS[activation]
        self.layers = [_Layer(self, layer) for layer in self.inner.layers]
        self.head = Head(model.lm_head, kind)
        self.lanes = Lanes(torch.get_num_threads())

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over what an optimiser step has changed."""
        for layer in self.layers:
            layer.refresh()
        self.head.refresh()

    def release(self) -> None:
        """Give the model weights of its own again, as saving it wants them; the decoder is done."""
        for layer in self.layers:
            for group in layer.groups:
                group.release()

    def norm(self, module: Any, x: torch.Tensor, lane: Lane) -> torch.Tensor:
        eps = getattr(module, "variance_epsilon", None) or module.eps
        return Norm.apply(x, module.weight, eps, self.offset, lane)

    def loss(self, row: Row, scale: float | None = None) -> float:
        """Return the summed cross entropy of a row's labels; with a `scale`, add the gradients of the
        loss times the scale to the parameters'."""

        def walk(lane: Lane) -> float:
            loss = self._loss(row, lane)
            if scale is not None:
                (loss * scale).backward()
            return float(loss.detach())

        with torch.set_grad_enabled(scale is not None):
            return self.lanes.run(walk, self._costs(row))

    def _loss(self, row: Row, lane: Lane) -> torch.Tensor:
        own = slice(lane.begin, lane.end)
        is_own = (row.label_positions_L >= lane.begin) & (row.label_positions_L < lane.end)
        states = self._states(row.ids_T[own], row.positions_T[own], row.spans, lane)
        states = states.index_select(0, row.label_positions_L[is_own] - lane.begin)
        states = self.norm(self.inner.norm, states, lane)
        return CrossEntropy.apply(states, row.labels_L[is_own], self.head, lane)

    def _states(self, ids_n, positions_n, spans: Sequence[Span], lane: Lane) -> torch.Tensor:
        """Return a lane's (n, C) states after the last layer."""
        # parameters are given their gradients: something else must send autograd to the first layer
        begun = torch.zeros((), requires_grad=torch.is_grad_enabled())
        x_nC = Embed.apply(ids_n, begun, self.inner.embed_tokens, self.kind, lane)
        turns: dict[str | None, tuple[torch.Tensor, torch.Tensor]] = {}
        blocks: dict[int | None, list[Block]] = {}
        for layer in self.layers:
            if layer.rope not in turns:
                turns[layer.rope] = self._turns(x_nC, positions_n, layer.rope)
            if layer.window not in blocks:
                blocks[layer.window] = plan(spans, lane.begin, lane.end, layer.window, self.kind)
            x_nC = layer(x_nC, turns[layer.rope], blocks[layer.window], lane)
        return x_nC

    def _turns(self, x_nC, positions_n, rope: str | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosines and signed sines (n, D) as the model makes them."""
        kinds = (rope,) if rope else ()
        with torch.no_grad():
            cos, sin = self.inner.rotary_emb(x_nC[None], positions_n[None], *kinds)
            return cos[0].to(self.kind), signed(sin[0]).to(self.kind)

    def _costs(self, row: Row) -> torch.Tensor:
        """Return what each token costs, in those of its matrix products: attention adds a part for each
        key that it sees."""
        keys = row.positions_T + 1
        pairs = sum(12 * layer.heads * layer.size for layer in self.layers)
        products = 4 * sum(group.joined_NK.numel() for one in self.layers for group in one.groups)
        return 1 + keys * (ATTENTION * pairs / products)


class _Layer:
    def __init__(self, decoder: Decoder, layer: Any) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.decoder, self.module, self.attention = decoder, layer, attention
        self.qkv = Group([attention.q_proj, attention.k_proj, attention.v_proj], decoder.kind)
        self.out = Group([attention.o_proj], decoder.kind)
        self.gate_up = Group([mlp.gate_proj, mlp.up_proj], decoder.kind)
        self.down = Group([mlp.down_proj], decoder.kind)
        self.is_sandwich = hasattr(layer, "pre_feedforward_layernorm")
        config = attention.config
        self.size = attention.head_dim
        self.heads, self.key_heads = config.num_attention_heads, config.num_key_value_heads
        self.window = self._window()
        self.rope = attention.layer_type if config.model_type == "gemma3_text" else None

    def _window(self) -> int | None:
        """Return how many tokens back a token sees, itself with them; None for all."""
        if hasattr(self.attention, "sliding_window"):
            return self.attention.sliding_window
        if self.attention.config.model_type == "mistral":
            return getattr(self.attention.config, "sliding_window", None)
        return None

    @property
    def groups(self) -> tuple[Group, ...]:
        return self.qkv, self.out, self.gate_up, self.down

    def refresh(self) -> None:
        for group in self.groups:
            group.refresh()

    def __call__(self, x_nC, turns, blocks: Sequence[Block], lane: Lane) -> torch.Tensor:
        module = self.module

        def norm(which: Any, x: torch.Tensor) -> torch.Tensor:
            return self.decoder.norm(which, x, lane)

        found = self._attend(norm(module.input_layernorm, x_nC), turns, blocks, lane)
        found = self.out(found, lane)
        if self.is_sandwich:
            found = norm(module.post_attention_layernorm, found)
        x_nC = x_nC + found
        before = (
            module.pre_feedforward_layernorm
            if self.is_sandwich
            else module.post_attention_layernorm
        )
        gated = Gate.apply(self.gate_up(norm(before, x_nC), lane), self.decoder.is_silu)
        found = self.down(gated, lane)
        if self.is_sandwich:
            found = norm(module.post_feedforward_layernorm, found)
        return x_nC + found

    def _attend(self, x_nC, turns, blocks: Sequence[Block], lane: Lane) -> torch.Tensor:
        sizes = [count * self.size for count in (self.heads, self.key_heads, self.key_heads)]
        q, k, v = (_by_head(x, self.size) for x in self.qkv(x_nC, lane).split(sizes, -1))
        if hasattr(self.attention, "q_norm"):
            q = self.decoder.norm(self.attention.q_norm, q, lane)
            k = self.decoder.norm(self.attention.k_norm, k, lane)
        q, k = Rotate.apply(q, *turns), Rotate.apply(k, *turns)
        found_HnD = Attend.apply(q, k, v, blocks, self.attention.scaling, lane)
        return found_HnD.transpose(0, 1).flatten(1)


def _by_head(x_nN: torch.Tensor, size: int) -> torch.Tensor:
    """(n, heads · D) → (heads, n, D)."""
    return x_nN.unflatten(1, (-1, size)).transpose(0, 1).contiguous()
