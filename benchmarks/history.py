"""How fast a long run's page is: the points of its chart, what a poll asks, and the table.

    .venv/bin/python benchmarks/history.py [--points 100000] [--database postgresql://…]

A job with so many points (one a step, two crashes on the way) is made in a database of its own, which
goes when it is measured; without --database that is a SQLite file. Each address is asked ten times
through the whole of Django; the least is what it costs, the median what a busy machine makes of it.
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
ROUNDS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--database", default="")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ |= {"DADEUM_DATA": place, "DJANGO_SETTINGS_MODULE": "studio.settings"}
        os.environ |= {"DADEUM_DATABASE_URL": wanted.database} if wanted.database else {}
        import django

        django.setup()
        from django.conf import settings
        from django.db import connection

        settings.ALLOWED_HOSTS = ["*"]
        settings.DATABASES["default"]["TEST"]["NAME"] = None
        if connection.vendor == "sqlite":
            connection.settings_dict["TEST"]["NAME"] = f"{place}/history.sqlite3"
        connection.creation.create_test_db(verbosity=0, autoclobber=True)
        try:
            measure(connection.vendor, wanted.points)
        finally:
            connection.creation.destroy_test_db(settings.DATABASES["default"]["NAME"], verbosity=0)


def measure(database: str, count: int) -> None:
    from django.test import Client

    job = long_job(count)
    client = Client()
    client.force_login(job.owner)
    newest = job.events.last().pk
    print(f"| {count:,} points, {database} | least ms | median ms | kB |\n|---|---|---|---|")
    for name, address in {
        "the chart's points": "points/",
        "a poll when 20 are new": f"points/?after={newest - 20}",
        "a poll when nothing is new": f"points/?after={newest}",
        "the table": "table/",
        "the page": "",
    }.items():
        took, size = [], 0
        for _round in range(ROUNDS):
            began = time.perf_counter()
            answer = client.get(f"/models/{job.pk}/{address}")
            took.append(1000 * (time.perf_counter() - began))
            assert answer.status_code == 200, answer.status_code
            size = len(answer.content)
        print(f"| {name} | {min(took):.0f} | {statistics.median(took):.0f} | {size / 1000:.0f} |")


def long_job(count: int):
    from studio.models import User
    from training.models import Dataset, DatasetVersion, Job, JobEvent

    owner = User.objects.create_user("measured", is_staff=True)
    dataset = Dataset.objects.create(owner=owner, name="long")
    version = DatasetVersion.objects.create(dataset=dataset, status="ready")
    job = Job.objects.create(
        owner=owner, version=version, status="running", name="long", base="none",
        step=count, total_steps=count, resolved={"epochs": 10},
    )  # fmt: skip
    made = [JobEvent(job=job, attempt=1, **one) for one in said(count)]
    JobEvent.objects.bulk_create(made, batch_size=5000)
    return job


def said(count: int) -> Iterator[dict]:
    """Yield what a run says that loses a hundredth of its steps to each of two crashes."""
    chance = random.Random(7)
    lost = count // 100
    beginnings = {0: 0, count // 3: count // 3 - lost, 2 * count // 3: 2 * count // 3 - lost}
    step, seen = 0, set()
    while step < count:
        if step in beginnings and step not in seen:
            seen.add(step)
            step = beginnings[step]
            yield {"kind": "start", "step": step}
        step += 1
        place = {"step": step, "data": {"epoch": round(10 * step / count, 3)}}
        yield {"kind": "metrics", **place} | {"data": place["data"] | figures(step, count, chance)}
        if step % max(1, count // 20) == 0:
            yield {"kind": "validation", "step": step, "data": {"validation_loss": 1 + 1 / step}}


def figures(step: int, count: int, chance: random.Random) -> dict:
    return {
        "phase": "training", "loss": 2 - step / count + chance.random() / 5,
        "learning_rate": 2e-4 * (1 - step / count), "gradient_norm": 3 * chance.random(),
        "tokens_per_second": 800 + chance.random(), "seconds_left": count - step,
        "trained_tokens": 812 * step, "memory_bytes": 3 << 30,
    }  # fmt: skip


if __name__ == "__main__":
    main()
