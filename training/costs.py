"""What a training costs, term by term: a model's shape and some lengths go in; products, elements,
bytes come out, and the seconds and bytes that a measured machine takes for them.

Each term means something, so that what was measured on small models (lm/measure.py) tells of large ones.
Knows no Django, no torch and no data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FULL = "full"
FAST = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma3_text"})
"""Model types whose examples go through packed, by the decoder of lm/fast/."""
PRODUCTS, ELEMENTS, ATTENTION, LOGITS = "products", "elements", "attention", "logits"
KEPT_BYTES = {ELEMENTS: 3.0, ATTENTION: 3.0, LOGITS: 16.0}
"""What a number weighs while a row goes through, until this machine was measured."""
CHECKPOINT_SHARE = 20
"""Between checkpoints passes at least 20 times as long as one takes."""
LIBRARY_BYTES = 700_000_000
LEFT_BYTES = 150_000_000
"""What the allocator and oneDNN keep of rows of other lengths, each time that the steps double."""


@dataclass(frozen=True)
class Shape:
    layers: int
    hidden: int
    inner: int
    """Of the MLP."""
    heads: int
    key_heads: int
    head_size: int
    vocabulary: int
    is_packed: bool = True
    """Whether many examples go through at once; else one by one."""
    is_tied: bool = True
    """Whether the head is one with the embedding."""

    @property
    def weights(self) -> int:
        """Numbers in the linear layers."""
        attention = 2 * self.head_size * (self.heads + self.key_heads)
        return self.layers * self.hidden * (attention + 3 * self.inner)

    @property
    def sides(self) -> int:
        """Inputs and outputs of all linear layers: a LoRA of rank r trains r times as many numbers."""
        attention = 4 * self.hidden + 2 * self.head_size * (self.heads + self.key_heads)
        return self.layers * (attention + 3 * (self.hidden + self.inner))

    @property
    def width(self) -> int:
        """Numbers that a token leaves for the backward pass, in all layers."""
        attention = self.head_size * (4 * self.heads + 3 * self.key_heads)
        return self.layers * (4 * self.hidden + attention + 3 * self.inner)


def shape_of(config: Mapping) -> Shape | None:
    """Read the shape from a model's config.json; None where it does not tell."""
    text = config.get("text_config") or config
    try:
        heads = text["num_attention_heads"]
        is_gemma = str(config.get("model_type")).startswith("gemma")  # tied, where it does not say
        return Shape(
            layers=text["num_hidden_layers"],
            hidden=text["hidden_size"],
            inner=text["intermediate_size"],
            heads=heads,
            key_heads=text.get("num_key_value_heads") or heads,
            head_size=text.get("head_dim") or text["hidden_size"] // heads,
            vocabulary=text["vocab_size"],
            is_packed=config.get("model_type") in FAST,
            is_tied=bool(
                config.get("tie_word_embeddings", text.get("tie_word_embeddings", is_gemma))
            ),
        )
    except (KeyError, TypeError):
        return None


def checkpoint_pause(wanted_seconds: float, cost_seconds: float) -> float:
    """Return the seconds between checkpoints that take so long each; 0 writes one after every step."""
    return wanted_seconds and max(wanted_seconds, CHECKPOINT_SHARE * cost_seconds)


def weight_bytes(linear: int, words: int, *, is_tied: bool, size: int, is_full: bool) -> float:
    """Return what the weights take that a training computes with, `size` bytes each: `linear` numbers in the
    layers, `words` in the embedding and as many in the head. What is trained itself is apart."""
    if is_full:  # in fp32, in which it is trained, it is computed with itself
        return size * (linear + words) if size < 4 else 0
    has_head = not is_tied or size < 4
    return size * (linear + words * has_head) + 4 * words  # an embedding is in fp32


def usual_shape(parameters: int) -> Shape:
    """Return the shape that a model of so many parameters usually has."""
    hidden = max(64, round((parameters * 6) ** (1 / 3) / 64) * 64)  # layers: a 64th of it
    heads = max(1, hidden // 64)
    return Shape(
        max(2, hidden // 64), hidden, 3 * hidden, heads, max(1, heads // 3), 64, vocabulary=50_000
    )


@dataclass(frozen=True)
class Work:
    """What goes through a model."""

    tokens: float
    """Those that examples share counted once."""
    squares: float
    """Of the examples' lengths, summed."""
    labels: float
    examples: float
    packs: float
    steps: float = 0
    """Times that the optimiser changes the weights."""

    def times(self, factor: float) -> "Work":
        return Work(*(factor * one for one in vars(self).values()))


def terms(shape: Shape, work: Work, trained: int, *, is_full: bool) -> dict[str, float]:
    """Return what training costs; `trained` counts the numbers that are trained."""
    whole = shape.weights + 0.0
    passes = 6 * whole if is_full else 4 * whole + 6 * trained
    head = (6 if is_full else 4) * shape.hidden * shape.vocabulary
    return {
        PRODUCTS: work.tokens * passes + work.labels * head,
        ELEMENTS: work.tokens * shape.width,
        ATTENTION: work.squares * shape.layers * shape.heads,
        LOGITS: work.labels * shape.vocabulary,
        "calls": work.packs * shape.layers,
        "calls for examples": work.examples * shape.layers,
        "calls for updates": work.steps * shape.layers,
        "updates": work.steps * trained,
        "reading weights": work.packs * whole,
        "gradients": work.packs * whole if is_full else 0.0,
    }


def cost(terms: Mapping[str, float], rates: Mapping[str, float]) -> float:
    return sum(amount * rates.get(name, 0.0) for name, amount in terms.items())


def fit(rows: Sequence[Mapping[str, float]], costs: Sequence[float]) -> dict[str, float]:
    """Return what one of each term costs, none below 0, so that the sums come near to `costs` by
    their ratio (least squares by coordinate descent)."""
    import numpy as np

    names = list(rows[0])
    matrix = np.array([[row[name] for name in names] for row in rows]) / np.array(costs)[:, None]
    scale = np.maximum(matrix.max(0), 1e-300)
    matrix /= scale
    gram, wanted = matrix.T @ matrix, matrix.sum(0)
    found = np.zeros(len(names))
    for _ in range(3000):
        for place in range(len(names)):
            if gram[place, place]:
                off = wanted[place] - gram[place] @ found
                found[place] = max(0.0, found[place] + off / gram[place, place])
    return {name: float(one) for name, one in zip(names, found / scale, strict=True)}


def beginning_terms(shape: Shape) -> dict[str, float]:
    """Return what answers take before they are read: all weights are copied."""
    return {"calls": 1.0, "copied": float(shape.weights + shape.hidden * shape.vocabulary)}


def answer_terms(shape: Shape) -> dict[str, float]:
    """Return what one more token of a few answers costs."""
    weights = shape.weights + shape.hidden * shape.vocabulary
    return {"calls": float(shape.layers), "reading weights": float(weights)}
