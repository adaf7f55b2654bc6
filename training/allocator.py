"""Which memory allocator the processes that compute run with: mimalloc, where it is installed.

A step of training allocates and frees gigabytes in large pieces. That of glibc hands them back to the
system each time, and pages that come back are slow; this one keeps them. And how many compiled products
oneDNN remembers: nearly every step of a training has lengths of its own, and the 1,024 that it would keep
of them take hundreds of megabytes; a step needs about fifty.
"""

import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

LIBRARY = "cmeel.prefix/lib/libmimalloc.so"


def environment(present: Mapping[str, str]) -> dict[str, str]:
    """Return what a process needs in its environment beside what is `present`; whoever has chosen an
    allocator keeps it."""
    library = Path(sysconfig.get_path("purelib"), LIBRARY)
    remembered = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128"}
    if sys.platform != "linux" or "LD_PRELOAD" in present or not library.exists():
        return remembered
    return remembered | {"LD_PRELOAD": str(library), "MIMALLOC_PURGE_DELAY": "-1"}
