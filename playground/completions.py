"""OpenAI's chat completions as values: what a program sends goes in, messages and parameters come out;
what was generated goes in, `chat.completion` and its chunks come out. Knows no request, no engine.
"""

import json
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Annotated, Literal

from django.utils import translation
from ninja import Schema
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
)
from pydantic_core import PydanticCustomError

from playground.client import Delta, Done, Event, Queued
from playground.parameters import MAX_TEXT, Parameters
from training import chat, wording
from training.errors import UserError, about

MAX_MESSAGES = 500
"""A template is run for each answer among them."""
HARMLESS = frozenset({
    "metadata", "name", "parallel_tool_calls", "prediction", "prompt_cache_key",
    "prompt_cache_retention", "safety_identifier", "service_tier", "store", "user",
})  # fmt: skip
"""Fields that do not change what is answered."""
NEUTRAL: dict[str, tuple] = {
    "audio": (), "best_of": (1,), "echo": (False,), "frequency_penalty": (0,),
    "function_call": ("none", "auto"), "functions": ([],), "logit_bias": ({},), "logprobs": (False,),
    "min_p": (0,), "modalities": (["text"],), "n": (1,), "presence_penalty": (0,),
    "reasoning_effort": ("none",), "refusal": (), "response_format": ({"type": "text"},),
    "tool_call_id": (), "tool_calls": ([],), "tool_choice": ("none", "auto"), "tools": ([],),
    "top_k": (0, -1), "top_logprobs": (0,), "verbosity": ("medium",), "web_search_options": (),
}  # fmt: skip
"""Fields that would change it and are not served, each with the values that change nothing (null
never does)."""
HALF = re.compile("[\ud800-\udfff]")
"""Of a character; JSON may hold one, no tokenizer takes it."""
END = "data: [DONE]\n\n"


# --- what is sent -----------------------------------------------------------------------------
def _joined(content: object) -> str:
    """Return a text, which may come in parts."""
    if isinstance(content, list) and all(_is_text(part) for part in content):
        return "\n".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise PydanticCustomError("content_unreadable", "neither text nor parts of text")
    return content


def _is_text(part: object) -> bool:
    return (
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
    )


def _listed(stop: object) -> object:
    return [stop] if isinstance(stop, str) else stop


def _sound(text: str) -> str:
    if HALF.search(text):
        raise PydanticCustomError("string_type", "half a character")
    return text


Number = Annotated[float, Field(strict=True)]
Text = Annotated[StrictStr, AfterValidator(_sound)]


class Told(BaseModel):
    """A message of the conversation."""

    model_config = ConfigDict(extra="allow")
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[Text, BeforeValidator(_joined, json_schema_input_type=str | list[dict])]

    def message(self) -> chat.Message:
        """Raises: UserError("text_too_long")."""
        if len(self.content) > MAX_TEXT:
            raise UserError("text_too_long", length=len(self.content), limit=MAX_TEXT)
        return chat.Message("system" if self.role == "developer" else self.role, self.content)


class StreamOptions(BaseModel):
    include_usage: StrictBool = False


class Order(BaseModel):
    """What is to be answered, and how."""

    model_config = ConfigDict(extra="allow")
    model: Annotated[Text, Field(min_length=1, max_length=300)]
    messages: Annotated[list[Told], Field(min_length=1, max_length=MAX_MESSAGES)]
    temperature: Number | None = None
    top_p: Number | None = None
    max_tokens: StrictInt | None = None
    max_completion_tokens: StrictInt | None = None
    repetition_penalty: Number | None = None
    stop: Annotated[
        list[Text] | None, BeforeValidator(_listed, json_schema_input_type=str | list[str])
    ] = None
    seed: StrictInt | None = None
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def conversation(self) -> list[chat.Message]:
        """Return the messages as the renderer takes them; texts of the system that stand first are one.

        Raises: UserError naming the field that can't be served.
        """
        _refuse_unserved(self)
        told = []
        for place, one in enumerate(self.messages):
            _refuse_unserved(one, f"messages.{place}.")
            with about(f"messages.{place}.content"):
                told.append(one.message())
        if told[-1].role == "assistant":
            with about("messages"):
                raise UserError("answer_is_last")
        return _one_system(told)

    def parameters(self, otherwise: Parameters) -> Parameters:
        """Return what was chosen, and for the rest what the model begins with.

        Raises: UserError naming the field that is out of bounds.
        """
        chosen = {
            name: value
            for name in Parameters.__dataclass_fields__
            if (value := getattr(self, name)) is not None
        }
        length = "max_tokens"
        if self.max_completion_tokens is not None:
            chosen["max_tokens"], length = self.max_completion_tokens, "max_completion_tokens"
        try:
            return Parameters.parse(otherwise.as_dict() | chosen)
        except UserError as error:
            name = str(error.params.get("name", "stop"))
            error.field = length if name == "max_tokens" else name
            raise


