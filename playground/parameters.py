"""What a user may set for an answer: raw values in, checked ones out."""

from dataclasses import asdict, dataclass

from training.errors import UserError

MAX_SYSTEM_PROMPT = 20_000
MAX_TEXT = 100_000
"""Characters."""


@dataclass(frozen=True)
class Parameters:
    temperature: float = 0.7
    """0 (always the likeliest word) to 2."""
    top_p: float = 0.95
    """Above 0, up to 1."""
    max_tokens: int = 512
    """1 to 4096 tokens of an answer."""

    @classmethod
    def parse(cls, raw: object) -> "Parameters":
        """Raises: UserError("parameter_out_of_range", name=…, low=…, high=…)."""
        values = raw if isinstance(raw, dict) else {}
        return cls(
            temperature=_bounded(values, "temperature", 0, 2, cls.temperature),
            top_p=_bounded(values, "top_p", 0.01, 1, cls.top_p),
            max_tokens=int(_bounded(values, "max_tokens", 1, 4096, cls.max_tokens)),
        )

    def as_dict(self) -> dict:
        return asdict(self)


def _bounded(values: dict, name: str, low: float, high: float, default: float) -> float:
    raw = values.get(name)
    if raw is None or raw == "":
        return default
    try:
        value = float(raw)
    except (TypeError, ValueError):
        value = float("nan")
    if not low <= value <= high or (name == "max_tokens" and value != int(value)):
        raise UserError("parameter_out_of_range", name=name, low=low, high=high)
    return value
