"""How the playground feels when many talk, and when a training runs beside it.

    .venv/bin/python benchmarks/chatting.py [--sockets 100] [--typing 20] [--slow 5] [--seconds 60]
        [--base smollm2-135m-instruct] [--threads N]

A real studio in a data folder of its own. Of the sockets that stand open some people type: each asks, reads
the answer to its end (64 tokens at most), thinks for a while and asks on. Others are slow: they ask
for a long answer and never read it. Three rounds: one person alone, everybody, and one person while a LoRA
is trained. What a user would notice is told: the time to the first text, tokens a second of an answer, what
was refused or cut off, and the trainer's speed with and without somebody who talks.
"""

import argparse
import asyncio
import contextlib
import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "benchmarks")]
BUILTIN = ROOT / "data/builtin"
THINKING = 5.0
"""Seconds between an answer and the next question, on average."""
WORDS = [
    "weather",
    "river",
    "garden",
    "market",
    "letter",
    "music",
    "train",
    "winter",
    "bread",
    "lamp",
    "window",
    "story",
]


@dataclass
class Round:
    first: list[float] = field(default_factory=list)
    speeds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=100)
    parser.add_argument("--typing", type=int, default=20)
    parser.add_argument("--slow", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--base", default="smollm2-135m-instruct")
    parser.add_argument("--threads", default="0")
    told = parser.parse_args()
    from running import Studio

    with tempfile.TemporaryDirectory(prefix="dadeum-chat-") as folder:
        data = Path(folder)
        (data / "builtin").symlink_to(BUILTIN)
        (data / "compiled").symlink_to(ROOT / "data/compiled")
        if (ROOT / "data/speed.json").exists():
            (data / "speed.json").write_text((ROOT / "data/speed.json").read_text())
        with Studio(data, DADEUM_THREADS=told.threads, DADEUM_LEASE_SECONDS="60") as studio:
            places = json.loads(studio.shell(PEOPLE.format(told.sockets, told.typing, told.base)))
            asyncio.run(rounds(studio, told, places))


async def rounds(studio, told: argparse.Namespace, places: list[list[str]]) -> None:
    talkers, others = places[: told.typing], places[told.typing :]
    await talk_for(studio, talkers[:1], 8)  # loads the model
    print(f"{'':34}{'first text':>12}{'slowest':>10}{'tokens/s':>10}{'answers':>9}  problems")
    report("one person", await talk_for(studio, talkers[:1], told.seconds / 2))
    sitting = [asyncio.create_task(sit(studio, one)) for one in others[told.slow :]]
    slow = [asyncio.create_task(sit(studio, one, asks=True)) for one in others[: told.slow]]
    await asyncio.sleep(2)
    words = f"{told.typing} of {told.sockets}, {told.slow} never read"
    report(words, await talk_for(studio, talkers, told.seconds))
    for task in sitting + slow:
        task.cancel()
    await asyncio.gather(*sitting, *slow, return_exceptions=True)
    await asyncio.sleep(5)
    job = studio.shell(TRAIN).splitlines()[-1]
    alone = await speed(studio, job, told.seconds / 2)
    report("one person beside a training", await talk_for(studio, talkers[:1], told.seconds))
    together = await speed(studio, job, told.seconds / 2, talkers[:1])
    print(f"training alone {alone:,.1f} steps a minute, with somebody who talks {together:,.1f}")


async def speed(studio, job: str, seconds: float, talkers: list | None = None) -> float:
    """Return the steps a minute of the training over a while."""
    while steps(studio, job) < 2:
        await asyncio.sleep(0.5)
    before, begun = steps(studio, job), time.monotonic()
    if talkers:
        await talk_for(studio, talkers, seconds)
    else:
        await asyncio.sleep(seconds)
    return 60 * (steps(studio, job) - before) / (time.monotonic() - begun)


def steps(studio, job: str) -> int:
    with contextlib.closing(sqlite3.connect(studio.data / "dadeum.sqlite3", timeout=30)) as rows:
        return rows.execute("select step from training_job where id = ?", [job]).fetchone()[0]


def report(name: str, found: Round) -> None:
    first, speeds = found.first or [float("nan")], found.speeds or [float("nan")]
    print(
        f"{name:34}{1000 * statistics.median(first):>9,.0f} ms{1000 * max(first):>7,.0f} ms"
        f"{statistics.median(speeds):>10,.1f}{len(found.speeds):>9}  "
        f"{', '.join(sorted(set(found.problems))) or 'none'}",
        flush=True,
    )


async def talk_for(studio, people: list[list[str]], seconds: float) -> Round:
    found, end = Round(), time.monotonic() + seconds
    await asyncio.gather(*(talk(studio, one, end, found) for one in people))
    return found


def opened(studio, place: list[str]):
    from websockets.asyncio.client import connect

    session, conversation = place[:2]
    return connect(
        f"ws://127.0.0.1:{studio.port}/ws/playground/{conversation}/", proxy=None,
        additional_headers={"Cookie": f"sessionid={session}", "Origin": studio.url},
    )  # fmt: skip


def question(place: list[str], tokens: int) -> str:
    text = "Tell me about " + " and ".join(random.sample(WORDS, 3)) + "."
    parameters = {"temperature": 0.7, "max_tokens": tokens}
    told = {"type": "send", "text": text, "after": 0, "model": place[2], "parameters": parameters}
    return json.dumps(told)


async def talk(studio, place: list[str], end: float, found: Round) -> None:
    async with opened(studio, place) as socket:
        while time.monotonic() < end:
            await socket.send(question(place, 64))
            asked, first = time.monotonic(), 0.0
            while True:
                frame = json.loads(await asyncio.wait_for(socket.recv(), 300))
                if frame["type"] == "delta" and not first:
                    first = time.monotonic() - asked
                    found.first.append(first)
                if frame["type"] == "error":
                    found.problems.append(frame["code"])
                if frame["type"] == "done" or frame.get("refused"):
                    break
            if frame["type"] == "done" and frame["message"]:
                usage = frame["message"]["usage"]
                found.speeds.append(usage["completion_tokens"] / usage["seconds"])
            await asyncio.sleep(random.expovariate(1 / THINKING))


async def sit(studio, place: list[str], asks: bool = False) -> None:
    """Keep a socket open; with `asks`, ask for much and read nothing of it."""
    async with opened(studio, place) as socket:
        if asks:
            socket.transport.pause_reading()
            await socket.send(question(place, 4096))
        await asyncio.sleep(3600)


PEOPLE = """
import json
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.auth import SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY
from django.conf import settings
from playground import conversations
from studio.models import User
places = []
for number in range({}):
    user, _ = User.objects.get_or_create(username=f"person{{number % {}}}")
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    model = "base:{}"
    places.append([session.session_key, conversations.create(user, model).pk, model])
print(json.dumps(places))
"""
TRAIN = """
from training import samples
from studio.models import User
samples.KNOBS |= {"epochs": 50, "patience": 0}
job = samples.start(User.objects.first())
print(job.pk)
"""

if __name__ == "__main__":
    main()
