"""Runs the trainer: as the child process that it is, or, where only what is learnt matters, in this one."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = dict(os.environ) | {"DADEUM_THREADS": "1"}
"""One thread is enough for a tiny model, and does not wait for others."""


def command(run: Path, attempt: int = 1) -> list[str]:
    return [sys.executable, "-m", "training.trainer", str(run), "--attempt", str(attempt)]


def train(run: Path, attempt: int = 1) -> tuple[int, list[dict]]:
    """Return how a whole attempt ended and what it said; in this process, which has all libraries."""
    from training.trainer import __main__ as trainer

    before, threads = signal.getsignal(signal.SIGTERM), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with redirect_stdout(StringIO()) as out:
            code = trainer.train(run, attempt)
    finally:
        signal.signal(signal.SIGTERM, before)
        torch.set_num_threads(threads)
    return code, [json.loads(line) for line in out.getvalue().splitlines()]


def begin(run: Path, attempt: int = 1) -> subprocess.Popen:
    return subprocess.Popen(
        command(run, attempt), cwd=ROOT, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    )


def said(process: subprocess.Popen) -> Iterator[dict]:
    """Yield what a running attempt says, as it says it."""
    return (json.loads(line) for line in process.stdout)


def of_kind(events: list[dict], kind: str) -> list[dict]:
    return [event for event in events if event["kind"] == kind]
