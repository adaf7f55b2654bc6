"""The guard in front of ASGI: no request body is larger than its path may take.

Django spools a whole body to disk before any view or login check runs; so declared sizes are
refused here, and undeclared ones are counted as they come.
"""

import io
import re
from collections.abc import Awaitable, Callable
from importlib import import_module
from urllib.parse import urlsplit

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, JsonResponse

from studio import languages, refusals
from studio.middleware import wants_json
from studio.models import User
from training import pieces, wording
from training.datasets import questions, room

SMALL_BYTES = 1024 * 1024
UPLOADS = re.compile(r"/train/[a-z0-9]+/upload/|/data/new/|/bases/import/")
PIECES = re.compile(r"/bases/import/[a-z0-9]+/piece/|/data/arrivals/[a-z0-9-]+/piece/")
QUESTIONS = "/playground/batch/"
FOR_ADMINISTRATORS = "/bases/"
FORM_OVERHEAD_BYTES = 64 * 1024


def limit(path: str) -> int:
    """Return how many bytes of body a path may take."""
    if UPLOADS.fullmatch(path):
        return settings.UPLOAD_LIMIT_BYTES + FORM_OVERHEAD_BYTES
    if PIECES.fullmatch(path):
        return pieces.PIECE_BYTES
    if path == QUESTIONS:
        return questions.LIMIT_BYTES + FORM_OVERHEAD_BYTES
    return SMALL_BYTES


async def may_send(scope: dict) -> bool:
    """Look up the session that a request's cookie names, before its body is taken."""
    key = ASGIRequest(scope, io.BytesIO()).COOKIES.get(settings.SESSION_COOKIE_NAME)
    store = import_module(settings.SESSION_ENGINE).SessionStore
    session = await database_sync_to_async(store(key).load)() if key else {}
    if SESSION_KEY not in session:
        return False
    if not scope["path"].startswith(FOR_ADMINISTRATORS):
        return True
    administrators = User.objects.filter(is_active=True, is_staff=True)
    return await administrators.filter(pk=session[SESSION_KEY]).aexists()


class SameOrigin:
    """Let a websocket in only from a page of this very host and port, of https where that is."""

    def __init__(self, application: Callable) -> None:
        self.application = application

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        headers = dict(scope["headers"])
        origin = urlsplit(headers.get(b"origin", b"").decode("latin-1"))
        is_ours = origin.netloc and origin.netloc == headers.get(b"host", b"").decode("latin-1")
        is_secure = settings.HTTPS or scope.get("scheme") == "wss"
        if is_ours and (origin.scheme == "https" or not is_secure):
            await self.application(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 4403})


class BodyGuard:
    def __init__(self, application: Callable) -> None:
        self.application = application

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        bound = limit(scope["path"])
        if bound > SMALL_BYTES and not await may_send(scope):
            bound = SMALL_BYTES
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > bound:
            await _refuse(scope, send)
            return
        if int(declared) > SMALL_BYTES and int(declared) > room.free_bytes():
            await _refuse(scope, send, 507)
            return
        await self.application(scope, _counted(scope, receive, send, bound), send)


def _counted(
    scope: dict, receive: Callable, send: Callable, bound: int
) -> Callable[[], Awaitable[dict]]:
    """Pass messages on until the body is larger than its bound; then refuse and hang up."""
    taken = 0

    async def counted() -> dict:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken <= bound:
            return message
        await _refuse(scope, send)
        return {"type": "http.disconnect"}

    return counted


async def _refuse(scope: dict, send: Callable, status: int = 413) -> None:
    response = _refusal(ASGIRequest(scope, io.BytesIO()), status)
    response["Content-Length"] = len(response.content)
    response["Connection"] = "close"
    response["X-Content-Type-Options"] = "nosniff"
    for name, value in settings.HEADERS.items():
        response[name] = value
    headers = [(name.lower().encode(), value.encode()) for name, value in response.items()]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": response.content})


def _refusal(request: ASGIRequest, status: int) -> HttpResponse:
    with languages.speaking(request):
        if refusals.is_api(request.path_info):
            return refusals.answer(status)
        words = wording.say("request_too_large" if status == 413 else "disk_full")
        said = f"{words.what} {words.cure}"
        if wants_json(request):
            return JsonResponse({"error": {"message": said}}, status=status)
        return HttpResponse(said, status=status, content_type="text/plain; charset=utf-8")
