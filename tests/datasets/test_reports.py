"""The verbs of a data report: it is made by the real child, once a state of the rows, and each cure
opens a version of its own that can be taken back."""

import pytest

from tests.datasets import planted
from training import drafts, runs, tasks
from training.chat import Example, Message
from training.datasets import editing, reports, segments, store, versions
from training.errors import UserError
from training.models import DataReport, Dataset, DatasetVersion

pytestmark = pytest.mark.django_db
Status = DataReport.Status


@pytest.fixture(autouse=True)
def data(settings, tmp_path, monkeypatch):
    settings.DATA = tmp_path
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path / "incoming"
    settings.FILE_UPLOAD_TEMP_DIR.mkdir()
    monkeypatch.setattr(tasks, "ring", lambda *what: None)
    return tmp_path


def example(question: str, answer: str) -> Example:
    return Example((Message("user", question), Message("assistant", answer)))


def make(owner, rows: list[tuple[str, str]]) -> Dataset:
    dataset = Dataset.objects.create(owner=owner, name="문의")
    version = DatasetVersion.objects.create(
        dataset=dataset, status="ready", example_count=len(rows), format="jsonl-prompt"
    )
    with segments.Writer(versions.folder(version)) as writer:
        for row in rows:
            writer.add(example(*row))
    version.fingerprint = store.fingerprint(versions.folder(version))
    version.save()
    return dataset


def pairs(count: int = 30) -> list[tuple[str, str]]:
    return [(row["prompt"], row["completion"]) for row in planted.clean(count)]


@pytest.fixture
def dataset(user) -> Dataset:
    """Thirty clean rows, one of them twice, one with a telephone number."""
    return make(user, [*pairs(), pairs()[4], ("연락처는요", "010-2345-6789로 전화하십시오.")])


def made(dataset: Dataset) -> DataReport:
    """Return the report on the newest rows, made by the real child if need be."""
    found = reports.of(versions.newest(dataset))
    if found.is_busy:
        runs.check(str(found.pk))
        found.refresh_from_db()
    assert found.status == Status.READY, found.error
    return found


def keys(dataset: Dataset) -> set[str]:
    return {one["key"] for one in made(dataset).result["findings"]} - {"few", "validation_leak"}


def cured(dataset: Dataset, key: str, how: str) -> DatasetVersion:
    made(dataset)
    version = reports.cure(dataset, key, how, versions.newest(dataset).fingerprint)
    if version.is_busy:
        runs.read(version.pk)
        version.refresh_from_db()
    return version


def questions(version: DatasetVersion) -> list[str]:
    return [one.messages[0].content for one in versions.examples(version, 0, 100)]


def test_a_report_is_made_once_for_each_state_of_the_rows(dataset):
    first = made(dataset)
    assert keys(dataset) == {"duplicates", "personal_mobile"}
    assert reports.of(versions.newest(dataset)).attempt == first.attempt == 1
    version = editing.remove(dataset, [30])
    assert reports.of(version).status == Status.WAITING
    assert keys(dataset) == {"personal_mobile"}


def test_an_open_version_is_checked_anew_after_each_edit(dataset):
    editing.add(dataset, [example("더한 질문", "null")])
    assert "broken" in keys(dataset)
    editing.remove(dataset, [32])
    found = reports.of(versions.newest(dataset))
    assert found.is_busy and found.fingerprint == versions.newest(dataset).fingerprint
    assert "broken" not in keys(dataset)


def test_an_edit_while_it_is_checked_has_it_checked_again(dataset, monkeypatch):
    version = editing.add(dataset, [example("더한 질문", "null")])
    found = reports.of(version)
    supervise = reports.supervise

    def edited(*arguments, **more):
        editing.remove(dataset, [32])
        return supervise(*arguments, **more)

    monkeypatch.setattr(reports, "supervise", edited)
    runs.check(str(found.pk))
    found.refresh_from_db()
    version.refresh_from_db()
    assert (found.status, found.fingerprint) == (Status.WAITING, version.fingerprint)
    monkeypatch.setattr(reports, "supervise", supervise)
    assert "broken" not in keys(dataset)


def test_a_version_that_is_not_read_has_no_report(dataset):
    version = versions.newest(dataset)
    DatasetVersion.objects.update(status="reading")
    version.refresh_from_db()
    assert reports.of(version) is None
    assert not DataReport.objects.exists()


def test_leaving_out_opens_a_version_that_can_be_taken_back(dataset):
    before = versions.newest(dataset)
    after = cured(dataset, "duplicates", "keep_one")
    assert (after.number, after.parent, after.example_count) == (2, before, 31)
    assert len(questions(before)) == 32
    again = editing.go_back(dataset, before)
    assert (again.number, questions(again)) == (3, questions(before))


def test_two_cures_are_two_versions(dataset):
    first = cured(dataset, "duplicates", "keep_one")
    second = cured(dataset, "personal_mobile", "mask")
    first.refresh_from_db()
    assert (first.is_open, second.number) == (False, 3)
    assert "[전화번호]로" in versions.examples(second, 0, 100)[-1].messages[1].content
    assert "010" in versions.examples(first, 0, 100)[-1].messages[1].content
    assert keys(dataset) == set()


