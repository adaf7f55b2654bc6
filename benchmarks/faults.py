"""What is lost when everything dies: faults at random moments of at least fifty runs.

    .venv/bin/python benchmarks/faults.py [--mode embedded|scaled] [--seed 1] [--runs 50] [--out FILE]

One studio (`manage.py up`) trains a tiny model again and again, each time the same; meanwhile
processes are killed and frozen, messages lost and doubled, the disk filled, the database locked, the
broker taken away, checkpoints spoilt, leases moved as by clocks that step. Aims: no job lost, no
result twice, at most one checkpoint interval trained again (one more where the newest checkpoint was
spoilt), the loss of an undisturbed run. Exit code 1 when one is missed.

embedded: SQLite and the built-in broker. scaled: a database of its own on a PostgreSQL server
(`--postgres`) and a Redis server of its own (needs `redis-server`). As root the data folder lies on
a small file system of its own, which can be filled; otherwise that fault is left out.
"""

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.victim import FAULTS, Fault, Victim, look  # noqa: E402
from tests.running import wait_until  # noqa: E402

EPOCHS = 10
PATIENCE_SECONDS = 120
"""Without any change of its row for so long, a job counts as lost."""
NONE = "none"
CALM = Fault(lambda studio, job: None)


# --- a run --------------------------------------------------------------------------------------
@dataclass
class Verdict:
    """What became of one job."""

    kind: str
    moment: str
    status: str = ""
    is_lost: bool = False
    doubles: int = 0
    repeated_steps: int = 0
    repeated_intervals: int = 0
    losses: list[float] = field(default_factory=list)
    """Of the last step and of the last validation; empty where it did not succeed."""
    difference: float = 0
    """The larger relative difference of the two from an undisturbed run."""
    recovery_seconds: float | None = None
    error: dict | None = None


def reach(studio: Victim, job: Any, moment: str) -> None:
    """Wait until a job is where the fault is to strike, at a random point there."""
    dice = studio.dice
    if moment == "waiting":
        time.sleep(dice.uniform(0, 2))
        return
    while (row := look(job)).status == "queued" or not row.attempt:
        time.sleep(0.02)
    if moment == "preparing":
        time.sleep(dice.uniform(0, 3))
        return
    share = 1 if moment == "finishing" else dice.uniform(0.05, 0.95)
    while not row.is_final and not (row.total_steps and row.step >= share * row.total_steps):
        time.sleep(0.01)
        row = look(job)
    if moment == "saving":
        run, end = studio.data / "runs" / job.pk, time.monotonic() + 2
        while not list(run.glob("attempt-*/.checkpoint-*.part")) and time.monotonic() < end:
            time.sleep(0.001)


def wait_for_end(job: Any) -> tuple[bool, float]:
    """Wait while something happens; return whether the job ended, and seconds to its first sign."""
    from training.models import JobEvent

    began = changed = time.monotonic()
    first, last = None, None
    while time.monotonic() - changed < PATIENCE_SECONDS:
        row = look(job)
        events = JobEvent.objects.filter(job=job).count()
        state = (row.status, row.attempt, row.step, events, row.progress)
        if last is not None and state != last and first is None:
            first = time.monotonic() - began
        if state != last:
            last, changed = state, time.monotonic()
        if row.is_final:
            return True, first if first is not None else 0
        time.sleep(0.1)
    return False, PATIENCE_SECONDS


def judge(job: Any, verdict: Verdict, fault: Fault) -> None:
    """Fill in what the rows and folders of a job say."""
    from training import registry
    from training.models import JobEvent, TunedModel

    row = look(job)
    events = list(JobEvent.objects.filter(job=job).order_by("id"))
    verdict.status, verdict.error = row.status, row.error
    verdict.is_lost = row.status not in fault.ends
    models = TunedModel.objects.filter(job=job).count()
    results = len(list(registry.run_folder(row).glob("attempt-*/result")))
    verdict.doubles += max(0, models - 1) + max(0, results - 1) + _late_writes(events)
    for index, event in enumerate(events):
        if event.kind == "start":
            _count_repeated(event, events[:index], verdict)
    if row.status == "succeeded":
        verdict.is_lost |= not models
        verdict.losses = [
            [e.data[key] for e in events if e.kind == kind][-1]
            for kind, key in (("metrics", "loss"), ("validation", "validation_loss"))
        ]


