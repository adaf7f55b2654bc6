"""The names by which the hub knows models (`org/name`), and the folders that they get here."""

import re

from training.errors import UserError

PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
REPO = re.compile(rf"(?P<organisation>{PART})/(?P<name>{PART})")
REPO_LIMIT = 96
REVISION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,98}[A-Za-z0-9])?")
FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
SEPARATOR = "--"


def is_repo(text: str) -> bool:
    """Say whether a text has the form of a hub's id; `--` and `..` are in none."""
    is_long = len(text) > REPO_LIMIT
    return bool(REPO.fullmatch(text)) and not is_long and SEPARATOR not in text and ".." not in text


def repo(text: str) -> str:
    """Return the id in what a person typed: the id itself, or the address of the model's page.

    Raises: UserError `hub_id_wrong`.
    """
    found = text.strip().rstrip("/")
    if "://" in found:
        found = "/".join(found.partition("://")[2].split("/")[1:3])
    if not is_repo(found):
        raise UserError("hub_id_wrong", repo=text.strip()[:200])
    return found


def revision(text: str) -> str:
    """Raises: UserError `hub_revision_wrong`."""
    found = text.strip()
    if found and (not REVISION.fullmatch(found) or ".." in found):
        raise UserError("hub_revision_wrong", revision=found[:100])
    return found


def slug(repo: str) -> str:
    """Return the name of the folder here of a model of the hub."""
    return repo.replace("/", SEPARATOR)


def repo_of(slug: str) -> str:
    """Return the hub's id that a folder's name, or a base's name by REST, stands for; or ""."""
    found = slug.replace(SEPARATOR, "/", 1)
    return found if is_repo(found) else ""


def folder_name(text: str) -> str:
    """Return the name of a folder that an administrator brings.

    Raises: UserError `import_name_wrong`.
    """
    found = text.strip()
    if not FOLDER.fullmatch(found) or ".." in found:
        raise UserError("import_name_wrong", name=found[:100])
    return found
