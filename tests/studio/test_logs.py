"""Lines of the log: one each, whatever people send, and without secrets."""

import logging
import sys

import pytest

from studio.logs import OneLine


def written(message: str, *args: object, **extra: object) -> str:
    record = logging.LogRecord("a", logging.INFO, "a.py", 1, message, args, extra.get("exc_info"))
    return OneLine("%(levelname)s %(message)s").format(record)


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


def test_the_log_of_the_web_process_is_written_so(settings):
    formatter = settings.LOGGING["formatters"]["line"]
    assert formatter["()"] == "studio.logs.OneLine"
    handler = logging.getLogger().handlers
    assert any(isinstance(one.formatter, OneLine) for one in handler)
