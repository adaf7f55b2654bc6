"""The life of a job: each move, who may make it, and what a lost race changes (nothing)."""

from datetime import timedelta

import making
import pytest
from django.utils import timezone

from training import drafts, jobs, leases, line, registry, runs, tasks, wording
from training.datasets import holding, store, versions
from training.errors import UserError
from training.history import History
from training.leases import Order
from training.models import DatasetVersion, Job, JobEvent, TokenCount, TunedModel

pytestmark = pytest.mark.django_db
COUNTED = making.lengths((240, 20, 16))
SOME_LONG = making.lengths((199, 20, 16), (40, 300, 10), (1, 900, 10))


@pytest.fixture
def rung(monkeypatch):
    """Record the bell instead of sending messages; the queue has tests of its own."""
    found: list[tuple[str, str]] = []
    monkeypatch.setattr(tasks, "ring", lambda name, identity: found.append((name, str(identity))))
    return found


@pytest.fixture
def draft(user, version, models_folder, rung) -> Job:
    job = drafts.create_draft(user)
    drafts.edit(job, name="날씨 도우미", base="tiny", version=version)
    TokenCount.objects.create(version=version, base="tiny", status="ready", result=COUNTED)
    return job


@pytest.fixture
def queued(draft) -> Job:
    jobs.start(draft)
    return draft


@pytest.fixture
def running(queued) -> Job:
    return jobs.claim_next()


def expire(job: Job) -> None:
    past = timezone.now() - timedelta(seconds=1)
    Job.objects.filter(pk=job.pk).update(lease_expires_at=past)


def status(job: Job) -> str:
    return Job.objects.get(pk=job.pk).status


def test_a_draft_starts_and_its_numbers_are_frozen(draft, rung):
    jobs.start(draft)
    assert draft.status == "queued"
    assert draft.resolved["epochs"] == 5 and draft.resolved["max_length"] == 512
    assert draft.total_steps == 5 * 27  # 216 of 240 examples are trained, 8 a step
    assert ("train", draft.pk) in rung


def test_a_draft_starts_once(draft):
    other_tab = Job.objects.get(pk=draft.pk)
    jobs.start(draft)
    with pytest.raises(UserError, match="job_not_draft"):
        jobs.start(other_tab)
    with pytest.raises(UserError, match="job_not_draft"):
        drafts.edit(other_tab, name="다른 이름")


@pytest.mark.parametrize(
    "fields",
    [{"name": "다른 이름"}, {"method": "full"}, {"knobs": {"seed": 7}}, {"overflow": "drop"},
     {"base": "other"}, {"version": None}],
)  # fmt: skip
def test_a_draft_that_changed_since_it_was_seen_does_not_start(draft, fields):
    seen = drafts.fingerprint(draft)
    before = {field: getattr(draft, field) for field in fields}
    drafts.edit(Job.objects.get(pk=draft.pk), **fields)
    with pytest.raises(UserError, match="draft_changed"):
        jobs.start(draft, seen=seen)
    assert status(draft) == "draft"
    drafts.edit(draft, **before)
    jobs.start(draft, seen=seen)
    assert status(draft) == "queued"


def test_a_change_in_the_moment_of_the_start_is_not_lost(draft, monkeypatch):
    def late(job):
        Job.objects.filter(pk=job.pk).update(name="방금 바꾼 이름")
        return []

    monkeypatch.setattr(drafts, "blockers", late)
    with pytest.raises(UserError, match="draft_changed"):
        jobs.start(draft)
    assert status(draft) == "draft"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"name": " "}, "job_without_name"),
        ({"base": "gone"}, "base_missing"),
        ({"version": None}, "job_without_data"),
    ],
)
def test_what_is_missing_is_told_before_the_start(draft, fields, code):
    drafts.edit(draft, **fields)
    assert [error.code for error in drafts.blockers(draft)] == [code]
    with pytest.raises(UserError, match=code):
        jobs.start(draft)
    assert status(draft) == "draft"