def _late_writes(events: list) -> int:
    """Count the rows that an attempt wrote after a later one had begun to."""
    latest, late = 0, 0
    for event in events:
        late += event.attempt < latest
        latest = max(latest, event.attempt)
    return late


def _count_repeated(start: Any, before: list, verdict: Verdict) -> None:
    seen = max((event.step for event in before), default=0)
    saved = {event.step for event in before if event.kind == "checkpoint"}
    newer = sum(step > start.step for step in saved)
    is_beyond = seen > max(saved | {start.step})
    verdict.repeated_steps = max(verdict.repeated_steps, seen - start.step)
    verdict.repeated_intervals = max(verdict.repeated_intervals, newer + is_beyond)


# --- all runs -----------------------------------------------------------------------------------
class Trial:
    """Submits jobs, lets faults strike, keeps what came of it."""

    def __init__(self, studio: Victim) -> None:
        self.studio = studio
        self.verdicts: list[Verdict] = []
        self.overlaps: dict[str, int] = {}
        """Run folder → samples in which two trainers lived for it."""
        self.is_over = threading.Event()

    def make_data(self) -> None:
        from studio.models import User
        from training.datasets import versions

        self.user = User.objects.create_user("trial", is_staff=True)
        lines = [
            {"prompt": f"오늘 날씨 {i % 9}", "completion": ("맑습니다", "비가 옵니다")[i % 2]}
            for i in range(120)
        ]
        file = versions.incoming() / "trial.jsonl"
        file.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines))
        self.version = versions.from_upload(self.user, "trial.jsonl", file)

    def submit(self) -> Any:
        from training import drafts, jobs

        job = drafts.create_draft(self.user)
        self.version.refresh_from_db()
        knobs = {"epochs": EPOCHS, "batch_size": 8, "seed": 7}
        drafts.edit(job, name="trial", base="tiny", version=self.version, knobs=knobs)

        def is_ready() -> bool:
            job.refresh_from_db()
            self.version.refresh_from_db()
            job.version = self.version
            return not drafts.blockers(job)

        wait_until(is_ready, 120, "the reading and counting")
        jobs.start(job)
        return job

    def watch(self) -> None:
        """Look for two trainers of one run till all is over."""
        while not self.is_over.wait(0.1):
            found = self.studio.trainers()
            for place in {place for place in found if found.count(place) > 1}:
                self.overlaps[place] = self.overlaps.get(place, 0) + 1

    def run(self, kind: str, fault: Fault) -> None:
        """Let one fault strike one job; the job that it waits behind is judged as well."""
        moment = self.studio.dice.choice(fault.moments) if kind != NONE else NONE
        jobs = [self.submit() for _ in range(2 if moment == "waiting" else 1)]
        if kind != NONE:
            reach(self.studio, jobs[-1], moment)
        state = look(jobs[-1])
        fault.strike(self.studio, jobs[-1])
        for job in jobs:
            verdict = Verdict(kind, moment)
            _, seconds = wait_for_end(job)
            if kind != NONE and job is jobs[0]:
                verdict.recovery_seconds = seconds
            judge(job, verdict, fault if job is jobs[-1] else CALM)
            verdict.doubles += bool(self.overlaps.get(str(self.studio.data / "runs" / job.pk)))
            self._compare(verdict)
            self.verdicts.append(verdict)
            print(
                f"{len(self.verdicts):3} {time.strftime('%H:%M:%S')} {kind} @ {moment}"
                f" (attempt {state.attempt}, step {state.step}) -> {verdict.status}"
                f"{' LOST ' + json.dumps(verdict.error) if verdict.is_lost else ''}"
                f"{' DOUBLE' if verdict.doubles else ''}, repeated {verdict.repeated_steps} steps"
                f" ({verdict.repeated_intervals}), difference {verdict.difference:.2g},"
                f" first sign {seconds:.1f} s",
                flush=True,
            )

    def _compare(self, verdict: Verdict) -> None:
        calm = next((one.losses for one in self.verdicts if one.kind == NONE and one.losses), None)
        if calm and verdict.losses:
            pairs = zip(verdict.losses, calm, strict=True)
            verdict.difference = max(abs(mine - theirs) / abs(theirs) for mine, theirs in pairs)

    def run_all(self, runs: int, only: str) -> None:
        """Let each kind strike twice, then any, until there were so many runs."""
        self.make_data()
        watch = threading.Thread(target=self.watch, daemon=True)
        watch.start()
        for _ in range(2):
            self.run(NONE, CALM)
        for kind in self._kinds(runs, only):
            self.run(kind, FAULTS[kind])
        self.is_over.set()
        watch.join()

    def _kinds(self, runs: int, only: str) -> Iterator[str]:
        possible = [
            kind
            for kind, fault in FAULTS.items()
            if self.studio.mode in fault.modes
            and only in kind
            and (kind != "disk full" or self.studio.is_on_a_small_disk)
        ]
        rounds = 0
        while rounds < 2 or len(self.verdicts) < runs:
            yield from self.studio.dice.sample(possible, len(possible))
            rounds += 1


