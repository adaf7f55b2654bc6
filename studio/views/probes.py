"""Doors of 지켜볼 질문: choose them in step 3, see on a model's page how the answers change."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from studio.views.models import own
from studio.views.wizard import START, beside, draft_view, show_data
from studio.watch_forms import ProbesForm
from training import drafts, probes
from training.history import History
from training.models import Job


@require_POST
@draft_view
def choose(request: HttpRequest, job: Job) -> HttpResponse:
    """Save a draft's questions. What starts with them is another draft, so summary and start come
    along."""
    form = ProbesForm(job, request.POST)
    if form.is_valid():
        drafts.edit(job, probes=form.questions())
    status = 200 if form.is_valid() else 422
    if request.htmx:
        context = beside(job, START, is_update=True, form=form)
        return render(request, "wizard/_summary.html", context, status=status)
    if status == 422:
        return show_data(request, job, status, probes_form=form)
    return redirect(reverse("wizard-data", args=[job.pk]) + "#probes")


@require_GET
def panel(request: HttpRequest, pk: str) -> HttpResponse:
    """The answers so far; nothing where the page has the newest already."""
    job = own(request, pk)
    history = History(job)
    if request.GET.get("seen") == str(probes.newest(history)):
        return HttpResponse(status=204)
    return render(request, "models/_probes.html", {"job": job, "watch": probes.watch(history)})
