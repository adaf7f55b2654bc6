"""How a line of the log is written, as text or as JSON: whatever people send stays on one line, and
no secret gets in. What a line is about (a job, a request) is added to it. Knows no Django."""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
SECRETS = re.compile(r"(/setup/)[^/\s]+|(dadeum-)[A-Za-z0-9_-]{20,}")
TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_about: ContextVar[Mapping[str, object]] = ContextVar("about", default={})  # noqa: B039 - unchanged


def begin(**facts: object) -> None:
    """Have every line from here on carry these facts and no others; a callable is asked when a line
    is written."""
    _about.set(facts)


@contextmanager
def about(**facts: object) -> Iterator[None]:
    """Have every line within carry these facts too."""
    before = _about.set({**_about.get(), **facts})
    try:
        yield
    finally:
        _about.reset(before)


def known() -> dict[str, object]:
    """Return what lines are about now, without what is empty."""
    found = {key: value() if callable(value) else value for key, value in _about.get().items()}
    return {key: value for key, value in found.items() if value not in (None, "")}


def formatter(kind: str) -> logging.Formatter:
    """Return what writes lines as `kind` has them: text or json."""
    return JsonLine() if kind == "json" else OneLine(TEXT)


def without_secrets(text: str) -> str:
    return SECRETS.sub(lambda found: f"{found[1] or found[2]}…", text)


class OneLine(logging.Formatter):
    """Escapes what would begin a line of its own; a traceback of ours still follows on its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        about = "".join(f" {key}={value}" for key, value in known().items())
        line = without_secrets(super().formatMessage(record) + about)
        return CONTROL.sub(lambda found: ascii(found[0])[1:-1], line)


class JsonLine(logging.Formatter):
    """One JSON object a line: ts, level, logger, message, what it is about, and a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        said = {
            "ts": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
        } | known()
        if record.exc_info:
            said["traceback"] = without_secrets(self.formatException(record.exc_info))
        line = json.dumps(said, ensure_ascii=False, default=str)
        return CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", line)
