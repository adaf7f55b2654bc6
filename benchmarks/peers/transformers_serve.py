"""transformers_serve.py BASE THREADS: `transformers serve` as it comes, asked by HTTP for text in bf16."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import psutil
from talking import measure
from transformers import AutoTokenizer

base, threads = sys.argv[1], sys.argv[2]
tokenizer = AutoTokenizer.from_pretrained(base)
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
address = f"http://127.0.0.1:{port}"
server = subprocess.Popen(
    [os.path.join(os.path.dirname(sys.executable), "transformers"), "serve", base,
     "--host", "127.0.0.1", "--port", str(port), "--dtype", "bfloat16"],
    env=os.environ | {"OMP_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1"},
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
)  # fmt: skip


def ask(ids, tokens):
    """The ids go as text, which may be a few tokens more or less; what comes out is `tokens` long."""
    told = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False}
    body = {
        "model": base, "prompt": tokenizer.decode(ids), "stream": True, "temperature": 0,
        "max_tokens": tokens, "generation_config": json.dumps(told),
    }  # fmt: skip
    request = urllib.request.Request(
        f"{address}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        for line in answer:
            if line.startswith(b"data: {") and json.loads(line[6:])["choices"][0].get("text"):
                yield 1
    yield tokens


def is_up() -> bool:
    try:
        return urllib.request.urlopen(f"{address}/health").status == 200
    except (urllib.error.URLError, OSError):
        return False


try:
    while not is_up():
        time.sleep(0.2)
    found = measure(ask)
    found["memory_mb"] = psutil.Process(server.pid).memory_info().rss / 2**20
    print(json.dumps(found))
finally:
    server.kill()
