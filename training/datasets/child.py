"""`python -m training.datasets.child FOLDER`: fetch and read one dataset version.

FOLDER/order.json says what; segments and problems come into the same folder, progress and the
result go to stdout as JSON lines. Knows no Django. A second run starts over.
"""

import errno
import json
import resource
import signal
import sys
import time
from array import array
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path

from training import lifeline
from training.chat import Example
from training.datasets import layout, segments, store
from training.datasets.check.terms import ROWS
from training.datasets.choices import ENCODINGS, Choices
from training.datasets.read import Reader
from training.datasets.shapes import Problem
from training.errors import UserError

MEMORY_BYTES = 6 << 30
CPU_SECONDS = 3600
REPORT_SECONDS = 0.25
ROWS_BETWEEN_LOOKS = 200
EXIT_USER_ERROR, EXIT_STOPPED = 2, 75


class Progress:
    """Says how far a phase has come, at most four times a second."""

    def __init__(self, phase: str, unit: str = "bytes") -> None:
        self.phase = phase
        self.unit = unit
        self.said_at = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self.said_at >= REPORT_SECONDS:
            self.said_at = now
            counts = {f"done_{self.unit}": done, f"total_{self.unit}": total}
            say("progress", phase=self.phase, **counts)


def say(kind: str, **fields: object) -> None:
    print(json.dumps({"kind": kind, **fields}), flush=True)


def run(folder: Path) -> None:
    """Do what a folder's order says.

    Raises: UserError of Choices, fetch and Reader.
    """
    order = json.loads((folder / "order.json").read_text("utf-8"))
    if order["source"] == "merge":
        say("read", **merge(folder, [Path(part) for part in order["parts"]]))
        return
    if order["source"] == "rewrite":
        say("read", **rewrite(folder, order))
        return
    raw = folder / order["raw"]
    choices = Choices.of(order.get("choices"))
    segments.clear(folder)
    file_name = order.get("file_name", "")
    if order["source"] == "url":
        from training.datasets.fetch import fetch  # here: uploads need no network code

        fetched = fetch(
            order["url"],
            raw,
            allow=order.get("allow", []),
            max_bytes=order["max_bytes"],
            deadline_seconds=order["deadline_seconds"],
            on_progress=Progress("fetch"),
        )
        file_name = fetched.file_name
    say("read", **read(folder, raw, choices), file_name=file_name)


def _opened(raw: Path, choices: Choices) -> Reader:
    """Open a file; where its letters can't be read, tell what could be chosen.

    Raises: UserError of Reader.
    """
    try:
        return Reader(raw, choices)
    except UserError as error:
        if error.code in ("file_undecodable", "encoding_unfit"):
            say("layout", layout=layout.of_unreadable(ENCODINGS))
        raise


def read(folder: Path, raw: Path, choices: Choices) -> dict:
    """Read `raw` into the folder's segments and return what is to be told.

    Tells the layout before, so that it is known also when reading fails.

    Raises: UserError of Reader.
    """
    progress = Progress("read")
    reader = _opened(raw, choices)
    say("layout", layout=reader.layout)
    with segments.Writer(folder) as writer:
        for number, found in enumerate(reader.batches()):
            if isinstance(found, list):
                writer.add_many(found)
            elif isinstance(found, Problem):
                writer.add_problem(found)
            else:
                writer.add(found)
            if isinstance(found, list) or number % ROWS_BETWEEN_LOOKS == 0:
                progress(reader.done_bytes, reader.size_bytes)
        written = writer.close()
    return {
        "examples": written.rows,
        "problems": writer.problem_count,
        "encoding": reader.encoding,
        "format": reader.format,
        "notes": sorted(reader.notes),
        "fingerprint": written.fingerprint,
        "size_bytes": reader.size_bytes,
    }


def merge(folder: Path, parts: list[Path]) -> dict:
    """Write the rows of other folders into this one and return what is to be told."""
    total = sum(len(store.view(part)) for part in parts)
    return _written(folder, chain.from_iterable(map(store.iterate, parts)), total)


def rewrite(folder: Path, order: dict) -> dict:
    """Write the rows of another folder into this one, some of them as a cure has it; return what is
    to be told."""
    from training.datasets.check import cures  # here: no other reading looks for personal data

    part = Path(order["part"])
    rows = array("I", (part / ROWS).read_bytes())
    mending = cures.mend(order["key"], order["how"], order["params"])
    view = store.view(part)
    concerned = {view.number(position) for position in rows}
    found = (
        cures.rewritten(example, mending) if number in concerned else example
        for number, example in enumerate(store.iterate(part))
    )  # fmt: skip
    return _written(folder, found, len(view))


def _written(folder: Path, found: Iterable[Example | None], total: int) -> dict:
    """Write examples and return what is to be told; None is one that is left out."""
    progress = Progress("merge", unit="rows")
    segments.clear(folder)
    with segments.Writer(folder) as writer:
        for number, example in enumerate(found):
            if example:
                writer.add(example)
            if number % ROWS_BETWEEN_LOOKS == 0:
                progress(number, total)
        written = writer.close()
    return {
        "examples": written.rows,
        "problems": 0,
        "format": "jsonl-messages",
        "fingerprint": written.fingerprint,
        "size_bytes": sum(path.stat().st_size for path in folder.glob("segment-*.jsonl")),
    }


def bound() -> None:
    """Bound this process's memory and processor time, and end when asked to."""

    def stop(number: int, frame: object) -> None:
        sys.exit(EXIT_STOPPED)

    def give_up(number: int, frame: object) -> None:
        raise UserError("file_too_heavy")

    for limit, value in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_CPU, CPU_SECONDS)):
        _, hard = resource.getrlimit(limit)
        is_tighter = hard != resource.RLIM_INFINITY and hard < value
        resource.setrlimit(limit, (hard if is_tighter else value, hard))
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGXCPU, give_up)


def carry_out(work: Callable[[], None]) -> int:
    """Do a child's work and return its exit code; what a person can mend is told."""
    try:
        work()
    except UserError as error:
        say("error", **error.as_dict())
        return EXIT_USER_ERROR
    except MemoryError:
        say("error", code="file_too_heavy", params={})
        return EXIT_USER_ERROR
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        say("error", code="disk_full", params={})
        return EXIT_USER_ERROR
    return 0


def main(work: Callable[[Path], None]) -> int:
    """Do a child's work on the folder that its command names; return its exit code."""
    lifeline.attach()
    bound()
    return carry_out(lambda: work(Path(sys.argv[1])))


if __name__ == "__main__":
    sys.exit(main(run))
