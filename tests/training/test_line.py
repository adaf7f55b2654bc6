"""The line: who is next, whose turn it is, what waits for its time, and how many one may have."""

import sqlite3
import threading
from datetime import UTC, datetime, time, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from training import drafts, jobs, line, tasks
from training.errors import UserError
from training.models import Dataset, DatasetVersion, Job

pytestmark = pytest.mark.django_db
MORNING = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def rung(monkeypatch):
    found: list[tuple[str, str]] = []
    monkeypatch.setattr(tasks, "ring", lambda name, identity: found.append((name, str(identity))))
    return found


@pytest.fixture
def people(user):
    from studio.models import User

    return {name: User.objects.create_user(name) for name in ("a", "b", "c")}


@pytest.fixture
def ask(people, tmp_path, settings):
    """Return a maker of jobs: whose, and how many minutes into the morning they were asked for."""
    settings.DATA = tmp_path
    versions = {
        name: DatasetVersion.objects.create(
            dataset=Dataset.objects.create(owner=person, name="d"), status="ready"
        )
        for name, person in people.items()
    }

    def make(name: str, minute: float = 0, status: str = "queued", **fields) -> Job:
        """`name` is the owner's, with a number: a1, b2."""
        return Job.objects.create(
            owner=people[name[0]], version=versions[name[0]], name=name, base="tiny",
            status=status, queued_at=MORNING + timedelta(minutes=minute), **fields,
        )  # fmt: skip

    return make


def names() -> str:
    return " ".join(job.name for job in line.order(line.in_line()))


def claim() -> str:
    """Have a worker take the next job and end it well; the next one begins a minute later."""
    job = jobs.claim_next()
    assert job is not None
    jobs.succeed(job, {}, 1)
    return job.name


def in_minutes(minutes: float) -> datetime:
    return timezone.now() + timedelta(minutes=minutes)


# --- order --------------------------------------------------------------------------------------
def test_a_higher_priority_goes_first_then_whoever_waits_longest(ask):
    ask("a1", 1)
    ask("b1", 0)
    ask("c1", 3, priority=line.FIRST)
    ask("c2", 0, priority=line.LATER)
    assert names() == "c1 b1 a1 c2"


def test_within_a_priority_people_take_turns(ask):
    for number in range(1, 4):
        ask(f"a{number}", number)
    ask("b1", 10)
    ask("b2", 11)
    ask("c1", 12)
    assert names() == "a1 b1 c1 a2 b2 a3"


def test_the_order_that_is_shown_is_the_one_in_which_they_are_taken(ask):
    for number in range(1, 4):
        ask(f"a{number}", number)
    ask("b1", 10)
    ask("b2", 11)
    ask("c1", 12)
    shown = names()
    assert " ".join(claim() for _ in range(6)) == shown


def test_many_jobs_of_one_do_not_make_another_wait_for_all_of_them(ask):
    for number in range(1, 6):
        ask(f"a{number}", number)
    assert claim() == "a1"
    ask("b1", 30)
    assert [claim(), claim()] == ["b1", "a2"]


def test_who_had_a_turn_long_ago_is_served_by_when_he_asked(ask):
    ask("a0", -900, "succeeded", started_at=MORNING - timedelta(hours=15))
    ask("a1", 0)
    ask("b1", 1)
    assert names() == "a1 b1"


def test_a_job_that_is_put_back_keeps_its_place(ask):
    ask("a1", 0)
    ask("b1", 1)
    job = jobs.claim_next()
    assert job.name == "a1"
    jobs.release(job)
    assert names() == "a1 b1"


def test_places_count_what_really_goes_before(ask):
    first, second = ask("a1", 0), ask("a2", 1)
    other = ask("b1", 5)
    night = ask("c1", 2, not_before=in_minutes(60))
    assert [line.place(job) for job in (first, other, second)] == [1, 2, 3]
    assert line.place(night) == 3  # by then; a2 is a's second
    assert line.counts() == {"running": 0, "queued": 4}
    jobs.claim_next()
    assert [line.ahead(job) for job in (other, second)] == [1, 2]


