"""People and their keys. No job and no dataset tables: those belong to training."""

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.translation import gettext_lazy as _


class User(AbstractUser):
    """An account. `is_staff` means administrator: may add people and see the machine's state."""

    first_name = None  # type: ignore[assignment]
    last_name = None  # type: ignore[assignment]
    name = models.CharField(_("이름"), max_length=60, blank=True)

    REQUIRED_FIELDS: list[str] = []

    def __str__(self) -> str:
        return self.name or self.username

    @property
    def is_administrator(self) -> bool:
        return self.is_staff


class ApiKey(models.Model):
    """Lets a program act as its owner. The secret itself is kept nowhere."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_keys")
    name = models.CharField(_("키 이름"), max_length=60)
    prefix = models.CharField(max_length=20)
    """The secret's first letters, to tell keys apart."""
    digest = models.CharField(max_length=64, unique=True)
    """sha256 of the secret."""
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return self.name


class SignInTries(models.Model):
    """Tries to sign in that were not right, until they are forgotten (throttle.py)."""

    account = models.CharField(max_length=64, blank=True)
    """A digest of the name that was typed; empty for all names together."""
    address = models.CharField(max_length=64, blank=True)
    count = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "address"], name="tries_counted_once")
        ]
