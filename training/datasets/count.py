"""`python -m training.datasets.count FOLDER MODEL_FOLDER MAX_LENGTH`: how long examples are.

Examples in FOLDER are rendered and tokenised as training does it; counts go to stdout as JSON
lines. Knows no Django and no torch.
"""

import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from training import lifeline
from training.chat import Encoded, Example, Renderer
from training.datasets import store
from training.datasets.child import EXIT_STOPPED, EXIT_USER_ERROR, Progress, say
from training.errors import UserError

BATCH_EXAMPLES = 500
BATCH_LETTERS = 2_000_000
OVER_LIMIT = 20


@dataclass
class Count:
    """What an example set comes to when each example is cut at `max_length` tokens."""

    examples: int = 0
    tokens: int = 0
    """After cutting."""
    labels: int = 0
    """Tokens that are trained, after cutting."""
    longest: int = 0
    """Tokens of the longest example, before cutting."""
    cut: int = 0
    """Examples longer than max_length."""
    lost: int = 0
    """Examples without any trained token after cutting."""
    over: list[int] = field(default_factory=list)
    """Row numbers (from 1) of the first examples that are cut."""

    def add(self, encoded: Encoded, max_length: int) -> None:
        self.examples += 1
        length = len(encoded.ids)
        self.longest = max(self.longest, length)
        if length > max_length:
            self.cut += 1
            if len(self.over) < OVER_LIMIT:
                self.over.append(self.examples)
            encoded = encoded.cut(max_length)
        labels = encoded.label_count
        self.tokens += len(encoded.ids)
        self.labels += labels
        self.lost += not labels


def batches(examples: Iterator[Example]) -> Iterator[list[Example]]:
    """Group examples so that neither many nor long ones take much memory."""
    batch: list[Example] = []
    letters = 0
    for example in examples:
        batch.append(example)
        letters += sum(len(message.content) for message in example.messages)
        if len(batch) == BATCH_EXAMPLES or letters > BATCH_LETTERS:
            yield batch
            batch, letters = [], 0
    if batch:
        yield batch


def count(folder: Path, renderer: Renderer, max_length: int) -> Count:
    """Count the tokens of a folder's examples.

    Raises: UserError of Renderer.
    """
    counted = Count()
    total = len(store.view(folder))
    progress = Progress("count", unit="rows")
    for batch in batches(store.iterate(folder)):
        for encoded in renderer.encode_many(batch):
            counted.add(encoded, max_length)
        progress(counted.examples, total)
    return counted


def main() -> int:
    lifeline.attach()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_STOPPED))
    folder, model_folder, max_length = sys.argv[1:4]
    try:
        counted = count(Path(folder), Renderer.of(Path(model_folder)), int(max_length))
    except UserError as error:
        say("error", **error.as_dict())
        return EXIT_USER_ERROR
    say("count", result=asdict(counted))
    return 0


if __name__ == "__main__":
    sys.exit(main())
