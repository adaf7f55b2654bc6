"""The result: a standard PEFT or transformers folder with its tokenizer and chat template."""

import json
import shutil
from pathlib import Path

import torch

from training.chat import Renderer, read_json
from training.lm.trainable import LORA, Trainable
from training.trainer import checkpoint
from training.trainer.order import Order

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json",
    "generation_config.json",
)  # fmt: skip


def save(trainable: Trainable, order: Order, renderer: Renderer, metrics: dict) -> Path:
    """Write `result/` of this attempt: whole or not at all."""
    part = order.folder / ".result.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    if order.method == LORA:
        _save_adapter(trainable, order, part)
    else:
        trainable.release()
        _save_model(trainable, order, part)
    _save_tokenizer(order.weights, renderer, part)
    (part / "README.md").write_text(_card(order, metrics), "utf-8")
    checkpoint.seal(part, order.folder / "result", {"metrics": metrics, "base": order.base_name})
    return order.folder / "result"


def _save_adapter(trainable: Trainable, order: Order, part: Path) -> None:
    for configuration in trainable.model.peft_config.values():
        configuration.base_model_name_or_path = order.base_name
    trainable.model.save_pretrained(part, save_embedding_layers=False)


def _save_model(trainable: Trainable, order: Order, part: Path) -> None:
    """Save in the type that the base was stored in."""
    config = read_json(order.weights / "config.json")
    stored = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    kind = getattr(torch, stored.removeprefix("torch."), torch.float32)
    trainable.model.to(kind).save_pretrained(part)
    config = read_json(part / "config.json")
    config.pop("_name_or_path", None)
    (part / "config.json").write_text(json.dumps(config, indent=2))


def _save_tokenizer(base: Path, renderer: Renderer, part: Path) -> None:
    for name in TOKENIZER_FILES:
        if (base / name).exists() and not (part / name).exists():
            shutil.copyfile(base / name, part / name)
    config = dict(renderer.tokenizer_config)
    config.pop("chat_template", None)
    config["model_max_length"] = renderer.context_length
    if renderer.eos_token:
        config["eos_token"] = renderer.eos_token
    (part / "tokenizer_config.json").write_text(
        json.dumps(config, ensure_ascii=False, indent=2), "utf-8"
    )
    (part / "chat_template.jinja").write_text(renderer.template_source, "utf-8")


def _card(order: Order, metrics: dict) -> str:
    figures = "\n".join(f"- {key}: {value}" for key, value in metrics.items() if key != "seconds")
    kind = "PEFT LoRA adapter" if order.method == LORA else "transformers model"
    return (
        f"# Fine-tuned from {order.base_name}\n\n{kind}, made with Dadeum.\n\n"
        f"Learning rate {order.learning_rate:g}, batch size {order.batch_size}, "
        f"epochs {order.epochs}, maximum length {order.max_length} tokens.\n\n{figures}\n"
    )