def test_fewer_than_the_minimum_is_refused_with_both_numbers(draft, version):
    version.example_count = 199
    version.save()
    draft.refresh_from_db()
    (error,) = drafts.blockers(draft)
    assert (error.code, error.params) == ("too_few_examples", {"count": 199, "minimum": 200})
    version.problem_count = 1
    version.save()
    draft.refresh_from_db()
    assert [error.code for error in drafts.blockers(draft)] == ["too_few_with_problems"]


def test_examples_that_cutting_leaves_without_an_answer_do_not_count(draft, version):
    TokenCount.objects.update(
        result=making.lengths((190, 20, 16), (41, 900, 800), (8, 300, 10), (1, 84_031, 10))
    )
    drafts.edit(draft, knobs={"max_length": 256})
    (error,) = drafts.blockers(draft)
    assert (error.code, error.params["count"], error.params["lost"]) == (
        "too_few_after_cutting", 199, 41
    )  # fmt: skip
    words = wording.say(error.code, error.params)
    assert "240개 가운데 41개" in words.what and "84,031토큰" in words.cure
    assert "«예제 최대 길이»를 늘리거나" in words.cure
    drafts.edit(draft, knobs={})
    assert drafts.blockers(draft)[0].code == "too_few_within_the_base"  # it can't read more


def test_examples_that_are_to_be_dropped_do_not_count(draft):
    TokenCount.objects.update(result=SOME_LONG)
    drafts.edit(draft, knobs={"max_length": 256})
    assert not drafts.blockers(draft)
    drafts.edit(draft, overflow="drop")
    (error,) = drafts.blockers(draft)
    assert (error.code, error.params["count"]) == ("too_few_after_dropping", 199)


def test_dropping_at_the_limit_of_the_base_is_cured_by_cutting(draft):
    TokenCount.objects.update(result=making.lengths((199, 20, 16), (41, 900, 10)))
    drafts.edit(draft, overflow="drop")
    (error,) = drafts.blockers(draft)
    assert error.code == "too_few_after_dropping" and error.params["limit"] == 512
    drafts.edit(draft, overflow="cut")
    assert not drafts.blockers(draft)


def test_another_limit_needs_no_other_count(draft, rung):
    TokenCount.objects.update(result=SOME_LONG)
    rung.clear()
    assert [drafts.kept(draft, limit=limit).over for limit in (16, 256, 300, 899, 900)] == [
        240, 41, 1, 1, 0,
    ]  # fmt: skip
    assert TokenCount.objects.count() == 1 and not rung


def test_one_example_that_is_too_long_stops_the_job_where_it_is_to_fail(draft):
    drafts.edit(draft, overflow="fail")
    assert not drafts.blockers(draft)
    TokenCount.objects.update(result=making.lengths((239, 20, 16), (1, 900, 10)))
    (error,) = drafts.blockers(draft)
    assert error.code == "examples_too_long"
    assert error.params == {"count": 1, "longest": 900, "limit": 512}


def test_the_same_settings_again_keep_what_happens_to_long_examples(queued):
    Job.objects.update(overflow="drop")
    queued.refresh_from_db()
    assert drafts.retry(queued).overflow == "drop"


def test_the_start_waits_until_the_tokens_are_counted(draft, rung):
    TokenCount.objects.all().delete()
    assert [error.code for error in drafts.blockers(draft)] == ["tokens_being_counted"]
    assert rung[-1][0] == "count"


def test_the_one_who_waits_longest_is_claimed_first(user, draft, queued):
    second = drafts.retry(queued)
    jobs.start(second)
    assert (line.place(queued), line.place(second)) == (1, 2)
    assert (line.ahead(queued), line.ahead(second)) == (0, 1)
    assert line.counts() == {"running": 0, "queued": 2}
    assert jobs.claim_next().pk == queued.pk
    assert (line.place(second), line.ahead(second)) == (1, 1)
    assert jobs.claim_next().pk == second.pk
    assert jobs.claim_next() is None


