"""What the kernel says about memory: how much a process here may take, how much one took, how many it
had to end. Linux only; elsewhere it knows the machine's own memory and nothing else.
"""

from collections.abc import Iterator
from pathlib import Path

import psutil

NEAR = 0.9
"""Part of the limit from which on memory was as good as gone."""
GROUPS = Path("/sys/fs/cgroup")


def limit_bytes() -> int:
    """Return how much memory a process here may take: the machine's, or a container's if less."""
    return min([psutil.virtual_memory().total, *_limits()])


def free_bytes() -> int:
    """Return how much more this process may take, about."""
    taken = psutil.Process().memory_info().rss
    return min(psutil.virtual_memory().available, limit_bytes() - taken)


def is_near_limit(used_bytes: int) -> bool:
    return used_bytes >= NEAR * limit_bytes()


def peak_bytes(pid: int) -> int:
    """Return the most memory that a living process and its children have held, each by itself; 0 where
    that can't be told."""
    return sum(1024 * _number(Path(f"/proc/{one}/status"), "VmHWM:") for one in _family(pid))


def _family(pid: int) -> list[int]:
    try:
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    except OSError:
        return [pid]


def kills() -> int:
    """Return how many processes the kernel has ended for want of memory since it started."""
    return _number(Path("/proc/vmstat"), "oom_kill")


def _number(file: Path, key: str) -> int:
    """Return the number behind a key in a file with one key a line."""
    try:
        lines = [line.split() for line in file.read_text().splitlines()]
    except OSError:
        return 0
    return next((int(line[1]) for line in lines if line and line[0] == key), 0)


def _limits() -> Iterator[int]:
    """Yield the limits of the groups that this process is in, as either version of cgroups tells them
    (in a container its own group may be seen as the root)."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for _number, controllers, place in (line.split(":", 2) for line in lines):
        name = {"": "memory.max", "memory": "memory/memory.limit_in_bytes"}.get(controllers)
        if name is None:
            continue
        head, _slash, file = name.rpartition("/")
        for folder in (GROUPS / head / place.lstrip("/"), GROUPS / head):
            try:
                yield int((folder / file).read_text())
            except (OSError, ValueError):  # no such group, or "max"
                continue
