"""A file that comes in pieces: goes on where it stopped, is its owner's alone, never fills the disk."""

import io
import os
import time

import pytest

from studio.models import User
from training.datasets import arrivals, room, versions
from training.errors import UserError
from training.models import DatasetVersion

pytestmark = pytest.mark.django_db
BODY = b'{"prompt": "a", "completion": "b"}\n' * 3


@pytest.fixture(autouse=True)
def data(settings, tmp_path):
    settings.DATA = tmp_path
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path / "incoming"
    settings.FILE_UPLOAD_TEMP_DIR.mkdir()
    return tmp_path


def begin(user, changed="1"):
    return arrivals.begin(user, "../하나.jsonl", len(BODY), changed)


def bring(arrival, start=0, body=BODY):
    return arrivals.receive(arrival, start, io.BytesIO(body).read)


def code_of(wanted):
    with pytest.raises(UserError) as raised:
        wanted()
    return raised.value.code


def test_pieces_become_a_dataset_and_leave_nothing_behind(user, data):
    arrival = begin(user)
    assert bring(arrival, 0, BODY[:40]) == 40 and bring(arrival, 40, BODY[40:]) == len(BODY)
    version = arrivals.take(user, arrival.id)
    assert version.file_name == "하나.jsonl" and version.size_bytes == len(BODY)
    assert (versions.folder(version) / "raw").read_bytes() == BODY
    (note,) = (data / "incoming").iterdir()  # of what it became, for a day
    assert note.read_text() == version.pk


def test_asked_again_since_the_answer_was_lost_it_gives_the_same_dataset(user, settings):
    settings.DATA_QUOTA_BYTES = 2 * len(BODY)
    arrival = begin(user)
    bring(arrival)
    version = arrivals.take(user, arrival.id)
    assert arrivals.take(user, arrival.id) == version and DatasetVersion.objects.count() == 1
    stranger = User.objects.get(username="first-admin")
    assert code_of(lambda: arrivals.take(stranger, arrival.id)) == "upload_out_of_step"
    assert code_of(lambda: bring(arrival)) == "upload_out_of_step"


def test_two_that_take_the_same_file_at_once_get_the_same_dataset(user, monkeypatch):
    """The second has found the arrival, then waits for the first, which takes the file away."""
    arrival = begin(user)
    bring(arrival)
    find, taken = arrivals.find, []

    def find_then_wait(owner, identity):
        found = find(owner, identity)
        if not taken:
            taken.append(None)
            taken[0] = arrivals.take(owner, identity)
        return found

    monkeypatch.setattr(arrivals, "find", find_then_wait)
    assert [arrivals.take(user, arrival.id)] == taken and DatasetVersion.objects.count() == 1


def test_the_same_file_brought_once_more_is_another_dataset(user):
    first = begin(user)
    bring(first)
    version = arrivals.take(user, first.id)
    assert begin(user).here_bytes == 0
    assert code_of(lambda: arrivals.take(user, first.id)) == "upload_out_of_step"
    bring(first)
    assert arrivals.take(user, first.id) != version


def test_the_same_file_goes_on_where_it_stopped_and_another_begins_anew(user):
    bring(begin(user), 0, BODY[:40])
    assert begin(user).here_bytes == 40
    assert begin(user, changed="2").here_bytes == 0


def test_a_piece_may_come_again(user):
    arrival = begin(user)
    bring(arrival, 0, BODY[:60])
    assert bring(arrival, 40, BODY[40:80]) == 80
    assert bring(arrival, 80, BODY[80:]) == len(BODY)
    assert arrivals.take(user, arrival.id)


def test_what_is_not_whole_or_out_of_step_is_no_dataset(user):
    arrival = begin(user)
    assert code_of(lambda: arrivals.take(user, arrival.id)) == "upload_out_of_step"
    assert code_of(lambda: bring(arrival, 7)) == "upload_out_of_step"
    assert code_of(lambda: bring(arrival, -1)) == "upload_out_of_step"
    arrivals.abandon(arrival)
    assert code_of(lambda: bring(arrival)) == "upload_out_of_step"
    assert not DatasetVersion.objects.exists()


def test_no_more_comes_than_was_said(user):
    assert code_of(lambda: bring(begin(user), 0, BODY + b"x")) == "upload_too_large"


@pytest.mark.parametrize("identity", ["../incoming", "arrival-", "arrival-*", "x" * 300, ".", ""])
def test_a_name_that_is_no_arrival_finds_nothing(user, identity):
    begin(user)
    assert arrivals.find(user, identity) is None


def test_nobody_finds_anothers(user):
    arrival = begin(user)
    assert arrivals.find(user, arrival.id) == arrival
    assert arrivals.find(User.objects.get(username="first-admin"), arrival.id) is None


def test_room_is_asked_for_first(user, settings, monkeypatch):
    settings.UPLOAD_LIMIT_BYTES = 1000
    assert code_of(lambda: arrivals.begin(user, "a", 1001, "")) == "upload_too_large"
    assert code_of(lambda: arrivals.begin(user, "a", 0, "")) == "file_empty"
    monkeypatch.setattr(room, "SPARE_BYTES", 1 << 60)
    assert code_of(lambda: arrivals.begin(user, "a", 10, "")) == "upload_disk"


def test_a_disk_that_fills_meanwhile_stops_it_and_what_is_here_stays(user, monkeypatch):
    arrival = begin(user)
    bring(arrival, 0, BODY[:40])
    monkeypatch.setattr(room, "SPARE_BYTES", 1 << 60)
    assert code_of(lambda: bring(arrival, 40, BODY[40:])) == "upload_disk"
    assert arrival.here_bytes == 40


def test_a_quota_counts_what_is_read_and_what_is_coming(user, settings):
    settings.DATA_QUOTA_BYTES = 3 * len(BODY)
    first = begin(user)
    bring(first)
    arrivals.take(user, first.id)
    begin(user, "2")
    begin(user, "3")
    assert room.used_bytes(user) == 3 * len(BODY)
    assert code_of(lambda: begin(user, "4")) == "quota_full"
    assert code_of(lambda: versions.from_url(user, "https://example.org/a")) == "quota_full"
    assert begin(User.objects.get(username="first-admin"))


def test_what_nobody_goes_on_with_is_swept(user, data):
    arrival = begin(user)
    versions.sweep()
    assert arrival.folder.exists()
    old = time.time() - versions.ABANDONED_SECONDS - 1
    os.utime(arrival.folder, (old, old))
    versions.sweep()
    assert not arrival.folder.exists()


def test_the_note_of_what_became_of_a_file_is_swept_and_a_deleted_dataset_is_not_given(user, data):
    arrival = begin(user)
    bring(arrival)
    versions.delete(arrivals.take(user, arrival.id).dataset)
    assert code_of(lambda: arrivals.take(user, arrival.id)) == "upload_out_of_step"
    (note,) = (data / "incoming").iterdir()
    old = time.time() - versions.ABANDONED_SECONDS - 1
    os.utime(note, (old, old))
    versions.sweep()
    assert not note.exists()


def test_a_late_piece_takes_nothing_back(user):
    arrival = begin(user)
    bring(arrival, 0, BODY[:80])
    assert bring(arrival, 10, BODY[10:20]) == 80
    assert bring(arrival, 80, BODY[80:]) == len(BODY)
    version = arrivals.take(user, arrival.id)
    assert (versions.folder(version) / "raw").read_bytes() == BODY


def test_a_file_without_a_name_gets_one(user):
    assert arrivals.begin(user, " \0", 5, "").name == "data"
