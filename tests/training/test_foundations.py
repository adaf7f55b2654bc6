"""A model that is trained further stays the beginning of a job, whatever happens meanwhile."""

import making
import pytest

from training import clinic, drafts, jobs, registry, tasks
from training.errors import UserError
from training.models import Job, TokenCount, TunedModel

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setattr(tasks, "ring", lambda *_: None)


@pytest.fixture
def tuned(user, version, models_folder) -> TunedModel:
    """A model with files, of a job that is over."""
    parent = Job.objects.create(
        owner=user, status="succeeded", name="앞", base="tiny", version=version, attempt=1,
        resolved={"lora_rank": 16, "lora_alpha": 32},
    )  # fmt: skip
    tuned = TunedModel.objects.create(owner=user, name="앞", job=parent, base="tiny", method="lora")
    registry.folder(tuned).mkdir(parents=True)
    (registry.folder(tuned) / "adapter_model.safetensors").write_bytes(b"weights")
    return tuned


@pytest.fixture
def draft(tuned, version) -> Job:
    result = making.lengths((240, 20, 16))
    TokenCount.objects.create(version=version, base="tiny", status="ready", result=result)
    draft = drafts.further(tuned)
    drafts.edit(draft, version=version)
    return draft


def laid(job: Job) -> list[str]:
    return [path.name for path in (registry.run_folder(job) / "foundation").glob("*")]


def fail(job: Job, code: str = "out_of_memory") -> Job:
    jobs.fail(jobs.claim_next(), {"code": code, "params": {}})
    job.refresh_from_db()
    assert job.status == "failed"
    return job


def test_two_tabs_that_start_a_draft_at_once_start_it_once(draft, monkeypatch):
    real, presses = registry.folder, []

    def folder(tuned):
        if not presses:  # the other tab is faster by a hair
            presses.append(1)
            registry.lay_foundation(draft)
        return real(tuned)

    monkeypatch.setattr(registry, "folder", folder)
    jobs.start(draft)
    assert draft.status == "queued" and laid(draft) == ["adapter_model.safetensors"]
    assert not list(registry.run_folder(draft).glob(".*"))


def test_a_draft_that_is_to_begin_anew_begins_at_the_base(draft):
    registry.lay_foundation(draft)  # by a start that did not come about
    drafts.edit(draft, foundation=None)
    jobs.start(draft)
    assert draft.status == "queued" and not laid(draft)


def test_what_waits_for_its_data_has_its_foundation_already(draft, tuned):
    TokenCount.objects.update(status="waiting")
    jobs.start_when_read(draft)
    jobs.delete(tuned.job)
    draft.refresh_from_db()
    assert draft.status == "validating_files" and draft.foundation is None
    assert laid(draft) == ["adapter_model.safetensors"]


def test_an_order_whose_foundation_has_no_files_leaves_no_job(user, version, tuned):
    registry.remove_folder(registry.folder(tuned))
    with pytest.raises(UserError, match="foundation_gone"):
        jobs.submit(
            user, name="b", method="lora", base="tiny", knobs={}, version=version, foundation=tuned
        )
    assert list(Job.objects.all()) == [tuned.job]


def test_another_try_begins_where_the_first_one_did(draft, tuned):
    jobs.start(draft)
    failed = fail(draft)
    assert not laid(failed)
    again = drafts.retry(failed)
    assert again.foundation == tuned


def test_another_try_never_begins_at_the_base_instead(draft, tuned):
    jobs.start(draft)
    failed = fail(draft)
    jobs.delete(tuned.job)
    failed.refresh_from_db()
    with pytest.raises(UserError, match="foundation_deleted"):
        drafts.retry(failed)
    with pytest.raises(UserError, match="foundation_deleted"):
        clinic.cure(failed, clinic.SAME)
    assert list(Job.objects.all()) == [failed]


def test_no_cure_changes_what_is_the_models_own(draft):
    jobs.start(draft)
    offered = {cure.key for cure in clinic.diagnose(fail(draft)).cures}
    assert clinic.ROWS in offered and not offered & {clinic.RANK, clinic.LORA}
