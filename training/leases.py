"""What it means to hold a row: a fencing token and a time by which it must be renewed.

Used by jobs.py and datasets/versions.py, which write their own status beside it.
"""

from datetime import timedelta
from enum import Enum
from uuid import uuid4

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db.models import F, Q
from django.utils import timezone

AWAY = (InterfaceError, OperationalError)
"""How a database that is locked, full or gone shows itself."""


class Order(Enum):
    """What a worker must do with the child that it supervises."""

    GO_ON = "go_on"
    STOP = "stop"
    FINISH = "finish"
    """Go no further, but make a result of what there is."""
    FENCED = "fenced"
    """Somebody else holds the row: end the child, write nothing."""


FREE = {"token": "", "lease_expires_at": None, "rung_at": None}
"""Fields of a row that nobody holds and for which the bell should ring."""


def taken(token: str) -> dict:
    """Fields of a row that `token` has just claimed."""
    return {"token": token, "attempt": F("attempt") + 1} | renewed()


def renewed() -> dict:
    return {"lease_expires_at": timezone.now() + timedelta(seconds=settings.LEASE_SECONDS)}


def fresh_token() -> str:
    return uuid4().hex


def expired() -> Q:
    """Rows whose worker did not renew in time. A lease that ends far from now was written before the
    clock stepped back: who still works on it writes it anew with the next beat."""
    now = timezone.now()
    farthest = now + timedelta(seconds=2 * settings.LEASE_SECONDS)
    return Q(lease_expires_at__lt=now) | Q(lease_expires_at__gt=farthest)


def unheard() -> Q:
    """Rows whose bell never rang, or rang so long ago that the message may be lost."""
    patience = timedelta(seconds=max(10, settings.LEASE_SECONDS / 2))
    return Q(rung_at=None) | Q(rung_at__lt=timezone.now() - patience)
