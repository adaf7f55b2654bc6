"""The verbs of a dataset version: what failed is tried again, and nothing good is lost, and nothing is left lying
about."""

import os
import time

import pytest

from training import drafts, tasks
from training.datasets import editing, room, store, versions
from training.errors import UserError
from training.leases import Order
from training.models import Dataset, DatasetVersion, Job, TokenCount

pytestmark = pytest.mark.django_db


@pytest.fixture
def data(settings, tmp_path):
    settings.DATA = tmp_path
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path / "incoming"
    settings.FILE_UPLOAD_TEMP_DIR.mkdir()
    return tmp_path


@pytest.fixture
def rung(monkeypatch):
    found = []
    monkeypatch.setattr(tasks, "ring", lambda *what: found.append(what))
    return found


@pytest.fixture
def version(user, data, rung) -> DatasetVersion:
    source = data / "incoming" / "one"
    source.write_text('{"prompt": "a", "completion": "b"}\n')
    return versions.from_upload(user, "../../etc/하나.jsonl", source)


def test_an_upload_is_moved_into_its_own_folder_and_waits_to_be_read(version, data, rung):
    assert version.file_name == "하나.jsonl" and version.status == "waiting"
    assert (versions.folder(version) / "raw").stat().st_mode & 0o777 == 0o600
    assert not list((data / "incoming").iterdir())
    assert rung == [("read", version.pk)]


def test_reading_in_a_child_makes_it_ready(version):
    versions.read(version.pk)
    version.refresh_from_db()
    assert (version.status, version.example_count, version.encoding) == ("ready", 1, "utf-8")
    assert versions.examples(version, 0, 1)[0].messages[1].content == "b"
    versions.read(version.pk)  # a second message finds nothing to claim
    assert DatasetVersion.objects.get().attempt == 1


def test_a_count_that_failed_is_ordered_again(version, rung):
    count = versions.token_count(version, "gone")
    versions.count(str(count.pk))
    count.refresh_from_db()
    assert count.status == "failed" and count.error["code"] == "base_missing"
    versions.count_again(version)
    count.refresh_from_db()
    assert count.status == "waiting" and rung[-1] == ("count", str(count.pk))


def test_all_rows_and_a_sample_of_them_are_counted_side_by_side(
    version, tiny_base, settings, monkeypatch
):
    settings.MODELS = tiny_base.parent
    monkeypatch.setattr(versions, "SAMPLE_ROWS", 2)
    (versions.folder(version) / "raw").write_text('{"prompt": "a", "completion": "b"}\n' * 5)
    versions.read(version.pk)
    (sample,) = versions.samples(version, ["tiny"])
    for count in (versions.token_count(version, "tiny"), sample):
        versions.count(str(count.pk))
    found = dict(TokenCount.objects.values_list("is_sample", "result"))
    assert TokenCount.objects.filter(status="ready").count() == 2
    assert (found[False]["count"], found[True]["count"]) == (5, 2)
    assert found[True]["text_characters"] == 4 and "text_characters" not in found[False]
    assert versions.samples(version, ["tiny"]) == [sample]


def test_three_crashes_end_the_reading_with_a_reason(version):
    for _ in range(3):
        row = versions.READ.claim(version.pk)
        versions.READ.put_back(versions.READ.held(row), row)
    version.refresh_from_db()
    assert version.status == "failed" and version.error["code"] == "reading_crashed"


def test_deleting_takes_the_files_along_and_a_beat_is_fenced(
    version, data, django_capture_on_commit_callbacks
):
    row = versions.READ.claim(version.pk)
    with django_capture_on_commit_callbacks(execute=True):
        versions.delete(version.dataset)
    assert not versions.folder(version).exists() and not Dataset.objects.exists()
    assert versions.READ.beat(row, []) is Order.FENCED


def test_what_a_killed_process_left_behind_is_swept_but_not_what_is_fresh_or_known(version, data):
    old = time.time() - 2 * versions.ABANDONED_SECONDS
    for name in ("incoming/half-upload", "datasets/no-row"):
        path = data / name
        path.mkdir(parents=True)
        (path / "x").write_text("x")
        os.utime(path, (old, old))
    fresh = data / "incoming" / "fresh"
    fresh.write_text("x")
    os.utime(versions.folder(version), (old, old))
    versions.sweep()
    assert not (data / "incoming/half-upload").exists() and not (data / "datasets/no-row").exists()
    assert fresh.exists() and versions.folder(version).exists()
    assert not TokenCount.objects.exists()


