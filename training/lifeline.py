"""A child never outlives its parent. Both ends: the parent opens a Lifeline and passes it on,
the child attaches to it first thing. Knows no Django and no torch.

Three ropes, since each of them alone can fail: the kernel's parent-death signal, the end of a pipe
that only the parent holds, and (where the parent beats) silence on that pipe for too long.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
import time
from functools import partial

VARIABLE = "DADEUM_LIFELINE"
PR_SET_PDEATHSIG = 1
EXIT_ORPHAN = 78
FOLLOW_SECONDS = 0.5


class Lifeline:
    """The parent's end: spawn children with it, beat it where silence should count."""

    def __init__(self, silence_seconds: float = 0, grace_seconds: float = 15) -> None:
        """`silence_seconds` 0: only the parent's death counts. After the loss a child has
        `grace_seconds` to end by itself (SIGTERM) before it is ended; silence ends it at once."""
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.writing, False)
        self.silence_seconds = silence_seconds
        self.grace_seconds = grace_seconds

    def spawn(self, command: list[str], environment: dict[str, str], **options) -> subprocess.Popen:
        """Start `command` as the leader of its own process group, tied to this process.

        Call it from a thread that outlives the child: the death signal follows the thread.
        """
        ties = f"{self.reading}:{os.getpid()}:{self.silence_seconds}:{self.grace_seconds}"
        return subprocess.Popen(
            command,
            env=environment | {VARIABLE: ties},
            pass_fds=(self.reading,),
            start_new_session=True,
            **options,
        )

    def beat(self) -> None:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self.writing, b".")

    def close(self) -> None:
        for end in (self.reading, self.writing):
            with contextlib.suppress(OSError):
                os.close(end)


def hand_on() -> None:
    """Tie what a library starts for this process, closing pipes, to its life; it ends them in order,
    so that whoever survives it is ended at once. Call it from the thread that starts them."""
    os.environ[VARIABLE] = f":{os.getpid()}::"


def attach() -> None:
    """Tie this process to the parent named in the environment; alone (by hand) do nothing."""
    ties = os.environ.pop(VARIABLE, "")
    if not ties:
        return
    descriptor, parent, silence, grace = ties.split(":")
    if sys.platform == "linux":
        last = signal.SIGTERM if descriptor else signal.SIGKILL
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, last)
    if os.getppid() != int(parent):
        os._exit(EXIT_ORPHAN)
    watch = partial(_follow, int(parent))
    if descriptor:
        os.set_inheritable(int(descriptor), False)
        watch = partial(_watch, int(descriptor), float(silence), float(grace))
    threading.Thread(target=watch, daemon=True).start()


def _watch(descriptor: int, silence_seconds: float, grace_seconds: float) -> None:
    while True:
        heard, _, _ = select.select([descriptor], [], [], silence_seconds or None)
        if not heard:  # the parent is frozen: by now somebody else may hold the work
            os._exit(EXIT_ORPHAN)
        if not os.read(descriptor, 4096):
            break
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_seconds)
    os._exit(EXIT_ORPHAN)


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(FOLLOW_SECONDS)
    os._exit(EXIT_ORPHAN)


def end_group(process: subprocess.Popen, number: int = signal.SIGKILL) -> None:
    """Send a signal to a spawned child's whole group; a group that is gone is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
