"""Loaded before anything else (`-p tests.environment`): the tests' own data folder and settings,
the languages, and the block of every connect off the loopback, here and in each Python process that they start."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "netblock"), str(HERE)]
import sitecustomize  # noqa: E402,F401 - the block itself

for name in [name for name in os.environ if name.startswith("DADEUM_")]:
    del os.environ[name]
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE / "netblock"), str(HERE.parent)])
os.environ["DADEUM_DATA"] = tempfile.mkdtemp(prefix="dadeum-test-")
os.environ["DADEUM_DEBUG"] = "1"
os.environ.setdefault(
    "NUMBA_CACHE_DIR", str(HERE.parent / "data" / "compiled")
)  # as set-up left it
os.environ["GOMP_SPINCOUNT"] = (
    "1000"  # tests run side by side: who waits for a core shall not take one
)
atexit.register(shutil.rmtree, os.environ["DADEUM_DATA"], ignore_errors=True)

from studio import catalogue  # noqa: E402 - it takes the settings above

catalogue.compile_stale()
