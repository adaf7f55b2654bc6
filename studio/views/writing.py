"""Doors of 예제 쓰는 법: advice and examples for each kind of work, and its template as a file."""

from dataclasses import dataclass

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from studio.views.datasets import Numbered
from studio.views.sending import attached
from training.datasets import starters
from training.works import WORKS, Work


@dataclass(frozen=True)
class Kind:
    """One kind of work as the page shows it."""

    work: Work
    columns: list[str]
    examples: list[Numbered]


@require_GET
def writing(request: HttpRequest) -> HttpResponse:
    kinds = [Kind(work, starters.columns(work), examples_of(work)) for work in WORKS.values()]
    return render(request, "datasets/writing.html", {"kinds": kinds})


def examples_of(work: Work) -> list[Numbered]:
    return [Numbered(*one) for one in enumerate(starters.examples(work), 1)]


@require_GET
def starter(request: HttpRequest, key: str, ending: str) -> HttpResponse:
    """Send a kind's template, made now in the reader's language."""
    if key not in WORKS or ending not in starters.FORMATS:
        raise Http404
    make, media_type = starters.FORMATS[ending]
    body = b"".join(make(WORKS[key]))
    name = starters.file_name(WORKS[key], ending)
    return attached(HttpResponse(body, content_type=media_type), name)
