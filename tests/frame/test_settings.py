"""A bad value in the environment stops the start with one line that names it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def check(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env=os.environ | {"DADEUM_DATA": str(tmp_path)} | environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DADEUM_PORT", "eighty"),
        ("DADEUM_PORT", "70000"),
        ("DADEUM_DEBUG", "maybe"),
        ("DADEUM_DATABASE_URL", "mysql://x/y"),
        ("DADEUM_BROKER_URL", "sqs://"),
        ("DADEUM_MIN_EXAMPLES", "0"),
        ("DADEUM_NIGHT", "25:00"),
        ("DADEUM_QUEUE_LIMIT", "-1"),
        ("DADEUM_PROCESSES", "0"),
        ("DADEUM_FETCH_ALLOW", "intranet.example"),
        ("DADEUM_MODEL_ALIASES", "konan-text-llm-13b-2308"),
        ("DADEUM_MODEL_ALIASES", "konan="),
        ("DADEUM_MODEL_ALIASES", "konan=tiny,konan=other"),
        ("DADEUM_ENGINES", "127.0.0.1:8001"),
        ("DADEUM_ENGINES", "ftp://gpu1:8000"),
        ("DADEUM_ENGINES", "http://gpu1:8000,http://gpu1:8000/v1"),
        ("DADEUM_ENGINES", "http://gpu1:8000/?key=1"),
        ("DADEUM_ENGINE_KEY", "열쇠"),
        ("DADEUM_LEASE_SECONDS", "-1"),
        ("DADEUM_LOG_FORMAT", "xml"),
        ("DADEUM_METRICS_TOKEN", "short"),
        ("DADEUM_METRICS_TOKEN", "with blanks between the words"),
        ("DADEUM_DATA", "/proc/none"),
    ],
)
def test_a_bad_value_stops_the_start_with_one_line(tmp_path, name, value):
    said = check(tmp_path, **{name: value})
    assert said.returncode == 1
    lines = said.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("dadeum: ") and name in lines[0]


def test_a_password_in_an_address_is_refused_and_not_repeated(tmp_path):
    said = check(tmp_path, DADEUM_ENGINES="http://me:Sea-salt@gpu1:8000").stderr
    assert "DADEUM_ENGINES" in said and "Sea-salt" not in said


def test_addresses_of_servers_lose_their_ends(tmp_path):
    shown = "from django.conf import settings; print(settings.ENGINES)"
    said = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", shown],
        cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {
            "DADEUM_DATA": str(tmp_path), "DADEUM_ENGINES": "http://gpu1:8000/v1/, https://gpu2/",
        },
    )  # fmt: skip
    assert said.stdout.strip() == "['http://gpu1:8000', 'https://gpu2']", said.stderr


def test_the_defaults_are_good(tmp_path):
    assert check(tmp_path).returncode == 0


def test_the_secret_key_is_made_once_and_kept_private(tmp_path):
    check(tmp_path)
    key = (tmp_path / "secret_key").read_text()
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600
    check(tmp_path)
    assert (tmp_path / "secret_key").read_text() == key
