"""A model of transformers as the arrays that the loops read: bfloat16 as it is, or int8."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.costs import FAST
from training.lm.decode.loops import Shape, Weights
from training.lm.fast.decoder import ACTIVATIONS, Unknown, eps_of
from training.lm.fast.kernels import F


@dataclass(frozen=True)
class Stacked:
    """All layers of a matrix, one after the other."""

    values_LNK: torch.Tensor
    scale_LN: torch.Tensor

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        values = self.values_LNK
        bits = values.view(torch.uint16) if values.dtype == torch.bfloat16 else values
        return bits.numpy(), self.scale_LN.numpy()


def stacked(layers: Sequence[Sequence[torch.Tensor]], is_int8: bool) -> Stacked:
    """Put matrices that read the same input under one another, for each layer."""
    rows = sum(len(one) for one in layers[0])
    kind = torch.int8 if is_int8 else torch.bfloat16
    shape = len(layers), rows, layers[0][0].shape[1]
    # by NumPy, which asks the system for huge pages: reading through small ones takes twice as long
    values = torch.from_numpy(np.empty(shape, np.int8 if is_int8 else np.uint16)).view(kind)
    scale = torch.ones(len(layers), rows)
    for place, parts in enumerate(layers):
        whole = torch.cat([part.detach() for part in parts]).float()
        if is_int8:
            scale[place] = whole.abs().amax(1).clamp(min=1e-12) / 127
            whole = (whole / scale[place][:, None]).round_()
        values[place] = whole.to(kind)
    return Stacked(values, scale)


class Model:
    """What is computed, without what is read from the folder once and thrown away."""

    def __init__(self, causal: Any, is_int8: bool) -> None:
        """Raises: Unknown."""
        config = causal.config
        activation = getattr(config, "hidden_activation", None) or getattr(
            config, "hidden_act", None
        )
        if config.model_type not in FAST or activation not in ACTIVATIONS:
            raise Unknown(config.model_type)
        if getattr(config, "final_logit_softcapping", None) or causal.lm_head.bias is not None:
            raise Unknown("the head")
        self.config, self.is_int8 = config, is_int8
        inner = causal.model
        layers = list(inner.layers)
        first = layers[0].self_attn
        if first.o_proj.bias is not None or layers[0].mlp.down_proj.bias is not None:
            raise Unknown("biases")
        self.rotary = inner.rotary_emb
        self.context_length = int(getattr(config, "max_position_embeddings", None) or 2**31)
        self.vocabulary = causal.lm_head.weight.shape[0]
        self.qkv = stacked([_qkv(one.self_attn, "weight") for one in layers], is_int8)
        self.out = stacked([[one.self_attn.o_proj.weight] for one in layers], is_int8)
        self.gate_up = stacked(
            [[one.mlp.gate_proj.weight, one.mlp.up_proj.weight] for one in layers], is_int8
        )
        self.down = stacked([[one.mlp.down_proj.weight] for one in layers], is_int8)
        self.head = stacked([[causal.lm_head.weight]], is_int8)
        embedding = inner.embed_tokens
        is_tied = embedding.weight.data_ptr() == causal.lm_head.weight.data_ptr()
        self._embedding = self.head if is_tied else stacked([[embedding.weight]], is_int8)
        self._embed_scale = float(getattr(embedding, "embed_scale", 1.0))
        self.ropes = _ropes(layers)
        self.shape = Shape(
            config.num_attention_heads, config.num_key_value_heads, first.head_dim,
            F(eps_of(layers[0].input_layernorm)),
            F(1 if config.model_type.startswith("gemma") else 0), F(first.scaling),
            ACTIVATIONS[activation],
        )  # fmt: skip
        self.weights = self._weights(layers, inner.norm)
        keys = self.shape.key_heads * self.shape.size
        heads = self.shape.heads * self.shape.size
        inner_size, width = config.intermediate_size, config.hidden_size
        self.ends = {
            "qkv": (heads, heads + keys, heads + 2 * keys), "out": (width,),
            "gate_up": (inner_size, 2 * inner_size), "down": (width,),
        }  # fmt: skip
        """Of each group, where the rows of its linear layers end."""

    def _weights(self, layers: list, last: Any) -> Weights:
        def norms(*path: str) -> np.ndarray:
            found = []
            for layer in layers:
                for name in path:
                    layer = getattr(layer, name, None)
                if layer is None:
                    return np.empty((0, 0), F)
                found.append(layer.weight.detach().float())
            return torch.stack(found).numpy()

        is_sandwich = hasattr(layers[0], "pre_feedforward_layernorm")
        before_mlp = "pre_feedforward_layernorm" if is_sandwich else "post_attention_layernorm"
        biases = [_qkv(layer.self_attn, "bias") for layer in layers]
        nothing = np.empty((0, 0), F)
        qkv_bias = (
            nothing if biases[0][0] is None
            else torch.stack([torch.cat(one).detach().float() for one in biases]).numpy()
        )  # fmt: skip
        qkv, qkv_scale = self.qkv.arrays()
        return Weights(
            qkv, qkv_scale, qkv_bias, *self.out.arrays(), *self.gate_up.arrays(),
            *self.down.arrays(), *self.head.arrays(),
            norms("input_layernorm"), norms(before_mlp),
            norms("post_attention_layernorm") if is_sandwich else nothing,
            norms("post_feedforward_layernorm") if is_sandwich else nothing,
            norms("self_attn", "q_norm"), norms("self_attn", "k_norm"),
            last.weight.detach().float()[None].numpy(),
            np.array([_window(layer.self_attn) for layer in layers], np.int64),
            np.array([self.ropes.index(_rope(layer.self_attn)) for layer in layers], np.int64),
        )  # fmt: skip

    def embedded(self, ids_n: torch.Tensor) -> torch.Tensor:
        """Return (n, C) in fp32."""
        values, scale = self._embedding.values_LNK[0], self._embedding.scale_LN[0]
        return values[ids_n].float() * (scale[ids_n] * self._embed_scale)[:, None]

    @property
    def layers(self) -> int:
        return len(self.weights.windows_L)

    def turns(self, positions_n: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosines and signed sines (S, n, D) in fp32 for each kind of rotation."""
        from training.lm.fast.steps import signed

        like = torch.empty(1)
        found = [
            self.rotary(like, positions_n[None], *((kind,) if kind else ())) for kind in self.ropes
        ]
        cos = torch.stack([cos[0].float() for cos, _ in found])
        return cos, torch.stack([signed(sin[0].float()) for _, sin in found])


