"""`python -m training.hub.child FOLDER`: fetch one model of the hub into FOLDER/<its name>.

FOLDER/order.json says which; progress and the result go to stdout as JSON lines. Everything that
can be refused is refused before the first byte of weights. Stopped or killed, it leaves what it
has: the next run goes on there. The one place that uses the hub's library. Knows no Django.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx2
from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import ModelInfo, RepoSibling
from huggingface_hub.utils import build_hf_headers

from training import gate, lifeline
from training.datasets.child import EXIT_STOPPED, carry_out, say
from training.errors import UserError
from training.hub import ids, origin
from training.hub.sizes import SPARE_BYTES, in_words

PART = ".part"
CHUNK_BYTES = 1024 * 1024
"""Read and kept at once: at most so much is fetched twice after a stop."""
REPORT_SECONDS = 0.25
LIST_SECONDS = 20.0
GONE, SHUT, TOO_MANY = 404, (401, 403), 429


@dataclass
class Order:
    repo: str
    revision: str
    commit: str
    endpoint: str
    download: str
    """Id of the row that this is for."""
    max_bytes: int

    @property
    def wanted(self) -> str | None:
        return self.commit or self.revision or None


class Progress:
    """Says how many bytes of all are here, how long the rest takes, four times a second."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = self.fetched = 0
        self.began = time.monotonic()
        self.said_at = 0.0

    def add(self, count: int, *, is_fetched: bool = True) -> None:
        self.done += count
        self.fetched += count if is_fetched else 0
        if time.monotonic() - self.said_at >= REPORT_SECONDS:
            self.say()

    def say(self) -> None:
        self.said_at = time.monotonic()
        pace = self.fetched / max(self.said_at - self.began, 0.001)
        left = round((self.total - self.done) / pace) if pace else None
        say("progress", done_bytes=self.done, total_bytes=self.total, seconds_left=left)


class Counted:
    """A file that tells a progress of what is written to it, for a library that writes files."""

    def __init__(self, file: BinaryIO, progress: Progress) -> None:
        self.file, self.progress = file, progress

    def write(self, data: bytes) -> int:
        written = self.file.write(data)
        self.file.flush()
        self.progress.add(written)
        return written

    def tell(self) -> int:
        return self.file.tell()

    def seek(self, place: int) -> int:
        return self.file.seek(place)

    def truncate(self) -> int:
        """The hub began anew: what was counted of this file is not there any more."""
        taken_back = os.fstat(self.file.fileno()).st_size - self.file.tell()
        self.progress.add(-taken_back, is_fetched=False)
        return self.file.truncate()


# --- what the hub says, in our words --------------------------------------------------------------
@contextmanager
def in_our_words(repo: str, file: str = "") -> Iterator[None]:
    """Turn what the hub's library raises into what a person can mend.

    Raises: UserError (codes hub_*).
    """
    try:
        yield
    except GatedRepoError:
        code = "hub_gated_for_token" if has_token() else "hub_gated"
        raise UserError(code, repo=repo) from None
    except RevisionNotFoundError:
        raise UserError("hub_revision_unknown", repo=repo) from None
    except RepositoryNotFoundError:
        raise UserError("hub_unknown", repo=repo) from None
    except HfHubHTTPError as error:
        raise _http_error(repo, file, error.response.status_code) from None
    except (OfflineModeIsEnabled, httpx2.TransportError):
        raise UserError("hub_offline") from None
    except OSError as error:
        if "Consistency check" not in str(error):
            raise
        raise UserError("hub_damaged", file=file) from None


def _http_error(repo: str, file: str, status: int) -> UserError:
    if not file and (status == GONE or (status == SHUT[0] and not has_token())):
        return UserError("hub_unknown", repo=repo)  # so it is said to whoever has no account
    if status in SHUT:
        return UserError("hub_token_refused" if has_token() else "hub_gated", repo=repo)
    if status == GONE:
        return UserError("hub_file_gone", repo=repo, file=file)
    return UserError("hub_busy" if status == TOO_MANY else "hub_trouble", status=status)


def has_token() -> bool:
    return bool(os.environ.get("HF_TOKEN"))


# --- before the weights ---------------------------------------------------------------------------
def look_up(order: Order) -> ModelInfo:
    """Ask the hub what a model consists of. Raises: UserError."""
    api = HfApi(endpoint=order.endpoint or None)
    with in_our_words(order.repo):
        return api.model_info(
            order.repo, revision=order.wanted, files_metadata=True, timeout=LIST_SECONDS
        )


def choose(order: Order, info: ModelInfo) -> list[RepoSibling]:
    """Return the files to fetch, small ones first, config.json before all.

    Raises: UserError when they make no model that we can load.
    """
    files = [one for one in info.siblings or [] if is_wanted(one.rfilename)]
    names = {one.rfilename for one in files}
    weights = [name for name in names if name.endswith(".safetensors")]
    if not weights:
        raise UserError("hub_no_safetensors", repo=order.repo)
    for name in ("config.json", "tokenizer.json"):
        if name not in names:
            raise UserError("hub_file_missing", repo=order.repo, file=name)
    usual = {name for name in weights if name.startswith("model")}
    extra = set(weights) - (usual or set(weights))  # the same weights in another layout
    chosen = [one for one in files if one.rfilename not in extra]
    return sorted(chosen, key=lambda one: (one.rfilename != "config.json", one.size or 0))


