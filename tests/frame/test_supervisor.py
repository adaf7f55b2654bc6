"""`manage.py up` holds its children up on a disk that is full, too."""

import subprocess
import sys

import pytest

from studio import supervisor
from studio.supervisor import Child, Supervisor


@pytest.fixture
def ended(settings, tmp_path):
    """A child that has just ended."""
    settings.DATA = tmp_path
    process = subprocess.Popen(["true"], start_new_session=True)
    process.wait()
    return Child("web", ["sleep", "60"], process)


def test_a_child_is_started_again_though_nobody_can_be_told(ended, monkeypatch):
    """The word that it ended went to a file on the full disk, and ended everything."""
    supervisor = Supervisor()
    monkeypatch.setattr("sys.stdout", open("/dev/full", "w"))  # noqa: SIM115
    supervisor._tend(ended)
    with pytest.raises(OSError):
        sys.stdout.close()
    monkeypatch.undo()
    assert ended.process is None
    ended.again_at = 0
    supervisor._tend(ended)
    assert ended.process.poll() is None
    ended.process.kill()
    ended.process.wait()


def test_a_child_whose_log_has_no_room_is_tried_again_later(ended, tmp_path):
    supervisor = Supervisor()
    (tmp_path / "logs").write_text("not a folder")
    supervisor._tend(ended)
    ended.again_at = 0
    supervisor._tend(ended)
    assert ended.process is None and ended.again_at > 0


def test_our_own_engine_does_not_learn_the_key_of_others(monkeypatch):
    monkeypatch.setenv("DADEUM_ENGINE_KEY", "a-secret")
    told = {child.name: "DADEUM_ENGINE_KEY" in supervisor.environment(child)
            for child in supervisor.children("s")}  # fmt: skip
    assert told == {"web": True, "engine": False, "worker-heavy": True, "worker-light": True}
