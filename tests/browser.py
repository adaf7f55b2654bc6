"""`python -m tests.browser`: make sure that a Chromium for the tests is there.

As root on Debian its own package is installed; elsewhere a system Chromium or Chrome is taken, and
where none is, Playwright's own is fetched.
"""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]


def path() -> str | None:
    """Return the system's Chromium, or None where Playwright's own is to be used."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def launch(playwright):
    """Start a headless Chromium that can reach nothing but the loopback; pages get time, since two
    tests share the machine."""
    from playwright.sync_api import expect

    expect.set_options(timeout=20_000)
    return playwright.chromium.launch(executable_path=path(), args=ARGUMENTS)


def main() -> None:
    if not path() and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {
            "stdout": subprocess.DEVNULL,
            "env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        }
        subprocess.run(["apt-get", "update"], check=False, **quiet)
        packages = ["chromium", "fonts-noto-cjk"]
        subprocess.run(
            ["apt-get", "install", "-y", "--no-install-recommends", *packages], check=True, **quiet
        )
    if not path():
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)


if __name__ == "__main__":
    main()