def test_the_order_takes_two_queries(ask, django_assert_num_queries):
    for number in range(30):
        ask(f"{'abc'[number % 3]}{number}", number)
    with django_assert_num_queries(2):
        line.order(line.in_line())


# --- night jobs ---------------------------------------------------------------------------------
def test_a_job_that_waits_for_its_time_is_not_taken_and_blocks_nobody(ask):
    night = ask("a1", 0, not_before=in_minutes(5), priority=line.FIRST)
    ask("b1", 1)
    assert claim() == "b1"
    assert jobs.claim_next() is None and not line.in_line().exists()
    assert not jobs.unheard()
    Job.objects.filter(pk=night.pk).update(not_before=in_minutes(-0.01))
    assert [job.name for job in jobs.unheard()] == ["a1"]
    assert claim() == "a1"


def test_a_night_job_waits_for_its_turn_from_its_time_on(ask):
    ask("a1", 0, not_before=MORNING + timedelta(hours=1))
    ask("b1", 30)
    assert names() == "b1 a1"


def test_a_start_can_be_put_off_and_brought_forward(ask, rung):
    job = ask("a1", 0)
    tonight = in_minutes(600)
    assert jobs.postpone(job, tonight)
    job.refresh_from_db()
    assert job.not_before == tonight and jobs.claim_next() is None
    rung.clear()
    assert jobs.postpone(job, None) and rung == [("train", job.pk)]
    assert claim() == "a1"
    assert not jobs.postpone(job, None)


def test_starting_now_what_may_start_already_costs_no_place(ask):
    job = ask("a1", 0)
    ask("b1", 1)
    assert jobs.postpone(job, None) and names() == "a1 b1"


def test_a_time_that_is_past_means_now_and_one_too_far_is_refused(ask):
    assert line.not_before(in_minutes(-1)) is None
    with pytest.raises(UserError, match="start_too_far"):
        jobs.postpone(ask("a1"), in_minutes(60 * 24 * 32))


@pytest.mark.parametrize(("hour", "day"), [(21, 2), (22, 3), (23, 3), (3, 2)])
def test_the_night_is_the_next_one(settings, monkeypatch, hour, day):
    settings.NIGHT = time(22, 0)
    here = timezone.get_current_timezone()
    now = datetime(2026, 3, 2, hour, 0, tzinfo=here)
    monkeypatch.setattr(timezone, "now", lambda: now)
    assert line.tonight() == datetime(2026, 3, day, 22, 0, tzinfo=here)


# --- moving and priorities ----------------------------------------------------------------------
def test_own_jobs_change_places_and_nobody_elses_move(ask):
    for number in range(1, 4):
        ask(f"a{number}", number)
    ask("b1", 2.5)
    assert names() == "a1 b1 a2 a3"
    assert jobs.move(Job.objects.get(name="a3"), -1)
    assert names() == "a1 b1 a3 a2"
    assert jobs.move(Job.objects.get(name="a1"), +1)
    assert names() == "a3 b1 a1 a2"
    assert not jobs.move(Job.objects.get(name="b1"), -1)
    assert not jobs.move(Job.objects.get(name="a2"), +1)


def test_jobs_of_the_same_moment_change_places_too(ask):
    one, two = line.order([ask("a1"), ask("a2")])
    assert jobs.move(two, -1)
    assert names() == f"{two.name} {one.name}"


def test_a_job_that_was_taken_meanwhile_changes_places_with_none(ask, monkeypatch):
    first, second = ask("a1", 1), ask("a2", 2)
    look = line.neighbour

    def look_then_a_worker_comes(job, step):
        found = look(job, step)
        jobs.claim_next()
        return found

    monkeypatch.setattr(line, "neighbour", look_then_a_worker_comes)
    assert not jobs.move(second, -1)
    second.refresh_from_db()
    assert second.queued_at == MORNING + timedelta(minutes=2)
    first.refresh_from_db()
    assert first.status == "running"


