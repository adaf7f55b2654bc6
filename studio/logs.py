"""How a line of the log is written: whatever people send stays on one line, and no secret gets in."""

import logging
import re

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
SECRETS = re.compile(r"(/setup/)[^/\s]+|(dadeum-)[A-Za-z0-9_-]{20,}")


class OneLine(logging.Formatter):
    """Escapes what would begin a line of its own; a traceback of ours still follows on its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = SECRETS.sub(_hidden, super().formatMessage(record))
        return CONTROL.sub(lambda found: ascii(found[0])[1:-1], line)


def _hidden(found: re.Match) -> str:
    return f"{found[1] or found[2]}…"