def test_a_beat_stores_points_and_progress(running):
    events = [
        {"kind": "start", "step": 0, "total_steps": 50},
        {"kind": "metrics", "step": 1, "loss": 2.5, "epoch": 0.1, "tokens_per_second": 10},
        {"kind": "validation", "step": 1, "validation_loss": 2.25},
    ]
    assert jobs.beat(running, events) is Order.GO_ON
    stored = Job.objects.get(pk=running.pk)
    assert (stored.step, stored.total_steps) == (1, 50)
    assert stored.progress["loss"] == 2.5 and stored.progress["validation_loss"] == 2.25
    assert [point["loss"] for point in History(stored).points("metrics")] == [2.5]


def test_a_beat_after_the_lease_went_to_another_is_fenced_and_writes_nothing(running):
    expire(running)
    jobs.reap()
    second = jobs.claim_next()
    assert second.token != running.token
    assert jobs.beat(running, [{"kind": "metrics", "step": 9, "loss": 1}]) is Order.FENCED
    assert not JobEvent.objects.filter(kind="metrics").exists()
    assert not jobs.succeed(running, {}, 1)
    assert not jobs.fail(running, {"code": "x", "params": {}})
    assert not jobs.crashed(running, {"code": "x", "params": {}})
    assert not jobs.release(running)
    assert status(running) == "running"
    assert jobs.beat(second, []) is Order.GO_ON


def test_success_registers_one_model(running):
    assert jobs.succeed(running, {"loss": 1.0}, 123)
    tuned = TunedModel.objects.get(job=running)
    assert (tuned.name, tuned.owner_id, tuned.size_bytes) == ("날씨 도우미", running.owner_id, 123)
    assert not jobs.succeed(running, {"loss": 1.0}, 123)
    assert TunedModel.objects.count() == 1


def test_three_crashes_in_a_row_fail_the_job(queued):
    for crash in range(3):
        job = jobs.claim_next()
        assert job.attempt == crash + 1
        jobs.crashed(job, UserError("trainer_crashed", exit_code=-11).as_dict())
    assert status(queued) == "failed"
    assert Job.objects.get(pk=queued.pk).error["code"] == "trainer_crashed"


def test_a_checkpoint_forgives_earlier_crashes(queued):
    for _ in range(5):
        job = jobs.claim_next()
        jobs.beat(job, [{"kind": "checkpoint", "step": 10}])
        jobs.crashed(job, UserError("trainer_crashed", exit_code=-11).as_dict())
    assert status(queued) == "queued"


def test_the_reaper_takes_back_only_what_has_expired(running):
    assert jobs.reap() == 0
    expire(running)
    assert jobs.reap() == 1
    assert status(running) == "queued"
    assert jobs.reap() == 0


def test_cancelling_a_queued_job_ends_it(queued):
    jobs.cancel(queued)
    assert queued.status == "cancelled" and queued.finished_at
    assert jobs.claim_next() is None


def test_cancelling_a_running_job_asks_its_worker(running):
    jobs.cancel(running)
    assert status(running) == "running"
    assert jobs.beat(running, []) is Order.STOP
    assert jobs.stopped(running)
    assert status(running) == "cancelled"


def test_a_waiting_job_is_paused_and_resumed_at_the_end_of_the_line(queued, rung):
    assert jobs.pause(queued) and queued.status == "paused"
    assert jobs.claim_next() is None
    before = queued.queued_at
    rung.clear()
    assert jobs.resume(queued) and queued.status == "queued"
    assert queued.queued_at > before and rung == [("train", queued.pk)]
    assert jobs.claim_next().pk == queued.pk


