"""Questions asked all at once: their verbs and the worker's part, with a real engine."""

import shutil
import threading
import time
from datetime import timedelta

import making
import pytest
from django.db import connection
from django.utils import timezone

from playground import asking, batches, client
from playground.batches import Wish
from playground.models import Batch, BatchQuestion
from playground.parameters import Parameters
from training import tasks
from training.datasets import versions
from training.errors import UserError
from training.models import Dataset, DatasetVersion

pytestmark = pytest.mark.usefixtures("tiny_catalogue", "on_disk", "own_data")
SEEDED = Parameters(temperature=1, seed=3, max_tokens=12)
"""The tiny model's likeliest words are blanks; drawn ones are the same each time too."""
WISH = Wish("base:tiny", SEEDED)


@pytest.fixture
def own_data(settings, tmp_path, monkeypatch):
    settings.DATA = tmp_path / "data"
    settings.FILE_UPLOAD_TEMP_DIR = settings.DATA / "incoming"
    settings.FILE_UPLOAD_TEMP_DIR.mkdir(parents=True)
    settings.BEAT_SECONDS = 0.1
    monkeypatch.setattr(tasks, "ring", lambda name, identity: None)
    monkeypatch.setattr(asking, "PATIENCE_SECONDS", 0.2)


@pytest.fixture
def upload(tmp_path, user):
    """Order the questions of a file of this content."""

    def order(content: str, name: str = "질문.csv", wish: Wish = WISH) -> Batch:
        path = tmp_path / "upload"
        path.write_text(content)
        return batches.from_file(user, wish, name, path)

    return order


@pytest.fixture
def batch(upload) -> Batch:
    """Twelve questions that wait to be read, every second with an answer that is expected."""
    rows = [f"오늘 날씨 {number}," + ("" if number % 2 else "네") for number in range(12)]
    return upload("\n".join(["질문,답변", *rows]))


def run(batch: Batch) -> Batch:
    asking.run(batch.pk)
    batch.refresh_from_db()
    return batch


def in_thread(batch: Batch) -> threading.Thread:
    def work() -> None:
        asking.run(batch.pk)
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def until(check, seconds: float = 30):
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)
    return found


def answered(batch: Batch) -> dict[int, tuple[str, object]]:
    rows = batch.questions.exclude(answered_at=None)
    return {row.position: (row.answer, row.answered_at) for row in rows}


@pytest.fixture
def slow(batch, settings, roomy_base) -> Batch:
    """The same questions for a model whose answers last a while."""
    settings.MODELS = roomy_base.parent
    long = Parameters(temperature=0, max_tokens=1500).as_dict()
    Batch.objects.filter(pk=batch.pk).update(model="base:roomy", parameters=long)
    batch.refresh_from_db()
    return batch


# --- asking -------------------------------------------------------------------------------------
def test_all_questions_are_answered_and_compared(batch, engine):
    done = run(batch)
    assert done.status == "ready" and done.finished_at and done.error is None
    assert (done.total, done.done_count, done.expected_count) == (12, 12, 6)
    rows = list(done.questions.all())
    assert [row.asked for row in rows] == [f"오늘 날씨 {number}" for number in range(12)]
    assert all(0 < row.usage["completion_tokens"] <= 12 for row in rows)
    assert [row.is_same for row in rows] == [
        row.answer.strip() == row.expected if row.expected else None for row in rows
    ]
    assert done.same_count == sum(row.is_same is True for row in rows)


def test_an_answer_is_the_one_that_a_conversation_gets(batch, engine):
    """Many at once say what one alone says."""
    row = run(batch).questions.get(position=4)
    engine.settled("base:tiny")
    alone, _ = engine.complete(**_prompt("오늘 날씨 3"), **SEEDED.as_dict() | {"stop": []})
    assert row.answer == alone != ""


def _prompt(text: str) -> dict:
    from playground import prompts
    from training.chat import Message

    prompt = prompts.fit("base:tiny", [Message("user", text)], 6)
    return {"prompt": prompt.ids, "stop_token_ids": prompt.stop_ids}


def test_the_same_to_the_letter_but_for_blanks_around(batch, engine):
    first = next(row for row in run(batch).questions.all() if row.answer.strip())
    again = batches.again(batch, "base:tiny")
    again.questions.update(expected="다른 답변")
    again.questions.filter(position=first.position).update(expected=f"  {first.answer}\n")
    run(again)
    same = again.questions.filter(is_same=True).values_list("position", flat=True)
    assert first.position in same and again.same_count == len(same)
    assert again.expected_count == 12


