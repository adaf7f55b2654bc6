"""What engines tell, whichever answers: how a model stands, and what happens while one talks."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

import httpx

from training.errors import UserError

MAX_LINE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class ModelState:
    name: str
    state: str = "away"
    """away (not in memory), loading, ready or failed."""
    error: UserError | None = None
    size_bytes: int = 0
    base: str | None = None
    stays: bool = False
    """Whether it is there for good: what another engine was started with can't be unloaded."""
    progress: float | None = None
    """How much of it is in memory while it loads, 0 to 1; None before that."""

    @property
    def percent(self) -> int:
        return round(100 * (self.progress or 0))

    @classmethod
    def of(cls, entry: dict) -> "ModelState":
        error = entry.get("error")
        problem = UserError(error["code"], **error.get("params", {})) if error else None
        return cls(
            entry["id"], entry["state"], problem, entry["bytes"], entry["base"],
            progress=entry["progress"],
        )  # fmt: skip


@dataclass(frozen=True)
class Trimmed:
    count: int
    """Messages that were left out, the oldest ones."""


@dataclass(frozen=True)
class Loading:
    """The model is being loaded; text follows when it is there."""

    progress: float | None = None
    """0 to 1; None before it has begun, or where the engine does not tell."""


@dataclass(frozen=True)
class Queued:
    place: int
    """1 = next."""


@dataclass(frozen=True)
class Delta:
    text: str
    usage: dict
    """prompt_tokens, completion_tokens, seconds, first_token_seconds so far."""


@dataclass(frozen=True)
class Done:
    finish_reason: str
    """stop, length, or time when the answer took too long."""
    usage: dict


Event = Trimmed | Loading | Queued | Delta | Done


async def server_sent(response: httpx.Response) -> AsyncGenerator[tuple[str, str]]:
    """Yield (event, data) of a stream of server-sent events with one line of data each; comments
    are passed over.

    Lines end at line feeds only: httpx's own would also be cut at U+2028 and its like, which JSON
    may hold as they are (https://html.spec.whatwg.org/multipage/server-sent-events.html).

    Raises: ValueError for a line that is endless or no UTF-8.
    """
    kind, rest = "", b""
    async for piece in response.aiter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            raise ValueError("a line without end")
        for line in lines:
            field, _, value = line.rstrip(b"\r").decode().partition(":")
            if field == "event":
                kind = value.removeprefix(" ")
            elif field == "data":
                yield kind, value.removeprefix(" ")
                kind = ""
