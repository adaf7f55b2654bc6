"""Doors of 대기열: who waits for this machine, and what can be done about one's own place."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from studio.line_forms import MoveForm, PriorityForm, WhenForm
from studio.views import places
from studio.views.frame import safe_next
from studio.views.models import own
from studio.views.people import administrators_only
from studio.views.wizard import START, beside, draft_view
from training import drafts, jobs
from training.models import Job

Status = Job.Status


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """The whole page, or for its own polling only the list."""
    template = "line/_list.html" if request.htmx else "line/line.html"
    return render(request, template, places.everybodys(request.user))


@require_POST
def move(request: HttpRequest, pk: str) -> HttpResponse:
    """Change places with one's own job before or behind."""
    job, form = own(request, pk), MoveForm(request.POST)
    if not (form.is_valid() and jobs.move(job, form.cleaned_data["step"])):
        messages.info(request, _("그사이 순서가 바뀌어 옮기지 않았습니다."))
    return redirect(safe_next(request, reverse("line")))


@require_POST
def priority(request: HttpRequest, pk: str) -> HttpResponse:
    return _prioritised(request, own(request, pk))


@require_POST
@administrators_only
def rank(request: HttpRequest, pk: str) -> HttpResponse:
    """The administrators' own way to anybody's job."""
    job = get_object_or_404(Job.objects.exclude(status=Status.DRAFT), pk=pk)
    return _prioritised(request, job, is_administrator=True)


def _prioritised(request: HttpRequest, job: Job, is_administrator: bool = False) -> HttpResponse:
    form = PriorityForm(request.POST)
    if not form.is_valid() or not jobs.prioritise(
        job, form.cleaned_data["priority"], is_administrator=is_administrator
    ):
        messages.info(request, _("더는 기다리지 않는 학습이라 우선순위를 바꾸지 않았습니다."))
    return redirect(safe_next(request, reverse("line")))


@require_POST
def when(request: HttpRequest, pk: str) -> HttpResponse:
    """Set another time for a job that waits."""
    job, form = own(request, pk), WhenForm(request.POST)
    if not form.is_valid():
        messages.error(request, next(iter(form.errors.values()))[0])
    elif not jobs.postpone(job, form.moment()):
        messages.info(request, _("더는 기다리지 않는 학습이라 시작 시각을 바꾸지 않았습니다."))
    return redirect("model", job.pk)


@require_POST
@draft_view
def draft_when(request: HttpRequest, job: Job) -> HttpResponse:
    """Keep when the draft is to start, and answer what that leads to."""
    form = WhenForm(request.POST)
    if form.is_valid():
        drafts.edit(job, not_before=form.moment())
    if not request.htmx:
        return redirect("wizard-data", job.pk)
    context = beside(job, START, is_update=True, form=form)
    return render(request, "wizard/_summary.html", context, status=200 if form.is_valid() else 422)
