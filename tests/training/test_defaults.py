"""benchmarks/defaults.py: its tasks say what their answers claim, its peers learn by their own numbers."""

import json
import re
import signal
from types import SimpleNamespace

import pytest

from benchmarks import appointments, defaults

OUR_BASE = SimpleNamespace(parameters=134_515_008, context_length=8192)


def understood(message: str) -> str:
    """Read a message by rules of our own: what is called off, which day holds, which hour."""
    if re.match("No |Drop ", message):
        return "none"
    days = re.findall("|".join(appointments.DAYS), message)
    is_last_day = re.search("from|Not|same hour", message)
    day = days[-1 if is_last_day else 0]
    hours = [
        12 if word == "noon" else int(word.split()[0]) + 12 * word.endswith("pm")
        for word in re.findall(r"noon|\d+ [ap]m", message)
    ]
    hour = hours[-1] if message.startswith("Not") else hours[0]
    if found := re.search(r"(one|two|three) hours?( earlier)?", message):
        amount = ["", "one", "two", "three"].index(found[1])
        hour += -amount if found[2] else amount
    return f"{day[:3]} {hour}:00"


def test_each_appointment_follows_from_its_message_and_none_comes_twice():
    rows = list(appointments.rows(3000))
    assert [row["prompt"] for row in rows if understood(row["prompt"]) != row["completion"]] == []
    assert len({row["prompt"] for row in rows}) == 3000
    hours = {int(row["completion"][4:-3]) for row in rows if row["completion"] != "none"}
    assert hours <= set(range(appointments.FIRST, appointments.LAST + 1))
    assert 0.1 < sum(row["completion"] == "none" for row in rows) / 3000 < 0.25
    assert rows == list(appointments.rows(3000))


def test_what_is_asked_is_never_taught_and_the_same_for_all(tmp_path):
    chats = tmp_path / "chats.csv"
    lines = [f"질문 {number},답,{number % 3}" for number in range(900)]
    chats.write_text("Q,A,label\n" + "\n".join(lines) + f"\n{'긴' * 17},답,0\n", "utf-8")
    for task in ("appointments", "subjects"):
        seen = [defaults.data(defaults.Cell(task, 200, seed), chats) for seed in (1, 2)]
        assert seen[0][1] == seen[1][1] and seen[0][0] != seen[1][0]
        taught = {row["prompt"] for rows, _ in seen for row in rows}
        assert not taught & {row["prompt"] for row in seen[0][1]}
        assert len(seen[0][0]) == 200 and len(seen[0][1]) == defaults.ASKED


@pytest.fixture
def small(monkeypatch, tiny_base):
    monkeypatch.setattr(defaults, "ASKED", 4)
    before = signal.getsignal(signal.SIGTERM)

    def run(numbers: defaults.Numbers) -> dict:
        cell = defaults.Cell("appointments", 40, 1)
        return defaults.run(tiny_base, None, cell, "somebody", numbers)

    yield run
    signal.signal(signal.SIGTERM, before)


def test_a_run_ends_after_the_steps_that_a_tool_allows(small):
    found = small(defaults.Numbers(2, 8, 1e-3, 4, 8, most_steps=7))
    assert found["steps"] == 7 and found["loss"] > 0 and 0 <= found["exact"] <= 1


def test_ours_holds_examples_back_and_takes_its_best_step(small):
    found = small(defaults.Numbers(9, 8, 1e-2, 4, 8, patience=1, validation_share=0.25))
    assert found["kept"] <= found["steps"] < 9 * 4


def test_a_linear_schedule_rises_and_falls_along_lines():
    job = defaults.trainer(defaults.Numbers(1, 8, 1.0, 4, 8, 0.2, is_linear=True))
    job = job.__new__(job)
    job.plan = SimpleNamespace(total_steps=10)
    rates = [job.learning_rate(step) for step in range(10)]
    assert rates == pytest.approx([0.5, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125])


def test_what_was_measured_with_other_numbers_is_measured_anew(tmp_path):
    told = SimpleNamespace(full=False, chats=None, results=tmp_path / "results.jsonl")
    every = defaults.jobs_left(told, OUR_BASE)
    assert len(every) == 2 * 2 * (1 + len(defaults.PEERS))
    assert every[0][:2] == (defaults.Cell("appointments", 200, 1), "Dadeum")
    done = [
        defaults.asdict(numbers) | defaults.asdict(cell) | {"name": name}
        for cell, name, numbers in every
    ]
    done[0]["learning_rate"] /= 2
    told.results.write_text("\n".join(map(json.dumps, done)))
    assert defaults.jobs_left(told, OUR_BASE) == every[:1]