def _qkv(attention: Any, part: str) -> list:
    return [getattr(getattr(attention, name), part) for name in ("q_proj", "k_proj", "v_proj")]


def _rope(attention: Any) -> str | None:
    return attention.layer_type if attention.config.model_type == "gemma3_text" else None


def _ropes(layers: list) -> list[str | None]:
    return list(dict.fromkeys(_rope(layer.self_attn) for layer in layers))


def _window(attention: Any) -> int:
    found = getattr(attention, "sliding_window", None)
    if not hasattr(attention, "sliding_window") and attention.config.model_type == "mistral":
        found = getattr(attention.config, "sliding_window", None)
    return found or 0


# --- adapters -----------------------------------------------------------------------------------
GROUPS = {
    "qkv": (("self_attn", ("q_proj", "k_proj", "v_proj"))),
    "out": (("self_attn", ("o_proj",))),
    "gate_up": (("mlp", ("gate_proj", "up_proj"))),
    "down": (("mlp", ("down_proj",))),
}


@dataclass(frozen=True)
class Adapter:
    """A LoRA of all layers as one line of numbers, as loops._adapt walks along it."""

    numbers: torch.Tensor
    """fp32: for each layer and group, A of each linear layer, then s · B of each."""
    rank: int
    groups: dict[str, list[tuple[torch.Tensor, torch.Tensor]]]
    """The same numbers: (ranks, K) and (N, R) of a group by layer."""

    @property
    def address(self) -> int:
        return self.numbers.data_ptr()


def read_adapter(folder: Path, model: Model) -> Adapter:
    """Raises: Unknown for what is no plain LoRA of the layers that are known here."""
    import json

    from safetensors.torch import load_file

    told = json.loads((folder / "adapter_config.json").read_text())
    plain = told.get("peft_type", "LORA") == "LORA" and told.get("bias", "none") == "none"
    if not plain or told.get("use_dora") or told.get("rank_pattern") or told.get("alpha_pattern"):
        raise Unknown("the adapter")
    found = load_file(folder / "adapter_model.safetensors")
    return adapter_of(found, told, model)


def adapter_of(found: Mapping[str, torch.Tensor], told: Mapping[str, Any], model: Model) -> Adapter:
    """Take the numbers of a LoRA by the names that PEFT writes, with its configuration. Raises: Unknown."""
    rank = int(told["r"])
    root = rank**0.5 if told.get("use_rslora") else rank
    scale, used = float(told["lora_alpha"]) / root, 0
    config = model.config
    heads = config.num_attention_heads * model.shape.size
    keys = config.num_key_value_heads * model.shape.size
    sizes = {
        "q_proj": (heads, config.hidden_size), "k_proj": (keys, config.hidden_size),
        "v_proj": (keys, config.hidden_size), "o_proj": (config.hidden_size, heads),
        "gate_proj": (config.intermediate_size, config.hidden_size),
        "up_proj": (config.intermediate_size, config.hidden_size),
        "down_proj": (config.hidden_size, config.intermediate_size),
    }  # fmt: skip
    parts: list[torch.Tensor] = []
    for layer in range(model.layers):
        for place, names in GROUPS.values():
            downs, ups = [], []
            for name in names:
                rows, width = sizes[name]
                stem = f"base_model.model.model.layers.{layer}.{place}.{name}"
                down = found.get(f"{stem}.lora_A.weight")
                up = found.get(f"{stem}.lora_B.weight")
                if down is None or up is None:
                    down, up = torch.zeros(rank, width), torch.zeros(rows, rank)
                else:
                    used += 2
                if tuple(down.shape) != (rank, width) or tuple(up.shape) != (rows, rank):
                    raise Unknown("the adapter's shapes")
                downs.append(down.detach().float())
                ups.append(up.detach().float() * scale)
            parts += [torch.cat(downs).flatten(), torch.cat(ups).flatten()]
    if used != len(found):
        raise Unknown("the adapter's layers")
    line = torch.cat(parts)
    return Adapter(line, rank, _views(line, rank, sizes, model.layers))


def _views(line: torch.Tensor, rank: int, sizes: dict, layers: int) -> dict:
    found: dict[str, list] = {name: [] for name in GROUPS}
    start = 0
    for _ in range(layers):
        for group, (_, names) in GROUPS.items():
            width, rows = sizes[names[0]][1], sum(sizes[name][0] for name in names)
            middle = start + len(names) * rank * width
            end = middle + rows * rank
            found[group].append(
                (line[start:middle].view(-1, width), line[middle:end].view(rows, rank))
            )
            start = end
    return found
