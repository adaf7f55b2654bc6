"""How fast and how well data is checked: the report at size, and near duplicates on made pairs.

    .venv/bin/python benchmarks/data_report.py [--rows 1000000]

The rows are made (tests/datasets/planted.py): all but 44 are without fault and differ in place,
subject and deed; the faults behind them must be found among the million. Each step runs in the
child that the studio uses, in a process of its own. The pairs (tests/datasets/near_set.py) are what
happens to a text that is entered twice, and what only looks like it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.datasets import near_set, planted  # noqa: E402

ENVIRONMENT = os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)}
PEAK = (
    "\nprint('PEAK', __import__('pathlib').Path('/proc/self/status').read_text()"
    ".split('VmHWM:')[1].split()[0])"
)
READ = (
    "import pathlib; from training.datasets import child\n"
    "child.bound(); assert not child.carry_out(lambda: child.run(pathlib.Path(path)))"
)
CHECK = (
    "import pathlib; from training.datasets import child; from training.datasets.check import __main__ as check\n"
    "child.bound(); assert not child.carry_out(lambda: check.run(pathlib.Path(path)))"
)
EDIT = (
    "import pathlib; from training.datasets import store\n"
    "folder = pathlib.Path(path); store.replace(folder, 7, store.examples(folder, 5, 1)[0])"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as place:
        at_size(Path(place), rows)
    near_duplicates()


# --- at size ------------------------------------------------------------------------------------
def at_size(folder: Path, rows: int) -> None:
    data = planted.fifteen_faults(rows)
    data.write(folder / "raw")
    (folder / "order.json").write_text(json.dumps({"source": "upload", "raw": "raw"}))
    order = {"minimum": 200, "validation_share": 0.1, "beside": []}
    (folder / "check.json").write_text(json.dumps(order))
    print(f"| {rows:,} rows | seconds | rows/s | peak MB |\n|---|---|---|---|")
    measure("reading", READ, folder, rows)
    said = measure("first report", CHECK, folder, rows)
    measure("one row is replaced", EDIT, folder, rows)
    measure("report after it", CHECK, folder, rows)
    found = {one["key"]: one["count"] for one in said["findings"]}
    print("\n| fault | planted | found |\n|---|---|---|")
    for fault, where in data.faults.items():
        print(f"| {fault} | {len(where)} | {found.pop(fault, 0)} |")
    print(f"\nBeside these: {found or 'nothing'}\n")


def measure(name: str, code: str, folder: Path, rows: int) -> dict:
    """Run code in a process of its own, print what it took, and return the report that it told."""
    began = time.perf_counter()
    program = f"path = {str(folder)!r}\n{code}{PEAK}"
    ended = subprocess.run(
        [sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    seconds = time.perf_counter() - began
    lines = ended.stdout.splitlines()
    peak = int(lines[-1].split()[1]) // 1024
    print(f"| {name} | {seconds:.1f} | {rows / seconds:,.0f} | {peak:,} |", flush=True)
    told = [json.loads(line) for line in lines if line.startswith('{"kind": "report"')]
    return told[0]["report"] if told else {}


# --- near duplicates ----------------------------------------------------------------------------
def near_duplicates(seed: int = 101) -> None:
    print("| pairs | of them | taken for near duplicates |\n|---|---|---|")
    right = table("entered twice", near_set.positives(1400, seed))
    wrong = table("only alike", near_set.negatives(1200, seed))
    recall, precision = right / 1400, right / (right + wrong)
    print(
        f"\nRecall {recall:.3f}, precision {precision:.3f} (as many of one kind as of the other)."
    )


def table(title: str, pairs: Iterable[tuple[str, near_set.Row, near_set.Row]]) -> int:
    total: Counter = Counter()
    taken: Counter = Counter()
    for name, one, other in pairs:
        total[name] += 1
        taken[name] += near_set.is_found(one, other)
    for name, count in total.items():
        print(f"| {title}: {name.replace('_', ' ')} | {count} | {taken[name]} |")
    return sum(taken.values())


if __name__ == "__main__":
    main()
