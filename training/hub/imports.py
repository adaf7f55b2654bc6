"""A model folder that an administrator brings through the browser, for closed networks.

Files come in pieces and lie apart until all are here; then the folder passes the gate and is
renamed into the library. Names of files are held against the gate's list before a byte is kept.
"""

import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from django.conf import settings

from training import gate, pieces
from training.errors import UserError
from training.hub import ids, library
from training.hub.sizes import SPARE_BYTES, in_words
from training.models import new_id

FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
IDENTITY = re.compile(r"[a-z0-9]{16}")
PLACE = "import"


def begin(name: str, total_bytes: int = 0) -> str:
    """Make room for a folder of a name and return the id of its import.

    Raises: UserError `import_name_wrong`, `base_here_already`, `import_too_large` or
    `import_disk`.
    """
    library.refuse_here(ids.folder_name(name))
    refuse_large(total_bytes)
    identity = new_id()
    (library.make_incoming(identity) / PLACE / ids.folder_name(name)).mkdir(parents=True)
    return identity


def refuse_large(total_bytes: int) -> None:
    """Raises: UserError `import_too_large` or `import_disk`."""
    if total_bytes > settings.MODEL_LIMIT_BYTES:
        raise UserError("import_too_large", limit=in_words(settings.MODEL_LIMIT_BYTES))
    free = library.free_bytes()
    if total_bytes + SPARE_BYTES > free:
        raise UserError(
            "import_disk", needed=in_words(total_bytes + SPARE_BYTES), free=in_words(free)
        )


def find(identity: str) -> Path | None:
    """Return the folder that an import fills, or None when there is no such import."""
    if not IDENTITY.fullmatch(identity):
        return None
    found = list((library.incoming(identity) / PLACE).glob("*"))
    return found[0] if found else None


def refuse_file(name: str) -> None:
    """Raises: UserError `import_file_refused` for a name that may not lie in a model folder."""
    if not FILE.fullmatch(name) or not gate.allows(name):
        raise UserError("import_file_refused", file=name[:200])


def receive(folder: Path, name: str, start: int, read: Callable[[int], bytes]) -> int:
    """Write one piece of a file at a place in it and return how long the file is now.

    What stood behind that place goes: so a piece may come again.

    Raises: UserError `import_file_refused`, `import_out_of_step`, `import_too_large` or
    `import_disk`.
    """
    refuse_file(name)
    path = folder / name
    others = sum(one.stat().st_size for one in folder.iterdir() if one != path)
    limit = _limit(name) - (others if name.endswith(".safetensors") else 0)
    refuse_large(0)
    try:
        return pieces.write(path, start, read, limit)
    except pieces.OutOfStep:
        raise UserError("import_out_of_step", file=name) from None
    except pieces.TooLarge:
        raise UserError("import_too_large", limit=in_words(_limit(name))) from None


def _limit(name: str) -> int:
    """Return how many bytes a file may have: what is not weights is small."""
    return settings.MODEL_LIMIT_BYTES if name.endswith(".safetensors") else gate.JSON_LIMIT_BYTES


def finish(folder: Path) -> str:
    """Let a folder whose files are all here into the library and return its name there.

    Raises: UserError of the gate, or `base_here_already`; the import is gone then.
    """
    name, identity = folder.name, folder.parent.parent.name
    try:
        library.place(folder)
    finally:
        library.clear(identity)
    return name


def abandon(folder: Path) -> None:
    library.clear(folder.parent.parent.name)


def take(name: str, files: Iterable[tuple[str, Path]]) -> str:
    """Let whole files that lie elsewhere in as one folder (they are moved); return its name.

    Raises: UserError as begin, receive and finish do; then nothing is kept.
    """
    found = list(files)
    for file, _ in found:
        refuse_file(file)
    folder = find(begin(name, sum(path.stat().st_size for _, path in found)))
    assert folder is not None  # just begun
    for file, path in found:
        shutil.move(path, folder / file)
        (folder / file).chmod(0o600)
    return finish(folder)
