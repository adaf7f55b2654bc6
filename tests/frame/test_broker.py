"""The embedded broker loses nothing, delivers once, and is not stopped by garbage."""

import shutil
import threading
import time
from queue import Empty

import pytest
from kombu import Connection

from studio import celery as frame


@pytest.fixture
def connect(tmp_path, settings):
    settings.BROKER_FOLDER = tmp_path
    options = frame.options()
    return lambda: Connection("embedded://localhost", transport_options=options)


def test_every_message_arrives_once_with_many_writers_and_readers(connect):
    taken: list[int] = []
    lock = threading.Lock()

    def write(part: int) -> None:
        with connect() as connection, connection.SimpleQueue("heavy") as queue:
            for number in range(50):
                queue.put({"id": part * 50 + number, "filler": "가" * 5000})

    def read() -> None:
        with connect() as connection, connection.SimpleQueue("heavy") as queue:
            while True:
                try:
                    message = queue.get(timeout=1)
                except Empty:
                    return
                message.ack()
                with lock:
                    taken.append(message.payload["id"])

    threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    threads += [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(200))


def test_a_message_that_cannot_be_read_is_set_aside(connect, tmp_path):
    (tmp_path / "queue").mkdir(exist_ok=True)
    (tmp_path / "queue" / "00_bad.light.msg").write_bytes(b"{half")
    with connect() as connection, connection.SimpleQueue("light") as queue:
        queue.put({"id": 1})
        message = queue.get(timeout=2)
        message.ack()
        assert message.payload == {"id": 1}
    assert list((tmp_path / "processed").glob("*.bad"))


def test_lanes_do_not_mix(connect):
    with connect() as ringing, ringing.SimpleQueue("light") as light:
        light.put({"id": 1})
    with connect() as connection, connection.SimpleQueue("heavy") as heavy, pytest.raises(Empty):
        heavy.get(timeout=0.5)
    with connect() as connection, connection.SimpleQueue("light") as light:
        light.get(timeout=2).ack()


def test_who_waits_for_messages_looks_up_soon(connect):
    """A worker that is asked to stop while it waits stops with the next look."""
    with connect() as connection, connection.SimpleQueue("light"):
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=20)
        assert time.monotonic() - begun < 10


def test_a_folder_that_was_taken_away_is_made_anew(connect, tmp_path):
    """The worker used to end, or to hear nothing more without a word."""
    with connect() as connection, connection.SimpleQueue("light") as queue:
        for number, lost in enumerate(("queue", "processed", "")):
            shutil.rmtree(tmp_path / lost)
            with pytest.raises(Empty):
                queue.get(timeout=0.3)
            queue.put({"id": number})
            message = queue.get(timeout=2)
            message.ack()
            assert message.payload == {"id": number}
    assert (tmp_path / "queue").stat().st_mode & 0o077 == 0
