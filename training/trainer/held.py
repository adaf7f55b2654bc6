"""`python -m training.trainer.held FOLDER`: which examples a training held back, as questions.

Reads and parts the data by the very functions that the training did (batch.py), so that they are
the same examples.
"""

import json
import sys
from pathlib import Path

from training import lifeline
from training.chat import Renderer
from training.datasets import questions
from training.datasets.child import carry_out, say
from training.errors import UserError
from training.trainer import batch


def rows(folder: Path, order: dict) -> list[int]:
    """Return the rows of a data folder that the training of `order` (registry.order_of) held back,
    rising; `order["model"]` is the tuned model's folder, whose tokenizer the training used."""
    settings = order["settings"]
    corpus = batch.read(
        folder, Renderer(Path(order["model"])), settings["max_length"], order["overflow"],
        order["most_examples"],
    )  # fmt: skip
    _, held_back = batch.split(len(corpus), order["validation_examples"], settings["seed"])
    return [int(row) for row in corpus.rows[held_back]]


def run(folder: Path) -> None:
    """Write the questions of a batch's folder and tell how many there are.

    Raises: UserError `held_none`.
    """
    order = json.loads((folder / "order.json").read_text("utf-8"))
    found = rows(folder / "part", order)
    if not found:
        raise UserError("held_none")
    taken = questions.chosen(len(found), order["most"], order["is_random"])
    questions.keep(folder, questions.of_rows(folder / "part", [found[place] for place in taken]))
    say("read", found=len(found), problems=0, told=[])


if __name__ == "__main__":
    lifeline.attach()
    sys.exit(carry_out(lambda: run(Path(sys.argv[1]))))
