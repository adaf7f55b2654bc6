"""How fast models answer: first token, tokens a second for 1, 4 and 16 streams, the next turn of a long
conversation, an adapter's loading, memory; beside other engines.

    .venv/bin/python benchmarks/generation.py [--base FOLDER] [--threads 2] [--rounds 1]
        [--peer llama_cpp=PYTHON] [--peer transformers_serve=PYTHON]

Token ids go in (100, drawn by lot), 128 tokens come out, greedily; the second turn has a history of 2,000
tokens. Ours is the engine as it runs in the product, asked over its socket, in its two precisions.
generate of transformers runs in this environment, a peer given with --peer in that of its interpreter:
llama.cpp by xllamacpp, from the same weights in Q8_0; `transformers serve`. Close everything else that uses the processor.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "benchmarks" / "peers"
sys.path[:0] = [str(ROOT), str(PEERS)]
ROWS = {
    "first_ms": "first token, ms", "speed_1": "tokens/s, 1 stream", "speed_4": "4 streams",
    "speed_16": "16 streams", "second_turn_ms": "second turn, ms", "adapter_ms": "adapter, ms",
    "memory_mb": "memory, MB",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, default=ROOT / "data/builtin/smollm2-135m-instruct")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--peer", action="append", default=[])
    told = parser.parse_args()
    interpreters = dict(peer.split("=", 1) for peer in told.peer)
    found: dict[str, list[dict]] = {}
    with tempfile.TemporaryDirectory(prefix="dadeum-g-") as folder:
        adapter = make_adapter(told.base, Path(folder) / "adapter")
        gguf = Path(folder) / "q8_0.gguf"
        if "llama_cpp" in interpreters:
            make_gguf(told.base, gguf)
        for _ in range(told.rounds):
            for precision in ("exact", "fast"):
                one = ours(told, precision, Path(folder), adapter)
                found.setdefault(f"Dadeum {precision}", []).append(one)
            one = peer(sys.executable, "transformers_generate", told.base, told.threads)
            found.setdefault("transformers bf16", []).append(one)
            if "llama_cpp" in interpreters:
                one = peer(interpreters["llama_cpp"], "llama_cpp", gguf, told.threads)
                found.setdefault("llama.cpp Q8_0", []).append(one)
            if "transformers_serve" in interpreters:
                python = interpreters["transformers_serve"]
                one = peer(python, "transformers_serve", told.base, told.threads)
                found.setdefault("transformers serve", []).append(one)
    print_table(found)


def peer(interpreter: str, name: str, model: Path, threads: int | None) -> dict:
    command = [interpreter, str(PEERS / f"{name}.py"), str(model), str(threads)]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(f"{name}: {ended.stderr[-2000:]}")
    return json.loads(ended.stdout.splitlines()[-1])


def ours(told: argparse.Namespace, precision: str, folder: Path, adapter: Path) -> dict:
    """Start the engine as the product does, and ask it over its socket."""
    import httpx
    import psutil
    from talking import measure

    socket = str(folder / "engine.sock")
    process = subprocess.Popen(
        [sys.executable, "-m", "playground.engine", "--socket", socket,
         "--threads", str(told.threads), "--precision", precision],
        cwd=ROOT, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    client = httpx.Client(
        transport=httpx.HTTPTransport(uds=socket, limits=httpx.Limits(max_connections=64)),
        base_url="http://engine", timeout=600, trust_env=False,
    )  # fmt: skip

    def settled(name: str) -> None:
        while True:
            entries = {one["id"]: one for one in client.get("/v1/models").json()["data"]}
            if entries[name]["state"] != "loading":
                assert entries[name]["state"] == "ready", entries[name]
                return
            time.sleep(0.005)

    def ask(ids, tokens):
        body = {
            "model": "base:bench", "prompt": ids, "max_tokens": tokens, "temperature": 0,
            "stream": True,
        }  # fmt: skip
        with client.stream("POST", "/v1/completions", json=body) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line[6:])["usage"]["completion_tokens"]

    try:
        while not Path(socket).exists():
            time.sleep(0.05)
        client.post("/load_model", json={"model": "base:bench", "path": str(told.base)})
        settled("base:bench")
        found = measure(ask)
        begun = time.perf_counter()
        client.post("/v1/load_lora_adapter", json={
            "lora_name": "tuned:bench", "lora_path": str(adapter), "base": "base:bench",
            "base_path": str(told.base),
        })  # fmt: skip
        settled("tuned:bench")
        found["adapter_ms"] = 1000 * (time.perf_counter() - begun)
        found["memory_mb"] = psutil.Process(process.pid).memory_info().rss / 2**20
        return found
    finally:
        process.kill()
        process.wait()
        Path(socket).unlink(missing_ok=True)


def make_adapter(base: Path, folder: Path) -> Path:
    """Write a LoRA of rank 16 on all linear layers, as a training would."""
    import shutil

    import peft
    import torch

    from training.lm import load

    configuration = peft.LoraConfig(
        r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    peft.get_peft_model(load.model(base, dtype=torch.float32), configuration).save_pretrained(
        folder
    )
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (base / name).exists():
            shutil.copy(base / name, folder / name)
    (folder / "README.md").unlink(missing_ok=True)
    return folder


def make_gguf(base: Path, path: Path) -> None:
    """Write a base of the Llama family for llama.cpp, its matrices in Q8_0."""
    import gguf
    import numpy as np
    from safetensors.torch import load_file

    config = json.loads((base / "config.json").read_text())
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    theta = config.get("rope_theta") or config["rope_parameters"]["rope_theta"]
    writer.add_rope_freq_base(theta)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    tokens = json.loads((base / "tokenizer.json").read_text())
    known = {number: text for text, number in tokens["model"]["vocab"].items()}
    known |= {one["id"]: one["content"] for one in tokens.get("added_tokens", [])}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([known.get(n, f"<{n}>") for n in range(config["vocab_size"])])
    merges = tokens["model"]["merges"]
    writer.add_token_merges([one if isinstance(one, str) else " ".join(one) for one in merges])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for name, tensor in load_file(base / "model.safetensors").items():
        if name == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        values = tensor.float().numpy()
        for part, heads in (("q_proj", "num_attention_heads"), ("k_proj", "num_key_value_heads")):
            if part in name:  # llama.cpp turns neighbours where transformers turns halves
                values = (
                    values.reshape(config[heads], 2, -1, values.shape[1]).swapaxes(1, 2)
                    .reshape(values.shape)
                )  # fmt: skip
        known_as = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if values.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            packed = gguf.quants.quantize(np.ascontiguousarray(values), kind)
            writer.add_tensor(known_as, packed, raw_dtype=kind)
        else:
            writer.add_tensor(known_as, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def print_table(found: dict[str, list[dict]]) -> None:
    names = list(found)
    print(f"{'':22}" + "".join(f"{name:>20}" for name in names))
    for key, words in ROWS.items():
        line = f"{words:22}"
        for name in names:
            values = [one[key] for one in found[name] if key in one]
            line += f"{' / '.join(f'{value:,.0f}' for value in values) or '–':>20}"
        print(line)


if __name__ == "__main__":
    main()
