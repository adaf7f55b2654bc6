"""Tickets in, text out: streams join and leave at any token, whoever finds no room waits in order.

Knows no HTTP; what happens to a ticket is pushed to it as events of this module.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from playground.engine.shelf import Entry, Shelf
from playground.engine.wire import Completion
from training.errors import UserError

if TYPE_CHECKING:
    from training.lm.decode.decoder import Stream
    from training.lm.generate import Sampling

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
    shelf: Shelf
    is_cancelled: threading.Event = field(default_factory=threading.Event)
    events: asyncio.Queue = field(default_factory=asyncio.Queue)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    place: int = 0
    """In the line, as it was told."""

    def push(self, event: Queued | Text | Failed) -> None:
        """Hand an event to the ticket's owner, from any thread."""
        self.loop.call_soon_threadsafe(self.events.put_nowait, event)

    def end(self, event: Text | Failed | None) -> None:
        """Give the model back, then say the last: whoever hears it finds nothing held any more."""
        self.shelf.give_back(self.entry)
        if event:
            self.push(event)

    def should_stop(self) -> bool:
        return self.is_cancelled.is_set() or self.entry.is_gone

    def why_stopped(self) -> Failed | None:
        """Return that the model was unloaded; nothing where nobody listens."""
        if self.is_cancelled.is_set():
            return None
        return Failed(UserError("model_unloaded", model=self.entry.name))


class Line:
    """All streams in one thread, in rounds: each takes every stream one token further, those of one
    base together, and reads a piece of the prompts that wait for it."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self._waiting: deque[Ticket] = deque()
        self._talks: list[Talk] = []
        self._changed = threading.Condition()
        threading.Thread(target=self._work, name="line", daemon=True).start()

    @property
    def streams(self) -> int:
        """How many answers are on their way."""
        return sum(not talk.is_done for talk in self._talks)

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
        ticket = Ticket(request, entry, self.shelf)
        with self._changed:
            self._waiting.append(ticket)
            self._changed.notify()
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give up: out of the line at once, or out of the generation at the next token."""
        ticket.is_cancelled.set()
        with self._changed:
            if ticket not in self._waiting:
                return
            self._waiting.remove(ticket)
        ticket.end(None)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._talks)
            self._go_round()

    def _go_round(self) -> None:
        self._admit()
        for together in _by_weights(self._talks):
            self._go_on(together)
        self._talks = [talk for talk in self._talks if not talk.is_done]

    def _admit(self) -> None:
        """Begin the talks that there is room for, in the order they came; tell the others their place."""
        with self._changed:
            waiting, self._waiting = list(self._waiting), deque()
        left: list[Ticket] = []
        full: set[int] = set()  # weights for which somebody waits: who came later goes behind
        for ticket in waiting:
            talk, weights = None, id(ticket.entry.weights)
            if ticket.should_stop():
                ticket.end(ticket.why_stopped())
                continue
            try:
                if weights not in full:
                    talk = begin(ticket, self._talks, self.shelf.threads)
            except Exception as error:
                ticket.end(_failure(error, ticket))
                continue
            if talk:
                self._talks.append(talk)
            else:
                full.add(weights)
                left.append(ticket)
        with self._changed:
            self._waiting.extendleft(reversed(left))
            for place, ticket in enumerate(self._waiting, start=1):
                if ticket.place != place:
                    ticket.place = place
                    ticket.push(Queued(place))
            if left and not self._talks:
                self._changed.wait(1)

    def _go_on(self, together: "list[Talk]") -> None:
        try:
            together[0].go_on(together)
        except Exception as error:
            for talk in together:
                if not talk.is_done:
                    talk.end(_failure(error, talk.ticket))


def _by_weights(talks: "list[Talk]") -> "list[list[Talk]]":
    """Group the talks that go on together."""
    groups: dict[int, list[Talk]] = {}
    for talk in talks:
        groups.setdefault(talk.group, []).append(talk)
    return list(groups.values())


def _failure(error: Exception, ticket: Ticket) -> Failed:
    """Return what its owner is told; what nobody foresaw is logged."""
    if isinstance(error, UserError):
        return Failed(error)
    from training.lm import load

    name = ticket.entry.name
    log.error("generating with %s failed", name, exc_info=error)
    code = "engine_memory" if load.is_short_of_memory(error) else "generation_failed"
    return Failed(UserError(code, model=name))


def _check_prompt(request: Completion, entry: Entry) -> None:
    weights = entry.weights
    room = weights.context_length - 1
    if len(request.prompt) > room:
        raise UserError("prompt_too_long", tokens=len(request.prompt), limit=room)
    if max(request.prompt) >= weights.vocabulary:
        raise UserError("prompt_foreign_token", model=entry.name)


# --- talks --------------------------------------------------------------------------------------
def begin(ticket: Ticket, talks: "list[Talk]", threads: int) -> "Talk | None":
    """Begin to answer a ticket; None while there is no room for it."""
    import torch

    if threads:
        torch.set_num_threads(threads)  # of this thread, which reads prompts
    if ticket.entry.weights.decoder:
        return Streamed.begin(ticket)
    if any(isinstance(talk, Plain) for talk in talks):
        return None
    return Plain(ticket)


