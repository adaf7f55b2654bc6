"""A decoder of transformers, computed over packed rows by groups of linear layers.

It reads the weights where the model (or PEFT's around it) holds them; loading, saving and generating
are theirs. What it does not know it refuses, and the plain path is taken.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from training.lm.fast.attention import Packed, Span
from training.lm.fast.linear import Group
from training.lm.fast.steps import Gate, Norm, Rotate

KINDS = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma3_text"})
ACTIVATIONS = {"silu": True, "gelu_pytorch_tanh": False}


class Unknown(Exception):
    """Something of the model that this decoder does not compute."""


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
        self.head = Group([model.lm_head], kind) if self._has_own_head() else _Tied(self)

    def _has_own_head(self) -> bool:
        return self.model.lm_head.weight is not self.inner.embed_tokens.weight

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

    def norm(self, module: Any, x: torch.Tensor) -> torch.Tensor:
        eps = getattr(module, "variance_epsilon", None) or module.eps
        return Norm.apply(x, module.weight, eps, self.offset)

    def __call__(
        self,
        ids_T: torch.Tensor,
        positions_T: torch.Tensor,
        spans: Sequence[Span],
        label_positions_L: torch.Tensor,
    ) -> torch.Tensor:
        """Return the logits (L, vocabulary) of the positions whose next token is trained."""
        x_TC = self.inner.embed_tokens(ids_T).to(self.kind)
        turns: dict[str | None, tuple[torch.Tensor, torch.Tensor]] = {}
        for layer in self.layers:
            if layer.rope not in turns:
                turns[layer.rope] = self._turns(x_TC, positions_T, layer.rope)
            x_TC = layer(x_TC, turns[layer.rope], spans)
        return self.head(self.norm(self.inner.norm, x_TC[label_positions_L]))

    def _turns(self, x_TC, positions_T, rope: str | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosines and sines (T, 1, D) as the model makes them."""
        kinds = (rope,) if rope else ()
        cos, sin = self.inner.rotary_emb(x_TC[None], positions_T[None], *kinds)
        return cos[0, :, None].to(self.kind), sin[0, :, None].to(self.kind)


class _Tied:
    """The head that shares its weights with the embedding."""

    def __init__(self, decoder: Decoder) -> None:
        self.embedding = decoder.inner.embed_tokens
        self.weight = self.embedding.weight.detach().to(decoder.kind, copy=False)

    def refresh(self) -> None:
        if self.embedding.weight.requires_grad and self.weight.dtype != self.embedding.weight.dtype:
            self.weight.copy_(self.embedding.weight)

    def __call__(self, x_LC: torch.Tensor) -> torch.Tensor:
        if self.embedding.weight.requires_grad:
            return _Read.apply(x_LC, self.weight, self.embedding.weight)
        return F.linear(x_LC, self.weight)


class _Read(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x_LC, weight, master):
        ctx.save_for_backward(x_LC, weight)
        return F.linear(x_LC, weight)

    @staticmethod
    def backward(ctx, grad):
        x_LC, weight = ctx.saved_tensors
        return grad @ weight, None, (grad.t() @ x_LC).float()


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

    def __call__(self, x_TC, turns, spans) -> torch.Tensor:
        module, norm = self.module, self.decoder.norm
        found = self.out(self._attend(norm(module.input_layernorm, x_TC), turns, spans))
        if self.is_sandwich:
            found = norm(module.post_attention_layernorm, found)
        x_TC = x_TC + found
        before = (
            module.pre_feedforward_layernorm
            if self.is_sandwich
            else module.post_attention_layernorm
        )
        found = self.down(Gate.apply(self.gate_up(norm(before, x_TC)), self.decoder.is_silu))
        if self.is_sandwich:
            found = norm(module.post_feedforward_layernorm, found)
        return x_TC + found

    def _attend(self, x_TC, turns, spans) -> torch.Tensor:
        tokens = x_TC.shape[0]
        sizes = [count * self.size for count in (self.heads, self.key_heads, self.key_heads)]
        q, k, v = self.qkv(x_TC).split(sizes, -1)
        q, k, v = (x.reshape(tokens, -1, self.size) for x in (q, k, v))
        if hasattr(self.attention, "q_norm"):
            q = self.decoder.norm(self.attention.q_norm, q)
            k = self.decoder.norm(self.attention.k_norm, k)
        q, k = Rotate.apply(q, *turns), Rotate.apply(k, *turns)
        return Packed.apply(q, k, v, spans, self.attention.scaling, self.window).reshape(tokens, -1)
