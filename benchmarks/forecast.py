"""How true forecasts are: time, memory and disk as said before a training, beside what it took.

    .venv/bin/python benchmarks/forecast.py [--runs 10] [--only NAME] [--data FOLDER]

Trainings of different shapes go through the real lane and trainer, one after the other, in a data folder
of their own. «measured» is the forecast from the quick measurement alone, «learnt» the one that the
other trainings of the table correct. Two bases are made of random weights, of another size than the
built-in one. Close everything else that uses the processor: what others took of it is told, and what was
disturbed is done again, once. With --data the undisturbed runs are kept, so that it can go on later.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
BUILTIN = "smollm2-135m-instruct"
NEAR = 0.2
QUIET = 0.08
"""Part of the processor that others may take of an undisturbed run."""


@dataclass(frozen=True)
class Run:
    name: str
    rows: int
    kind: str = "mixed"
    base: str = BUILTIN
    method: str = "lora"
    knobs: dict = field(default_factory=dict)


RUNS = (
    Run("short rows", 220, "short", knobs={"epochs": 2}),
    Run("long rows", 22, "long", knobs={"epochs": 1}),
    Run("mixed lengths", 60, knobs={"epochs": 1}),
    Run("many epochs", 20, "short", knobs={"epochs": 20, "patience": 0}),
    Run("rank 128", 40, knobs={"epochs": 1, "lora_rank": 128}),
    Run("full", 160, "short", method="full", knobs={"epochs": 2}),
    Run("batch of 32", 64, knobs={"epochs": 1, "batch_size": 32}),
    Run("small base", 200, base="small", knobs={"epochs": 2}),
    Run("larger base", 30, base="larger", knobs={"epochs": 1}),
    Run("few steps", 12, "short", knobs={"epochs": 1}),
    Run("same beginnings", 100, "alike", knobs={"epochs": 2}),
    Run("no validation", 60, knobs={"epochs": 1, "validation_share": 0.0}),
    Run("batch of 1", 100, "short", knobs={"epochs": 1, "batch_size": 1}),
)


@dataclass
class Row:
    run: Run
    job: Any
    forecasts: dict[str, Any]
    most_bytes: int
    """On disk while it ran."""

    others: float
    """Part of the processor's time that other processes took."""

    @property
    def seconds(self) -> float:
        return (self.job.finished_at - self.job.started_at).total_seconds()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--only")
    parser.add_argument("--data", help="a data folder to keep, with its measurement")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = told.data or folder
        os.environ |= {"DADEUM_DATA": place, "DJANGO_SETTINGS_MODULE": "studio.settings"}
        os.environ["DADEUM_MIN_EXAMPLES"] = "1"
        if not (Path(place) / "builtin").exists():
            shutil.copytree(ROOT / "data/builtin", Path(place) / "builtin")
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        chosen = [run for run in RUNS if run.name == told.only] or RUNS[: told.runs]
        table(list(measure(chosen)))


def measure(chosen: list[Run]) -> Iterator[Row]:
    from django.conf import settings
    from django.contrib.auth import get_user_model

    from training import forecast

    owner, _ = get_user_model().objects.get_or_create(username="measuring")
    for _ in range(2):
        if "step" not in forecast._measured():
            with Others() as others:
                forecast.measure()
            print(f"quick measurement: {others.seconds:.0f} s, {others}", flush=True)
            if others.share > QUIET:
                (settings.DATA / "speed.json").unlink()
    if "step" not in forecast._measured():
        sys.exit("other processes are too busy")
    make_bases()
    for run in chosen:
        yield kept_row(run) or taken(owner, run) or taken(owner, run, is_last=True)