class Talk:
    """An answer on its way."""

    def __init__(self, ticket: Ticket) -> None:
        from training.chat import Renderer
        from training.lm import generate

        self.ticket = ticket
        self.weights = ticket.entry.weights
        self.text = generate.TextStream(Renderer.of(ticket.entry.path).decode)
        self.ending = generate.Ending(ticket.request.stop)
        self.meter = _Meter(len(ticket.request.prompt))
        self.is_done = False

    @property
    def group(self) -> int:
        """Whoever has the same goes on together."""
        return id(self)

    def go_on(self, together: "list[Talk]") -> None:
        """Take each of the talks one token further."""
        raise NotImplementedError

    def take(self, token: int | None) -> None:
        """Hand on what was generated; None ends the answer at its greatest length."""
        request, finish = self.ticket.request, None
        if token is not None:
            self.meter.count()
            if token in request.stop_ids:
                finish = "stop"
            elif delta := self.ending.push(self.text.push(token)):
                self.ticket.push(Text(delta, None, self.meter.usage()))
        if self.ending.is_reached:
            finish = "stop"
        if finish is None and (token is None or self.meter.completion_tokens >= self.most):
            finish = "length"
        if finish:
            rest = self.ending.push(self.text.finish()) + self.ending.finish()
            self.end(Text(rest, finish, self.meter.usage()))

    @property
    def most(self) -> int:
        """Tokens of the answer at most."""
        request = self.ticket.request
        return min(request.max_tokens, self.weights.context_length - len(request.prompt))

    def stop_if_asked(self) -> None:
        if not self.is_done and self.ticket.should_stop():
            self.end(self.ticket.why_stopped())

    def end(self, event: Text | Failed | None) -> None:
        self.is_done = True
        self.let_go()
        self.ticket.end(event)

    def let_go(self) -> None:
        """Give back what it held."""


class Streamed(Talk):
    """One of the streams of a decoder."""

    def __init__(self, ticket: Ticket, stream: "Stream") -> None:
        from training.lm import generate

        super().__init__(ticket)
        self.stream = stream
        self.meter.reused = stream.reused
        self.token = stream.last
        """What is to be appended next."""
        self.sampler = generate.Sampler(_sampling(ticket.request), ticket.request.prompt)

    @classmethod
    def begin(cls, ticket: Ticket) -> "Streamed | None":
        request, weights = ticket.request, ticket.entry.weights
        name = ticket.entry.adapter or ""
        adapter = weights.adapters[name] if name else None
        stream = weights.decoder.admit(request.prompt, adapter, name, request.max_tokens)
        return cls(ticket, stream) if stream else None

    @property
    def group(self) -> int:
        return id(self.weights)

    def go_on(self, together: "list[Talk]") -> None:
        decoder = self.weights.decoder
        for talk in together:
            talk.stop_if_asked()
        going = [talk for talk in together if talk.stream.is_read and not talk.is_done]
        unread = next((t for t in together if not t.stream.is_read and not t.is_done), None)
        if going:
            logits_BV = decoder.step([t.stream for t in going], [t.token for t in going])
            for talk, logits_V in zip(going, logits_BV, strict=True):
                talk.choose(logits_V)
        if unread:
            decoder.read(unread.stream)

    def choose(self, logits_V) -> None:
        self.token = self.sampler.pick(logits_V)
        self.take(self.token)

    def let_go(self) -> None:
        self.weights.decoder.leave(self.stream)


class Plain(Talk):
    """A model that no decoder knows, as transformers computes it: one such answer at a time."""

    def __init__(self, ticket: Ticket) -> None:
        from training.lm import generate

        super().__init__(ticket)
        request = ticket.request
        self.tokens = generate.stream(
            self.weights.module, request.prompt, max_tokens=request.max_tokens,
            sampling=_sampling(request), stop_ids=request.stop_ids,
            should_stop=ticket.should_stop,
        )  # fmt: skip

    def go_on(self, together: "list[Talk]") -> None:
        self.stop_if_asked()
        if self.is_done:
            return
        with self.weights.step(self.ticket.entry.adapter):
            token = next(self.tokens, None)
        if token is None:
            self.stop_if_asked()
        if not self.is_done:
            self.take(token)


def _sampling(request: Completion) -> "Sampling":
    from training.lm import generate

    return generate.Sampling(
        request.temperature, request.top_p, request.repetition_penalty, request.seed
    )


class _Meter:
    """Tokens and seconds of one stream, from the moment that its turn came."""

    def __init__(self, prompt_tokens: int) -> None:
        self.prompt_tokens = prompt_tokens
        self.completion_tokens = 0
        self.reused = 0
        """Tokens of the prompt that were there from before."""
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
            "prompt_tokens_details": {"cached_tokens": self.reused},
            "seconds": round(time.monotonic() - self.started, 3),
            "first_token_seconds": round(self.first_token_seconds, 3),
        }
