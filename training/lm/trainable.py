"""A base model made ready to be trained: LoRA by PEFT or all weights, packed attention, precision."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from training import gate, memory
from training.errors import UserError
from training.lm import attention, generate, tight
from training.lm.attention import Segments
from training.lm.decode import answers
from training.lm.fast.decoder import KINDS, Decoder, Row, Unknown
from training.lm.load import device, is_short_of_memory
from training.lm.speed import training_dtype
from training.lm.tight import Savings

LORA, FULL = "lora", "full"
COPY_SHARE = 0.25
"""Of the free memory, which a copy of the weights may take to answer questions."""
PACKABLE = KINDS
"""Model types whose layers are all plain attention, each with a test that packing changes nothing.
Others (convolutions or states that cross examples, soft-capped scores, sinks) go one by one."""


class Trainable:
    """Model, its trained parameters and how to run it."""

    def __init__(
        self, model: nn.Module, is_packable: bool, dtype: torch.dtype, way: Savings
    ) -> None:
        self.model = model
        self.way = way
        self.is_packable = is_packable
        """Whether several examples may go through in one row."""
        self.device = device()
        self.dtype = dtype
        """In which it is multiplied."""
        self.decoder = self._decoder()
        """The fast way to compute the model, where it is known there; None takes the plain one."""

    def _decoder(self) -> Decoder | None:
        if not self.is_packable or self.way.is_4bit:
            return None
        try:
            return Decoder(self._causal, self.dtype, remakes=self.way.remakes)
        except Unknown:
            return None

    @property
    def _causal(self) -> Any:
        """The model of transformers, without what PEFT has put around it."""
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    @property
    def path(self) -> str:
        """How it is computed, for the log."""
        if self.decoder:
            return "fast"
        return "packed" if self.is_packable else "one by one"

    def refresh(self) -> None:
        """Take over what an optimiser step or a checkpoint has changed."""
        if self.decoder:
            self.decoder.refresh()

    def release(self) -> None:
        """Give the model weights of its own again, as saving it wants them; no more is trained."""
        if self.decoder:
            self.decoder.release()
            self.decoder = None

    def parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((n, p) for n, p in self.model.named_parameters() if p.requires_grad)

    @property
    def uses_bf16(self) -> bool:
        return self.dtype == torch.bfloat16

    def precision(self):
        if not self.uses_bf16:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def answers(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        stop_ids: Collection[int],
        should_stop: Callable[[], bool] = lambda: False,
        is_late: Callable[[], bool] = lambda: False,
    ) -> list[list[int]]:
        """Return the likeliest continuation of each prompt, without the stop id; as far as it came when
        asked to stop, or when it is late after a token."""
        asked: Any = {"max_tokens": max_tokens, "stop_ids": stop_ids}
        is_on_cpu = self.device.type == "cpu"
        if self.decoder and is_on_cpu and self.uses_bf16 and self._can_be_copied:
            lora = self.model if self._causal is not self.model else None
            with suppress(Unknown):
                return answers.greedy(
                    self._causal, lora, prompts, **asked, should_stop=should_stop, is_late=is_late
                )
        asked |= {"should_stop": lambda: should_stop() or is_late(), "together": self.is_packable}
        with self._answering():
            return generate.greedy(self.model, prompts, **asked)

    @property
    def _can_be_copied(self) -> bool:
        """Whether all weights in bf16 take a small part of the memory that is free."""
        size = 2 * sum(parameter.numel() for parameter in self.model.parameters())
        return size < COPY_SHARE * memory.free_bytes()

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Let the model generate for a while: packed attention knows no cache of earlier tokens."""
        self.model.eval()
        if self.is_packable:
            self._causal.set_attn_implementation("sdpa")
        try:
            with self.precision(), torch.inference_mode():
                yield
        finally:
            if self.is_packable:
                self._causal.set_attn_implementation(attention.PACKED)
            self.model.train()

    def learn(self, pack, scale: float) -> float:
        """Return the summed cross entropy over a pack's labels, and add the gradients of that times the
        scale to the parameters'; logits exist only where there is a label."""
        if self.decoder:
            return self.decoder.loss(self._row(pack), scale)
        loss = self._plain_loss(pack)
        (loss * scale).backward()
        return float(loss.detach())

    def loss(self, pack) -> float:
        """Return the summed cross entropy over a pack's labels."""
        if self.decoder:
            return self.decoder.loss(self._row(pack))
        with torch.inference_mode():
            return float(self._plain_loss(pack))

    def _plain_loss(self, pack) -> torch.Tensor:
        logits_LV = self._plain_logits(pack).float()
        labels_L = pack.labels_L.to(self.device)
        return nn.functional.cross_entropy(logits_LV, labels_L, reduction="sum")

    def _plain_logits(self, pack) -> torch.Tensor:
        extra = {"segments": Segments.of(pack.spans, self.device)} if self.is_packable else {}
        with self.precision():
            logits_1LV = self.model(
                input_ids=pack.ids_1T.to(self.device),
                position_ids=pack.positions_1T.to(self.device),
                logits_to_keep=pack.label_positions_L.to(self.device),
                use_cache=False,
                **extra,
            ).logits
        return logits_1LV[0]

    def _row(self, pack) -> Row:
        place = self.device
        return Row(
            pack.ids_1T[0].to(place), pack.positions_1T[0].to(place), pack.spans,
            pack.label_positions_L.to(place), pack.labels_L.to(place),
        )  # fmt: skip


