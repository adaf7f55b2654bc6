"""The frame of /v1/: one API that the rooms hang their routes into, and how it says no.

Who asks is settled before (middleware.KeyAuthentication); what is refused is put into words by
refusals.py.
"""

import json
import logging
import re

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.parser import Parser

from studio import refusals
from training.errors import UserError

logger = logging.getLogger(__name__)
STATUSES = {
    "model_unknown": 404, "job_unknown": 404, "file_unknown": 404, "too_many_answers": 429,
    "engine_away": 503, "engine_unreachable": 503, "engine_garbled": 502, "engine_refused_key": 502,
}  # fmt: skip
"""Of errors that are not simply a request that can't be carried out."""
TALKING = "/v1/chat/"
"""Where clients of OpenAI ask: they know such a request as 400, elsewhere it is 422."""
ENGINES_FAULTS = {
    "engine_adapter_refused", "engine_adapters_off", "engine_memory", "engine_memory_short",
    "engine_model_missing", "generation_failed", "model_load_failed", "model_loading",
    "model_not_loaded", "model_unloaded",
}  # fmt: skip
"""What is no fault of whoever asks there: 503."""
LINE_GOES_ON = re.compile(rb"\\[ \t]*(?=\r?\n)")
EXPECTED: dict[str, Promise] = {
    "string_type": _("따옴표로 묶은 글자"),
    "bool_type": _("true나 false"),
    "float_type": _("수"),
    "list_type": _("[ ]로 묶은 목록"),
    "too_short": _("{min_length}개 이상을 담은 목록"),
    "too_long": _("{max_length}개 이내를 담은 목록"),
    "content_unreadable": _('글자, 또는 {{"type": "text", "text": …}}만 담은 목록'),
    "string_too_short": _("{min_length}자 이상의 글자"),
    "string_too_long": _("{max_length}자 이내의 글자"),
    "string_unprintable": _("눈에 보이는 한 줄의 글자"),
    "literal_error": _("{expected} 가운데 하나"),
    "int_parsing": _("정수"),
    "int_type": _("정수"),
    "greater_than_equal": _("{ge} 이상의 수"),
    "less_than_equal": _("{le} 이하의 수"),
    "model_attributes_type": _("{{ }}로 묶은 JSON 객체"),
    "number": _("숫자(0이면 자동)"),
}


class ForgivingParser(Parser):
    """Reads JSON; a backslash left at a line's end by somebody's shell is no reason to refuse.

    The guide prints its call like that. In valid JSON no backslash stands before a line's end.
    """

    def parse_body(self, request: HttpRequest) -> object:
        try:
            return json.loads(request.body)
        except ValueError:
            return json.loads(LINE_GOES_ON.sub(b"", request.body))


api = NinjaAPI(
    title="Dadeum", version="1", urls_namespace="v1", docs_url=None, parser=ForgivingParser()
)


@api.exception_handler(UserError)
def users_error(request: HttpRequest, error: UserError) -> HttpResponse:
    status = STATUSES.get(error.code) or _not_carried_out(request, error.code)
    return refusals.answer(status, error.code, error.params, error.field)


@api.exception_handler(ValidationError)
def wrong_field(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """Name the first field that is wrong, and what it should be."""
    found = error.errors[0]
    # where it was sent, the parameter's own name (for a body), then the path to the field
    place = found["loc"][2 if found["loc"][0] == "body" else 1 :]
    names = [str(part) for part in place if not _is_union_branch(part)]
    field, kind = ".".join(names), found["type"]
    if not field:
        return refusals.answer(400)
    if kind in ("missing", "extra_forbidden"):
        code = "field_missing" if kind == "missing" else "field_unknown"
        return refusals.answer(_not_carried_out(request), code, {"field": field}, field)
    if len(names) < len(place):
        kind = "number"
    words = EXPECTED.get(kind, EXPECTED["string_type"])
    expected = str(words).format_map(found.get("ctx", {}))
    said = {"field": field, "expected": expected}
    return refusals.answer(_not_carried_out(request), "field_wrong", said, field)


def _not_carried_out(request: HttpRequest, code: str = "") -> int:
    if not request.path_info.startswith(TALKING):
        return 422
    return 503 if code in ENGINES_FAULTS else 400


def _is_union_branch(part: object) -> bool:
    """Pydantic names the branches of a union within the path to a value."""
    return isinstance(part, str) and (part in ("int", "float") or part.startswith("literal["))


@api.exception_handler(HttpError)
def refused(request: HttpRequest, error: HttpError) -> HttpResponse:
    return refusals.answer(error.status_code)


@api.exception_handler(Http404)
def not_there(request: HttpRequest, error: Http404) -> HttpResponse:
    return refusals.answer(404)


@api.exception_handler(Exception)
def our_fault(request: HttpRequest, error: Exception) -> HttpResponse:
    """Log the error with its traceback; the answer's X-Request-ID finds it again."""
    logger.error("error %s at %s", request.id, request.path, exc_info=error)
    return refusals.answer(500)