def taken(owner, run: Run, is_last: bool = False) -> Row | None:
    """Train one; None where others disturbed it, unless it is the last try."""
    job = prepared(owner, run)
    with Others() as others:
        most = train(job)
    assert job.status == "succeeded", f"{run.name}: {job.error}"
    row = row_of(run, job, most, others.share)
    took = f"{row.seconds:.1f} s for {row.forecasts['measured'].seconds} s"
    told = f"{job.tuned.metrics['seconds']} for {expected(job)}"
    print(f"{run.name}: {took}, {others}, {told}", flush=True)
    if others.share > QUIET and not is_last:
        return None
    kept = {"job": job.pk, "most_bytes": most, "others": others.share}
    place_of(run).write_text(json.dumps(kept))
    return row


def kept_row(run: Run) -> Row | None:
    """Return a run that was taken before."""
    from training.models import Job

    if not place_of(run).exists():
        return None
    kept = json.loads(place_of(run).read_text())
    job = Job.objects.get(pk=kept["job"])
    return row_of(run, job, kept["most_bytes"], kept["others"]) if kept["others"] <= QUIET else None


def place_of(run: Run) -> Path:
    from django.conf import settings

    return settings.DATA / f"{run.name}.json"


def row_of(run: Run, job, most: int, others: float) -> Row:
    from training import forecast

    said = {"measured": said_of(job, forecast.Machine(forecast._measured()))}
    return Row(run, job, said, most, others)


class Others:
    """What other processes take of the processor meanwhile."""

    share = 0.0

    def __enter__(self) -> "Others":
        self.begun, self.before = time.monotonic(), self._busy()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self.begun
        self.share = (self._busy() - self.before) / self.seconds / (os.cpu_count() or 1)

    def _busy(self) -> float:
        """Return the seconds for which processors worked, but for this process and its children."""
        import psutil

        told = psutil.cpu_times()
        own = sum(os.times()[:4])
        return sum(told) - told.idle - getattr(told, "iowait", 0.0) - own

    def __str__(self) -> str:
        return f"others {self.share:.0%}"


def make_bases() -> None:
    """Write two bases of random weights that talk by the built-in one's tokenizer."""
    from django.conf import settings

    from training.costs import Shape
    from training.lm.measure import write_model

    shapes = {
        "small": Shape(12, 256, 768, 4, 2, 64, vocabulary=49_152),
        "larger": Shape(16, 1024, 2816, 16, 4, 64, vocabulary=49_152),
    }
    for name, shape in shapes.items():
        folder = settings.MODELS / name
        if not folder.exists():
            write_model(folder, shape)
            for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
                if (settings.BUILTIN_MODEL / file).exists():
                    shutil.copy(settings.BUILTIN_MODEL / file, folder / file)


def prepared(owner, run: Run):
    """Store a run's data, count it, and return the job, in line."""
    from django.conf import settings

    from training import drafts, jobs
    from training.chat import Renderer
    from training.datasets import reports, versions
    from training.models import TokenCount

    renderer = Renderer.of(settings.BUILTIN_MODEL)
    path = versions.incoming() / f"{run.name}.jsonl"
    rows = made(run, lambda text: renderer.count_tokens([text]))
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    version = versions.from_upload(owner, path.name, path)
    versions.read(version.pk)
    version.refresh_from_db()
    job = drafts.create_draft(owner)
    drafts.edit(
        job, name=run.name, method=run.method, base=run.base, knobs=run.knobs, version=version
    )
    if report := reports.of(version):
        reports.check(report.pk)
    count = drafts.token_count(job)
    assert count
    versions.count(str(count.pk))
    assert TokenCount.objects.get(pk=count.pk).status == "ready"
    jobs.start(job)
    return job


