"""Doors of 기본 모델: what is here, fetching from the hub, bringing a folder, removing one.

Everybody may look; administrators act.
"""

from collections.abc import Callable
from functools import wraps
from pathlib import Path

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from studio.forms import FolderForm, HubForm
from studio.middleware import wants_json
from studio.views import cards
from studio.views.people import administrators_only
from training import bases as base_models
from training import gate, pieces
from training.bases import Base
from training.errors import UserError
from training.hub import downloads, imports, library
from training.models import BaseDownload

USUAL_HUB = "https://huggingface.co"
"""Where models come from unless DADEUM_HUB_URL names another place."""
require_form = require_http_methods(["GET", "HEAD", "POST"])


@require_GET
def bases(request: HttpRequest) -> HttpResponse:
    """The whole page, or for its own polling what is here and on its way."""
    template = "bases/_library.html" if request.htmx else "bases/bases.html"
    return show(request, template=template)


def show(
    request: HttpRequest, status: int = 200, *, template: str = "bases/bases.html", **extra: object
) -> HttpResponse:
    here, coming = cards.of_bases(), list(downloads.shown())
    context = {
        "cards": here,
        "downloads": coming,
        "is_live": any(row.is_live for row in coming),
        "offers": list(cards.of_presets(here)),
        "hub_form": HubForm(),
        "folder_form": FolderForm(),
        "has_hub": settings.HUB,
        "hub_url": settings.HUB_URL or USUAL_HUB,
        "models_folder": settings.MODELS,
        "allowed": ",".join((*gate.ALLOWED_ENDINGS, *gate.ALLOWED_NAMES)),
        "form_limit": settings.UPLOAD_LIMIT_BYTES,
    }
    return render(request, template, context | extra, status=status)


def top() -> str:
    """Return the page's address from its top: a form that was sent leads to its own place else."""
    return reverse("bases") + "#main"


# --- from the hub -------------------------------------------------------------------------------
@require_POST
@administrators_only
def fetch(request: HttpRequest) -> HttpResponse:
    """Put a model of the hub in line to be fetched."""
    form = HubForm(request.POST)
    if not form.is_valid():
        return show(request, 422, hub_form=form)
    try:
        row = downloads.order(request.user, **form.cleaned_data)
    except UserError as error:
        return show(request, 422, hub_form=form, hub_error=error)
    words = _("{repo} 모델을 받습니다. 이 창은 닫아도 됩니다.")
    messages.success(request, words.format(repo=row.repo))
    return redirect(top())


@require_POST
@administrators_only
def cancel(request: HttpRequest, pk: str) -> HttpResponse:
    row = get_object_or_404(BaseDownload, pk=pk)
    if downloads.cancel(row):
        messages.success(request, _("{repo} 받기를 멈춥니다.").format(repo=row.repo))
    return redirect("bases")


@require_POST
@administrators_only
def retry(request: HttpRequest, pk: str) -> HttpResponse:
    row = downloads.retry(get_object_or_404(BaseDownload, pk=pk))
    messages.success(request, _("{repo} 모델을 이어서 받습니다.").format(repo=row.repo))
    return redirect("bases")


@require_form
@administrators_only
def discard(request: HttpRequest, pk: str) -> HttpResponse:
    """Ask, then forget a download and what it has fetched."""
    row = get_object_or_404(BaseDownload, pk=pk)
    if request.method != "POST":
        return render(request, "bases/discard.html", {"download": row})
    downloads.discard(row)
    messages.success(request, _("받던 {repo} 파일을 지웠습니다.").format(repo=row.repo))
    return redirect("bases")


# --- one that is here ---------------------------------------------------------------------------
@require_form
@administrators_only
def delete(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask, or say why it must stay; then remove a base."""
    base = find(slug)
    if request.method != "POST":
        return render(request, "bases/delete.html", {"base": base, "reason": reason(base)})
    library.remove(base)
    messages.success(request, _("{name} 모델을 삭제했습니다.").format(name=base.name))
    return redirect("bases")


def find(slug: str) -> Base:
    for base in base_models.catalogue():
        if base.slug == slug:
            return base
    raise Http404


def reason(base: Base) -> UserError | None:
    """Return why a base must stay, or None."""
    try:
        library.refuse_needed(base)
    except UserError as error:
        return error
    return None


# --- a folder that is brought -------------------------------------------------------------------
@require_POST
@administrators_only
def bring(request: HttpRequest) -> HttpResponse:
    """Take a whole folder in one form, or (for the page's script) begin one that comes in pieces."""
    form = FolderForm(request.POST, request.FILES)
    if wants_json(request):
        size = request.POST.get("size", "")
        pk = imports.begin(request.POST.get("name", ""), int(size) if size.isdecimal() else 0)
        places = {
            name: reverse(f"base-{name}", args=[pk]) for name in ("piece", "finish", "abandon")
        }
        return JsonResponse(places | {"piece_bytes": pieces.PIECE_BYTES})
    if not form.is_valid():
        return show(request, 422, folder_form=form)
    try:
        files = [
            (file.name, Path(file.temporary_file_path())) for file in form.cleaned_data["files"]
        ]
        name = imports.take(form.cleaned_data["name"], files)
    except UserError as error:
        return show(request, 422, folder_form=form, folder_error=error)
    return brought(request, name)


def brought(request: HttpRequest, name: str) -> HttpResponse:
    messages.success(request, _("{name} 모델을 가져왔습니다.").format(name=name))
    return JsonResponse({"onward": reverse("bases")}) if wants_json(request) else redirect(top())


def import_view(view: Callable) -> Callable:
    """Hand the folder of an import that is under way to an administrator's view."""

    @require_POST
    @administrators_only
    @wraps(view)
    def found(request: HttpRequest, pk: str) -> HttpResponse:
        folder = imports.find(pk)
        if folder is None:
            raise Http404
        return view(request, folder)

    return found


@import_view
def piece(request: HttpRequest, folder: Path) -> HttpResponse:
    """Write the request's body at a place in a file."""
    start = request.GET.get("start", "")
    place = int(start) if start.isdecimal() else -1
    size = imports.receive(folder, request.GET.get("name", ""), place, request.read)
    return JsonResponse({"size": size})


@import_view
def finish(request: HttpRequest, folder: Path) -> HttpResponse:
    return brought(request, imports.finish(folder))


@import_view
def abandon(request: HttpRequest, folder: Path) -> HttpResponse:
    imports.abandon(folder)
    return JsonResponse({})
