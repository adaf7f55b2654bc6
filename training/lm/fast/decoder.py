"""A decoder of transformers, computed over packed rows by groups of linear layers.

It reads the weights where the model (or PEFT's around it) holds them; loading, saving and generating
are theirs. What it does not know it refuses, and the plain path is taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from training import costs
from training.lm.attention import Segments, within
from training.lm.fast.attention import Attend, Block, Span, plan
from training.lm.fast.head import CrossEntropy, Head
from training.lm.fast.lanes import Lane, Lanes
from training.lm.fast.linear import Group
from training.lm.fast.steps import AddNorm, Embed, Gate, Heads, Norm, signed

KINDS = costs.FAST
ACTIVATIONS = {"silu": True, "gelu_pytorch_tanh": False}
ATTENTION = 1.6
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
    def __init__(self, model: Any, kind: torch.dtype, *, remakes: bool = False) -> None:
        """`model` is the causal language model of transformers, with PEFT's layers in it or without;
        `kind` the dtype to compute in. With `remakes`, layers are computed again in the backward pass
        instead of kept.

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
        self.model, self.kind, self.remakes = model, kind, remakes
        self.inner = model.model
        self.place = model.lm_head.weight.device
        self.has_lanes = self.place.type == "cpu"
        """Whether threads share a row and its attention is computed by blocks; else it is one lane's."""
        self.offset = 1.0 if config.model_type.startswith("gemma") else 0.0
        self.is_silu = ACTIVATIONS[activation]
        self.layers = [_Layer(self, layer) for layer in self.inner.layers]
        self.head = Head(model.lm_head, kind)
        self.lanes = Lanes(torch.get_num_threads() if self.has_lanes else 1)
        products = 4 * sum(group.joined_NK.numel() for one in self.layers for group in one.groups)
        pairs = sum(12 * layer.heads * layer.size for layer in self.layers)
        self.key_cost, self.label_cost = (
            cost / products for cost in (ATTENTION * pairs, 4 * self.head.weight.numel())
        )

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

    def norm(self, module: Any, x_nC: torch.Tensor, lane: Lane, room: int = 0) -> torch.Tensor:
        return Norm.apply(x_nC, module.weight, eps_of(module), self.offset, room, lane)

    def add_norm(
        self, module: Any, x_nC: torch.Tensor, y_nC: torch.Tensor | None, lane: Lane, room: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the sum, and its norm with room for a group that reads it."""
        if y_nC is None:
            return x_nC, self.norm(module, x_nC, lane, room)
        return AddNorm.apply(x_nC, y_nC, module.weight, eps_of(module), self.offset, room, lane)

    def loss(self, row: Row, scale: float | None = None) -> float:
        """Return the summed cross entropy of a row's labels; with a `scale`, add the gradients of the
        loss times the scale to the parameters'."""

        def walk(lane: Lane) -> float:
            loss = self._loss(row, lane)
            if scale is not None:
                (loss * scale).backward()
            return float(loss.detach())

        with torch.set_grad_enabled(scale is not None):
            return self.lanes.run(walk, self._costs(row) if self.has_lanes else row.positions_T)

    def _loss(self, row: Row, lane: Lane) -> torch.Tensor:
        own = slice(lane.begin, lane.end)
        places_L, labels_L = row.label_positions_L, row.labels_L
        if lane.count > 1:
            is_own = (places_L >= lane.begin) & (places_L < lane.end)
            places_L, labels_L = places_L[is_own] - lane.begin, labels_L[is_own]
        parts = self._states(row.ids_T[own], row.positions_T[own], row.spans, lane)
        x_LC, y_LC = (part.index_select(0, places_L) for part in parts)
        _, states = self.add_norm(self.inner.norm, x_LC, y_LC, lane)
        return CrossEntropy.apply(states, labels_L, self.head, lane)

    def _states(
        self, ids_n, positions_n, spans: Sequence[Span], lane: Lane
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return two (n, C) whose sum is a lane's states after the last layer."""
        # parameters are given their gradients: something else must send autograd to the first layer
        begun = torch.zeros((), requires_grad=torch.is_grad_enabled())
        x_nC = Embed.apply(ids_n, begun, self.inner.embed_tokens, self.kind, lane)
        y_nC: torch.Tensor | None = None
        turns: dict[str | None, tuple[torch.Tensor, torch.Tensor]] = {}
        segments = None if self.has_lanes else Segments.of(spans, self.place)
        sights: dict[int | None, list[Block] | Segments] = {}
        for layer in self.layers:
            if layer.rope not in turns:
                turns[layer.rope] = self._turns(x_nC, positions_n, layer.rope)
            if layer.window not in sights:
                sights[layer.window] = segments or plan(spans, lane.begin, lane.end, layer.window)
            given = x_nC, y_nC, turns[layer.rope], sights[layer.window], lane
            if self.remakes:
                x_nC, y_nC = checkpoint(
                    layer, *given, use_reentrant=False, preserve_rng_state=False
                )
            else:
                x_nC, y_nC = layer(*given)
        return x_nC, y_nC

    def _turns(self, x_nC, positions_n, rope: str | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosines and signed sines (n, D) as the model makes them, in fp32."""
        kinds = (rope,) if rope else ()
        with torch.no_grad():
            cos, sin = self.inner.rotary_emb(x_nC[None], positions_n[None], *kinds)
            return cos[0].float().contiguous(), signed(sin[0]).float()

    def _costs(self, row: Row) -> torch.Tensor:
        """Return what each token costs, in those of its matrix products: attention adds a part for each
        key that it sees, a label its logits."""
        found = 1 + (row.positions_T + 1) * self.key_cost
        found[row.label_positions_L] += self.label_cost
        return found


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

    def __call__(self, x_nC, y_nC, turns, sight: Sequence[Block] | Segments, lane: Lane):
        """Take the states as two (n, C) that are to be added, and return them so."""
        module, decoder = self.module, self.decoder
        x_nC, found = decoder.add_norm(module.input_layernorm, x_nC, y_nC, lane, self.qkv.room)
        y_nC = self.out(self._attend(found, turns, sight, lane), lane)
        if self.is_sandwich:
            y_nC = decoder.norm(module.post_attention_layernorm, y_nC, lane)
        before = (
            module.pre_feedforward_layernorm
            if self.is_sandwich
            else module.post_attention_layernorm
        )
        x_nC, found = decoder.add_norm(before, x_nC, y_nC, lane, self.gate_up.room)
        gated = Gate.apply(self.gate_up(found, lane), decoder.is_silu, self.down.room)
        y_nC = self.down(gated, lane)
        if self.is_sandwich:
            y_nC = decoder.norm(module.post_feedforward_layernorm, y_nC, lane)
        return x_nC, y_nC

    def _attend(self, x_nC, turns, sight, lane: Lane) -> torch.Tensor:
        attention, norms = self.attention, None
        if hasattr(attention, "q_norm"):
            q, k = attention.q_norm, attention.k_norm
            norms = q.weight, k.weight, eps_of(q)
        by_token = isinstance(sight, Segments)
        q, k, v = Heads.apply(
            self.qkv(x_nC, lane), (self.heads, self.key_heads), turns, norms, self.decoder.offset,
            by_token, lane,
        )  # fmt: skip
        if by_token:
            return within(q, k, v, sight, attention.scaling, self.window).flatten(1)
        return Attend.apply(q, k, v, sight, attention.scaling, self.out.room, lane)


def eps_of(norm: Any) -> float:
    return getattr(norm, "variance_epsilon", None) or norm.eps
