"""A batch in, its questions answered: the light lane's work. The row is the truth; whoever comes after
a killed worker asks only what has no answer yet.

Several questions are with the engine at once, which answers them together. People come first: a
question never stands in line before one of theirs, and while they talk fewer are asked.
"""

import asyncio
import logging
import time
from collections import deque
from contextlib import aclosing
from functools import partial

from channels.db import database_sync_to_async
from django.conf import settings
from django.db import close_old_connections
from django.utils import timezone

from playground import batches, client
from playground.models import Batch, BatchQuestion
from playground.parameters import Parameters
from training import tasks
from training.chat import Message
from training.errors import UserError
from training.leases import AWAY, Order
from training.supervise import EXIT_STOPPED, EXIT_USER_ERROR, Outcome, insist

log = logging.getLogger(__name__)
TOGETHER = 8
"""Questions that are with the engine at once."""
BESIDE_PEOPLE = 2
"""The same while people talk."""
TALK_SECONDS = 20.0
"""How long somebody who was answered is thought to go on talking."""
GROWTH = 0.1
"""How much the number grows again with each answer once the engine had no room."""
PATIENCE_SECONDS = 2.0
"""Between two tries of an engine that is away or has no room."""
TRIES = 3
"""Times that an answer may break off before its question is given up."""
PASSING = frozenset({
    *client.AWAY, "engine_model_missing", "model_unloaded", "model_not_loaded", "model_loading",
})  # fmt: skip
"""What is over after a while."""
OWN = frozenset({"prompt_too_long", "prompt_foreign_token", "generation_failed"})
"""What is wrong with one question, not with all."""

AWAY_WORD, LOADING = "engine_away", "loading"
"""What a batch waits for."""

in_database = partial(database_sync_to_async, thread_sensitive=False)


class NoRoom(Exception):
    """The engine would let the question wait in line."""


def run(pk: str) -> None:
    """Read a batch's questions if need be, and have them answered."""
    batch = batches.DESK.claim(pk)
    if batch is None:
        return
    outcome = Outcome() if batch.total else batches.take_in(batch)
    if outcome.is_done:
        outcome = asyncio.run(Asker(batch).answer_all())
        insist(partial(batches.write_down, batch))
    batches.DESK.settle(
        batch, outcome, {"finished_at": timezone.now(), "seconds_left": None, "waits_for": ""}
    )
    batches.ring_next()


