"""`python -m training.trainer RUN_FOLDER --attempt N`: one attempt, with its ending as exit code."""

import argparse
import contextlib
import os
import sys
import traceback
from pathlib import Path
from typing import Any, TextIO, cast

from training import lifeline
from training.errors import NO_ROOM


class Log:
    """A stream that loses what its disk has no room for, rather than stop the run that writes to it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def main() -> int:
    lifeline.attach()
    sys.stderr = cast(TextIO, Log(sys.stderr))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--attempt", type=int, default=1)
    arguments = parser.parse_args()
    os.nice(5)  # pages and chat stay quick beside a training
    import torch

    if threads := int(os.environ.get("DADEUM_THREADS") or 0):
        torch.set_num_threads(threads)
    return train(arguments.run, arguments.attempt)


def train(folder: Path, attempt: int) -> int:
    """Return the exit code of an attempt at the run in a folder."""
    from training.errors import UserError
    from training.lm.load import is_short_of_memory
    from training.trainer import order as orders
    from training.trainer.train import Run, Stopped
    from training.trainer.world import World

    told = sys.stdout

    def refuse(error: UserError) -> int:
        sys.stdout = told  # what one alone met the others can't tell
        orders.say("error", **error.as_dict())
        return orders.EXIT_USER_ERROR

    order = orders.Order.read(folder, attempt)
    order.folder.mkdir(exist_ok=True)
    try:
        world = World.join()
        if not world.leads:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (to the end) one speaks for all
        run = Run(order, world)
        run.prepare()
        run.train()
        run.finish()
    except Stopped:
        return orders.EXIT_STOPPED
    except UserError as error:
        return refuse(error)
    except (MemoryError, RuntimeError) as error:
        if not is_short_of_memory(error):
            raise
        traceback.print_exc()
        return refuse(UserError("out_of_memory"))
    except Exception as error:
        if not is_disk_full(error):
            raise
        traceback.print_exc()
        return refuse(UserError("disk_full"))
    return 0


def is_disk_full(error: Exception) -> bool:
    """safetensors tells it by text alone."""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return True
    return any(f"os error {number}" in str(error) for number in NO_ROOM)


if __name__ == "__main__":
    ending = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # all is written; threads of torch and gloo have aborted, while they were taken apart, what had succeeded
    os._exit(ending)
