"""The websocket door of a comparison: a round's key in, the frames of all its models out, each with the
place of its column. Which model has which place is said by no frame."""

import asyncio
import contextlib
import logging

from channels.db import database_sync_to_async
from django.db import DatabaseError

from playground import client, comparisons, sockets
from playground.comparisons import Column
from playground.models import Comparison
from playground.sockets import Answer
from training.errors import UserError

log = logging.getLogger(__name__)


class ComparisonConsumer(sockets.OwnConsumer):
    rows = Comparison

    def __init__(self, *arguments: object, **more: object) -> None:
        super().__init__(*arguments, **more)
        self.first_words = asyncio.Lock()
        """Held by the column whose model is loaded or reads the question: another one that is loaded
        meanwhile might take the memory of a model that nobody talks to yet."""

    async def take(self, comparison: Comparison, content: dict) -> None:
        """Have all models answer a round that waits.

        Raises: UserError when answers are under way already, or the round was begun before.
        """
        key = content.get("round")
        if content.get("type") != "begin" or type(key) is not int or not 0 < key < 2**63:
            raise UserError("frame_unreadable")
        give_back = self.claim(comparison)
        try:
            columns = await database_sync_to_async(comparisons.begin)(comparison, key)
        except BaseException:
            give_back()
            raise
        await self.tell({"type": "begun", "round": key})
        self.generation = asyncio.create_task(self.answer_all(key, columns))
        self.generation.add_done_callback(lambda _: give_back())

    async def answer_all(self, key: int, columns: list[Column]) -> None:
        """Let all models answer at once; those for which the others leave no memory answer after them.
        Whoever stops this stops them all."""
        with contextlib.suppress(asyncio.CancelledError):
            for column in await self.together(columns, may_wait=True):
                await self.together([column])
        await self.tell({"type": "done", "round": key})

    async def together(self, columns: list[Column], may_wait: bool = False) -> list[Column]:
        """Wait until models have answered; return those that wait for memory instead."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.answer(column, may_wait)) for column in columns]
        return [column for column, task in zip(columns, tasks, strict=True) if task.result()]

    async def answer(self, column: Column, may_wait: bool) -> bool:
        """Generate, send, and keep what one model said, however it ends; the others go on. Return
        whether it waits for memory instead."""
        answer = Answer()
        generation = self.generate(answer, column)
        problem = await sockets.settled(generation, column.reply.round.comparison_id)
        if may_wait and problem and problem.code == "engine_memory_short":
            await self.tell({"type": "waiting", "column": column.reply.place})
            return True
        await asyncio.shield(self.finish(column, answer, problem))
        return False

    async def generate(self, answer: Answer, column: Column) -> None:
        if column.problem:
            raise column.problem
        events = client.stream(column.model, column.messages, column.parameters)
        async with contextlib.AsyncExitStack() as silence, contextlib.aclosing(events):
            await silence.enter_async_context(self.first_words)
            async for event in events:
                if isinstance(event, client.Queued | client.Delta):
                    await silence.aclose()
                answer.take(event)
                if frame := sockets.frame(event):
                    await self.tell(frame | {"column": column.reply.place})

    async def finish(self, column: Column, answer: Answer, problem: UserError | None) -> None:
        reply, usage = column.reply, answer.full_usage() if answer.text else {}
        try:
            await database_sync_to_async(comparisons.keep)(reply, answer.text, usage, problem)
            told = reply.told
        except DatabaseError:
            log.exception("an answer in %s was not kept", reply.round.comparison_id)
            told = UserError("answer_not_kept").as_dict()
        error = await sockets.sentence(told) if told else None
        await self.tell({"type": "end", "column": reply.place, "usage": usage, "error": error})
