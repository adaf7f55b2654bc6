"""Bytes of a request in, checked values out; values in, OpenAI objects and SSE frames out.

Knows no model and no thread.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from training.errors import UserError

MAX_TOKENS = 4096
MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_PROMPT = 1_000_000
MAX_STOPS, MAX_STOP_LENGTH = 4, 100
NAME = re.compile(r"(base|tuned):[^\x00-\x1f/]{1,200}")


class BadRequest(Exception):
    """A request that cannot be understood; only a programmer ever sees its English text."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True)
class Completion:
    model: str
    prompt: tuple[int, ...]
    max_tokens: int
    temperature: float
    top_p: float
    repetition_penalty: float
    stop: tuple[str, ...]
    """Strings before which the answer ends."""
    stop_ids: frozenset[int]
    seed: int | None


@dataclass(frozen=True)
class Load:
    model: str
    path: Path
    base: str | None = None
    """The base that an adapter sits on; None for a full model."""
    base_path: Path | None = None


def body(raw: bytes) -> dict:
    try:
        value = json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON") from None
    if not isinstance(value, dict):
        raise BadRequest("the body must be a JSON object")
    return value


def completion(values: dict) -> Completion:
    if values.get("stream") is not True:
        raise BadRequest("only stream=true is served", "stream")
    prompt = tuple(_ids(values, "prompt", MAX_PROMPT))
    if not prompt:
        raise BadRequest("prompt must hold at least one token id", "prompt")
    seed = values.get("seed")
    return Completion(
        model=name(values, "model"),
        prompt=prompt,
        max_tokens=_whole(values, "max_tokens", 1, MAX_TOKENS, 512),
        temperature=_number(values, "temperature", 0, 2, 1.0),
        top_p=_number(values, "top_p", 1e-6, 1, 1.0),
        repetition_penalty=_number(values, "repetition_penalty", 0.01, 2, 1.0),
        stop=_stops(values),
        stop_ids=frozenset(_ids(values, "stop_token_ids", 64)),
        seed=None if seed is None else _whole(values, "seed", 0, 2**63 - 1, 0),
    )


def _stops(values: dict) -> tuple[str, ...]:
    value = values.get("stop") or []
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or len(stops) > MAX_STOPS:
        raise BadRequest(f"stop must be a string or a list of at most {MAX_STOPS}", "stop")
    if not all(isinstance(stop, str) and 0 < len(stop) <= MAX_STOP_LENGTH for stop in stops):
        raise BadRequest(f"stop must hold strings of 1 to {MAX_STOP_LENGTH} characters", "stop")
    return tuple(stops)


def load(values: dict) -> Load:
    return Load(name(values, "model"), _folder(values, "path"))


def load_adapter(values: dict) -> Load:
    return Load(
        name(values, "lora_name"),
        _folder(values, "lora_path"),
        name(values, "base"),
        _folder(values, "base_path"),
    )


def name(values: dict, key: str) -> str:
    value = values.get(key)
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise BadRequest(f"{key} must be base:SLUG or tuned:ID", key)
    return value


def _folder(values: dict, key: str) -> Path:
    value = values.get(key)
    if not isinstance(value, str) or "\0" in value or not Path(value).is_absolute():
        raise BadRequest(f"{key} must be an absolute path", key)
    return Path(value)


def _number(values: dict, key: str, low: float, high: float, default: float) -> float:
    value = values.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadRequest(f"{key} must be a number from {low:g} to {high:g}", key)
    return float(value)


def _whole(values: dict, key: str, low: int, high: int, default: int) -> int:
    value = values.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadRequest(f"{key} must be a whole number from {low} to {high}", key)
    return value


def _ids(values: dict, key: str, most: int) -> list[int]:
    value = values.get(key) or []
    if not isinstance(value, list) or len(value) > most:
        raise BadRequest(f"{key} must be a list of at most {most} token ids", key)
    if not all(type(item) is int and 0 <= item < 2**31 for item in value):
        raise BadRequest(f"{key} must hold token ids", key)
    return value


def error(
    message: str,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
    params: dict | None = None,
) -> dict:
    """Return an OpenAI error object; `params` fills the places of our own sentence for `code`."""
    fields = {"message": message, "type": kind, "param": param, "code": code}
    return {"error": fields | ({"params": params} if params else {})}


def user_error(problem: UserError, kind: str = "invalid_request_error") -> dict:
    return error(str(problem), kind=kind, code=problem.code, params=problem.params)


def chunk(model: str, text: str, finish_reason: str | None, usage: dict) -> dict:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}
    return {"object": "text_completion", "model": model, "choices": [choice], "usage": usage}


def frame(value: dict | str, event: str | None = None) -> bytes:
    """Return one server-sent event."""
    data = (
        value if isinstance(value, str) else json.dumps(value)
    )  # ASCII: some line breaks of Unicode would cut it
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {data}\n\n".encode()