def test_a_running_job_pauses_when_its_child_has_stopped(running):
    assert jobs.pause(running)
    assert (running.status, running.pause_requested) == ("running", True)
    assert jobs.beat(running, []) is Order.STOP
    assert jobs.release(running)
    running.refresh_from_db()
    assert (running.status, running.pause_requested, running.token) == ("paused", False, "")


def test_a_pause_can_be_withdrawn_before_it_happens(running):
    jobs.pause(running)
    assert jobs.resume(running) and running.status == "running"
    assert jobs.beat(running, []) is Order.GO_ON


def test_a_job_that_crashes_while_it_is_to_pause_is_paused(running):
    jobs.pause(running)
    expire(running)
    assert jobs.reap() == 1
    assert status(running) == "paused"


def test_a_job_that_crashes_too_often_while_it_is_to_pause_has_failed(running):
    Job.objects.update(crashes=jobs.MAX_CRASHES - 1)
    jobs.pause(running)
    jobs.crashed(running, {"code": "trainer_killed"})
    running.refresh_from_db()
    assert (running.status, running.pause_requested) == ("failed", False)


def test_a_paused_job_can_be_cancelled(queued):
    jobs.pause(queued)
    assert jobs.cancel(queued) and queued.status == "cancelled"
    assert not jobs.resume(queued) and queued.status == "cancelled"


def test_what_is_over_or_being_cancelled_is_not_paused(running):
    jobs.cancel(running)
    assert not jobs.pause(running)
    jobs.stopped(running)
    assert not jobs.pause(running)
    assert status(running) == "cancelled"


def test_a_job_that_ends_before_it_could_pause_is_over(running):
    jobs.pause(running)
    assert jobs.succeed(running, {}, 1)
    running.refresh_from_db()
    assert (running.status, running.pause_requested) == ("succeeded", False)


def test_a_cancelled_job_whose_worker_died_is_cancelled_not_repeated(running):
    jobs.cancel(running)
    expire(running)
    jobs.reap()
    assert status(running) == "cancelled"


def test_a_finished_job_never_moves_again(running):
    jobs.succeed(running, {}, 1)
    jobs.cancel(running)
    jobs.reap()
    assert status(running) == "succeeded"


def test_a_worker_that_goes_home_leaves_the_job_in_its_place(running, user, queued):
    second = drafts.retry(queued)
    jobs.start(second)
    assert jobs.release(running)
    assert line.place(Job.objects.get(pk=running.pk)) == 1


def test_a_retry_is_a_new_draft_with_the_same_settings_and_a_parent(running):
    jobs.fail(running, UserError("out_of_memory").as_dict())
    draft = drafts.retry(running)
    assert (draft.status, draft.parent_id) == ("draft", running.pk)
    assert (draft.name, draft.base, draft.version_id) == (
        running.name, running.base, running.version_id
    )  # fmt: skip


def test_a_live_job_is_not_deleted(running):
    with pytest.raises(UserError, match="job_is_live"):
        jobs.delete(running)


def test_deleting_takes_the_model_and_the_files_along(running, data):
    folder = data / "runs" / running.pk
    (folder / "attempt-1" / "result").mkdir(parents=True)
    jobs.succeed(running, {}, 1)
    jobs.delete(Job.objects.get(pk=running.pk))
    assert not folder.exists() and not TunedModel.objects.exists() and not Job.objects.exists()


def test_the_chart_shows_repeated_steps_once_and_is_thinned(running):
    jobs.beat(running, [{"kind": "metrics", "step": s, "loss": s + 0.5} for s in (1, 2, 3)])
    jobs.beat(running, [{"kind": "resumed", "step": 1}, {"kind": "start", "step": 1}])
    jobs.beat(running, [{"kind": "metrics", "step": s, "loss": s + 0.5} for s in (2, 3, 4)])
    points = History(running).points("metrics")
    assert [point["step"] for point in points] == [1, 2, 3, 4]
    jobs.beat(running, [{"kind": "metrics", "step": s, "loss": 1} for s in range(5, 5005)])
    thinned = History(running).points("metrics")
    assert len(thinned) <= 500 and thinned[-1]["step"] == 5004


