"""What the peers that build on transformers' Trainer share: a clock for steps, and what is told."""

import json
import time

import torch
from gpu import peak_mb, settle
from transformers import TrainerCallback

BATCH, RANK, RATE, LENGTH = 8, 16, 2e-4, 1024


class Clock(TrainerCallback):
    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.losses: list[float] = []

    def on_step_begin(self, *args, **kwargs) -> None:
        self.started = time.perf_counter()

    def on_step_end(self, *args, **kwargs) -> None:
        settle()
        self.seconds.append(time.perf_counter() - self.started)

    def on_log(self, args, state, control, logs=None, **kwargs) -> None:
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))

    def tell(self) -> None:
        told = {"seconds": self.seconds, "losses": self.losses, "peak_mb": peak_mb()}
        print(json.dumps(told))


def options(folder: str, steps: int) -> dict:
    return {
        "output_dir": folder, "max_steps": steps, "per_device_train_batch_size": BATCH,
        "learning_rate": RATE, "lr_scheduler_type": "constant", "logging_steps": 1,
        "report_to": "none", "save_strategy": "no", "disable_tqdm": True,
        "use_cpu": not torch.cuda.is_available(), "train_sampling_strategy": "sequential",
    }  # fmt: skip
