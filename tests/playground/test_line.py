"""playground/engine/line.py: who comes in when."""

import threading
from collections import deque
from types import SimpleNamespace

from playground.engine import line


def test_nobody_is_overtaken_by_questions_that_need_less_room(monkeypatch):
    """Short questions that come one after the other would else keep a long one waiting for ever."""
    one, other = object(), object()

    def ticket(weights: object, *, fits: bool) -> SimpleNamespace:
        return SimpleNamespace(
            entry=SimpleNamespace(weights=weights), fits=fits, place=0,
            should_stop=lambda: False, push=lambda event: None,
        )  # fmt: skip

    monkeypatch.setattr(line, "begin", lambda ticket, *_: ticket if ticket.fits else None)
    long, behind, beside = ticket(one, fits=False), ticket(one, fits=True), ticket(other, fits=True)
    talking = SimpleNamespace()
    waiting = line.Line.__new__(line.Line)
    waiting.shelf, waiting._changed = SimpleNamespace(threads=0), threading.Condition()
    waiting._waiting, waiting._talks = deque([long, behind, beside]), [talking]
    waiting._admit()
    assert waiting._talks == [talking, beside]
    assert [(one, one.place) for one in waiting._waiting] == [(long, 1), (behind, 2)]
