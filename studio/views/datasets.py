"""Doors of 학습 데이터: the list, one dataset's examples and problems, and deleting it."""

from dataclasses import dataclass

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from training.datasets import versions
from training.models import Dataset, DatasetVersion

PAGE = 20
require_form = require_http_methods(["GET", "HEAD", "POST"])


@dataclass(frozen=True)
class Numbered:
    """An example with its number, counted from 1 over the whole version."""

    number: int
    example: object


def own(request: HttpRequest) -> QuerySet[Dataset]:
    started = Count("versions__jobs", filter=~Q(versions__jobs__status="draft"))
    rows = Dataset.objects.filter(owner=request.user).annotate(job_count=started)
    return rows.order_by("-created_at", "pk")


def newest(dataset: Dataset) -> DatasetVersion:
    return dataset.versions.order_by("-number").first()


def numbered(version: DatasetVersion, start: int, count: int) -> list[Numbered]:
    found = versions.examples(version, start, count)
    return [Numbered(number, example) for number, example in enumerate(found, start + 1)]


@require_GET
def datasets(request: HttpRequest) -> HttpResponse:
    """The whole page, or for its own polling only the table."""
    latest = DatasetVersion.objects.filter(dataset=OuterRef("pk")).order_by("-number")
    rows = own(request).annotate(newest_pk=Subquery(latest.values("pk")[:1]))
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    found = DatasetVersion.objects.in_bulk([row.newest_pk for row in page.object_list])
    for row in page.object_list:
        row.newest = found[row.newest_pk]
    is_live = any(version.is_busy for version in found.values())
    template = "datasets/_table.html" if request.htmx else "datasets/datasets.html"
    return render(request, template, {"page": page, "is_live": is_live})


@require_GET
def dataset(request: HttpRequest, pk: str) -> HttpResponse:
    """Examples as conversations, twenty a page, and the problems that were found; for its own
    polling only how far the reading is, and when that is over the whole page anew."""
    row = get_object_or_404(own(request), pk=pk)
    version = newest(row)
    if request.htmx and version.is_busy:
        return render(request, "datasets/_busy.html", {"version": version})
    if request.htmx:
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    page = Paginator(range(version.example_count), PAGE).get_page(request.GET.get("page"))
    start = (page.number - 1) * PAGE
    is_ready = version.status == DatasetVersion.Status.READY
    context = {
        "dataset": row,
        "version": version,
        "page": page,
        "examples": numbered(version, start, PAGE) if is_ready and version.example_count else [],
        "problems": versions.problems(version, 0, 200) if version.problem_count else [],
        "users": versions.users(row),
    }
    return render(request, "datasets/dataset.html", context)


@require_form
def delete(request: HttpRequest, pk: str) -> HttpResponse:
    row = get_object_or_404(own(request), pk=pk)
    if request.method != "POST":
        return render(
            request, "datasets/delete.html", {"dataset": row, "users": versions.users(row)}
        )
    versions.delete(row)
    messages.success(request, _("{name} 데이터를 삭제했습니다.").format(name=row.name))
    return redirect("datasets")