def test_people_lower_their_own_jobs_and_administrators_raise_any(ask):
    job = ask("a1")
    assert jobs.prioritise(job, line.LATER)
    with pytest.raises(UserError, match="priority_not_yours"):
        jobs.prioritise(job, line.FIRST)
    with pytest.raises(UserError, match="priority_not_yours"):
        jobs.prioritise(job, 99, is_administrator=True)
    assert jobs.prioritise(job, line.FIRST, is_administrator=True)
    job.refresh_from_db()
    assert job.priority == line.FIRST
    jobs.claim_next()
    assert not jobs.prioritise(job, line.USUAL)


# --- the limit ----------------------------------------------------------------------------------
def test_whoever_has_too_many_jobs_starts_no_more(ask, settings, people):
    settings.QUEUE_LIMIT = 3
    ask("a1", status="running")
    ask("a2")
    ask("a3", status="succeeded")
    assert line.limit_blocker(people["a"].pk) is None
    ask("a4", status="validating_files")
    found = line.limit_blocker(people["a"].pk)
    assert (found.code, found.params) == ("queue_full", {"count": 3, "limit": 3})
    assert line.limit_blocker(people["b"].pk) is None
    settings.QUEUE_LIMIT = 0
    assert line.limit_blocker(people["a"].pk) is None


def test_a_paused_job_resumes_within_the_limit_only(ask, settings):
    settings.QUEUE_LIMIT = 1
    paused = ask("a1", status="paused")
    other = ask("a2")
    with pytest.raises(UserError, match="queue_full"):
        jobs.resume(paused)
    jobs.cancel(other)
    assert jobs.resume(paused)


# --- several at once ------------------------------------------------------------------------------
def at_once(*deeds) -> list:
    """Do things in threads that begin together; return what each came to."""
    gate, found = threading.Barrier(len(deeds)), [None] * len(deeds)

    def run(number: int, deed) -> None:
        gate.wait()
        try:
            found[number] = deed()
        except UserError as error:
            found[number] = error.code
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=one) for one in enumerate(deeds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.fixture
def on_disk(transactional_db, tmp_path):
    """Have the database in a file with the product's own options, where threads wait for each
    other; in memory they are refused."""
    if connection.vendor != "sqlite":
        yield
        return
    in_memory, name = connection.connection, connection.settings_dict["NAME"]
    in_memory.backup(copy := sqlite3.connect(tmp_path / "line.sqlite3"))
    copy.close()
    connection.connection = None
    connection.settings_dict["NAME"] = str(tmp_path / "line.sqlite3")
    yield
    connection.close()
    connection.settings_dict["NAME"] = name
    connection.connection = in_memory


@pytest.mark.django_db(transaction=True)
def test_two_starts_at_once_do_not_pass_the_limit(on_disk, ask, people, settings, monkeypatch):
    settings.QUEUE_LIMIT = 3
    ask("a1")
    found = [ask(f"a{number}", status="draft", resolved={}) for number in range(2, 8)]
    monkeypatch.setattr(drafts, "blockers", lambda job: [])  # all looked before any started
    started = at_once(*[lambda job=job: jobs.start(Job.objects.get(pk=job.pk)) for job in found])
    assert sorted(map(str, started)) == ["None"] * 2 + ["queue_full"] * 4
    assert Job.objects.filter(owner=people["a"], status="queued").count() == 3


@pytest.mark.django_db(transaction=True)
def test_moves_at_once_lose_and_double_nothing(on_disk, ask):
    rows = [ask(f"a{number}", number) for number in range(1, 6)]
    before = {line.since(job) for job in rows}
    deeds = [
        lambda pk=job.pk, step=step: jobs.move(Job.objects.get(pk=pk), step)
        for job in rows for step in (-1, 1)
    ]  # fmt: skip
    at_once(*deeds)
    after = list(Job.objects.filter(status="queued"))
    assert len(after) == 5 and {line.since(job) for job in after} == before


@pytest.mark.django_db(transaction=True)
def test_workers_at_once_take_different_jobs(on_disk, ask):
    for number in range(4):
        ask(f"a{number}", number)
    taken = [job.pk for job in at_once(*[jobs.claim_next] * 4) if job]
    assert len(taken) == len(set(taken)) and taken
    assert Job.objects.filter(status="running").count() == len(taken)
