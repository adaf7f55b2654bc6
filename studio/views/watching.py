"""Doors of watching: a job's points, as a picture's and as a table, and several jobs beside each other."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from studio.views import comparing, lines
from studio.views.models import own
from training.history import History
from training.models import Job

TABLE_ROWS = 200
FEWEST, MOST = 2, 6
"""How many jobs can be seen together."""


@require_GET
def points(request: HttpRequest, pk: str) -> JsonResponse:
    """The chart's points after an event's id, and the marks."""
    job = own(request, pk)
    history, asked = History(job), request.GET.get("after", "0")
    after = int(asked[:18]) if asked.isascii() and asked.isdecimal() else 0
    said = {
        "training": history.points("metrics", after),
        "validation": history.points("validation", after),
        "marks": history.marks,
        "best": history.best,
        "is_live": job.is_live,
    }
    return JsonResponse(said)


@require_GET
def table(request: HttpRequest, pk: str) -> HttpResponse:
    """The chart's points for reading, one row for a step or a few."""
    history = History(own(request, pk))
    rows: dict[int, dict] = {}
    training = history.points("metrics", buckets=TABLE_ROWS)
    for point in training:
        rows[point["step"]] = point
    for point in history.points("validation", buckets=TABLE_ROWS):
        row = rows.setdefault(point["step"], {"step": point["step"], "epoch": point["epoch"]})
        row["validation_loss"] = point["loss"]
    context = {
        "rows": [rows[step] for step in sorted(rows)],
        "steps": max((point.get("steps", 1) for point in training), default=1),
    }
    return render(request, "models/_points.html", context)


@require_GET
def compare(request: HttpRequest) -> HttpResponse:
    """Two to six of one's own jobs on one chart; for its own polling only the tables."""
    jobs = chosen(request)
    if not FEWEST <= len(jobs) <= MOST:
        messages.info(request, _("함께 볼 학습을 두 개에서 여섯 개까지 고르세요."))
        return redirect("models")
    context = {
        "comparison": comparing.Comparison(jobs, shows_all="all" in request.GET),
        "losses": [("training", _("학습 손실")), ("validation", _("검증 손실"))],
    }
    template = "models/_comparison.html" if request.htmx else "models/compare.html"
    return render(request, template, context)


def chosen(request: HttpRequest) -> list[Job]:
    """Return the jobs that a query names, in its order.

    Raises: Http404 where one is not the user's.
    """
    pks = list(dict.fromkeys(request.GET.getlist("job")))
    found = {job.pk: job for job in lines.jobs_of(request.user).filter(pk__in=pks[: MOST + 1])}
    if any(pk not in found for pk in pks[: MOST + 1]):
        raise Http404
    return [found[pk] for pk in pks[: MOST + 1]]
