"""Runs the trainer as the child process that it is."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = dict(os.environ) | {"DADEUM_THREADS": "1"}
"""One thread is enough for a tiny model, and does not wait for others."""


def command(run: Path, attempt: int = 1) -> list[str]:
    return [sys.executable, "-m", "training.trainer", str(run), "--attempt", str(attempt)]


def train(run: Path, attempt: int = 1) -> tuple[int, list[dict]]:
    """Return how a whole attempt ended and what it said."""
    ended = subprocess.run(
        command(run, attempt), cwd=ROOT, capture_output=True, text=True, env=ENVIRONMENT
    )
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.returncode in (0, 2, 75), ended.stderr[-3000:]
    return ended.returncode, events


def begin(run: Path, attempt: int = 1) -> subprocess.Popen:
    return subprocess.Popen(
        command(run, attempt), cwd=ROOT, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    )


def said(process: subprocess.Popen) -> Iterator[dict]:
    """Yield what a running attempt says, as it says it."""
    return (json.loads(line) for line in process.stdout)


def of_kind(events: list[dict], kind: str) -> list[dict]:
    return [event for event in events if event["kind"] == kind]