def test_a_bell_that_never_rang_is_heard_of_by_the_reaper(queued):
    assert [job.pk for job in jobs.unheard()] == [queued.pk]
    Job.objects.update(rung_at=timezone.now())
    assert not jobs.unheard()


def test_tokens_are_not_guessable():
    assert len({leases.fresh_token() for _ in range(100)}) == 100


def submit(user, version, **changes) -> Job:
    fields = {"name": "API", "method": "lora", "base": "tiny", "knobs": {}, "version": version}
    return jobs.submit(user, **fields | changes)


def test_a_submitted_job_gets_in_line_once_its_data_is_read_and_counted(
    user, version, models_folder, rung
):
    version.status = "reading"
    version.save()
    job = submit(user, version)
    assert job.status == "validating_files" and jobs.claim_next() is None
    version.status = "ready"
    version.save()
    jobs.proceed_all()
    assert status(job) == "validating_files" and rung[-1][0] == "count"
    TokenCount.objects.update(status="ready", result=COUNTED)
    jobs.proceed_all()
    assert status(job) == "queued" and jobs.claim_next().pk == job.pk


def test_a_submitted_job_whose_data_cannot_be_used_fails_with_the_reason(
    user, version, models_folder, rung
):
    version.example_count = 3
    version.save()
    job = submit(user, version)
    assert job.status == "failed" and job.error["code"] == "too_few_examples"


def test_a_job_that_waits_for_its_data_can_be_cancelled(user, version, models_folder, rung):
    job = submit(user, version)
    assert job.status == "validating_files"
    jobs.cancel(job)
    TokenCount.objects.update(status="ready", result=COUNTED)
    jobs.proceed_all()
    assert status(job) == "cancelled"


def test_rows_that_change_while_a_job_starts_are_noticed(draft, monkeypatch):
    """Its version stayed the same one, so that numbers reckoned for other rows were frozen."""
    from training.datasets import editing

    opened = editing.remove(draft.version.dataset, [0])
    TokenCount.objects.create(version=opened, base="tiny", status="ready", result=COUNTED)
    look = drafts.blockers

    def look_then_another_tab_edits(job: Job) -> list[UserError]:
        found = look(job)
        editing.remove(opened.dataset, [1])
        return found

    monkeypatch.setattr(drafts, "blockers", look_then_another_tab_edits)
    with pytest.raises(UserError, match="draft_changed"):
        jobs.start(draft)
    assert status(draft) == "draft" and draft.version.is_open


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("room", "verb"),
    [(holding, "mend"), (holding, "is_true"), (drafts, "blockers"), (drafts, "token_count"), (jobs, "_queue")],
)  # fmt: skip
@pytest.mark.parametrize("is_open", [True, False])
def test_data_that_is_deleted_while_a_job_starts_is_said_to_be_gone(
    draft, monkeypatch, room, verb, is_open
):
    """The draft was read, its data deleted, then the data was read: an error that nobody could mend."""
    told = store.fingerprint(versions.folder(draft.version))
    DatasetVersion.objects.update(is_open=is_open, fingerprint=told)
    dataset, ours = draft.version.dataset, getattr(room, verb)

    def delete_first(*given, **more):
        monkeypatch.setattr(room, verb, ours)
        versions.delete(dataset)
        return ours(*given, **more)

    monkeypatch.setattr(room, verb, delete_first)
    with pytest.raises(UserError) as refused:
        jobs.start(draft)
    assert refused.value.code in ("data_gone", "draft_changed")
    assert draft.version is None and status(draft) == "draft"


def test_a_draft_and_its_data_are_read_in_one_look(draft, django_assert_num_queries):
    with django_assert_num_queries(1):
        jobs._look_again(draft)
        assert draft.version.dataset_id


