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
    said = json.dumps(call.body(), ensure_ascii=False, indent=2)
    return (
        f"{command} {shlex.quote(call.address + '/chat/completions')} \\\n"
        f'  -H "Authorization: Bearer ${KEY}" \\\n'
        f'  -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(said)}\n"
    )


def python(call: Call) -> str:
    """Return a program that uses OpenAI's client."""
    body = call.body()
    own = (
        {"repetition_penalty": body.pop("repetition_penalty")}
        if "repetition_penalty" in body
        else {}
    )
    arguments = [f"{name}={_value(value)}" for name, value in body.items()]
    if own:  # what OpenAI's client has no argument for
        arguments.append(f"extra_body={_value(own)}")
    lines = "".join(f"    {argument},\n" for argument in arguments)
    return (
        "import os\n\nfrom openai import OpenAI\n\n"
        f'client = OpenAI(base_url={_value(call.address)}, api_key=os.environ["{KEY}"])\n'
        f"{'stream' if call.is_streamed else 'answer'} = client.chat.completions.create(\n{lines})\n"
        + (STREAMED if call.is_streamed else WHOLE)
    )


WHOLE = "print(answer.choices[0].message.content)\n"
STREAMED = (
    "for chunk in stream:\n"
    '    print(chunk.choices[0].delta.content or "", end="", flush=True)\n'
    "print()\n"
)
LANGUAGES: Mapping[str, Callable[[Call], str]] = {"curl": curl, "python": python}


def _value(value: object) -> str:
    """Return a value as Python writes it; a list of objects has one on each line."""
    if value is True:
        return "True"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        rows = "".join(f"        {_value(one)},\n" for one in value)
        return f"[\n{rows}    ]"
    return json.dumps(value, ensure_ascii=False)
