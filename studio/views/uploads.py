"""Doors by which a data file comes in: whole in one form, in pieces, or from a URL."""

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from studio.data_forms import UploadForm, UrlForm
from studio.middleware import wants_json
from studio.views.datasets import require_form
from training import pieces
from training.datasets import arrivals, versions
from training.errors import UserError


@require_form
def upload(request: HttpRequest) -> HttpResponse:
    """A new dataset from a file or a URL, without a training."""
    forms = {
        "upload_form": UploadForm(request.user),
        "url_form": UrlForm(),
        "upload_limit": settings.UPLOAD_LIMIT_BYTES,
    }
    if request.method != "POST":
        return render(request, "datasets/new.html", forms)
    if "url" in request.POST:
        return from_url(request, forms)
    form = UploadForm(request.user, request.POST, request.FILES)
    if form.is_valid():
        onward = reverse("dataset", args=[form.take().dataset_id])
        return JsonResponse({"onward": onward}) if wants_json(request) else redirect(onward)
    return render(request, "datasets/new.html", forms | {"upload_form": form}, status=422)


def from_url(request: HttpRequest, forms: dict) -> HttpResponse:
    form = UrlForm(request.POST)
    context = forms | {"url_form": form}
    if form.is_valid():
        try:
            version = versions.from_url(request.user, form.cleaned_data["url"].strip())
            return redirect("dataset", version.dataset_id)
        except UserError as error:
            context["url_error"] = error
    return render(request, "datasets/new.html", context, status=422)


# --- a file in pieces -------------------------------------------------------------------------
@require_POST
def arrive(request: HttpRequest) -> HttpResponse:
    """Begin to take a file in, or say how far it came before the connection broke."""
    name, size = request.POST.get("name", ""), request.POST.get("size", "")
    size_bytes = int(size) if size.isdecimal() and len(size) < 20 else 0
    arrival = arrivals.begin(request.user, name, size_bytes, request.POST.get("changed", "")[:40])
    places = {name: reverse(f"arrival-{name}", args=[arrival.id]) for name in ("piece", "abandon")}
    facts = {"id": arrival.id, "here": arrival.here_bytes, "piece_bytes": pieces.PIECE_BYTES}
    return JsonResponse(facts | places)


def own_arrival(request: HttpRequest, pk: str) -> arrivals.Arrival:
    found = arrivals.find(request.user, pk)
    if found is None:
        raise Http404
    return found


@require_POST
def piece(request: HttpRequest, pk: str) -> HttpResponse:
    """Write the request's body at a place in a file."""
    start = request.GET.get("start", "")
    place = int(start) if start.isdecimal() and len(start) < 20 else -1
    size = arrivals.receive(own_arrival(request, pk), place, request.read)
    return JsonResponse({"here": size})


@require_POST
def abandon(request: HttpRequest, pk: str) -> HttpResponse:
    arrivals.abandon(own_arrival(request, pk))
    return JsonResponse({})
