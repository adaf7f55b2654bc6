"""`manage.py up` and what happens when its processes die."""

import signal
import subprocess
import sys

import pytest
from running import ROOT, Studio, wait_until

pytestmark = pytest.mark.journey
CHILDREN = ("uvicorn", "playground.engine", "-Q heavy", "-Q light")


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    with Studio(tmp_path_factory.mktemp("up") / "data") as running:
        yield running


def start_anew(studio: Studio) -> None:
    studio.log.write_text("")
    studio.start()
    assert studio.answers()


def test_it_prints_the_address_and_a_setup_link_that_works(studio):
    import httpx

    assert studio.answers()
    assert httpx.get(studio.setup_link, trust_env=False).status_code == 200
    assert httpx.get(studio.url, trust_env=False).status_code == 503  # until there is an account
    for word in CHILDREN:
        assert len(studio.processes(word)) == 1, word


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything(studio, number):
    assert studio.stop(number) == 0
    assert not studio.processes()
    start_anew(studio)


def test_killing_up_leaves_no_orphan_and_it_starts_again(studio):
    studio.stop(signal.SIGKILL)
    wait_until(lambda: not studio.processes(), 30, "the end of all children")
    start_anew(studio)


@pytest.mark.parametrize("word", CHILDREN)
def test_a_child_that_is_killed_is_started_again(studio, word):
    (victim,) = studio.processes(word)
    victim.kill()

    def reborn():
        found = studio.processes(word)
        return found and found[0].pid != victim.pid

    wait_until(reborn, 30, f"the return of {word}")
    wait_until(studio.answers, 30, "an answer")


def test_a_second_up_on_the_same_data_says_so_in_one_line(studio, monkeypatch):
    ended = subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=ROOT, env=studio.environment, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 1
    assert str(studio.data) in ended.stderr and len(ended.stderr.strip().splitlines()) == 1


def test_one_that_is_started_while_another_ends_waits_for_it(studio):
    ending = studio.process
    ending.send_signal(signal.SIGTERM)
    start_anew(studio)
    assert ending.wait(timeout=30) == 0


def test_what_it_keeps_is_closed_to_others_on_the_machine(studio):
    assert studio.data.stat().st_mode & 0o007 == 0
    for name in ("dadeum.sqlite3", "secret_key", "setup_token", "logs/web.log", "up.lock"):
        assert (studio.data / name).stat().st_mode & 0o077 == 0, name
    assert "setup/" not in (studio.data / "logs" / "web.log").read_text()
