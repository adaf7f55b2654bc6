"""A data file on its way in through the browser, piece by piece.

The same file chosen again goes on where it stopped, also after the browser was closed. Whether there
is room for it is asked before its first byte. What nobody goes on with is swept after a day.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from training import pieces
from training.datasets import room, versions
from training.datasets.room import FACTS
from training.errors import UserError
from training.hub.sizes import in_words
from training.models import DatasetVersion

FILE = "file"
TAKEN = "taken-"
"""How the note begins of what became of an arrival that is no more here."""


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
    name = name.replace("\0", "").strip()[:255] or "data"
    told = hashlib.sha256(json.dumps([owner.pk, name, size_bytes, changed]).encode())
    folder = versions.incoming() / room.ARRIVALS.replace("*", told.hexdigest()[:32])
    facts = room.facts_of(folder)
    if not facts:
        room.refuse(owner, size_bytes)
        _note(folder.name).unlink(missing_ok=True)
        folder.mkdir(exist_ok=True, mode=0o700)
        (folder / FILE).touch(mode=0o600)
        facts = {"owner_id": owner.pk, "name": name, "size_bytes": size_bytes}
        (folder / f"{FACTS}.part").write_text(json.dumps(facts))
        (folder / f"{FACTS}.part").replace(folder / FACTS)
    return Arrival(folder, **facts)


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
        with _held(arrival):
            size = pieces.write(
                arrival.folder / FILE, start, read, arrival.size_bytes, keeps_rest=True
            )
    except pieces.OutOfStep:
        raise UserError("upload_out_of_step") from None
    except pieces.TooLarge:
        raise UserError("upload_too_large", limit=in_words(arrival.size_bytes)) from None
    os.utime(arrival.folder)
    return size


def take(owner, identity: str) -> DatasetVersion:
    """Make a dataset of a person's file that is here whole, and queue its reading. Asked again, since
    the answer was lost, give the same one.

    Raises: UserError `upload_out_of_step`.
    """
    arrival = find(owner, identity)
    try:
        if arrival is None:
            raise UserError("upload_out_of_step")
        return _take(arrival, owner)
    except UserError:
        if (taken := _taken(owner, identity)) is None:
            raise
        return taken


def _take(arrival: Arrival, owner) -> DatasetVersion:
    """Raises: UserError `upload_out_of_step`."""
    whole = arrival.folder / "whole"
    with _held(arrival):
        if arrival.here_bytes != arrival.size_bytes:
            raise UserError("upload_out_of_step")
        (arrival.folder / FILE).rename(whole)  # no late piece finds it any more
        version = versions.from_upload(owner, arrival.name, whole)
        _note(arrival.id).write_text(version.pk)
    abandon(arrival)
    return version


def _note(identity: str) -> Path:
    """Return where it is told for a day which version an arrival became."""
    return versions.incoming() / f"{TAKEN}{Path(identity).name}"


def _taken(owner, identity: str) -> DatasetVersion | None:
    try:
        pk = _note(identity).read_text()
    except OSError:
        return None
    return DatasetVersion.objects.filter(pk=pk, dataset__owner=owner).first()


@contextmanager
def _held(arrival: Arrival) -> Iterator[None]:
    """Keep others from the same file meanwhile: two tabs may bring it.

    Raises: UserError `upload_out_of_step` when it is gone.
    """
    try:
        with (arrival.folder / FACTS).open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield
    except FileNotFoundError:
        raise UserError("upload_out_of_step") from None


def abandon(arrival: Arrival) -> None:
    shutil.rmtree(arrival.folder, ignore_errors=True)
