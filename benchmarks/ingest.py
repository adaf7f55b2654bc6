"""How fast files are read: our whole child beside libraries that only parse.

    .venv/bin/python benchmarks/ingest.py [--rows 1000000]

The child (`python -m training.datasets.child`) proves the encoding, checks every row, composes letters,
writes segments with offsets and digests, and syncs them to disk. The peers only parse the same file
into Python objects or a frame, each in a process of its own. Peers that are not installed are left out;
for all of them: .venv/bin/python -m pip install orjson==3.13.* pandas==3.1.* polars
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUESTION = "{number}번 민원입니다. 집 앞 골목의 가로등이 꺼져 밤길이 어둡습니다. 언제 고치나요?"
ANSWER = "안녕하세요. {number}번 민원은 도로과에서 맡아 사흘 안에 고치겠습니다.\n고맙습니다."
MESSAGES = (
    '{{"messages": [{{"role": "user", "content": {}}}, {{"role": "assistant", "content": {}}}]}}\n'
)
PAIRS = '{{"prompt": {}, "completion": {}}}\n'
JSON_PEERS = {
    "json": "import json\nfor line in open(path, 'rb'): json.loads(line)",
    "orjson": "import orjson\nfor line in open(path, 'rb'): orjson.loads(line)",
    "msgspec": (
        "import msgspec\nread = msgspec.json.Decoder().decode\n"
        "for line in open(path, 'rb'): read(line)"
    ),
    "pandas": "import pandas; frame = pandas.read_json(path, lines=True)",
    "polars": "import polars; frame = polars.read_ndjson(path)",
}
CSV_PEERS = {
    "csv": "import csv\nfor row in csv.reader(open(path, encoding='utf-8', newline='')): pass",
    "pandas": "import pandas; frame = pandas.read_csv(path)",
    "polars": "import polars; frame = polars.read_csv(path)",
}
REPORT = (
    "\nprint('PEAK', __import__('pathlib').Path('/proc/self/status').read_text()"
    ".split('VmHWM:')[1].split()[0])"
)
CHILD = (
    "import pathlib, sys; from training.datasets import child\n"
    "child.bound(); code = child.carry_out(lambda: child.run(pathlib.Path(path))); assert not code"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    print(f"| {rows:,} rows | rows/s | peak MB | ours is |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, line, peers in (
            ("JSONL, prompt and completion", PAIRS, JSON_PEERS),
            ("JSONL, messages", MESSAGES, JSON_PEERS),
            ("CSV", "질문,답변", CSV_PEERS),
            ("CSV, conversations of two turns", "C_ID,T_ID,Text,Completion", CSV_PEERS),
        ):
            raw = Path(folder) / "raw"
            write(raw, rows, line)
            print(f"| **{name}**, {raw.stat().st_size / rows:.0f} bytes a row | | | |")
            compare(Path(folder), raw, rows, peers)


def write(path: Path, rows: int, line: str) -> None:
    """Write rows of one form: a line of JSON with two places, or a table below its header."""
    is_table = not line.startswith("{")
    with path.open("w", encoding="utf-8", newline="\n") as file:
        if is_table:
            file.write(f"{line}\n")
        for number in range(rows):
            texts = QUESTION.format(number=number), ANSWER.format(number=number)
            if is_table:
                turn = f"{number // 2},{number % 2}," if line.startswith("C_ID") else ""
                file.write('{}{},"{}"\n'.format(turn, *texts))
            else:
                file.write(line.format(*(json.dumps(text, ensure_ascii=False) for text in texts)))


def compare(folder: Path, raw: Path, rows: int, peers: dict[str, str]) -> None:
    order = {"source": "upload", "raw": raw.name, "file_name": "raw"}
    (folder / "order.json").write_text(json.dumps(order))
    ours, peak = measure(CHILD, folder)
    told = json.loads((folder / "manifest.json").read_bytes())
    assert told["rows"] in (rows, rows // 2), told["rows"]
    print(f"| our child: read, check, write | {rows / ours:,.0f} | {peak:,.0f} | |")
    for name, source in peers.items():
        if find_spec(name):
            seconds, peak = measure(source, raw)
            print(
                f"| {name}, parsing only | {rows / seconds:,.0f} | {peak:,.0f} | {seconds / ours:.2f} × |"
            )


def measure(source: str, path: Path) -> tuple[float, float]:
    """Run a program in a process of its own; return its seconds and peak megabytes."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", f"path = {str(path)!r}\n{source}{REPORT}"],
        cwd=ROOT, capture_output=True, text=True, check=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    return time.perf_counter() - began, int(done.stdout.split("PEAK ")[1]) / 1024


if __name__ == "__main__":
    main()
