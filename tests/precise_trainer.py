"""The trainer in fp32 wherever it runs, so that runs can be compared: `-m precise_trainer RUN_FOLDER`.

Each process of the run leaves a digest of the weights that it came to.
"""

import hashlib
import sys

import torch

from training.lm import trainable
from training.trainer import __main__ as trainer
from training.trainer import train


class Run(train.Run):
    def finish(self) -> None:
        weights = b"".join(one.detach().numpy().tobytes() for one in self.parameters.values())
        digest = hashlib.sha256(weights).hexdigest()
        (self.order.run / f"digest-{self.world.rank}").write_text(digest)
        super().finish()


if __name__ == "__main__":
    trainable.training_dtype = lambda: torch.float32
    train.Run = Run
    sys.exit(trainer.main())
