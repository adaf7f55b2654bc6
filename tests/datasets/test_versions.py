"""The verbs of a dataset version: what failed is tried again, and nothing is left lying about."""

import os
import time

import pytest

from training import tasks
from training.datasets import versions
from training.leases import Order
from training.models import Dataset, DatasetVersion, TokenCount

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
    count = versions.token_count(version, "gone", 512)
    versions.count(str(count.pk))
    count.refresh_from_db()
    assert count.status == "failed" and count.error["code"] == "base_missing"
    versions.count_again(version)
    count.refresh_from_db()
    assert count.status == "waiting" and rung[-1] == ("count", str(count.pk))


def test_three_crashes_end_the_reading_with_a_reason(version):
    for _ in range(3):
        row = versions.READ.claim(version.pk)
        versions.READ.put_back(versions.READ.held(row), row)
    version.refresh_from_db()
    assert version.status == "failed" and version.error["code"] == "reading_crashed"


def test_deleting_takes_the_files_along_and_a_beat_is_fenced(version, data):
    row = versions.READ.claim(version.pk)
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
