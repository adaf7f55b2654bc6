"""What happens before and around every view: keys for programs, set-up first, then sign-in, and
errors in words (in JSON for programs)."""

import logging
import re
import secrets
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import Resolver404, resolve
from django.utils.http import url_has_allowed_host_and_scheme

from studio import accounts, keys, languages, refusals
from studio.models import ApiKey, User
from training import logs, wording
from training.errors import UserError

logger = logging.getLogger(__name__)
OPEN_BEFORE_SETUP = {"setup", "live", "ready", "metrics", "theme", "language"}
DJANGO_ANSWERS = (
    Http404, PermissionDenied, SuspiciousOperation, BadRequest, MultiPartParserError
)  # fmt: skip


def wants_json(request: HttpRequest) -> bool:
    return request.headers.get("Accept", "").startswith("application/json")


class Traced:
    """Gives each request an id, its sender's if that is sane: for the log, and for the answer.

    Django logs what was refused after all middleware, so that nothing is taken back here: the next
    request begins anew.
    """

    SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        sent = request.headers.get("X-Request-ID", "")
        request.id = sent if self.SANE.fullmatch(sent) else secrets.token_hex(8)
        logs.begin(request=request.id, user=lambda: self.known_user(request))
        response = self.get_response(request)
        response["X-Request-ID"] = request.id
        return response

    @staticmethod
    def known_user(request: HttpRequest) -> object:
        """Return the id of who asks, if that was looked up; a line of the log asks no database."""
        key = getattr(request, "key", None)
        return key.owner_id if key else getattr(getattr(request, "_cached_user", None), "pk", None)


class Headers:
    """Puts settings.HEADERS on whatever is answered, by whatever layer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        for name, value in settings.HEADERS.items():
            response.headers.setdefault(name, value)
        return response


class JsonErrors:
    """Whatever fails under /v1/, in whatever layer, answers as the API does."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_json = response.headers.get("Content-Type", "").startswith("application/json")
        if response.status_code < 400 or is_json or not refusals.is_api(request.path_info):
            return response
        with languages.speaking(request):
            said = refusals.answer(response.status_code)
        if "Allow" in response.headers:
            said["Allow"] = response["Allow"]
        return said


class KeyAuthentication:
    """Under /v1/ a request is its key's owner's; cookies count for nothing there."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.key = None
        if not refusals.is_api(request.path_info):
            return self.get_response(request)
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            return refusals.answer(401, "key_missing")
        key = keys.find(secret.strip())
        if key is None:
            return refusals.answer(401, "key_unknown")
        keys.note_use(key)
        self.sign_in(request, key)
        return self.get_response(request)

    @staticmethod
    def sign_in(request: HttpRequest, key: ApiKey) -> None:
        async def owner() -> User:
            return key.owner

        request.key, request.user, request.auser = key, key.owner, owner


class SetUpFirst:
    """Until an administrator exists, only the set-up page and health are served."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if self.is_open(request) or request.user.is_authenticated or not accounts.needs_setup():
            return self.get_response(request)
        return render(request, "setup_first.html", status=503)

    @staticmethod
    def is_open(request: HttpRequest) -> bool:
        try:
            return resolve(request.path_info).url_name in OPEN_BEFORE_SETUP
        except Resolver404:
            return False


class SignInRequired(LoginRequiredMiddleware):
    """Every view needs an account, save those marked login_not_required."""

    def handle_no_permission(self, request: HttpRequest, view: Callable) -> HttpResponse:
        if wants_json(request):
            return JsonResponse({"error": {"code": "signed_out"}}, status=401)
        if not request.htmx:
            return super().handle_no_permission(request, view)
        # A fragment cannot show the sign-in page: have the whole page load again.
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})


class PlainErrors:
    """Turn what escapes a view into a page, a fragment or JSON that says what to do."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, UserError):
            return users_error(request, error)
        if isinstance(error, DJANGO_ANSWERS):
            return None
        return our_fault(request, error)


def users_error(request: HttpRequest, error: UserError) -> HttpResponse:
    """Answer 422 with what happened and what to do."""
    words = wording.say(error.code, error.params)
    if wants_json(request):
        body = {"code": error.code, "message": str(words.what), "cure": str(words.cure)}
        return JsonResponse({"error": body}, status=422)
    if request.htmx:
        response = render(request, "_error.html", {"error": error}, status=422)
        response["HX-Retarget"] = "#notices"
        response["HX-Reswap"] = "innerHTML show:#main:top"
        return response
    return render(request, "error.html", {"error": error, "back": back(request)}, status=422)


def our_fault(request: HttpRequest, error: Exception) -> HttpResponse:
    """Log the error with its traceback and answer 500 with the request's id."""
    identity = request.id
    logger.error("error %s at %s", identity, request.path, exc_info=error)
    if wants_json(request):
        return JsonResponse({"error": {"code": "unexpected", "id": identity}}, status=500)
    return HttpResponse(render_to_string("500.html", {"error_id": identity}), status=500)


def back(request: HttpRequest) -> str:
    """Return the page the user came from, if it is ours."""
    came_from = request.headers.get("Referer", "")
    if url_has_allowed_host_and_scheme(came_from, allowed_hosts={request.get_host()}):
        return came_from
    return ""
