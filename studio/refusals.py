"""How /v1/ refuses: a code of wording.py goes in, {"error": {message, type, param, code}} comes out.

Knows no view: the guard, the middleware and the API's own handlers all answer through here.
"""

from collections.abc import Mapping

from django.http import JsonResponse

from training import wording

KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
CODES = {
    400: "request_unreadable",
    401: "key_unknown",
    403: "request_refused",
    404: "route_unknown",
    405: "method_unknown",
    413: "request_too_large",
}
"""What a bare status means where nobody said more."""


def is_api(path: str) -> bool:
    return path.startswith("/v1/")


def body(
    status: int, code: str, params: Mapping[str, object] | None = None, field: str = ""
) -> dict[str, dict]:
    """Return the error's JSON in the active language; `field` names the part that is wrong."""
    words = wording.say(code, params)
    kind = KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
    message = f"{words.what} {words.cure}"
    return {"error": {"message": message, "type": kind, "param": field or None, "code": code}}


def answer(
    status: int, code: str = "", params: Mapping[str, object] | None = None, field: str = ""
) -> JsonResponse:
    """Return the whole answer; without a code, the words that fit the bare status."""
    said = body(status, code or CODES.get(status, "unexpected"), params, field)
    response = JsonResponse(said, status=status)
    if status == 401:
        response["WWW-Authenticate"] = "Bearer"
    if status == 429:
        response["Retry-After"] = "1"
    if status == 500:
        response["X-Should-Retry"] = "false"  # whatever was begun must not be begun twice
    return response
