"""Doors for those who watch over the studio: is it alive, is it well, and its figures."""

import hmac

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_GET, require_safe

from studio import keys, metrics
from training import health


@login_not_required
@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """Say that the web process answers."""
    return JsonResponse({"status": "ok"})


@login_not_required
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Say what is well: 200 while pages can be served, 503 else. Figures are for administrators."""
    found = health.report()
    has_rows = found.checks["database"].status != health.DOWN
    in_full = has_rows and is_administrator(request)
    status = 503 if found.status == health.DOWN else 200
    return JsonResponse(found.as_dict(in_full), status=status)


def is_administrator(request: HttpRequest) -> bool:
    """Look who asks, by key or by session; both take a look into the database."""
    secret = bearer(request)
    key = keys.find(secret) if secret else None
    user = key.owner if key else request.user
    return user.is_active and user.is_staff


def bearer(request: HttpRequest) -> str:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


@login_not_required
@require_GET
def figures(request: HttpRequest) -> HttpResponse:
    """Answer Prometheus, where there is a token and it brings it; else this page is not there."""
    if not settings.METRICS_TOKEN:
        raise Http404
    if not hmac.compare_digest(bearer(request).encode(), settings.METRICS_TOKEN.encode()):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    return HttpResponse(metrics.exposition(), content_type=metrics.CONTENT_TYPE)
