"""Doors of one's own API keys: list, make, revoke."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods
from ninja.responses import Response

from studio import keys as api_keys
from studio.api import api
from studio.forms import KeyForm
from studio.models import ApiKey

require_form = require_http_methods(["GET", "HEAD", "POST"])


@never_cache
@require_form
def keys(request: HttpRequest) -> HttpResponse:
    """List the keys and make one; the answer to that shows its secret, this once."""
    form, secret = KeyForm(request.POST or None), ""
    if request.method == "POST" and form.is_valid():
        _key, secret = api_keys.create(request.user, form.cleaned_data["name"])
        form = KeyForm()
    context = {
        "form": form,
        "secret": secret,
        "keys": ApiKey.objects.filter(owner=request.user),
        "address": request.build_absolute_uri("/v1"),
    }
    return render(request, "keys/keys.html", context, status=422 if form.errors else 200)


@require_GET
def schema(request: HttpRequest) -> HttpResponse:
    """/v1/openapi.json for people to look at: that address wants a key, a browser has none."""
    return Response(api.get_openapi_schema())


@require_form
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask, then end a key."""
    key = get_object_or_404(ApiKey, owner=request.user, revoked_at=None, pk=pk)
    if request.method != "POST":
        return render(request, "keys/revoke.html", {"key": key})
    api_keys.revoke(key)
    messages.success(request, _("{name} 키를 폐기했습니다.").format(name=key))
    return redirect("keys")
