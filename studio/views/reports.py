"""Doors of the data report: its page, which is its fragment too, and its buttons."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from studio.views.datasets import own
from studio.views.findings import found
from studio.views.frame import safe_next
from studio.views.statistics import lengths_of, shares_of
from training.datasets import holding, reports
from training.datasets.versions import newest


@require_GET
def report(request: HttpRequest, pk: str) -> HttpResponse:
    """The report on a page that can be printed; for its own polling only the findings, of the version
    that was asked for."""
    dataset = get_object_or_404(own(request), pk=pk)
    asked = request.GET.get("version", "")
    is_number = asked.isdecimal() and len(asked) < 9
    earlier = dataset.versions.filter(number=int(asked)).first() if is_number else None
    version = earlier or newest(dataset)
    with holding.present(version):
        context = {"dataset": dataset, "version": version} | found(version)
    if request.htmx:
        onward = safe_next(request, reverse("dataset", args=[pk]))
        return render(request, "datasets/_report.html", context | {"report_next": onward})
    if told := context["report"] and context["report"].result.get("statistics"):
        context |= {"lengths": lengths_of(told), "shares": shares_of(told)}
    return render(request, "datasets/report.html", context)


@require_POST
def cure(request: HttpRequest, pk: str) -> HttpResponse:
    """Cure a finding: a new version, with a way back on the page that comes."""
    dataset = get_object_or_404(own(request), pk=pk)
    said = request.POST
    reports.cure(dataset, said.get("key", ""), said.get("how", ""), said.get("seen", ""))
    return redirect(safe_next(request, reverse("dataset", args=[pk])) + "#report")


@require_POST
def again(request: HttpRequest, pk: str) -> HttpResponse:
    """Check once more what could not be checked."""
    dataset = get_object_or_404(own(request), pk=pk)
    reports.again(newest(dataset))
    return redirect(safe_next(request, reverse("dataset", args=[pk])))
