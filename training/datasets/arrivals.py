"""A data file on its way in through the browser, piece by piece.

The same file chosen again goes on where it stopped, also after the browser was closed. Whether there
is room for it is asked before its first byte. What nobody goes on with is swept after a day.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from training import pieces
from training.datasets import room, versions
from training.datasets.room import FACTS
from training.errors import UserError
from training.hub.sizes import in_words
from training.models import DatasetVersion

FILE = "file"


@dataclass(frozen=True)
class Arrival:
    folder: Path
    owner_id: int
    name: str
    size_bytes: int
    """Of the whole file."""

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def here_bytes(self) -> int:
        return (self.folder / FILE).stat().st_size


def begin(owner, name: str, size_bytes: int, changed: str) -> Arrival:
    """Return the owner's arrival of a file: the one that was broken off, or a new one.

    `changed` tells two files of one name and size apart: when it was changed, say.

    Raises: UserError of room.refuse.
    """
    told = hashlib.sha256(json.dumps([owner.pk, name, size_bytes, changed]).encode())
    folder = versions.incoming() / room.ARRIVALS.replace("*", told.hexdigest()[:32])
    if not room.facts_of(folder):
        room.refuse(owner, size_bytes)
        folder.mkdir(exist_ok=True, mode=0o700)
        (folder / FILE).touch(mode=0o600)
        facts = {"owner_id": owner.pk, "name": name[:255], "size_bytes": size_bytes}
        (folder / FACTS).write_text(json.dumps(facts))
    return Arrival(folder, **room.facts_of(folder))


def find(owner, identity: str) -> Arrival | None:
    """Return a person's own arrival, or None when there is no such."""
    folder = versions.incoming() / Path(identity).name
    facts = room.facts_of(folder) if folder.match(room.ARRIVALS) else {}
    return Arrival(folder, **facts) if facts.get("owner_id") == owner.pk else None


def receive(arrival: Arrival, start: int, read: Callable[[int], bytes]) -> int:
    """Write one piece and return how many bytes are here now.

    Raises: UserError `upload_out_of_step`, `upload_too_large` or `upload_disk`.
    """
    room.refuse_beyond_disk(1)
    try:
        with (arrival.folder / FACTS).open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)  # two tabs may bring the same file
            size = pieces.write(arrival.folder / FILE, start, read, arrival.size_bytes)
    except (pieces.OutOfStep, FileNotFoundError):
        raise UserError("upload_out_of_step") from None
    except pieces.TooLarge:
        raise UserError("upload_too_large", limit=in_words(arrival.size_bytes)) from None
    os.utime(arrival.folder)
    return size


def take(arrival: Arrival, owner) -> DatasetVersion:
    """Make a dataset of a file that is here whole, and queue its reading.

    Raises: UserError `upload_out_of_step`.
    """
    if arrival.here_bytes != arrival.size_bytes:
        raise UserError("upload_out_of_step")
    version = versions.from_upload(owner, arrival.name, arrival.folder / FILE)
    abandon(arrival)
    return version


def abandon(arrival: Arrival) -> None:
    shutil.rmtree(arrival.folder, ignore_errors=True)
