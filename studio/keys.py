"""API keys as verbs. A secret is shown once, when it is made; what is kept is its sha256.

A key carries 256 random bits, so that its plain digest can't be guessed back.
"""

import hashlib
import hmac
import secrets
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from studio.models import ApiKey, User

MARK = "dadeum-"
SECRET_BYTES = 32
SHOWN_LETTERS = len(MARK) + 6
USE_PRECISION = timedelta(minutes=1)


def create(owner: User, name: str) -> tuple[ApiKey, str]:
    """Make a key; return its row and its secret, which can't be had again."""
    secret = MARK + secrets.token_urlsafe(SECRET_BYTES)
    key = ApiKey.objects.create(
        owner=owner, name=name, prefix=secret[:SHOWN_LETTERS], digest=digest(secret)
    )
    return key, secret


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def find(secret: str) -> ApiKey | None:
    """Return the valid key of an account that may sign in; None for any other secret."""
    wanted = digest(secret)
    valid = ApiKey.objects.filter(digest=wanted, revoked_at=None, owner__is_active=True)
    key = valid.select_related("owner").first()
    return key if key and hmac.compare_digest(key.digest, wanted) else None


def note_use(key: ApiKey) -> None:
    """Remember when a key was used, to the minute: one write a minute at most."""
    now = timezone.now()
    if key.last_used_at and now - key.last_used_at < USE_PRECISION:
        return
    is_stale = Q(last_used_at=None) | Q(last_used_at__lte=now - USE_PRECISION)
    ApiKey.objects.filter(is_stale, pk=key.pk).update(last_used_at=now)


def revoke(key: ApiKey) -> None:
    """End a key for good; revoking twice keeps the first time."""
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())
    key.refresh_from_db()
