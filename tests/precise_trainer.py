"""The trainer in fp32 wherever it runs, so that runs can be compared: `-m precise_trainer RUN_FOLDER`."""

import sys

import torch

from training.lm import trainable
from training.trainer import __main__ as trainer

if __name__ == "__main__":
    trainable.training_dtype = lambda: torch.float32
    sys.exit(trainer.main())