def prepare(
    base: Path, method: str, *, rank: int, alpha: int, seed: int, adapter: Path | None = None,
    dtype: torch.dtype | None = None, way: Savings | None = None,
) -> Trainable:  # fmt: skip
    """Load a base through the gate and make it trainable: with a fresh LoRA of the rank, with an
    `adapter` that is trained further, or with all its weights. Without a `dtype` it is the faster one;
    `way` says what memory is to be saved.

    Raises: UserError from the gate, `model_unreadable`, `lora_no_layers`, or `adapter_misfit`.
    """
    gate.check(base)
    from transformers import AutoModelForCausalLM

    dtype = dtype or training_dtype()
    attention.register()
    torch.manual_seed(seed)
    options = {"dtype": torch.float32, "local_files_only": True, "trust_remote_code": False}
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False  # sums stay in fp32
    way = way or Savings()
    options |= tight.loading(way)
    try:
        model = AutoModelForCausalLM.from_pretrained(base, use_safetensors=True, **options)
    except (ValueError, OSError, KeyError, RuntimeError) as error:
        if is_short_of_memory(error):
            raise MemoryError from error
        raise UserError("model_unreadable", folder=base.name, reason=str(error)[:300]) from error
    is_packable = model.config.model_type in PACKABLE
    if is_packable:
        model.set_attn_implementation(attention.PACKED)
    if method == LORA and dtype == torch.bfloat16 and not way.is_4bit:
        _lighten(model)
    tight.apply(model, way)
    if method == LORA and adapter:
        model = go_on_with(model, adapter)
    elif method == LORA:
        model = add_lora(model, rank, alpha)
    else:
        model.requires_grad_(True)
    model.train()
    return Trainable(model if way.is_4bit else model.to(device()), is_packable, dtype, way)


def add_lora(model: nn.Module, rank: int, alpha: int) -> nn.Module:
    """Freeze the base and put LoRA on every linear layer but the head (Hu et al. 2021)."""
    from peft import LoraConfig, get_peft_model

    configuration = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, configuration)
    except ValueError as error:
        raise UserError("lora_no_layers", reason=str(error)[:300]) from error


def go_on_with(model: nn.Module, adapter: Path) -> nn.Module:
    """Freeze the base and put a LoRA on it that was trained before, in fp32."""
    gate.check(adapter)
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, str(adapter), is_trainable=True)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise UserError("adapter_misfit", folder=adapter.name) from error


def _lighten(model: nn.Module) -> None:
    """Keep frozen linear weights in bf16, so that they are not cast at every step.

    Embeddings and norms stay in fp32, and a head that is one with the embedding.
    """
    embedding = model.get_input_embeddings().weight
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.weight is not embedding:
            module.to(torch.bfloat16)
