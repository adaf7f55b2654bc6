"""Servers of vLLM that DADEUM_ENGINES names: what each has, and the way there and back.

What a server has is asked of it and believed for a moment. Paths and shapes are those that vLLM
documents (https://docs.vllm.ai/en/latest/serving/online_serving/openai_compatible_server/; lists and
errors as in its entrypoints/openai). The key is sent and never said. Knows no model of ours.
"""

import functools
import logging
import math
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import httpx
from django.conf import settings

from training.errors import UserError

log = logging.getLogger(__name__)
LOOK = httpx.Timeout(2, connect=1)
"""For asking what a server has; pages wait for it."""
LONG = httpx.Timeout(60, connect=2)
FRESH_SECONDS = 2
"""How long what a server said is believed."""
PAUSE_SECONDS = 10
"""How long a server that did not answer is left alone."""
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What reading an answer of another shape than the documented one ends with."""
GATEWAY = (502, 503, 504)
"""What a proxy says for a server that is not there, and the server while it can take no more."""


# --- what servers have --------------------------------------------------------------------------


@dataclass(frozen=True)
class Card:
    """One line of /v1/models."""

    id: str
    root: str
    """The folder or the hub's id that a base was started with; the folder of an adapter."""
    parent: str | None
    """The base of an adapter."""
    max_model_len: int | None

    @classmethod
    def of(cls, entry: dict) -> "Card":
        length = entry.get("max_model_len")
        root = str(entry.get("root") or "").replace("\0", "")
        is_length = isinstance(length, int) and length > 0
        return cls(str(entry["id"]), root, entry.get("parent"), length if is_length else None)


@dataclass(frozen=True)
class Listing:
    cards: tuple[Card, ...] = ()
    """As the server said last, so that a base is known to be its own while it is away."""
    problem: UserError | None = None
    at: float = -math.inf
    """On the monotonic clock."""

    @property
    def is_stale(self) -> bool:
        return time.monotonic() - self.at > (PAUSE_SECONDS if self.problem else FRESH_SECONDS)


_listings: dict[str, Listing] = defaultdict(Listing)
_locks: dict[str, threading.Lock] = defaultdict(threading.Lock)


def look(url: str) -> Listing:
    """Return what a server has, or with it why it can't be asked."""
    with _locks[url]:
        known = _listings[url]
        if not known.is_stale:
            return known
        try:
            found = Listing(_cards(url))
        except UserError as problem:
            found = replace(known, problem=problem)
        if (found.problem and found.problem.code) != (known.problem and known.problem.code):
            why = (found.problem.code, found.problem.__cause__) if found.problem else "well again"
            log.warning("%s: %s", name_of(url), why)
        _listings[url] = replace(found, at=time.monotonic())
        return _listings[url]


def look_at_all() -> list[tuple[str, Listing]]:
    """Ask all servers at once, so that those that are away cost no more than one of them."""
    with ThreadPoolExecutor(len(settings.ENGINES) or 1) as threads:
        return list(zip(settings.ENGINES, threads.map(look, settings.ENGINES), strict=True))


def forget(url: str) -> None:
    """Ask anew the next time."""
    with _locks[url]:
        _listings[url] = replace(_listings[url], at=-math.inf)


def name_of(url: str) -> str:
    """Return how people call a server: computer and port."""
    return urlsplit(url).netloc


def _cards(url: str) -> tuple[Card, ...]:
    response = call(url, "GET", "/v1/models", timeout=LOOK)
    if response.status_code != 200:
        raise refusal(url, response)
    try:
        return tuple(Card.of(entry) for entry in response.json()["data"])
    except UNREADABLE:
        raise UserError("engine_garbled", engine=name_of(url)) from None


# --- the wire -----------------------------------------------------------------------------------


def call(
    url: str, method: str, path: str, body: dict | None = None, timeout: httpx.Timeout = LONG
) -> httpx.Response:
    with troubles(url), httpx.Client(timeout=timeout, **manners()) as http:
        return http.request(method, url + path, json=body)


def manners() -> dict:
    """Return how we connect: certificates are checked, redirects are not followed, and neither
    proxies nor passwords come from the environment, so that the key goes to the server alone."""
    key = {"Authorization": f"Bearer {settings.ENGINE_KEY}"} if settings.ENGINE_KEY else {}
    headers = {"Accept-Encoding": "identity"} | key
    return {
        "headers": headers, "verify": _certificates(), "trust_env": False, "follow_redirects": False,
    }  # fmt: skip


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Trust what the computer trusts: a network of its own often has certificates of its own."""
    return ssl.create_default_context()


@contextmanager
def troubles(url: str) -> Iterator[None]:
    """Say in our words what goes wrong on the way to a server and back."""
    try:
        yield
    except httpx.TransportError as error:
        raise UserError("engine_unreachable", engine=name_of(url)) from error
    except (httpx.RequestError, *UNREADABLE) as error:
        log.error("%s answered what can't be read: %s", name_of(url), type(error).__name__)
        raise UserError("engine_garbled", engine=name_of(url)) from error


def refusal(url: str, response: httpx.Response) -> UserError:
    """What it said is not logged: it may repeat what people wrote."""
    status, engine = response.status_code, name_of(url)
    log.error("%s answered %d", engine, status)
    if status in (401, 403):
        return UserError("engine_refused_key", engine=engine)
    if status in GATEWAY:
        return UserError("engine_unreachable", engine=engine)
    is_its_own = fault(response) is not None
    return (
        UserError("generation_failed") if is_its_own else UserError("engine_garbled", engine=engine)
    )


def fault(response: httpx.Response) -> dict | None:
    """Return what vLLM says of an error, in either of the shapes that it has had; None for what is
    not of its making."""
    try:
        value = response.json()
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    if value.get("object") == "error":
        return value
    return value["error"] if isinstance(value.get("error"), dict) else None


def said(response: httpx.Response) -> str:
    known = fault(response)
    return str(known.get("message"))[:300] if known else response.text[:300]