class Asker:
    """Asks the open questions of one batch that is held."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.parameters = Parameters.parse(batch.parameters)
        self.open: deque[int] = deque()
        self.asking: dict[asyncio.Task, int] = {}
        self.tries: dict[int, int] = {}
        self.limit = float(TOGETHER)
        self.with_engine: set[int] = set()
        """Questions that are with the engine, of all that are being asked."""
        self.people_till = 0.0
        """Until when people are thought to talk."""
        self.waits_for = ""
        self.done = self.told = 0
        """Questions answered by this worker, and those of them that the row knows of."""
        self.begun_at = time.monotonic()
        self.resting_till = 0.0
        self.beaten_at = time.monotonic()

    async def answer_all(self) -> Outcome:
        unanswered = self.batch.questions.filter(answered_at=None).values_list("pk", flat=True)
        self.open.extend(await in_database(list)(unanswered))
        try:
            await self._look_around()
            return await self._go_on()
        except UserError as problem:
            return Outcome(exit_code=EXIT_USER_ERROR, error=problem.as_dict())
        except Exception:
            log.exception("asking batch %s failed", self.batch.pk)
            return Outcome(exit_code=1)
        finally:
            await self._stop_asking()

    async def _go_on(self) -> Outcome:
        while self.open or self.asking:
            self._ask_more()
            done: set[asyncio.Task] = set()
            if self.asking:
                done, _ = await asyncio.wait(
                    self.asking, timeout=settings.BEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
            else:
                await asyncio.sleep(settings.BEAT_SECONDS)
            for task in done:
                self._take(task)
            if (outcome := await self._beat()) is not None:
                return outcome
        return Outcome()

    def _ask_more(self) -> None:
        is_beside = time.monotonic() < self.people_till
        limit = min(self.limit, BESIDE_PEOPLE if is_beside else TOGETHER)
        while self.open and len(self.asking) < int(limit) and time.monotonic() >= self.resting_till:
            pk = self.open.popleft()
            self.asking[asyncio.create_task(self._ask(pk))] = pk
            if self.waits_for:  # one tries whether it is over
                return

    def _take(self, task: asyncio.Task) -> None:
        """Take the end of one question.

        Raises: UserError that concerns all questions.
        """
        pk = self.asking.pop(task)
        try:
            task.result()
        except NoRoom:
            self.open.appendleft(pk)
            self.limit = max(1.0, len(self.asking) - 1.0)
            self._rest()
        except asyncio.CancelledError:  # it made way
            self.open.appendleft(pk)
        except UserError as problem:
            if not self._passes(problem):
                raise
            self.open.appendleft(pk)
            self.waits_for = AWAY_WORD if problem.code in client.AWAY else LOADING
            self._rest()
        else:
            self.done += 1
            self.limit = min(TOGETHER, self.limit + GROWTH)

    def _passes(self, problem: UserError) -> bool:
        """Say whether it will be over after a while, as a want of memory is while people talk to others."""
        is_crowded = problem.code == "engine_memory_short" and time.monotonic() < self.people_till
        return is_crowded or problem.code in PASSING

    def _rest(self) -> None:
        self.resting_till = time.monotonic() + PATIENCE_SECONDS

    async def _beat(self) -> Outcome | None:
        """Renew the hold every beat; return an outcome where the work is to end."""
        if tasks.stopping.is_set():
            return Outcome(exit_code=EXIT_STOPPED, sent_home=True)
        if time.monotonic() - self.beaten_at < settings.BEAT_SECONDS:
            return None
        await self._look_around()
        try:
            order = await in_database(batches.DESK.beat)(self.batch, [self._progress()])
        except AWAY as error:
            log.warning("the database did not take a beat: %s", error)
            await in_database(close_old_connections)()
            is_lost = time.monotonic() - self.beaten_at > settings.LEASE_SECONDS * 0.8
            return Outcome(exit_code=EXIT_STOPPED) if is_lost else None
        self.beaten_at, self.told = time.monotonic(), self.done
        if order is Order.FENCED:
            return Outcome(fenced=True)
        return Outcome(exit_code=EXIT_STOPPED) if order is Order.STOP else None

    def _progress(self) -> dict:
        return {
            "kind": "progress",
            "waits_for": self.waits_for,
            "seconds_left": self._seconds_left(),
            "has_answers": self.done > self.told,
        }

    def _seconds_left(self) -> int | None:
        if not self.done or self.waits_for:
            return None
        left = len(self.open) + len(self.asking)
        return round((time.monotonic() - self.begun_at) / self.done * left)

    async def _look_around(self) -> None:
        """See whether the engine answers somebody else; the latest questions make way at once."""
        try:
            others = await client.streams() - len(self.with_engine)
        except UserError:
            return
        if others > 0:
            self.people_till = time.monotonic() + TALK_SECONDS
            for task, pk in [*self.asking.items()][BESIDE_PEOPLE:]:
                if pk in self.with_engine:
                    task.cancel()

    async def _ask(self, pk: int) -> None:
        """Ask one question and keep its answer, or what is wrong with it.

        Raises: NoRoom; UserError of another kind.
        """
        question = await in_database(BatchQuestion.objects.get)(pk=pk)
        parts: list[str] = []
        usage: dict = {}
        problem = None
        events = client.stream(self.batch.model, self._messages(question), self.parameters)
        self.with_engine.add(pk)
        try:
            async with aclosing(events):
                async for event in events:
                    self._hear(event, parts, usage)
        except UserError as error:
            problem = self._about(pk, error, bool(parts))
            parts, usage = [], {}
        finally:
            self.with_engine.discard(pk)
        answer = "".join(parts)
        keep = partial(batches.keep_answer, self.batch, question, answer, usage, problem)
        await in_database(insist)(keep)

    def _messages(self, question: BatchQuestion) -> list[Message]:
        said = [Message(one["role"], one["content"]) for one in question.messages]
        system = self.batch.system_prompt.strip()
        if system and said[0].role != "system":
            said.insert(0, Message("system", system))
        return said

    def _hear(self, event: client.Event, parts: list[str], usage: dict) -> None:
        match event:
            case client.Queued():
                raise NoRoom
            case client.Loading():
                self.waits_for = LOADING
            case client.Trimmed(count):
                usage["trimmed"] = count
            case client.Delta(text):
                self.waits_for = ""
                parts.append(text)
            case client.Done(reason, told):
                self.waits_for = ""
                usage |= told | {"finish_reason": reason}

    def _about(self, pk: int, error: UserError, has_begun: bool) -> UserError:
        """Return what is to be kept with a question; raise what is not about it alone."""
        if error.code in OWN:
            return error
        if error.code in PASSING and has_begun:
            self.tries[pk] = self.tries.get(pk, 0) + 1
            if self.tries[pk] >= TRIES:
                return UserError("generation_failed")
        raise error

    async def _stop_asking(self) -> None:
        for task in self.asking:
            task.cancel()
        await asyncio.gather(*self.asking, return_exceptions=True)
