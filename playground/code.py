"""A question as code: what a model is asked goes in, a curl command or a Python program that asks the
same over /v1/ comes out. Knows neither request nor database.
"""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from playground.parameters import Parameters
from training.chat import Message

KEY = "DADEUM_API_KEY"
"""The environment variable that holds the key: no key is ever written into code."""


@dataclass(frozen=True)
class Call:
    address: str
    """Of the API: https://studio.example.org/v1"""
    model: str
    """Its public name."""
    messages: Sequence[Message]
    parameters: Parameters
    is_streamed: bool = False

    def body(self) -> dict:
        """Return what is sent, leaving out what changes nothing."""
        chosen = self.parameters
        body: dict = {
            "model": self.model,
            "messages": [{"role": one.role, "content": one.content} for one in self.messages],
            "temperature": chosen.temperature,
            "top_p": chosen.top_p,
            "max_tokens": chosen.max_tokens,
        }
        if chosen.repetition_penalty != 1:
            body["repetition_penalty"] = chosen.repetition_penalty
        if chosen.stop:
            body["stop"] = list(chosen.stop)
        if chosen.seed is not None:
            body["seed"] = chosen.seed
        return body | ({"stream": True} if self.is_streamed else {})


def curl(call: Call) -> str:
    """Return a command for a POSIX shell."""
    command = "curl -N" if call.is_streamed else "curl"
    fields = (f'    "{name}": {_json(value, 4)}' for name, value in call.body().items())
    said = "{\n" + ",\n".join(fields) + "\n  }"
    said = said.replace("'", "\\u0027")  # to a shell a string without ' is what it looks like
    return (
        f"{command} {shlex.quote(call.address + '/chat/completions')} \\\n"
        f'  -H "Authorization: Bearer ${KEY}" \\\n'
        f'  -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(said)}\n"
    )


def python(call: Call) -> str:
    """Return a program that uses OpenAI's client."""
    body = call.body()
    streamed = body.pop("stream", False)
    penalty = body.pop("repetition_penalty", None)
    arguments = [f"{name}={_json(value, 4)}" for name, value in body.items()]
    if penalty:  # which OpenAI's client has no argument for
        arguments.append(f'extra_body={{"repetition_penalty": {_json(penalty)}}}')
    if streamed:
        arguments.append("stream=True")
    lines = "".join(f"    {argument},\n" for argument in arguments)
    return (
        "import os\n\nfrom openai import OpenAI\n\n"
        f'client = OpenAI(base_url={_json(call.address)}, api_key=os.environ["{KEY}"])\n'
        f"{'stream' if streamed else 'answer'} = client.chat.completions.create(\n{lines})\n"
        f"{STREAMED if streamed else WHOLE}"
    )


WHOLE = "print(answer.choices[0].message.content)\n"
STREAMED = (
    "for chunk in stream:\n"
    '    print(chunk.choices[0].delta.content or "", end="", flush=True)\n'
    "print()\n"
)
LANGUAGES: Mapping[str, Callable[[Call], str]] = {"curl": curl, "python": python}


def _json(value: object, step: int = 0) -> str:
    """Return a value as JSON, which Python reads as well; of messages each has a line of its own,
    two `step`s to the right."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, list) or not isinstance(value[0], dict):
        return json.dumps(value, ensure_ascii=False)
    rows = ",\n".join(" " * 2 * step + _json(one) for one in value)
    return f"[\n{rows}\n{' ' * step}]"
