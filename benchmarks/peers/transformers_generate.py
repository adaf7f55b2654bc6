"""transformers_generate.py BASE THREADS: generate with its streamer, in bf16."""

import json
import resource
import sys
import threading
from queue import SimpleQueue

import torch
from talking import measure
from transformers import AutoModelForCausalLM
from transformers.generation.streamers import BaseStreamer

base, threads = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(threads)
model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)


class Tokens(BaseStreamer):
    def __init__(self) -> None:
        self.queue: SimpleQueue = SimpleQueue()
        self.is_prompt = True

    def put(self, value) -> None:
        if not self.is_prompt:
            self.queue.put(True)
        self.is_prompt = False

    def end(self) -> None:
        self.queue.put(None)


def ask(ids, tokens):
    streamer = Tokens()
    given = torch.tensor([ids])
    options = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False}
    thread = threading.Thread(
        target=model.generate,
        kwargs={"input_ids": given, "attention_mask": torch.ones_like(given), **options},
    )
    thread._kwargs["streamer"] = streamer
    thread.start()
    made = 0
    while streamer.queue.get():
        made += 1
        yield made
    thread.join()


found = measure(ask)
found["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps(found))
