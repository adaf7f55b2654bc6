"""What a user may set for an answer: raw values in, checked ones out."""

from dataclasses import asdict, dataclass

from training.errors import UserError

MAX_SYSTEM_PROMPT = 20_000
MAX_TEXT = 100_000
"""Characters."""
MAX_STOPS, MAX_STOP_LENGTH = 4, 100
MAX_SEED = 2**31 - 1
WHOLE = ("max_tokens", "seed")
NEWLINE = "↵"


@dataclass(frozen=True)
class Parameters:
    temperature: float = 0.7
    """0 (always the likeliest word) to 2."""
    top_p: float = 0.95
    """Above 0, up to 1."""
    max_tokens: int = 512
    """1 to 4096 tokens of an answer."""
    repetition_penalty: float = 1.0
    """1 (none) to 2."""
    stop: tuple[str, ...] = ()
    """Strings before which the answer ends."""
    seed: int | None = None
    """The same one draws the same words."""

    @classmethod
    def parse(cls, raw: object) -> "Parameters":
        """Take what a form, a program or a row holds; `stop` is a string or a list of strings, `stops` a
        form's text with one in a line, in which ↵ stands for a line break.

        Raises: UserError("parameter_out_of_range", name=…, low=…, high=…), UserError("stop_wrong").
        """
        values = raw if isinstance(raw, dict) else {}
        return cls(
            temperature=_bounded(values, "temperature", 0, 2, cls.temperature),
            top_p=_bounded(values, "top_p", 0.01, 1, cls.top_p),
            max_tokens=int(_bounded(values, "max_tokens", 1, 4096, cls.max_tokens)),
            repetition_penalty=_bounded(values, "repetition_penalty", 1, 2, cls.repetition_penalty),
            stop=_stops(values.get("stop") or _lines(values.get("stops"))),
            seed=None
            if values.get("seed") in (None, "")
            else int(_bounded(values, "seed", 0, MAX_SEED, 0)),
        )

    def as_dict(self) -> dict:
        return asdict(self) | {"stop": list(self.stop)}

    @property
    def stops(self) -> str:
        """The stop strings as a form shows them."""
        return "\n".join(stop.replace("\n", NEWLINE) for stop in self.stop)


def _bounded(values: dict, name: str, low: float, high: float, default: float) -> float:
    raw = values.get(name)
    if raw is None or raw == "":
        return default
    try:
        value = float(raw)
    except (TypeError, ValueError, OverflowError):
        value = float("nan")
    if not low <= value <= high or (name in WHOLE and value != int(value)):
        raise UserError("parameter_out_of_range", name=name, low=low, high=high)
    return value


def _lines(raw: object) -> list[str]:
    lines = raw.splitlines() if isinstance(raw, str) else []
    return [line.replace(NEWLINE, "\n") for line in lines if line]


def _stops(raw: object) -> tuple[str, ...]:
    stops = [raw] if isinstance(raw, str) and raw else raw or []
    if not isinstance(stops, list | tuple) or len(stops) > MAX_STOPS:
        raise UserError("stop_wrong", most=MAX_STOPS, length=MAX_STOP_LENGTH)
    if not all(isinstance(stop, str) and 0 < len(stop) <= MAX_STOP_LENGTH for stop in stops):
        raise UserError("stop_wrong", most=MAX_STOPS, length=MAX_STOP_LENGTH)
    return tuple(stops)


def checked_system_prompt(text: str) -> str:
    """Raises: UserError("system_prompt_too_long")."""
    if len(text) > MAX_SYSTEM_PROMPT:
        raise UserError("system_prompt_too_long", length=len(text), limit=MAX_SYSTEM_PROMPT)
    return text