def test_the_system_prompt_goes_before_all_but_those_that_bring_their_own(user, batch):
    asker = asking.Asker(Batch(system_prompt="짧게", parameters={}, model="base:tiny"))
    plain = BatchQuestion(messages=[{"role": "user", "content": "가"}])
    own = BatchQuestion(
        messages=[{"role": "system", "content": "길게"}, {"role": "user", "content": "가"}]
    )
    assert [one.content for one in asker._messages(plain)] == ["짧게", "가"]
    assert [one.content for one in asker._messages(own)] == ["길게", "가"]


def test_a_question_that_is_too_long_is_said_and_the_others_are_answered(upload, engine):
    done = run(upload("질문\n네\n" + "hello world " * 400 + "\n아니요\n", "a.txt"))
    assert done.status == "ready" and (done.done_count, done.error_count) == (3, 1)
    assert done.questions.get(position=2).error["code"] == "prompt_too_long"
    assert batches.go_on(done)
    assert done.questions.filter(answered_at=None).count() == 1


def test_more_than_there_is_room_for_are_answered_all_the_same(slow, engine, monkeypatch):
    """Questions that would stand in line go back; nobody else waits behind them."""
    long = Parameters(temperature=0, max_tokens=4096).as_dict()
    Batch.objects.filter(pk=slow.pk).update(parameters=long)
    waiting: list[int] = []
    thread = in_thread(slow)
    until(lambda: engine.health()["streams"] > 1, 60)
    time.sleep(1)
    for _ in range(40):
        waiting.append(engine.health()["waiting"])
        time.sleep(0.05)
    batches.cancel(slow)
    thread.join(30)
    assert sum(count > 0 for count in waiting) < 20
    assert Batch.objects.get(pk=slow.pk).status == "cancelled"


# --- what may go wrong --------------------------------------------------------------------------
def test_an_engine_that_is_away_is_waited_for(batch, engine, settings):
    settings.ENGINE_SOCKET = ""
    thread = in_thread(batch)
    until(lambda: Batch.objects.get(pk=batch.pk).waits_for == "engine_away")
    assert Batch.objects.get(pk=batch.pk).status == "running"
    settings.ENGINE_SOCKET = engine.socket
    thread.join(60)
    done = Batch.objects.get(pk=batch.pk)
    assert (done.status, done.done_count, done.waits_for) == ("ready", 12, "")


def stumble(monkeypatch, error: UserError, others: int) -> None:
    """Have the first questions end with an error, while so many other people are being answered."""
    whole, tries = client.stream, []

    async def stream(*given):
        tries.append(given)
        if len(tries) <= 8:
            raise error
        async for event in whole(*given):
            yield event

    async def streams() -> int:
        return others

    monkeypatch.setattr(client, "stream", stream)
    monkeypatch.setattr(client, "streams", streams)


SHORT = UserError("engine_memory_short", model="base:tiny", needed_mb=2, available_mb=1)


@pytest.mark.parametrize(
    ("error", "others"), [(UserError("engine_unreachable", engine="gpu:8000"), 0), (SHORT, 1)]
)
def test_a_server_that_starts_anew_and_memory_that_people_need_are_waited_for(
    batch, engine, monkeypatch, error, others
):
    stumble(monkeypatch, error, others)
    done = run(batch)
    assert (done.status, done.done_count, done.error_count) == ("ready", 12, 0)


def test_memory_that_nobody_would_give_back_is_not_waited_for(batch, monkeypatch):
    stumble(monkeypatch, SHORT, others=0)
    assert run(batch).error["code"] == "engine_memory_short"


def test_a_model_that_is_gone_ends_the_batch_and_another_may_go_on(batch, engine, tuned):
    Batch.objects.filter(pk=batch.pk).update(model=f"tuned:{tuned.pk}0")
    failed = run(batch)
    assert failed.status == "failed" and failed.error["code"] == "model_unknown"
    Batch.objects.filter(pk=batch.pk).update(model="base:tiny")
    assert batches.go_on(failed)
    assert run(failed).status == "ready"


