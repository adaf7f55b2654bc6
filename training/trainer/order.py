"""What a run is asked to do: run.json as registry.prepare writes it, and the events it answers."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

EXIT_USER_ERROR, EXIT_STOPPED = 2, 75


@dataclass(frozen=True)
class Order:
    run: Path
    attempt: int
    base: Path
    """Folder of the base model."""
    base_name: str
    method: str
    """lora or full."""
    epochs: int
    batch_size: int
    """Examples an optimiser step, whatever the micro-batches are."""
    learning_rate: float
    max_length: int
    """Tokens of one example; `overflow` says what happens to longer ones."""
    warmup_ratio: float
    validation_examples: int
    seed: int
    lora_rank: int = 16
    lora_alpha: int = 32
    overflow: str = "cut"
    """cut at max_length, drop the example, or fail the run."""
    most_examples: int = 0
    """How many rows from all over the data are trained at most; 0 takes all."""
    checkpoint_seconds: float = 60
    """0 writes a checkpoint after every step, however long that takes."""
    patience: int = 0
    """Validations in a row without a better one after which the run ends, with the weights of the best one
    as its result; 0 trains to the end and takes the last."""
    row_tokens: int = 4096
    """Tokens that go through the model at once, unless a single example is longer."""
    probes: tuple[str, ...] = ()
    """Questions to be answered on the way; none takes held-back examples."""

    @classmethod
    def read(cls, run: Path, attempt: int) -> "Order":
        content = json.loads((run / "run.json").read_text("utf-8"))
        settings = content["settings"]
        known = {key: settings[key] for key in settings if key in cls.__dataclass_fields__}
        return cls(
            run=run,
            attempt=attempt,
            base=Path(content["base"]),
            base_name=content["base_name"],
            method=content["method"],
            validation_examples=content["validation_examples"],
            checkpoint_seconds=content["checkpoint_seconds"],
            most_examples=content.get("most_examples", 0),
            overflow=content.get("overflow", "cut"),
            probes=tuple(content.get("probes", ())),
            **known,
        )

    @property
    def examples(self) -> Path:
        return self.run / "examples"

    @property
    def foundation(self) -> Path | None:
        """The tuned model that is trained further: an adapter, or for `full` a whole model."""
        folder = self.run / "foundation"
        return folder if folder.is_dir() else None

    @property
    def weights(self) -> Path:
        """Where the model is loaded from, and with it its tokenizer."""
        return self.foundation if self.method == "full" and self.foundation else self.base

    @property
    def is_to_finish(self) -> bool:
        """Whether to train no further and make the result of what was learnt; asked at any time."""
        return (self.run / "finish").exists()

    @property
    def folder(self) -> Path:
        """Where this attempt writes."""
        return self.run / f"attempt-{self.attempt}"


def say(kind: str, **data: object) -> None:
    """Print one event."""
    sys.stdout.write(json.dumps({"kind": kind, **data}, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()
