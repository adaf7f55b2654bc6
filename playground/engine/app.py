"""HTTP in, HTTP out: the engine's routes as one plain ASGI application."""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable

from playground.engine import line, wire
from playground.engine.line import Line, Ticket
from playground.engine.shelf import Shelf
from training.errors import UserError

log = logging.getLogger("engine")
FRAME_SECONDS = 0.05
"""At most 20 frames a second."""
QUIET_SECONDS = 5
"""A stream that waits says so this often, so that a dead engine can be told from a busy one."""

Handler = Callable[[dict], Awaitable[tuple[int, dict]]]


class TooLarge(Exception):
    """The body is larger than wire.MAX_BODY_BYTES."""


class Engine:
    """The ASGI application."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.line = Line(self.shelf)
        self.routes: dict[tuple[str, str], Handler] = {
            ("GET", "/health"): self.health,
            ("GET", "/v1/models"): self.models,
            ("POST", "/load_model"): self.load_model,
            ("POST", "/unload_model"): self.unload_model,
            ("POST", "/v1/load_lora_adapter"): self.load_lora_adapter,
            ("POST", "/v1/unload_lora_adapter"): self.unload_lora_adapter,
            ("POST", "/release"): self.release,
        }

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] != "http":
            return
        try:
            if (scope["method"], scope["path"]) == ("POST", "/v1/completions"):
                return await self.completions(receive, send)
            status, answer = await self.dispatch(scope, receive)
        except TooLarge:
            status, answer = 413, wire.error("the body is too large")
        except wire.BadRequest as problem:
            status, answer = 400, wire.error(str(problem), param=problem.param)
        except UserError as problem:
            status, answer = 400, wire.user_error(problem)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            status, answer = 500, wire.error("internal error", kind="server_error")
        await _send_json(send, status, answer)

    async def dispatch(self, scope: dict, receive: Callable) -> tuple[int, dict]:
        handler = self.routes.get((scope["method"], scope["path"]))
        if handler is None:
            return 404, wire.error("no such route", code="not_found")
        return await handler(wire.body(await _read(receive)))

    async def health(self, values: dict) -> tuple[int, dict]:
        counts = {"streams": self.line.streams, "waiting": self.line.waiting}
        return 200, {"status": "ok", "pid": os.getpid(), **counts}

    async def models(self, values: dict) -> tuple[int, dict]:
        return 200, {"object": "list", "data": self.shelf.listing()}

    async def load_model(self, values: dict) -> tuple[int, dict]:
        return 202, self.shelf.load(wire.load(values)).as_dict()

    async def load_lora_adapter(self, values: dict) -> tuple[int, dict]:
        return 202, self.shelf.load(wire.load_adapter(values)).as_dict()

    async def unload_model(self, values: dict) -> tuple[int, dict]:
        return await self._unload(wire.name(values, "model"))

    async def unload_lora_adapter(self, values: dict) -> tuple[int, dict]:
        return await self._unload(wire.name(values, "lora_name"))

    async def _unload(self, name: str) -> tuple[int, dict]:
        await asyncio.wrap_future(self.shelf.unload(name))
        return 200, {"unloaded": name}

    async def release(self, values: dict) -> tuple[int, dict]:
        released, done = self.shelf.release()
        await asyncio.wrap_future(done)
        return 200, {"released": released}

    async def completions(self, receive: Callable, send: Callable) -> None:
        request = wire.completion(wire.body(await _read(receive)))
        ticket = self.line.join(request)
        gone = asyncio.create_task(_disconnected(receive))
        sending = asyncio.create_task(_stream(ticket, send))
        try:
            await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.line.leave(ticket)
            for task in (gone, sending):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


async def _read(receive: Callable) -> bytes:
    """Raises: TooLarge; BadRequest when the peer went away."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise wire.BadRequest("the request ended early")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > wire.MAX_BODY_BYTES:
            raise TooLarge
        if not message.get("more_body"):
            return b"".join(parts)


async def _disconnected(receive: Callable) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_json(send: Callable, status: int, answer: dict) -> None:
    body = wire.json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _stream(ticket: Ticket, send: Callable) -> None:
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    is_last = False
    while not is_last:
        started = time.monotonic()
        frames, is_last = _frames(ticket, await _next_events(ticket))
        await send({"type": "http.response.body", "body": frames, "more_body": not is_last})
        if not is_last:
            await asyncio.sleep(max(0.0, FRAME_SECONDS - (time.monotonic() - started)))


async def _next_events(ticket: Ticket) -> list[line.Queued | line.Text | line.Failed]:
    """Wait for an event and take all that came with it; nothing after a quiet while."""
    try:
        # not wait_for: before Python 3.12 it loses a cancellation that comes with an event
        async with asyncio.timeout(QUIET_SECONDS):
            events = [await ticket.events.get()]
    except TimeoutError:
        return []
    while not ticket.events.empty():
        events.append(ticket.events.get_nowait())
    return events


def _frames(ticket: Ticket, events: list) -> tuple[bytes, bool]:
    """Merge events into one write: texts are joined, only the newest place is told."""
    if not events:
        return b": waiting\n\n", False
    texts = [event for event in events if isinstance(event, line.Text)]
    newest = events[-1]
    if isinstance(newest, line.Queued):
        return wire.frame({"place": newest.place}, "queued"), False
    frames = b""
    if texts:
        whole, last = "".join(text.text for text in texts), texts[-1]
        chunk = wire.chunk(ticket.request.model, whole, last.finish_reason, last.usage)
        frames += wire.frame(chunk)
    if isinstance(newest, line.Failed):
        return frames + wire.frame(wire.user_error(newest.error, "server_error")), True
    is_last = newest.finish_reason is not None
    return frames + (wire.frame("[DONE]") if is_last else b""), is_last
