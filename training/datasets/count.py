"""`python -m training.datasets.count FOLDER MODEL_FOLDER ROWS`: how long examples are.

Examples in FOLDER (all, or ROWS of them from all over it) are rendered and tokenised as training
does it; what they come to (lengths.py) goes to stdout as JSON lines. Knows no Django and no torch.
"""

import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from training import lifeline
from training.chat import Encoded, Example, Renderer
from training.datasets import store
from training.datasets.batches import batches
from training.datasets.child import EXIT_STOPPED, EXIT_USER_ERROR, Progress, say
from training.datasets.lengths import Tally
from training.errors import UserError
from training.trainer import sharing

BATCH = {"most": 500, "most_size": 2_000_000}
"""Most examples, and letters in them, that are encoded at once."""
SOME = 256
"""Examples that are compared with one another."""
TOGETHER = (2, 8, 32)


def count(examples: Iterator[Example], total: int, renderer: Renderer) -> dict:
    """Return how long examples are, in the tokens of a renderer.

    Raises: UserError of Renderer.
    """
    tally, some = Tally(), Some()
    progress = Progress("count", unit="rows")
    for batch in batches(examples, Example.letters, **BATCH):
        for encoded in renderer.encode_many(batch):
            tally.add(encoded)
            some.add(encoded)
        progress(tally.examples, total)
    return tally.result() | {"shared": some.shared()}


class Some:
    """Some of the examples, from all over the data: what they have in common with one another."""

    def __init__(self) -> None:
        self.kept: list[Encoded] = []
        self.seen, self.stride = 0, 1

    def add(self, encoded: Encoded) -> None:
        if self.seen % self.stride == 0:
            self.kept.append(encoded)
        if len(self.kept) > SOME:
            del self.kept[1::2]
            self.stride *= 2
        self.seen += 1

    def shared(self) -> list[tuple[int, float]]:
        """Return which part of the tokens is spared where so many examples go through together
        (trainer/sharing.py), by how many."""
        drawn = random.Random(0).sample(self.kept, len(self.kept))
        corpus = Arrays(drawn)
        total = sum(len(one.ids) for one in drawn)
        found = []
        for size in TOGETHER:
            groups = [list(range(i, min(i + size, len(drawn)))) for i in range(0, len(drawn), size)]
            families = [family for group in groups for family in sharing.families(corpus, group)]
            spared = sum(shared * (len(members) - 1) for shared, members in families)
            found.append((size, round(spared / max(1, total), 4)))
        return found


class Arrays:
    """Examples as training holds them, one after the other."""

    def __init__(self, examples: list[Encoded]) -> None:
        self.ids = np.array([token for one in examples for token in one.ids], np.int32)
        self.labels = np.array([label for one in examples for label in one.labels], np.int32)
        self.starts = np.cumsum([0, *(len(one.ids) for one in examples)])


def spread(folder: Path, rows: int) -> list[Example]:
    """Return examples from all over a folder: `rows` of them, or all where there are no more."""
    view = store.view(folder)
    total = len(view)
    wanted = min(rows, total)
    return [view.rows(i * total // wanted, 1)[0].example for i in range(wanted)]


def sample(folder: Path, renderer: Renderer, rows: int) -> dict:
    """Return how long some examples are, and what their texts alone come to: how finely the
    tokenizer cuts them, whatever the template adds.

    Raises: UserError of Renderer.
    """
    examples = spread(folder, rows)
    texts = [message.content for example in examples for message in example.messages]
    return count(iter(examples), len(examples), renderer) | {
        "text_characters": sum(map(len, texts)),
        "text_tokens": renderer.count_tokens(texts),
    }


def main() -> int:
    lifeline.attach()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_STOPPED))
    folder, rows = Path(sys.argv[1]), int(sys.argv[3])
    try:
        renderer = Renderer.of(Path(sys.argv[2]))
        if rows:
            result = sample(folder, renderer, rows)
        else:
            result = count(store.iterate(folder), len(store.view(folder)), renderer)
    except UserError as error:
        say("error", **error.as_dict())
        return EXIT_USER_ERROR
    say("count", result=result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
