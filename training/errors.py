"""The one error whose meaning a user may read. Knows no Django: children raise it too."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What writing fails with where the disk is full, or as much of it as a user or a file may take."""


class UserError(Exception):
    """Something that the user (or the administrator) can mend.

    `code` names a sentence in wording.py, `params` fill its places. Anything else that is raised
    is a fault of ours: logged with its traceback and shown as one fixed sentence.
    """

    field = ""
    """The field of a request that it is about, where a door said so."""

    def __init__(self, code: str, **params: object) -> None:
        super().__init__(code, params)
        self.code = code
        self.params = params

    @classmethod
    def of(cls, stored: dict | None) -> "UserError":
        """Return the error that `as_dict` stored."""
        if stored is None:
            return cls("unexpected")
        return cls(stored["code"], **stored.get("params", {}))

    def as_dict(self) -> dict:
        return {"code": self.code, "params": self.params}


@contextmanager
def about(field: str) -> Iterator[None]:
    """Name the field of a request that errors raised in here are about."""
    try:
        yield
    except UserError as error:
        error.field = error.field or field
        raise