def _refuse_unserved(sent: Told | Order, place: str = "") -> None:
    for name, value in (sent.model_extra or {}).items():
        if value is not None and name not in HARMLESS and value not in NEUTRAL.get(name, ()):
            with about(place + name):
                code = "field_unserved" if name in NEUTRAL else "field_unknown"
                raise UserError(code, field=place + name)


def _one_system(told: list[chat.Message]) -> list[chat.Message]:
    count = next((i for i, one in enumerate(told) if one.role != "system"), len(told))
    if count < 2:
        return told
    text = "\n\n".join(one.content for one in told[:count])
    return [chat.Message("system", text), *told[count:]]


# --- what is answered -------------------------------------------------------------------------
class Said(Schema):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Choice(Schema):
    index: Literal[0] = 0
    message: Said
    logprobs: None = None
    finish_reason: Literal["stop", "length"]


class Usage(Schema):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(Schema):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    system_fingerprint: None = None
    trimmed_messages: int = 0
    """How many of the oldest messages were left out, so that the rest fits the model's context."""


@dataclass(frozen=True)
class Reply:
    """One answer under its id, whole or as server-sent events."""

    model: str
    with_usage: bool = False
    """Whether the stream ends with a chunk that says how many tokens it took."""
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))
    language: str | None = field(default_factory=translation.get_language)
    """Of whoever asks; a stream goes on when the request has been answered."""

    def whole(self, text: str, done: Done, trimmed: int) -> dict:
        choice = {"message": {"content": text}, "finish_reason": _reason(done)}
        head = {"id": self.id, "created": self.created, "model": self.model}
        return head | {"choices": [choice], "usage": _usage(done), "trimmed_messages": trimmed}

    def opening(self, trimmed: int) -> str:
        return self._chunk({"role": "assistant", "content": ""}, trimmed_messages=trimmed)

    def frames(self, event: Event | None) -> str:
        """Return what a stream says of an event; a comment where it is no part of the answer."""
        match event:
            case Delta(text):
                return self._chunk({"content": text})
            case Done():
                usage = self._chunk(None, usage=_usage(event)) if self.with_usage else ""
                return self._chunk({}, _reason(event)) + usage + END
            case Queued(place):
                return f": place {place} in line\n\n"
        return ": waiting\n\n"

    def failure(self, error: UserError) -> str:
        """Return what a stream says of an error that came when it had begun."""
        with translation.override(self.language):
            words = wording.say(error.code, error.params)
            message = f"{words.what} {words.cure}"
        said = {"message": message, "type": "server_error", "param": None, "code": error.code}
        return _frame({"error": said})

    def _chunk(self, delta: dict | None, reason: str | None = None, **more: object) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return _frame({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created,
            "model": self.model, "system_fingerprint": None,
            "choices": [] if delta is None else [choice], **more,
        })  # fmt: skip


def _usage(done: Done) -> dict:
    asked, said = done.usage.get("prompt_tokens", 0), done.usage.get("completion_tokens", 0)
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def _reason(done: Done) -> str:
    return "stop" if done.finish_reason == "stop" else "length"  # an answer may run out of time too


def _frame(value: dict) -> str:
    return f"data: {json.dumps(value)}\n\n"  # ASCII: some line breaks of Unicode would cut it