@pytest.mark.django_db(transaction=True)
def test_data_that_is_deleted_as_it_is_chosen_is_said_to_be_gone(draft, user):
    gone = DatasetVersion.objects.get()
    drafts.edit(draft, version=None)
    versions.delete(gone.dataset)
    gone.pk = "gone"
    with pytest.raises(UserError) as refused:
        drafts.edit(draft, version=gone)
    assert refused.value.code == "data_gone" and status(draft) == "draft"
    order = {"name": "b", "method": "lora", "base": "tiny", "knobs": {}}
    with pytest.raises(UserError) as refused:
        jobs.submit(user, **order, version=gone)
    assert refused.value.code == "data_gone" and Job.objects.count() == 1


def test_an_edit_left_by_an_undone_transaction_while_a_job_starts_is_noticed(draft, monkeypatch):
    from training.datasets import editing, store, versions

    opened = editing.remove(draft.version.dataset, [0])
    TokenCount.objects.create(version=opened, base="tiny", status="ready", result=COUNTED)
    look = drafts.blockers

    def look_then_a_file_alone_changes(job: Job) -> list[UserError]:
        found = look(job)
        store.remove(versions.folder(opened), [1])
        return found

    monkeypatch.setattr(drafts, "blockers", look_then_a_file_alone_changes)
    with pytest.raises(UserError, match="draft_changed"):
        jobs.start(draft)
    assert status(draft) == "draft"


def test_finishing_early_asks_the_worker_for_a_model(running):
    jobs.beat(running, [{"kind": "metrics", "step": 5, "loss": 1.0}])
    assert jobs.finish_early(running)
    assert jobs.beat(running, []) is Order.FINISH
    assert not jobs.pause(running)
    assert jobs.succeed(running, {"ended": "asked"}, 1)


def test_what_has_learnt_nothing_can_not_be_finished(running):
    assert not jobs.finish_early(running)
    assert jobs.beat(running, []) is Order.GO_ON


def test_a_paused_job_gets_in_line_to_be_finished(running):
    jobs.beat(running, [{"kind": "checkpoint", "step": 5}])
    jobs.pause(running)
    jobs.release(running)
    assert jobs.finish_early(running)
    assert status(running) == "queued"
    again = jobs.claim_next()
    assert jobs.beat(again, []) is Order.FINISH


def test_cancelling_wins_over_finishing(running):
    jobs.beat(running, [{"kind": "metrics", "step": 5, "loss": 1.0}])
    jobs.finish_early(running)
    assert jobs.cancel(running)
    assert jobs.beat(running, []) is Order.STOP
    assert not jobs.finish_early(running)


def test_a_tuned_model_is_trained_further_with_its_own_shape(running, version):
    jobs.succeed(running, {}, 1)
    Job.objects.filter(pk=running.pk).update(resolved={"lora_rank": 4, "lora_alpha": 12})
    tuned = TunedModel.objects.get(job=running)
    draft = drafts.further(tuned)
    drafts.edit(draft, version=version, knobs={"lora_rank": 64})
    assert draft.parent == tuned.job and draft.base == tuned.base
    numbers = drafts.resolved(draft)
    assert (numbers["lora_rank"], numbers["lora_alpha"]) == (4, 12)
    drafts.edit(draft, method="full")
    assert "foundation_misfit" in {error.code for error in drafts.blockers(draft)}


def test_a_wish_to_finish_that_can_not_be_written_down_yet_costs_no_training(running):
    """As on a full disk: here the run's folder is away."""
    jobs.beat(running, [{"kind": "metrics", "step": 5, "loss": 1.0}])
    jobs.finish_early(running)
    assert runs._beat(running, []) is Order.GO_ON
    registry.run_folder(running).mkdir(parents=True)
    assert runs._beat(running, []) is Order.GO_ON
    assert (registry.run_folder(running) / "finish").exists()
