"""Which language an answer is in: a request goes in, "ko" or "en" comes out.

People get what they chose, or else what their browser asks for first of the two, or else Korean.
Programs get what they ask for, or else English; cookies count for nothing there.
"""

import io
from collections.abc import Callable

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.middleware.locale import LocaleMiddleware
from django.utils import translation
from django.utils.translation.trans_real import parse_accept_lang_header

from studio import refusals

PROGRAMS_LANGUAGE = "en"


def of(request: HttpRequest) -> str:
    """Return the language to answer a request in."""
    if not refusals.is_api(request.path_info):
        return translation.get_language_from_request(request)
    for asked, _weight in parse_accept_lang_header(request.headers.get("Accept-Language", "")):
        try:
            return translation.get_supported_language_variant(asked)
        except LookupError:
            continue
    return PROGRAMS_LANGUAGE


def speaking(request: HttpRequest) -> translation.override:
    """Speak a request's language outside of Django's own middleware."""
    return translation.override(of(request))


class PageLanguage(LocaleMiddleware):
    """Speaks each request's language until it is answered."""

    def process_request(self, request: HttpRequest) -> None:
        translation.activate(of(request))
        request.LANGUAGE_CODE = translation.get_language()


class SocketLanguage:
    """Speaks over a websocket the language of the page that opened it."""

    def __init__(self, application: Callable) -> None:
        self.application = application

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        request = ASGIRequest(scope | {"method": "GET"}, io.BytesIO())
        with speaking(request):
            await self.application(scope, receive, send)
