"""Questions asked all at once go on and end well, whatever is killed in the middle of it."""

import sqlite3

import pytest
import tiny
from running import Studio, wait_until

pytestmark = pytest.mark.journey
ORDER = """
import pathlib
from playground import batches
from playground.parameters import Parameters
from studio.models import User
from training.datasets import versions
user, _ = User.objects.get_or_create(username="mina", is_staff=True)
path = versions.incoming() / "questions"
path.write_text("\\n".join(f"오늘 날씨 {{number}} 어때요" for number in range(60)))
wish = batches.Wish("base:tiny", Parameters(temperature=1, max_tokens={tokens}))
print(batches.from_file(user, wish, "질문.txt", path).pk)
"""


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    data = tmp_path_factory.mktemp("batches")
    tiny.build(data / "models" / "tiny", hidden_size=64, context_length=4096)
    with Studio(data) as running:
        yield running


def ask(studio: Studio, sql: str, *values: object) -> list[tuple]:
    with sqlite3.connect(studio.data / "dadeum.sqlite3", timeout=20) as database:
        return database.execute(sql, values).fetchall()


def status(studio: Studio, batch: str) -> str:
    return ask(studio, "select status from playground_batch where id = ?", batch)[0][0]


def answers(studio: Studio, batch: str) -> dict[int, tuple[str, str]]:
    """Return what was answered so far: place, answer, and when."""
    sql = "select position, answer, answered_at from playground_batchquestion where batch_id = ? and answered_at is not null"
    return {place: (answer, at) for place, answer, at in ask(studio, sql, batch)}


def order(studio: Studio, tokens: int) -> str:
    return studio.shell(ORDER.format(tokens=tokens)).splitlines()[-1]


@pytest.mark.parametrize("victim", ["-Q light", "playground.engine"])
def test_a_killed_worker_or_engine_costs_no_answer_and_asks_nothing_twice(studio, victim):
    """Words are drawn by chance here, so that a second answer would be another one."""
    batch = order(studio, tokens=300)
    wait_until(lambda: len(answers(studio, batch)) >= 3, 90, "the first answers")
    for process in studio.processes(victim):
        process.kill()
    before = answers(studio, batch)
    assert len(before) < 60
    wait_until(lambda: status(studio, batch) == "ready", 180, "the end of the batch")
    after = answers(studio, batch)
    assert len(after) == 60 and {place: after[place] for place in before} == before


def test_stopping_and_starting_the_studio_goes_on_with_the_questions(studio):
    batch = order(studio, tokens=300)
    wait_until(lambda: len(answers(studio, batch)) >= 3, 90, "the first answers")
    assert studio.stop() == 0
    assert status(studio, batch) == "waiting"
    before = answers(studio, batch)
    studio.log.write_text("")
    studio.start()
    wait_until(lambda: status(studio, batch) == "ready", 180, "the end of the batch")
    after = answers(studio, batch)
    assert len(after) == 60 and {place: after[place] for place in before} == before


def test_other_light_work_is_done_beside_the_questions(studio):
    batch = order(studio, tokens=3000)
    wait_until(lambda: status(studio, batch) == "running", 60, "the start")
    file = studio.data / "a.jsonl"
    file.write_text('{"prompt": "네?", "completion": "네."}\n' * 30)
    code = (
        "import pathlib, shutil; from studio.models import User; from training.datasets import versions;"
        f"copy = pathlib.Path(shutil.copy({str(file)!r}, versions.incoming() / 'b'));"
        "print(versions.from_upload(User.objects.get(username='mina'), 'a.jsonl', copy).pk)"
    )
    version = studio.shell(code).splitlines()[-1]
    sql = "select status from training_datasetversion where id = ?"
    wait_until(lambda: ask(studio, sql, version) == [("ready",)], 60, "the reading")
    cancel = (
        "from playground import batches, models; batches.cancel(models.Batch.objects.get(pk={!r}))"
    )
    if status(studio, batch) == "running":
        studio.shell(cancel.format(batch))
        wait_until(lambda: status(studio, batch) == "cancelled", 30, "the cancelling")
