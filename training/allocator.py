"""What the processes that compute have in their environment: an allocator, and two bounds.

A step of training allocates and frees gigabytes in large pieces. glibc hands them back to the system each
time, and pages that come back are slow; mimalloc, where it is installed, keeps them. oneDNN remembers the
products that it has compiled: nearly every step of a training has lengths of its own, and the 1,024 that it
would keep of them take hundreds of megabytes; a step needs about fifty. And threads of libgomp that wait for
one another stay awake for milliseconds: where something else wants the cores too, that is time that nobody has.
"""

import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

LIBRARY = "cmeel.prefix/lib/libmimalloc.so"
SPINS = "20000"
"""Of a thread that waits, some 50 µs: longer than from one product to the next."""


def environment(present: Mapping[str, str]) -> dict[str, str]:
    """Return what a process needs beside what is `present`; whoever has chosen an allocator keeps it."""
    library = Path(sysconfig.get_path("purelib"), LIBRARY)
    bounds = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128", "GOMP_SPINCOUNT": SPINS}
    if sys.platform != "linux" or "LD_PRELOAD" in present or not library.exists():
        return bounds
    return bounds | {"LD_PRELOAD": str(library), "MIMALLOC_PURGE_DELAY": "-1"}
