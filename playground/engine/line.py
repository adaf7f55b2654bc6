"""Tickets in, text out: one stream generates at a time, the others wait in the order they came.

Knows no HTTP; what happens to a ticket is pushed to it as events of this module.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field

from playground.engine.shelf import Entry, Shelf
from playground.engine.wire import Completion
from training.errors import UserError

log = logging.getLogger("engine")


@dataclass(frozen=True)
class Queued:
    place: int
    """1 = next."""


@dataclass(frozen=True)
class Text:
    text: str
    finish_reason: str | None
    """stop, length, or None while more is to come."""
    usage: dict


@dataclass(frozen=True)
class Failed:
    error: UserError


@dataclass(eq=False)
class Ticket:
    """One request in the line."""

    request: Completion
    entry: Entry
    is_cancelled: threading.Event = field(default_factory=threading.Event)
    events: asyncio.Queue = field(default_factory=asyncio.Queue)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def push(self, event: Queued | Text | Failed) -> None:
        """Hand an event to the ticket's owner, from any thread."""
        self.loop.call_soon_threadsafe(self.events.put_nowait, event)

    def should_stop(self) -> bool:
        return self.is_cancelled.is_set() or self.entry.is_gone


class Line:
    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self._waiting: deque[Ticket] = deque()
        self._current: Ticket | None = None
        self._changed = threading.Condition()
        threading.Thread(target=self._work, name="line", daemon=True).start()

    @property
    def streams(self) -> int:
        return int(self._current is not None)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def join(self, request: Completion) -> Ticket:
        """Stand at the end of the line.

        Raises: UserError when the model is not ready; UserError("prompt_too_long").
        """
        entry = self.shelf.acquire(request.model)
        try:
            _check_prompt(request, entry)
        except UserError:
            self.shelf.give_back(entry)
            raise
        ticket = Ticket(request, entry)
        with self._changed:
            self._waiting.append(ticket)
            if self._current or len(self._waiting) > 1:
                ticket.push(Queued(len(self._waiting)))
            self._changed.notify()
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give up: out of the line at once, or out of the generation at the next token."""
        ticket.is_cancelled.set()
        with self._changed:
            if ticket not in self._waiting:
                return
            self._waiting.remove(ticket)
            self._tell_places()
        self.shelf.give_back(ticket.entry)

    def _tell_places(self) -> None:
        for place, ticket in enumerate(self._waiting, start=1):
            ticket.push(Queued(place))

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                self._current = ticket = self._waiting.popleft()
                self._tell_places()
            try:
                _generate(ticket, self.shelf.threads)
            except UserError as error:
                ticket.push(Failed(error))
            except Exception as error:
                log.exception("generating with %s failed", ticket.entry.name)
                ticket.push(Failed(_explain(error, ticket.entry.name)))
            finally:
                self._current = None
                self.shelf.give_back(ticket.entry)
                del ticket  # it would hold the model's weights until the next one comes


def _explain(error: Exception, name: str) -> UserError:
    from training.lm import load

    code = "engine_memory" if load.is_short_of_memory(error) else "generation_failed"
    return UserError(code, model=name)


def _check_prompt(request: Completion, entry: Entry) -> None:
    from training.lm import generate

    module = entry.weights.module
    room = generate.context_length(module) - 1
    if len(request.prompt) > room:
        raise UserError("prompt_too_long", tokens=len(request.prompt), limit=room)
    if max(request.prompt) >= module.get_input_embeddings().num_embeddings:
        raise UserError("prompt_foreign_token", model=entry.name)


def _generate(ticket: Ticket, threads: int) -> None:
    """Run one ticket to its end in this thread."""
    import torch

    from training.chat import Renderer
    from training.lm import generate

    if threads:
        torch.set_num_threads(threads)
    request, entry = ticket.request, ticket.entry
    if ticket.should_stop() or entry.weights is None:
        return _end_early(ticket)
    weights, text = entry.weights, generate.TextStream(Renderer.of(entry.path).decode)
    meter = _Meter(len(request.prompt))
    tokens = generate.stream(
        weights.module,
        request.prompt,
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        stop_ids=request.stop_ids,
        seed=request.seed,
        should_stop=ticket.should_stop,
    )
    finish = "length"
    while True:
        with weights.step(entry.adapter):
            token = next(tokens, None)
        if token is None:
            break
        meter.count()
        if token in request.stop_ids:
            finish = "stop"
        elif delta := text.push(token):
            ticket.push(Text(delta, None, meter.usage()))
    if ticket.should_stop() and finish != "stop":
        return _end_early(ticket)
    ticket.push(Text(text.finish(), finish, meter.usage()))


def _end_early(ticket: Ticket) -> None:
    if not ticket.is_cancelled.is_set():
        raise UserError("model_unloaded", model=ticket.entry.name)


class _Meter:
    """Tokens and seconds of one stream, from the moment that its turn came."""

    def __init__(self, prompt_tokens: int) -> None:
        self.prompt_tokens = prompt_tokens
        self.completion_tokens = 0
        self.started = time.monotonic()
        self.first_token_seconds = 0.0

    def count(self) -> None:
        self.completion_tokens += 1
        if self.completion_tokens == 1:
            self.first_token_seconds = time.monotonic() - self.started

    def usage(self) -> dict:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "seconds": round(time.monotonic() - self.started, 3),
            "first_token_seconds": round(self.first_token_seconds, 3),
        }