def test_masked_data_lies_nowhere_in_the_version_that_stays(
    dataset, django_capture_on_commit_callbacks
):
    """Masking was laid over the segments, so that they held the number after all else was purged."""
    with django_capture_on_commit_callbacks(execute=True):
        version = cured(dataset, "personal_mobile", "mask")
        editing.purge(dataset)
    assert list(dataset.versions.all()) == [version]
    kept = [path for path in versions.folder(version).rglob("*") if path.is_file()]
    holding = [path.name for path in kept if b"2345-6789" in path.read_bytes()]
    assert "segment-0000.jsonl" in {path.name for path in kept}
    assert holding == []


def test_many_rows_are_written_by_a_worker(user, monkeypatch, django_capture_on_commit_callbacks):
    monkeypatch.setattr(editing, "REWRITTEN_AT_ONCE", 2)
    rows = [
        (question, f"{answer} 문의: 010-2345-67{n:02d}")
        for n, (question, answer) in enumerate(pairs())
    ]
    dataset = make(user, [*rows, pairs(31)[30], ("빈 답변", "<|im_end|>")])
    before = versions.newest(dataset)
    job = drafts.create_draft(user)
    drafts.edit(job, version=before)
    editing.remove(dataset, [1])
    made(dataset)
    seen = versions.newest(dataset).fingerprint
    after = reports.cure(dataset, "personal_mobile", "mask", seen)
    assert after.is_busy
    with django_capture_on_commit_callbacks(execute=True):
        runs.read(after.pk)
    after.refresh_from_db()
    job.refresh_from_db()
    assert (after.status, after.example_count, job.version) == ("ready", 31, after)
    said = [one.messages[1].content for one in versions.examples(after, 0, 100)]
    assert sum("[전화번호]" in text for text in said) == 29
    assert not (versions.folder(after) / "parts").exists()
    last = cured(dataset, "chat_marks", "normalise")
    assert (last.is_busy, last.example_count) == (False, 30)


def test_a_cure_of_rows_that_changed_meanwhile_is_refused(dataset):
    seen = versions.newest(dataset).fingerprint
    made(dataset)
    editing.remove(dataset, [0])
    with pytest.raises(UserError) as refused:
        reports.cure(dataset, "duplicates", "keep_one", seen)
    assert refused.value.code == "report_outdated"
    assert versions.newest(dataset).example_count == 31


@pytest.mark.parametrize(
    ("key", "how"),
    [("duplicates", "leave_out"), ("broken", "leave_out"), ("../manifest.json", ""), ("", "mask")],
)
def test_a_cure_that_was_not_offered_is_refused(dataset, key, how):
    with pytest.raises(UserError) as refused:
        cured(dataset, key, how)
    assert refused.value.code == "report_outdated"


def test_what_was_split_off_is_looked_at(dataset):
    apart = editing.split(dataset, "검증", 10)
    question = questions(versions.newest(apart))[0]
    editing.add(dataset, [example(question, "그 질문의 다른 답변입니다.")])
    assert "overlap" in keys(dataset)
    cured(dataset, "overlap", "leave_out")
    assert "overlap" not in keys(dataset)


def test_a_child_that_crashes_is_tried_again_and_then_said(dataset, monkeypatch):
    found = reports.of(versions.newest(dataset))
    (versions.folder(versions.newest(dataset)) / "manifest.json").write_text("{")
    for _ in range(3):
        runs.check(str(found.pk))
    found.refresh_from_db()
    assert (found.status, found.error["code"]) == (Status.FAILED, "check_crashed")
    reports.again(versions.newest(dataset))
    found.refresh_from_db()
    assert (found.status, found.error) == (Status.WAITING, None)


# --- the administrator's policy -----------------------------------------------------------------
@pytest.fixture
def draft(dataset, user, settings):
    settings.MIN_EXAMPLES = 5
    job = drafts.create_draft(user)
    drafts.edit(job, version=versions.newest(dataset))
    return job


def blocking(job) -> set[str]:
    return {error.code for error in drafts._data_blockers(job)}


def test_personal_data_does_not_hinder_by_itself(draft, dataset):
    made(dataset)
    assert not {"personal_data", "data_being_checked"} & blocking(draft)


def test_personal_data_is_forbidden_where_the_administrator_says_so(draft, dataset, settings):
    settings.PERSONAL_DATA = "block"
    assert blocking(draft) == {"data_being_checked"}
    made(dataset)
    assert blocking(draft) == {"personal_data"}
    cured(dataset, "personal_mobile", "mask")
    draft.refresh_from_db()
    made(dataset)
    assert not {"personal_data", "data_being_checked"} & blocking(draft)


def test_a_check_that_failed_is_not_told_to_be_needless_where_it_is_needed(
    draft, dataset, settings
):
    """The reason why training could not start said that one may train without a check."""
    settings.PERSONAL_DATA = "block"
    found = reports.of(versions.newest(dataset))
    failed = {"status": Status.FAILED, "error": {"code": "check_crashed", "params": {}}}
    DataReport.objects.filter(pk=found.pk).update(**failed)
    assert blocking(draft) == {"personal_data_unknown"}
