"""Claiming, beating and settling the rows of one kind of light work.

A row waits, is claimed (leases.py), is fed while its child works, and ends ready or failed; what
crashes waits again, three times in a row at most. Knows no kind: whoever makes a desk names it.
"""

from collections.abc import Callable
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from training import leases, tasks
from training.errors import UserError
from training.leases import Order
from training.models import Leased
from training.supervise import Outcome, insist

MAX_ATTEMPTS = 3
WAITING, READY, FAILED, CANCELLED = "waiting", "ready", "failed", "cancelled"


def no_figures(row: Any, events: list[dict]) -> dict:
    return {}


class Desk:
    def __init__(
        self,
        kind: str,
        model: type[Leased],
        *,
        busy: str,
        lost: str,
        figures: Callable[[Any, list[dict]], dict] = no_figures,
        can_be_cancelled: bool = False,
    ) -> None:
        """`kind` is what the bell rings, `busy` the status of a claimed row, `lost` the error of
        one that crashed too often; `figures` makes fields of the child's events."""
        self.can_be_cancelled = can_be_cancelled
        self.kind, self.model = kind, model
        self.busy, self.lost, self.figures = busy, lost, figures

    @property
    def rows(self) -> Any:
        return self.model._default_manager

    def claim(self, pk: Any) -> Any:
        """Return the row, held by a token of its own; None when it is not there to be taken."""
        token = leases.fresh_token()
        try:
            with transaction.atomic():  # the model may allow one busy row only
                moved = self.rows.filter(pk=pk, status=WAITING).update(
                    status=self.busy, **leases.taken(token)
                )
        except IntegrityError:
            return None
        return self.rows.filter(pk=pk, token=token).first() if moved else None

    def held(self, row: Any) -> QuerySet:
        return self.rows.filter(pk=row.pk, token=row.token, status=self.busy)

    def beat(self, row: Any, events: list[dict]) -> Order:
        """Renew the lease and store what the child said since the last beat."""
        if not self.held(row).update(**leases.renewed(), **self.figures(row, events)):
            return Order.FENCED
        return Order.STOP if self._is_unwanted(row) else Order.GO_ON

    def _is_unwanted(self, row: Any) -> bool:
        """Say whether somebody has asked that the work be stopped."""
        return self.can_be_cancelled and self.held(row).filter(cancel_requested=True).exists()

    def settle(self, row: Any, outcome: Outcome, facts: dict) -> None:
        """Write the end of a piece of work, or put it back after a crash."""
        if not outcome.fenced:
            insist(lambda: self._settle(row, outcome, facts))

    def _settle(self, row: Any, outcome: Outcome, facts: dict) -> None:
        if outcome.is_done:
            fields = {"status": READY, "error": None} | facts
        elif outcome.is_users_error:
            fields = {"status": FAILED, "error": outcome.error}
        else:
            self.put_back(self.held(row), row)
            return
        self.held(row).update(**fields, **leases.FREE)

    def put_back(self, held: QuerySet, row: Any) -> int:
        goes_home = tasks.stopping.is_set()
        if self._is_unwanted(row):
            return held.update(status=CANCELLED, **leases.FREE)
        if row.attempt >= MAX_ATTEMPTS and not goes_home:
            lost = UserError(self.lost).as_dict()
            return held.update(status=FAILED, error=lost, **leases.FREE)
        moved = held.update(status=WAITING, **leases.FREE)
        if moved and not goes_home:
            tasks.ring(self.kind, row.pk)
        return moved

    def reap(self) -> int:
        return sum(map(self.take_back, self.lost_rows()))

    def lost_rows(self) -> QuerySet:
        """Return the rows whose worker has not renewed its lease."""
        return self.rows.filter(leases.expired(), status=self.busy)

    def take_back(self, row: Any) -> int:
        return self.put_back(self.held(row).filter(leases.expired()), row)

    def unheard(self) -> QuerySet:
        return tasks.unheard(self.rows.filter(status=WAITING))