def made(run: Run, tokens) -> Iterator[dict]:
    from mixed import ENGLISH, rows

    draw = random.Random(run.name)
    if run.kind == "mixed":
        yield from rows(run.rows, tokens)
        return

    def text(low: int, high: int) -> str:
        wanted, said = draw.randint(low, high), ""
        while tokens(said) < wanted:
            said += " " * bool(said) + " ".join(draw.choice(part) for part in ENGLISH)
        return said

    alike = text(150, 160) + "\n"
    for number in range(run.rows):
        if run.kind == "long":
            yield {"prompt": f"{number}. {text(500, 900)}", "completion": text(60, 200)}
        elif run.kind == "alike":
            yield {"prompt": f"{alike}{number} {text(8, 30)}", "completion": text(4, 20)}
        else:
            yield {"prompt": f"{number}: {text(6, 25)}", "completion": text(6, 25)}


def train(job) -> int:
    """Run a job to its end; return the most bytes that it took on disk."""
    from training import disk, tasks

    found, is_over = [0], threading.Event()

    def watch() -> None:
        while not is_over.wait(0.2):
            found.append(disk.used_bytes(job))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        tasks.KINDS["train"].run(job.pk)
    finally:
        is_over.set()
        watcher.join()
    job.refresh_from_db()
    return max(found)


def said_of(job, machine):
    from training import bases, drafts, forecast

    kept = drafts.kept(job)
    assert kept
    return forecast.forecast(bases.find(job.base), job.method, job.resolved, kept, machine)


def expected(job) -> dict:
    from training import bases, drafts, forecast

    told = forecast._measured()
    parts = forecast.parts(bases.find(job.base), job.method, job.resolved, drafts.kept(job), told)
    return {name: round(seconds, 1) for name, seconds in parts.items()}


def table(rows: list[Row]) -> None:
    from training import bases, forecast

    rates = forecast._measured()
    lessons = [lesson_of(row, rates) for row in rows]
    for place, row in enumerate(rows):
        others = tuple(one for one in lessons[:place] + lessons[place + 1 :] if one)
        row.forecasts["learnt"] = said_of(row.job, forecast.Machine(rates, others))
    print("\n| | others | took | measured | learnt | memory MB | measured | learnt | disk MB, result | forecast | most | forecast |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        found = forecast.disk(bases.find(row.job.base), row.job.method, row.job.resolved)
        peak = row.job.tuned.metrics["peak_bytes"]
        times = [f"{row.forecasts[way].seconds:.0f} s ({off(row.forecasts[way].seconds, row.seconds)})" for way in WAYS]  # fmt: skip
        sizes = [f"{row.forecasts[way].memory_bytes / 1e6:,.0f} ({off(row.forecasts[way].memory_bytes, peak)})" for way in WAYS]  # fmt: skip
        disks = [row.job.tuned.size_bytes, found.result_bytes, row.most_bytes, found.most_bytes]
        cells = [
            row.run.name,
            f"{row.others:.0%}",
            f"{row.seconds:.0f} s",
            *times,
            f"{peak / 1e6:,.0f}",
            *sizes,
        ]
        print(f"| {' | '.join([*cells, *(f'{size / 1e6:,.1f}' for size in disks)])} |")
    rows = [row for row in rows if row.others <= QUIET]
    for way in WAYS:
        times = sum(is_near(row.forecasts[way].seconds, row.seconds) for row in rows)
        sizes = sum(is_near(row.forecasts[way].memory_bytes, row.job.tuned.metrics["peak_bytes"]) for row in rows)  # fmt: skip
        print(f"{way}: within {NEAR:.0%} of the time {times} of {len(rows)}, of the memory {sizes}")


WAYS = ("measured", "learnt")


def lesson_of(row: Row, rates: dict):
    from training import bases, forecast
    from training.models import TokenCount

    count = TokenCount.objects.get(version=row.job.version, base=row.job.base, is_sample=False)
    base = bases.find(row.job.base)
    return forecast._lesson(row.job, base, row.job.tuned.metrics, count.result, rates)


def off(said: float, took: float) -> str:
    return f"{said / took - 1:+.0%}"


def is_near(said: float, took: float) -> bool:
    return abs(said / took - 1) <= NEAR


if __name__ == "__main__":
    main()
