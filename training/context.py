"""What the lines of the log that are written now are about: a job, a request. Knows no Django."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_about: ContextVar[Mapping[str, object]] = ContextVar("about", default={})  # noqa: B039 - unchanged


@contextmanager
def about(**facts: object) -> Iterator[None]:
    """Have every line within carry these facts; a callable is asked when a line is written."""
    before = _about.set({**_about.get(), **facts})
    try:
        yield
    finally:
        _about.reset(before)


def facts() -> dict[str, object]:
    """Return what is known now, without what is empty."""
    found = {key: value() if callable(value) else value for key, value in _about.get().items()}
    return {key: value for key, value in found.items() if value not in (None, "")}
