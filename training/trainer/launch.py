"""`python -m training.trainer.launch PROCESSES RUN_FOLDER --attempt N`: one attempt in several processes.

`accelerate launch` starts the trainer that many times on this machine; what becomes of the run is
this process's own ending, and none of them outlives it.
"""

import os
import signal
import socket
import sys
import tempfile
from contextlib import suppress

from training import lifeline

EXIT_USER_ERROR, EXIT_STOPPED = 2, 75
OPTIONS = (
    "--multi_gpu", "--num_machines", "1", "--machine_rank", "0", "--gpu_ids", "all",
    "--main_process_port", "0", "--rdzv_backend", "c10d", "--rdzv_conf", "store_type=file",
    "--mixed_precision", "no", "--dynamo_backend", "no",
)  # fmt: skip
"""Whatever an administrator's own default for accelerate is. «multi_gpu» starts processes without GPUs
too, while «cpu» would start one alone. They meet by a file: the usual store takes a port of this machine
and listens to all the network."""


def main() -> int:
    lifeline.attach()
    lifeline.hand_on()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_STOPPED))  # until the launcher takes it
    import torch
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    processes, *run = sys.argv[1:]
    threads = int(os.environ.pop("DADEUM_THREADS", 0)) or torch.get_num_threads()
    each = max(1, threads // int(processes))
    counts = ("--num_processes", processes, "--num_cpu_threads_per_process", str(each))
    options = [*OPTIONS, *counts, "--module", "training.trainer", *run]
    socket.getfqdn = lambda name="": "localhost"  # it would ask a name server who this machine is
    try:
        with tempfile.TemporaryDirectory(prefix="dadeum-launch-") as folder:
            tempfile.tempdir = folder  # the launcher leaves its own files behind
            os.environ["DADEUM_MEETING"] = f"{folder}/meeting"
            os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
            launch_command(launch_command_parser().parse_args(options))
    except SignalException:  # it has passed the signal on and waited for them
        return EXIT_STOPPED
    except ChildFailedError as error:
        return ending([failure.exitcode for failure in error.failures.values()])
    return 0


def ending(exit_codes: list[int]) -> int:
    """Return what a run ended of: the others break off when one of them is gone, and are sent SIGTERM."""
    causes = [code for code in exit_codes if code != -signal.SIGTERM]
    return EXIT_USER_ERROR if EXIT_USER_ERROR in causes else min(causes, default=-signal.SIGTERM)


def end(exit_code: int) -> None:
    """End as a process of the run ended, which may have been by a signal."""
    if exit_code < 0:
        with suppress(OSError):  # SIGKILL is as it is
            signal.signal(-exit_code, signal.SIG_DFL)
        os.kill(os.getpid(), -exit_code)
    sys.exit(exit_code)


if __name__ == "__main__":
    end(main())