def test_cancelling_keeps_what_was_answered_and_going_on_asks_the_rest(slow, engine):
    thread = in_thread(slow)
    until(lambda: engine.health()["streams"])
    until(lambda: answered(slow), 90)
    assert batches.cancel(slow)
    thread.join(30)
    stopped = Batch.objects.get(pk=slow.pk)
    assert stopped.status == "cancelled" and 0 < stopped.done_count < 12
    assert until(lambda: engine.health()["streams"] == 0)
    before = answered(slow)
    short = Parameters(temperature=0, max_tokens=3).as_dict()
    Batch.objects.filter(pk=slow.pk).update(parameters=short)
    assert batches.go_on(stopped)
    assert run(slow).status == "ready"
    assert {place: answered(slow)[place] for place in before} == before


def test_what_a_dead_worker_held_is_taken_up_and_nothing_is_asked_twice(batch, engine):
    """The row is as kill -9 leaves it: held, half answered, its lease run out."""
    held = batches.DESK.claim(batch.pk)
    assert batches.take_in(held).is_done
    for row in held.questions.filter(position__lte=5):
        assert batches.keep_answer(held, row, "미리 한 답", {})
    Batch.objects.filter(pk=batch.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    before = answered(batch)
    assert batches.DESK.reap() == 1 and Batch.objects.get(pk=batch.pk).status == "waiting"
    assert not batches.keep_answer(held, held.questions.get(position=6), "늦은 답", {})
    done = run(batch)
    assert done.status == "ready" and done.done_count == 12
    assert {place: answered(batch)[place] for place in before} == before
    assert not batch.questions.filter(answer="늦은 답").exists()


def test_a_worker_whose_hold_was_lost_stops_and_writes_nothing(slow, engine):
    thread = in_thread(slow)
    until(lambda: engine.health()["streams"])
    Batch.objects.filter(pk=slow.pk).update(token="another", attempt=2)
    thread.join(30)
    assert not thread.is_alive()
    row = Batch.objects.get(pk=slow.pk)
    assert (row.status, row.token) == ("running", "another")
    assert not answered(slow)


def test_a_worker_that_goes_home_puts_the_batch_back(slow, engine, monkeypatch):
    thread = in_thread(slow)
    until(lambda: engine.health()["streams"])
    monkeypatch.setattr(tasks, "stopping", threading.Event())
    tasks.stopping.set()
    thread.join(30)
    assert Batch.objects.get(pk=slow.pk).status == "waiting"


def test_deleting_while_it_is_answered_leaves_nothing(slow, engine):
    thread = in_thread(slow)
    until(lambda: engine.health()["streams"])
    place = batches.folder(slow)
    batches.delete(Batch.objects.get(pk=slow.pk))
    thread.join(30)
    assert not thread.is_alive() and not place.exists()
    assert not Batch.objects.exists() and not BatchQuestion.objects.exists()
    assert until(lambda: engine.health()["streams"] == 0)


def test_one_batch_at_a_time(batch, upload):
    second = upload("질문\n네\n")
    assert batches.DESK.claim(batch.pk)
    assert batches.DESK.claim(second.pk) is None
    assert batches.place_in_line(second) == 1
    assert not batches.unheard().exists()


# --- where questions come from ------------------------------------------------------------------
def read(batch: Batch) -> Batch:
    held = batches.DESK.claim(batch.pk)
    outcome = batches.take_in(held)
    if not outcome.is_done:
        batches.DESK.settle(held, outcome, {})
    batch.refresh_from_db()
    return batch


def test_of_more_than_wanted_the_first_are_taken_and_the_rest_is_counted(upload):
    many = "질문\n" + "\n".join(map(str, range(620)))
    found = read(upload(many, "a.txt"))
    assert (found.total, found.found_count) == (500, 620)
    assert found.questions.get(position=500).asked == "499"


def test_rows_that_ask_nothing_are_named(upload):
    found = read(upload('{"prompt": "네"}\n{"prompt": ""}\n', "a.jsonl"))
    assert (found.total, found.problem_count) == (1, 1)
    assert found.problems[0]["code"] == "prompt_empty" and found.problems[0]["line"] == 2


def test_a_file_whose_columns_mean_nothing_can_be_read_with_others(upload):
    failed = read(upload("가,나\n1,여권은?\n"))
    assert failed.status == "failed" and failed.error["code"] == "question_column_unknown"
    assert failed.layout["columns"] == ["가", "나"] and batches.can_read_again(failed)
    batches.read_again(failed, {"prompt": "나", "answer": ""})
    assert read(failed).questions.get().asked == "여권은?"
    assert failed.layout["mapping"] == {"prompt": "나"}
    with pytest.raises(UserError, match="batch_under_way"):
        batches.read_again(failed, {"prompt": "가"})


def test_a_dataset_is_asked_as_it_was_when_it_was_ordered(user, settings):
    dataset = Dataset.objects.create(owner=user, name="날씨")
    version = DatasetVersion.objects.create(dataset=dataset, status="ready", example_count=9)
    making.write_unlike_examples(versions.folder(version), 9)
    ordered = batches.from_data(user, Wish("base:tiny", SEEDED, most=4), dataset)
    shutil.rmtree(versions.folder(version))
    found = read(ordered)
    assert (found.total, found.found_count) == (4, 9)
    assert found.questions.get(position=1).expected == "맑습니다"
    assert [path.name for path in batches.folder(found).iterdir()] == ["order.json"]


def test_what_a_training_held_back_is_asked(user, tuned):
    job = tuned.job
    making.write_unlike_examples(versions.folder(job.version), 40)
    DatasetVersion.objects.filter(pk=job.version_id).update(example_count=40)
    job.resolved = {"seed": 7, "max_length": 256, "validation_share": 0.2}
    job.save()
    tuned.refresh_from_db()
    assert batches.held_back_count(tuned) == 8
    found = read(batches.from_held_back(user, WISH, tuned))
    assert found.total == 8 and found.error is None
    from training.trainer import batch as trainer

    _, held = trainer.split(40, 8, 7)
    numbers = [int(row.asked.split()[0]) for row in found.questions.all()]
    assert numbers == list(held)


def test_a_training_that_held_nothing_back_is_said(user, tuned):
    with pytest.raises(UserError, match="held_none"):
        batches.from_held_back(user, WISH, tuned)
    assert not Batch.objects.exists()


def test_an_unknown_model_and_wrong_numbers_are_refused(upload, user):
    for wish, code in (
        (Wish("base:none", SEEDED), "model_unknown"),
        (Wish("base:tiny", SEEDED, most=501), "questions_count_wrong"),
        (Wish("base:tiny", SEEDED, most=0), "questions_count_wrong"),
    ):
        with pytest.raises(UserError, match=code):
            upload("질문\n네\n", wish=wish)


def test_another_model_answers_the_same_questions(batch, engine, tuned):
    run(batch)
    other = batches.again(batch, f"tuned:{tuned.pk}")
    assert other.total == 12 and other.done_count == 0 and other.model_name == "상담"
    run(other)
    assert other.status == "ready"
    assert [row.asked for row in other.questions.all()] == [
        row.asked for row in batch.questions.all()
    ]
    third = batches.again(other, "base:tiny")
    assert batches.family(third) == [batch, other, third] == batches.family(batch)


@pytest.mark.parametrize(
    "leave", [batches.delete, lambda one: batches.read_again(one, {"prompt": "답변"})]
)
def test_repeats_stay_together_when_the_first_goes_or_asks_something_else(batch, leave):
    """Else answers to other questions would stand beside theirs."""
    batches.take_in(batches.DESK.claim(batch.pk))
    batch.refresh_from_db()
    second, third = (batches.again(batch, "base:tiny") for _ in range(2))
    Batch.objects.filter(pk=batch.pk).update(status="ready")
    leave(batch)
    second.refresh_from_db()
    third.refresh_from_db()
    assert batches.family(second) == batches.family(third) == [second, third]


def test_everything_of_a_wish_is_kept(upload):
    wish = Wish("base:tiny", Parameters(temperature=0.5, max_tokens=9), "짧게")
    made = upload("질문\n네\n", wish=wish)
    assert made.model_name == "tiny" and made.system_prompt == "짧게"
    assert made.parameters["temperature"] == 0.5
    assert made.name == "질문.csv" and made.status == "waiting"


def test_questions_make_way_while_somebody_talks(slow, engine, monkeypatch):
    monkeypatch.setattr(asking, "TALK_SECONDS", 0.5)
    thread = in_thread(slow)
    until(lambda: engine.health()["streams"] > asking.BESIDE_PEOPLE + 1, 60)
    with engine.open(model="base:roomy", max_tokens=4000) as answer:
        words = answer.iter_lines()
        next(words)
        until(lambda: engine.health()["streams"] == asking.BESIDE_PEOPLE + 1)
    until(lambda: engine.health()["streams"] > asking.BESIDE_PEOPLE + 1)
    batches.cancel(slow)
    thread.join(30)
    assert not slow.questions.filter(error__isnull=False).exists()