def is_wanted(name: str) -> bool:
    is_flat = "/" not in name and not name.startswith(".")
    return is_flat and name != origin.NAME and gate.allows(name)


def check_room(order: Order, folder: Path, total: int, here: int) -> None:
    """Raises: UserError `hub_too_large` or `hub_disk`."""
    if total > order.max_bytes:
        raise UserError("hub_too_large", size=in_words(total), limit=in_words(order.max_bytes))
    free = shutil.disk_usage(folder).free
    if total - here + SPARE_BYTES > free:
        needed = in_words(total - here + SPARE_BYTES)
        raise UserError("hub_disk", needed=needed, free=in_words(free))


def refuse_code(order: Order, config: Path) -> None:
    """Raises: UserError `hub_remote_code` for a model that works only with code of its own."""
    if b'"auto_map"' in config.read_bytes():
        raise UserError("hub_remote_code", repo=order.repo)


# --- the files ------------------------------------------------------------------------------------
def fetch(order: Order, folder: Path) -> None:
    """Fetch what is not here yet, check all of it, and write down where it comes from.

    Raises: UserError.
    """
    info = look_up(order)
    say("found", commit=info.sha or "")
    files, target = choose(order, info), folder / ids.slug(order.repo)
    target.mkdir(exist_ok=True)
    forget_others(target, {one.rfilename for one in files})
    progress = Progress(sum(one.size or 0 for one in files))
    here = sum(size_here(target, one) for one in files)
    check_room(order, target, progress.total, here)
    progress.add(here, is_fetched=False)
    for one in files:
        fetch_file(order, info, one, target, progress)
        if one.rfilename.endswith("config.json"):
            refuse_code(order, target / one.rfilename)
    progress.say()
    origin.write(target, told(order, info))
    gate.check(target)


def forget_others(target: Path, names: set[str]) -> None:
    """Remove what belongs to another state of the model."""
    for path in target.iterdir():
        if path.name.removesuffix(PART) not in names:
            path.unlink()


def told(order: Order, info: ModelInfo) -> origin.Origin:
    card = info.card_data.to_dict() if info.card_data else {}
    licence = str(card.get("license") or "")
    if licence == "other":
        licence = str(card.get("license_name") or licence)
    return origin.Origin(
        repo=order.repo, commit=info.sha or "", licence=licence[:100],
        is_gated=bool(info.gated), download=order.download,
    )  # fmt: skip


def size_here(target: Path, one: RepoSibling) -> int:
    """Return how many bytes of a file are here already, in whole or in part."""
    for path in (target / one.rfilename, target / (one.rfilename + PART)):
        if path.exists():
            return min(path.stat().st_size, one.size or 0)
    return 0


def fetch_file(
    order: Order, info: ModelInfo, one: RepoSibling, target: Path, progress: Progress
) -> None:
    """Fetch one file, going on where an earlier run stopped; it gets its name when it is whole.

    Raises: UserError.
    """
    whole, part = target / one.rfilename, target / (one.rfilename + PART)
    if whole.exists():
        return
    url = hf_hub_url(
        order.repo,
        one.rfilename,
        revision=info.sha or order.wanted,
        endpoint=order.endpoint or None,
    )
    with in_our_words(order.repo, one.rfilename):
        fill(url, part, one, progress)
    if not is_sound(part, one):
        part.unlink()
        raise UserError("hub_damaged", file=one.rfilename)
    part.rename(whole)


def fill(url: str, part: Path, one: RepoSibling, progress: Progress) -> None:
    """Write the rest of a file behind what is there of it."""
    part.touch()
    with part.open("r+b") as file:
        start = file.seek(0, os.SEEK_END)
        if start > (one.size or 0):
            start = file.seek(0)
            file.truncate()
        http_get(
            url,
            Counted(file, progress),  # type: ignore[arg-type]
            resume_size=start,
            headers=build_hf_headers(headers={"Accept-Encoding": "identity"}),
            expected_size=one.size,
        )
        os.fsync(file.fileno())


def is_sound(path: Path, one: RepoSibling) -> bool:
    """Compare a file with the digest that the hub gives: sha256, or git's for small files."""
    if one.lfs:
        return digest(path, hashlib.sha256()) == one.lfs.sha256
    if one.blob_id:
        start = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        return digest(path, start) == one.blob_id
    return True


def digest(path: Path, start: "hashlib._Hash") -> str:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            start.update(chunk)
    return start.hexdigest()


# --- the process ----------------------------------------------------------------------------------
def stop(number: int, frame: object) -> None:
    sys.exit(EXIT_STOPPED)


def main() -> int:
    lifeline.attach()
    signal.signal(signal.SIGTERM, stop)
    constants.DOWNLOAD_CHUNK_SIZE = CHUNK_BYTES
    folder = Path(sys.argv[1])
    order = Order(**json.loads((folder / "order.json").read_text("utf-8")))
    return carry_out(lambda: fetch(order, folder))


if __name__ == "__main__":
    sys.exit(main())
