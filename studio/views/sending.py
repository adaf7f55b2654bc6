"""How a file goes to a browser: under a name, piece by piece."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import TypeVar

from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header

Response = TypeVar("Response", bound=HttpResponseBase)


def attached(response: Response, name: str) -> Response:
    """Have a browser save a response under a name."""
    response["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    return response


async def in_threads(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Read an iterator that waits for the disk without holding up the others' requests."""
    while piece := await asyncio.to_thread(next, pieces, b""):
        yield piece
