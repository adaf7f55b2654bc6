"""How well personal data is found: precision and recall by kind, and what is wrongly taken for it.

    .venv/bin/python benchmarks/personal_data.py [--part held] [--seed 1] [--times 6] [--missed]

The sentences and how numbers are drawn: tests/datasets/personal_set.py. The detector was mended by
the part `shown`; only the part `held` judges it. Last, the speed over texts of three sorts.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.datasets import personal_set  # noqa: E402 - from the repository, not from its parent
from training.datasets import personal  # noqa: E402

PLAIN = "안녕하세요. 문의하신 내용은 담당 부서에서 확인하여 안내해 드리겠습니다. 감사합니다. " * 4
TEXTS = {
    "without digits": PLAIN,
    "with dates and sums": PLAIN + "2024년 3월 15일까지 30,000원을 내 주세요.",
    "with a phone number": PLAIN + "문의 010-1234-5678",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("shown", "held"), default="held")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--times", type=int, default=6, help="how often each sentence is filled")
    parser.add_argument("--missed", action="store_true", help="print what was missed or mistaken")
    arguments = parser.parse_args()
    cases = personal_set.cases(arguments.seed, arguments.part, arguments.times)
    print("\n".join([*by_kind(cases), "", *by_class(cases), "", *by_speed()]))
    if arguments.missed:
        print("\n" + "\n".join(errors(cases)))


def by_kind(cases: list[personal_set.Case]) -> Iterator[str]:
    scores = personal_set.scores(cases, personal.find)
    whole = personal_set.Score()
    yield "| kind | there | found | taken | precision | recall |\n|---|--:|--:|--:|--:|--:|"
    for kind in personal.KINDS:
        yield line(kind, scores[kind])
        for part in ("there", "found", "taken"):
            setattr(whole, part, getattr(whole, part) + getattr(scores[kind], part))
    yield line("all", whole)


def line(name: str, score: personal_set.Score) -> str:
    numbers = f"{score.there} | {score.found} | {score.taken}"
    return f"| {name} | {numbers} | {score.precision:.1%} | {score.recall:.1%} |"


def by_class(cases: list[personal_set.Case]) -> Iterator[str]:
    yield "| what only looks like it | sentences | taken for |\n|---|--:|---|"
    for name, (count, kinds) in personal_set.mistaken(cases, personal.find).items():
        said = ", ".join(f"{kind} {number}" for kind, number in kinds.items())
        yield f"| {name} | {count} | {said} |"


def by_speed() -> Iterator[str]:
    yield "| a text | letters | µs |\n|---|--:|--:|"
    for name, text in TEXTS.items():
        began = time.perf_counter()
        for _ in range(20_000):
            personal.find(text)
        yield f"| {name} | {len(text)} | {(time.perf_counter() - began) / 20_000 * 1e6:.2f} |"


def errors(cases: list[personal_set.Case]) -> Iterator[str]:
    for case in cases:
        true = {personal_set.place(case, truth): truth.shape for truth in case.truths}
        taken = {personal_set.place(case, match) for match in personal.find(case.text)}
        for kind, start, end in sorted(true.keys() ^ taken):
            word = "missed" if (kind, start, end) in true else "mistaken"
            shape = true.get((kind, start, end), "")
            yield f"{word} {kind} {case.text[start:end]!r} ({shape}) in {case.name}: {case.text!r}"


if __name__ == "__main__":
    main()
