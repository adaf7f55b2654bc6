"""The guard in front of ASGI: no request body is larger than its path may take.

Django spools a whole body to disk before any view or login check runs; so declared sizes are
refused here, and undeclared ones are counted as they come.
"""

import re
from collections.abc import Awaitable, Callable

from django.conf import settings

SMALL_BYTES = 1024 * 1024
UPLOADS = re.compile(r"/train/[a-z0-9]+/upload/")
FORM_OVERHEAD_BYTES = 64 * 1024


def limit(path: str) -> int:
    """Return how many bytes of body a path may take."""
    if UPLOADS.fullmatch(path):
        return settings.UPLOAD_LIMIT_BYTES + FORM_OVERHEAD_BYTES
    return SMALL_BYTES


class BodyGuard:
    def __init__(self, application: Callable) -> None:
        self.application = application

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        bound = limit(scope["path"])
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > bound:
            await _refuse(send)
            return
        await self.application(scope, _counted(receive, bound), send)


def _counted(receive: Callable, bound: int) -> Callable[[], Awaitable[dict]]:
    """Pass messages on until the body is larger than its bound; then hang up."""
    taken = 0

    async def counted() -> dict:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        return {"type": "http.disconnect"} if taken > bound else message

    return counted


async def _refuse(send: Callable) -> None:
    body = "파일이 너무 큽니다. 한 번에 보낼 수 있는 크기를 넘었습니다.".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
