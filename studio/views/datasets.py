"""Doors of 학습 데이터: the list, one dataset's examples and problems, and deleting it."""

from dataclasses import dataclass, replace

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from studio.views import findings, layouts
from training.datasets import editing, holding, reports, segments, store, versions
from training.datasets.versions import newest
from training.models import Dataset, DatasetVersion, Job

PAGE = 20
SHOWN_PROBLEMS = 3
STARTED = Count("jobs", filter=~Q(jobs__status="draft"))
require_form = require_http_methods(["GET", "HEAD", "POST"])


@dataclass(frozen=True)
class Numbered:
    """An example with its number, counted from 1 over the whole version."""

    number: int
    example: object
    position: int = 0
    """Where the row stays, whatever is removed before it."""
    origin: str = ""
    """The conversation that it was mended in, if it was."""

    @property
    def mark(self) -> str:
        """What tells whether the row is still as it was shown."""
        return editing.mark(self.example)


def own(request: HttpRequest) -> QuerySet[Dataset]:
    started = Count("versions__jobs", filter=~Q(versions__jobs__status="draft"))
    rows = Dataset.objects.filter(owner=request.user).annotate(job_count=started)
    return rows.order_by("-created_at", "pk")


def numbered(version: DatasetVersion, start: int, count: int) -> list[Numbered]:
    rows = store.view(versions.folder(version)).rows(start, count)
    return [
        Numbered(number, row.example, row.position) for number, row in enumerate(rows, start + 1)
    ]


def at(version: DatasetVersion, positions: list[int]) -> list[Numbered]:
    """Return the rows at rising positions that are still there."""
    view = store.view(versions.folder(version))
    live = [position for position in positions if view.is_live(position)]
    return [Numbered(view.number(place) + 1, example, place) for place, example in view.at(live)]


def matching(version: DatasetVersion, words: str, start: int) -> tuple[list[Numbered], int]:
    """Return a page of the examples that hold some words, and how many do in all."""
    place = versions.folder(version)
    rows, total = store.search(place, words, start, PAGE)
    view = store.view(place)
    found = [Numbered(view.number(row.position) + 1, row.example, row.position) for row in rows]
    return found, total


def bad_rows(version: DatasetVersion, start: int, count: int) -> list[dict]:
    """Return rows that could not be used, each with its index."""
    found = versions.problems(version, start, count) if version.problem_count else []
    return [row | {"index": index} for index, row in enumerate(found, start)]


def unreadable(request: HttpRequest) -> QuerySet[Dataset]:
    """Return the datasets of which nothing could be read, and that no job was started with."""
    rest = DatasetVersion.objects.filter(dataset=OuterRef("pk"))
    read = rest.exclude(status=DatasetVersion.Status.FAILED)
    rows = Dataset.objects.filter(~Exists(read), Exists(rest), owner=request.user)
    return rows.exclude(versions__jobs__in=Job.objects.exclude(status=Job.Status.DRAFT))


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
    context = {"page": page, "is_live": is_live}
    if not request.htmx:
        context["unreadable"] = unreadable(request).count()
    return render(request, template, context)


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
    with holding.present(version):
        holding.mend(version)
        return whole(request, row, version)


def whole(request: HttpRequest, row: Dataset, version: DatasetVersion) -> HttpResponse:
    context = {
        "dataset": row,
        "version": version,
        "problems": bad_rows(version, 0, SHOWN_PROBLEMS),
        "users": versions.users(row),
        "versions": row.versions.order_by("-number").annotate(job_count=STARTED),
        "removed": removed(request, version),
        "saved": int(saved)
        if (saved := request.GET.get("saved", "")).isdecimal() and len(saved) < 10
        else 0,
        "layout_form": layouts.form_of(version),
    }
    context |= findings.found(version)
    context |= page_of(request, version)
    origins = editing.origins(row, [one.mark for one in context["examples"]])
    context["examples"] = [
        replace(one, origin=origins.get(one.mark, "")) for one in context["examples"]
    ]
    return render(request, "datasets/dataset.html", context)


def page_of(request: HttpRequest, version: DatasetVersion) -> dict:
    """Return the page of examples that the address asks for: of all, of those that a finding of the
    report concerns, or of those with some words.

    Raises: UserError `report_outdated`.
    """
    if version.status != DatasetVersion.Status.READY or not version.example_count:
        return {"page": None, "examples": []}
    words = request.GET.get("q", "").strip()[:200]
    asked = request.GET.get("page", "1")
    key = request.GET.get("finding", "")
    if said := findings.words_of(version, key):
        positions = reports.positions(version, key)
        page = Paginator(positions, PAGE).get_page(asked)
        return {
            "page": page,
            "examples": at(version, page.object_list),
            "finding": said,
            "finding_key": key,
        }
    if not words:
        page = Paginator(range(version.example_count), PAGE).get_page(asked)
        return {"page": page, "examples": numbered(version, (page.number - 1) * PAGE, PAGE)}
    start = (int(asked) - 1) * PAGE if asked.isdecimal() and len(asked) < 9 else 0
    found, total = matching(version, words, max(0, start))
    page = Paginator(range(total), PAGE).get_page(asked)
    if (page.number - 1) * PAGE != start and total:  # beyond the last page, or before the first
        found, total = matching(version, words, (page.number - 1) * PAGE)
    return {"page": page, "examples": found, "words": words, "matches": total}


def removed(request: HttpRequest, version: DatasetVersion) -> int | None:
    """Return the row that was just removed, so that the page can offer it back."""
    asked = request.GET.get("removed", "")
    if version.status != DatasetVersion.Status.READY or not (asked.isdecimal() and len(asked) < 10):
        return None
    view = store.view(versions.folder(version))
    is_gone = int(asked) < view.physical and not view.is_live(int(asked))
    return int(asked) if is_gone else None


@require_GET
def problems(request: HttpRequest, pk: str) -> HttpResponse:
    """All the rows that could not be used, twenty a page."""
    row = get_object_or_404(own(request), pk=pk)
    version = newest(row)
    kept = min(version.problem_count, segments.PROBLEM_LIMIT)
    page = Paginator(range(kept), PAGE).get_page(request.GET.get("page"))
    shown = bad_rows(version, (page.number - 1) * PAGE, PAGE)
    context = {"dataset": row, "version": version, "problems": shown, "page": page}
    return render(request, "datasets/bad_rows.html", context)


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


@require_form
def delete_unreadable(request: HttpRequest) -> HttpResponse:
    """Ask, then delete all that could not be read."""
    rows = list(unreadable(request))
    if request.method != "POST":
        return render(request, "datasets/delete_unreadable.html", {"datasets": rows})
    for row in rows:
        versions.delete(row)
    words = _("읽지 못한 데이터 {count}개를 지웠습니다.").format(count=len(rows))
    messages.success(request, words)
    return redirect("datasets")
