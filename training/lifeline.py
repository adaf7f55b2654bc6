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

VARIABLE = "DADEUM_LIFELINE"
PR_SET_PDEATHSIG = 1
EXIT_ORPHAN = 78


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


def attach() -> None:
    """Tie this process to the parent named in the environment; alone (by hand) do nothing."""
    ties = os.environ.pop(VARIABLE, "")
    if not ties:
        return
    descriptor, parent, silence, grace = ties.split(":")
    os.set_inheritable(int(descriptor), False)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        os._exit(EXIT_ORPHAN)
    watch = threading.Thread(
        target=_watch, args=(int(descriptor), float(silence), float(grace)), daemon=True
    )
    watch.start()


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


def end_group(process: subprocess.Popen, number: int = signal.SIGKILL) -> None:
    """Send a signal to a spawned child's whole group; a group that is gone is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
