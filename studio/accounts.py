"""People as verbs: the first administrator by a one-time link, then accounts by administrators.

The link's token lies in the data folder and goes when it is used. Knows no pages.
"""

import contextlib
import hmac
import os
import secrets
from pathlib import Path

from django.conf import settings
from django.db import transaction

from studio import throttle
from studio.models import User
from training.errors import UserError

CLEAR_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Of passwords that are read from one screen and typed into another."""


def token_path() -> Path:
    return settings.DATA / "setup_token"


def needs_setup() -> bool:
    """Say whether nobody administers this server yet."""
    return not User.objects.filter(is_staff=True, is_active=True).exists()


def setup_token() -> str:
    """Return the token of the one-time set-up link, made on the first call."""
    path = token_path()
    fresh = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    if not path.exists():
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(24))
        with contextlib.suppress(FileExistsError):  # another was first: its token counts
            os.link(fresh, path)
        fresh.unlink()
    return path.read_text().strip()


def opens_setup(token: str) -> bool:
    """Say whether a token opens the set-up page now."""
    try:
        expected = token_path().read_text().strip()
    except FileNotFoundError:
        return False
    return hmac.compare_digest(expected.encode(), token.encode()) and needs_setup()


def create_administrator(token: str, *, username: str, name: str, password: str) -> User | None:
    """Create the first administrator and use the token up; None when another was faster."""
    if not opens_setup(token):
        return None
    claimed = token_path().with_name(f".setup_token-{secrets.token_hex(4)}")
    try:
        token_path().rename(claimed)
    except FileNotFoundError:
        return None
    try:
        user = add_person(username=username, name=name, password=password, is_administrator=True)
    except BaseException:
        claimed.rename(token_path())
        raise
    claimed.unlink()
    return user


def add_person(*, username: str, name: str, password: str, is_administrator: bool) -> User:
    return User.objects.create_user(
        username, password=password, name=name, is_staff=is_administrator
    )


def reset_password(person: User, *, by: User) -> str:
    """Give an account a random password and return it; its sessions end.

    Raises: UserError `own_password` for the account that asks, which can change its own.
    """
    if person.pk == by.pk:
        raise UserError("own_password")
    password = "-".join(
        "".join(secrets.choice(CLEAR_LETTERS) for _letter in range(4)) for _group in range(4)
    )
    person.set_password(password)
    person.save(update_fields=["password"])
    throttle.forget(person)
    return password


def set_active(person: User, is_active: bool, *, by: User) -> None:
    """Let an account in or keep it out. Its data and models stay.

    Raises: UserError `own_account` for the account that asks: so one administrator always stays.
    """
    if person.pk == by.pk:
        raise UserError("own_account")
    with transaction.atomic():
        person.is_active = is_active
        person.save(update_fields=["is_active"])