# --- the outcome --------------------------------------------------------------------------------
def table(verdicts: list[Verdict]) -> list[dict]:
    rows = []
    for kind in dict.fromkeys(one.kind for one in verdicts):
        found = [one for one in verdicts if one.kind == kind]
        seconds = [one.recovery_seconds for one in found if one.recovery_seconds is not None]
        rows.append(
            {
                "fault": kind,
                "runs": len(found),
                "injected": len(seconds),
                "lost": sum(one.is_lost for one in found),
                "double": sum(one.doubles for one in found),
                "intervals": max(one.repeated_intervals for one in found),
                "steps": max(one.repeated_steps for one in found),
                "difference": max(one.difference for one in found),
                "recovery_s": round(statistics.median(seconds), 1) if seconds else None,
            }
        )
    return rows


def is_missed(row: dict) -> bool:
    allowed = FAULTS.get(row["fault"], CALM).intervals
    return bool(row["lost"] or row["double"]) or (
        row["intervals"] > allowed or row["difference"] > 0.01
    )


def left_over(studio: Victim) -> dict[str, list[str]]:
    """Return what is still there a moment after a studio was stopped."""
    time.sleep(1)
    return {
        "orphans": [" ".join(process.cmdline()) for process in studio.processes()],
        "parts": sorted(str(p.relative_to(studio.data)) for p in studio.data.rglob("*.part")),
    }


def tell(rows: list[dict]) -> None:
    print("fault".ljust(28), *(f"{name:>10}" for name in list(rows[0])[1:]))
    for row in rows:
        figures = (f"{figure!s:>10.10}" for figure in list(row.values())[1:])
        print(row["fault"].ljust(28), *figures, "MISSED" if is_missed(row) else "")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mode", choices=("embedded", "scaled"), default="embedded")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--only", default="", help="part of a fault's name")
    parser.add_argument("--out", type=Path, help="write all verdicts there as JSON")
    parser.add_argument("--keep", action="store_true", help="keep the logs where an aim is missed")
    parser.add_argument("--postgres", default="postgresql://postgres@127.0.0.1:5432")
    return parser.parse_args()


def enter(studio: Victim) -> None:
    """Become one more process of the studio: its rows and verbs are used from here."""
    os.environ.update(studio.environment)
    os.environ["DJANGO_SETTINGS_MODULE"] = "studio.settings"
    import django

    django.setup()


def main() -> int:
    asked = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="dadeum-faults-"))
    began = time.monotonic()
    with Victim(folder, asked.mode, asked.postgres, random.Random(asked.seed)) as studio:
        enter(studio)
        trial = Trial(studio)
        try:
            trial.run_all(asked.runs, asked.only)
        except KeyboardInterrupt:
            print("ended early")
        finally:
            shutil.copytree(studio.data / "logs", folder / "logs")
            studio.stop()
        left = left_over(studio)
    rows = table(trial.verdicts)
    tell(rows)
    minutes = round((time.monotonic() - began) / 60, 1)
    print(f"{len(trial.verdicts)} runs, {minutes} minutes, left over: {left}")
    if asked.out:
        facts = {"mode": asked.mode, "seed": asked.seed, "minutes": minutes, "left": left}
        runs = [asdict(verdict) for verdict in trial.verdicts]
        asked.out.write_text(json.dumps(facts | {"table": rows, "runs": runs}, indent=1))
    missed = any(map(is_missed, rows)) or any(left.values())
    if missed and asked.keep:
        print(f"logs: {folder / 'logs'}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
