"""llama_cpp.py GGUF THREADS: llama.cpp's server in this process (xllamacpp), 16 places, prefixes cached."""

import json
import resource
import sys
import urllib.request

import xllamacpp
from talking import measure

path, threads = sys.argv[1], int(sys.argv[2])
told = xllamacpp.CommonParams()
told.model.path = path
told.n_parallel = 16
told.n_ctx = 16 * 2560
told.cpuparams.n_threads = told.cpuparams_batch.n_threads = threads
server = xllamacpp.Server(told)


def ask(ids, tokens):
    body = {
        "prompt": ids, "n_predict": tokens, "temperature": 0, "stream": True, "ignore_eos": True,
        "cache_prompt": True, "return_tokens": True,
    }  # fmt: skip
    request = urllib.request.Request(
        f"{server.listening_address}/completion", json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )  # fmt: skip
    made = 0
    with urllib.request.urlopen(request) as answer:
        for line in answer:
            if line.startswith(b"data: "):
                told = json.loads(line[6:])
                made = told.get("tokens_predicted") or made + 1
                yield made


found = measure(ask)
found["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps(found))