# --- read another way -------------------------------------------------------------------------
WAY = {"encoding": "utf-8"}
"""Choices that read the same rows."""


@pytest.fixture
def ready(version) -> DatasetVersion:
    versions.read(version.pk)
    version.refresh_from_db()
    return version


def again(version: DatasetVersion, choices: dict, **how) -> DatasetVersion:
    return versions.read_again(version.dataset, version, choices, **how)


def code_of(verb) -> str:
    with pytest.raises(UserError) as refused:
        verb()
    return refused.value.code


def test_giving_up_another_reading_of_a_file_loses_nothing(ready, user):
    """The good reading was deleted when another was ordered; stopping that one took the dataset."""
    draft = drafts.create_draft(user)
    drafts.edit(draft, version=ready)
    again(ready, WAY)
    assert editing.stop(ready.dataset) is True
    draft.refresh_from_db()
    assert draft.version == ready == ready.dataset.versions.get()
    assert versions.examples(ready, 0, 9) and versions.has_raw(ready)


def test_a_reading_gives_way_when_another_is_ready_and_not_before(
    ready, django_capture_on_commit_callbacks
):
    fresh = again(ready, WAY)
    assert ready.dataset.versions.count() == 2 and fresh.number == 2
    with django_capture_on_commit_callbacks(execute=True):
        versions.read(fresh.pk)
    fresh.refresh_from_db()
    assert (fresh.status, fresh.number, fresh.parent) == ("ready", 1, None)
    assert ready.dataset.versions.get() == fresh and versions.has_raw(fresh)
    assert not versions.folder(ready).exists()


def test_a_reading_that_fails_takes_nobodys_place_but_that_of_another_that_failed(ready):
    failed = again(ready, {"encoding": "utf-16-le"})
    versions.read(failed.pk)
    failed.refresh_from_db()
    assert (failed.status, failed.number, failed.parent) == ("failed", 2, ready)
    other = again(failed, {"mapping": {"prompt": "없는 열", "answer": "completion"}})
    versions.read(other.pk)
    assert [one.number for one in ready.dataset.versions.order_by("number")] == [1, 2]
    assert versions.newest(ready.dataset).pk == other.pk
    assert versions.examples(ready, 0, 9)


def test_a_reading_that_a_job_or_a_draft_uses_stays_when_another_is_ready(ready, user):
    fresh = again(ready, WAY)
    drafts.edit(drafts.create_draft(user), version=ready)
    versions.read(fresh.pk)
    assert set(ready.dataset.versions.all()) == {ready, fresh}


def test_reading_again_the_same_way_does_nothing(ready, rung):
    heard = list(rung)
    assert again(ready, ready.choices) == ready
    assert ready.dataset.versions.count() == 1 and rung == heard


def test_two_tabs_that_order_another_reading_get_one(ready):
    again(ready, WAY)
    assert code_of(lambda: again(ready, {"encoding": "cp949"})) == "data_being_read"


def test_a_second_copy_of_a_file_counts_against_the_quota_but_not_one_that_takes_its_place(
    ready, user, settings
):
    settings.DATA_QUOTA_BYTES = ready.size_bytes + 5
    kept = again(ready, WAY)
    editing.stop(ready.dataset)
    assert kept.size_bytes == ready.size_bytes
    Job.objects.create(owner=user, version=ready, status="succeeded", base="tiny")
    assert code_of(lambda: again(ready, WAY)) == "quota_full"
    assert ready.dataset.versions.count() == 1


def test_a_full_disk_refuses_another_reading(ready, monkeypatch):
    monkeypatch.setattr(room, "SPARE_BYTES", 1 << 60)
    assert code_of(lambda: again(ready, WAY)) == "upload_disk"


def test_rows_edited_since_they_were_fetched_can_be_fetched_again(ready):
    """The new version claimed to be edited rows, whose size no quota counts."""
    DatasetVersion.objects.update(url="https://example.org/a.jsonl", source="url")
    editing.add(ready.dataset, versions.examples(ready, 0, 1))
    fetched = editing.refresh(ready.dataset)
    assert (fetched.number, fetched.source, fetched.url) == (
        3,
        "url",
        "https://example.org/a.jsonl",
    )
    assert not fetched.size_bytes  # what comes may be as large as the quota has room for


