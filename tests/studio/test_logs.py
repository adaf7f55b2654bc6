"""Lines of the log: one each, whatever people send, and without secrets."""

import json
import logging
import sys

import pytest

from training import logs
from training.logs import JsonLine, OneLine


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    return logging.LogRecord("a", logging.INFO, "a.py", 1, message, args, extra.get("exc_info"))


def written(message: str, *args: object, **extra: object) -> str:
    return OneLine("%(levelname)s %(message)s").format(record(message, *args, **extra))


def as_json(message: str, *args: object, **extra: object) -> dict:
    line = JsonLine().format(record(message, *args, **extra))
    assert line.isprintable()  # one line, without anything that colours or turns it
    return json.loads(line)


@pytest.mark.parametrize(
    "name", ["a\nERROR forged", "a\r\nb", "a\x1b[31mb", "a\x00b", "a\u2028b", "a\u202eb", "a\x85b"]
)
def test_a_name_cannot_begin_a_line_or_colour_a_terminal(name):
    line = written("renamed %s", name)
    assert line.isprintable() and line.startswith("INFO renamed a\\")


def test_hangul_stays_as_it_is():
    assert written("이름: %s", "민원 분류 도우미 👩‍👩‍👧") == "INFO 이름: 민원 분류 도우미 👩‍👩‍👧"


def test_a_traceback_keeps_its_lines():
    try:
        raise ValueError("x")
    except ValueError:
        lines = written("broken", exc_info=sys.exc_info()).splitlines()
    assert lines[0] == "INFO broken" and lines[-1] == "ValueError: x"


def test_neither_the_setup_link_nor_a_key_is_written_down():
    line = written("Not Found: %s", "/setup/4MB4MBK0sTnQ0GY4YyDzZX5M/")
    assert line == "INFO Not Found: /setup/…/"
    assert written("bad %s", "dadeum-" + "a1_-" * 10) == "INFO bad dadeum-…"
    assert written("in %s", "/tmp/dadeum-ab12") == "INFO in /tmp/dadeum-ab12"


def test_a_json_line_says_when_what_and_who():
    line = as_json("이름: %s", "민원 분류 👩‍👩‍👧".replace("\u200d", ""))
    assert line["message"] == "이름: 민원 분류 👩👩👧"
    assert (line["level"], line["logger"]) == ("INFO", "a")
    assert line["ts"].endswith("+00:00") and "T" in line["ts"]


@pytest.mark.parametrize(
    "name",
    [
        'a\n{"level": "ERROR"}',
        "a\r\nb",
        "a\x1b[31mb",
        "a\x00b",
        "a\u2028b",
        "a\u202eb",
        "a\x85b",
        'a"b',
    ],
)
def test_a_json_line_is_one_line_and_says_what_was_sent(name):
    assert as_json("renamed %s", name)["message"] == f"renamed {name}"


def test_a_json_line_holds_its_traceback_and_no_secret_in_it():
    try:
        raise ValueError("/setup/4MB4MBK0sTnQ0GY4YyDzZX5M/")
    except ValueError:
        line = as_json("broken %s", "dadeum-" + "a1_-" * 10, exc_info=sys.exc_info())
    assert line["message"] == "broken dadeum-…"
    assert line["traceback"].endswith("ValueError: /setup/…/")


def test_lines_carry_what_they_are_about():
    with logs.about(job="abc", user=lambda: None, request=""):
        with logs.about(attempt=2):
            assert written("claimed") == "INFO claimed job=abc attempt=2"
        assert as_json("claimed").keys() == {"ts", "level", "logger", "message", "job"}
    assert written("claimed") == "INFO claimed"


def test_what_a_line_is_about_cannot_forge_a_line_either():
    with logs.about(request="a\nERROR forged"):
        assert written("x").isprintable()
        assert as_json("x")["request"] == "a\nERROR forged"


def test_the_log_of_the_web_process_is_written_so(settings):
    assert settings.LOGGING["formatters"]["line"]["()"] == "training.logs.formatter"
    handler = logging.getLogger().handlers
    assert any(isinstance(one.formatter, OneLine) for one in handler)


class TestRequests:
    def test_every_answer_has_an_id(self, client, db):
        first, second = client.get("/health/live"), client.get("/no/such/page")
        ids = first.headers["X-Request-ID"], second.headers["X-Request-ID"]
        assert len(set(ids)) == 2 and all(len(one) == 16 for one in ids)

    def test_the_senders_id_is_kept_where_it_is_sane(self, client, db):
        for sent in ("4bf92f3577b34da6a3ce929d0e0e4736", "gateway-01.2026"):
            answer = client.get("/health/live", headers={"X-Request-ID": sent})
            assert answer.headers["X-Request-ID"] == sent
        for sent in (
            "short",
            "a" * 65,
            "with blanks in",
            "<script>alert(1)</script>",
            "가나다라마바사아",
        ):
            answer = client.get("/health/live", headers={"X-Request-ID": sent})
            assert answer.headers["X-Request-ID"] != sent

    def test_a_line_within_a_request_names_it_and_who_asked(self, signed_in, user, monkeypatch):
        from studio.views import home

        said: list[str] = []
        monkeypatch.setattr(home.bases, "catalogue", lambda: said.append(written("looking")) or [])
        signed_in.get("/", headers={"X-Request-ID": "gateway-01"})
        assert said == [f"INFO looking request=gateway-01 user={user.pk}"]

    def test_what_is_refused_is_logged_with_its_request(self, client, db, caplog):
        form = OneLine("%(message)s")
        caplog.handler.setFormatter(form)
        client.get("/no/such/page", headers={"X-Request-ID": "gateway-01"})
        assert "/no/such/page request=gateway-01" in caplog.text

    def test_a_line_before_anybody_is_known_asks_no_database(self, client):
        """`client` without the database: asking it would fail."""
        client.get("/health/live", headers={"X-Request-ID": "gateway-01"})
