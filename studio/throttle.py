"""Guessing passwords is slow here: tries in, a refusal out once there were too many.

A try is counted before the password is looked at and taken back when it was right: so that many at
once gain nothing, and a refusal costs no hash. Whether an account exists plays no part.
"""

import ipaddress
import math
from datetime import timedelta

from django.db.models import F
from django.utils import timezone
from django.utils.crypto import salted_hmac

from studio.models import SignInTries, User
from training.errors import UserError

PAUSE = timedelta(minutes=15)
ACCOUNT_TRIES = 5
"""Of one account from one address."""
ADDRESS_TRIES = 50
"""Of all accounts from one address, behind which a whole office may sit."""
WHOLE_ADDRESS = ""


def admit(username: str, address: str) -> None:
    """Count a try to sign in.

    Raises: UserError `sign_in_paused` while there were too many from this address.
    """
    SignInTries.objects.filter(last_at__lt=timezone.now() - PAUSE).delete()
    place = _place(address)
    _count(_digest(username), place, ACCOUNT_TRIES)
    _count(WHOLE_ADDRESS, place, ADDRESS_TRIES)


def _count(account: str, place: str, limit: int) -> None:
    now = timezone.now()
    row, _is_new = SignInTries.objects.get_or_create(
        account=account, address=place, defaults={"last_at": now}
    )
    free = SignInTries.objects.filter(pk=row.pk, count__lt=limit)
    if not free.update(count=F("count") + 1, last_at=now):
        left = row.last_at + PAUSE - now
        raise UserError("sign_in_paused", minutes=max(1, math.ceil(left.total_seconds() / 60)))


def forgive(username: str, address: str) -> None:
    """Take back what was counted of somebody who knew the password."""
    place = _place(address)
    SignInTries.objects.filter(account=_digest(username), address=place).delete()
    whole = SignInTries.objects.filter(account=WHOLE_ADDRESS, address=place, count__gt=0)
    whole.update(count=F("count") - 1)


def forget(user: User) -> None:
    """Let an account try again from everywhere."""
    SignInTries.objects.filter(account=_digest(user.username)).delete()


def _digest(username: str) -> str:
    """Return what is kept of a name: people also type passwords into that field."""
    name = User.normalize_username(username.strip()[:150])
    return salted_hmac("studio.throttle", name, algorithm="sha256").hexdigest()


def _place(address: str) -> str:
    """Return what one person is taken to have: an IPv4 address or an IPv6 /64 network."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if known.version == 4:
        return str(known)
    return str(known.ipv4_mapped or ipaddress.ip_network((known, 64), strict=False))