# --- merging, deleting, sweeping --------------------------------------------------------------
def test_what_is_being_merged_may_be_deleted_meanwhile(
    ready, user, django_capture_on_commit_callbacks
):
    other = Dataset.objects.create(owner=user, name="둘")
    second = DatasetVersion.objects.create(dataset=other, status="ready", example_count=1)
    store.branch(versions.folder(ready), versions.folder(second))
    merged = editing.merge(user, "모두", [ready.dataset, other])
    with django_capture_on_commit_callbacks(execute=True):
        editing.add(ready.dataset, versions.examples(ready, 0, 1))  # after the order: not in it
        versions.delete(other)
    with django_capture_on_commit_callbacks(execute=True):
        versions.read(merged.pk)
    merged.refresh_from_db()
    assert (merged.status, merged.example_count) == ("ready", 2)
    assert not (versions.folder(merged) / versions.PARTS).exists()
    assert len(versions.examples(merged, 0, 9)) == 2


def test_a_merge_whose_worker_was_killed_thrice_leaves_no_links(
    ready, user, settings, django_capture_on_commit_callbacks
):
    settings.LEASE_SECONDS = -1  # each worker is gone as soon as it began
    merged = editing.merge(user, "모두", [ready.dataset] * 2)
    for _ in range(3):
        assert (versions.folder(merged) / versions.PARTS).is_dir()
        assert versions.READ.claim(merged.pk)
        with django_capture_on_commit_callbacks(execute=True):
            assert versions.reap() == 1
    merged.refresh_from_db()
    assert merged.status == "failed" and merged.error["code"] == "reading_crashed"
    assert not (versions.folder(merged) / versions.PARTS).exists()
    assert versions.reap() == 0


def test_another_reading_that_is_lost_takes_the_place_of_one_that_failed(ready, settings):
    settings.LEASE_SECONDS = -1
    DatasetVersion.objects.update(status="failed", choices={"encoding": "cp949"})
    ready.refresh_from_db()
    again = versions.read_again(ready.dataset, ready, {})
    for _ in range(3):
        versions.READ.claim(again.pk)
        versions.reap()
    (left,) = DatasetVersion.objects.all()
    assert (left.pk, left.number, left.status) == (again.pk, 1, "failed")


def test_merging_is_refused_where_there_is_no_room(ready, user, settings):
    settings.DATA_QUOTA_BYTES = 2 * ready.size_bytes
    assert code_of(lambda: editing.merge(user, "모두", [ready.dataset] * 2)) == "quota_full"
    assert Dataset.objects.count() == 1


def test_a_job_that_starts_while_its_data_is_deleted_keeps_it(ready, user, monkeypatch):
    """The job began after it was asked who uses the data: an error that nobody could read."""

    def nobody_yet(dataset):
        Job.objects.create(owner=user, version=ready, status="queued", base="tiny")
        return []

    monkeypatch.setattr(versions, "users", nobody_yet)
    assert code_of(lambda: versions.delete(ready.dataset)) == "data_in_use"
    assert versions.examples(ready, 0, 9) and DatasetVersion.objects.count() == 1


def test_data_deleted_in_another_tab_is_said_to_be_gone(ready):
    dataset = Dataset.objects.get()
    versions.delete(Dataset.objects.get())
    assert code_of(lambda: versions.delete(dataset)) == "data_gone"
    assert code_of(lambda: versions.read_again(dataset, ready, WAY)) == "data_gone"


def test_a_file_that_vanishes_while_it_is_swept_stops_nothing(version, data):
    """The file was listed, then gone when its age was asked for; a dangling link is such a one."""
    old = time.time() - 2 * versions.ABANDONED_SECONDS
    for place in ("incoming", "datasets"):
        (data / place / "a-vanished").symlink_to(data / "nowhere")
        (data / place / "left").mkdir()
        os.utime(data / place / "left", (old, old))
    versions.sweep()
    assert not (data / "incoming/left").exists() and not (data / "datasets/left").exists()
