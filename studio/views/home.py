"""The first page: three steps for a newcomer; what runs and what waits for somebody who returns."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from studio.views import lines
from training import bases, samples
from training.models import Job, TunedModel

Status = Job.Status
A_FEW = 4


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    found = list(lines.jobs_of(request.user)[:50])
    context = {
        "live": in_order([job for job in found if job.is_live]),
        "failed": [job for job in found if needs_attention(job, found)][:A_FEW],
        "drafts": Job.objects.filter(owner=request.user, status=Status.DRAFT)[:A_FEW],
        "tuned_models": TunedModel.objects.filter(owner=request.user)[:A_FEW],
    }
    builtin = next((base for base in bases.catalogue() if base.is_builtin), None)
    context |= {"builtin": builtin, "minimum": settings.MIN_EXAMPLES}
    context |= questions() if builtin else {}
    if found:
        return render(request, "home.html", context)
    context |= {"sample": samples.expected()} if builtin else {}
    return render(request, "home_newcomer.html", context)


@require_GET
def live(request: HttpRequest) -> HttpResponse:
    """What runs and waits, for the page's own polling."""
    found = [job for job in lines.jobs_of(request.user)[:50] if job.is_live]
    return render(request, "_live_jobs.html", {"live": in_order(found)})


def questions() -> dict:
    """Return what the guide asks the base model before anything is tuned."""
    question = samples.held_out(1)[0]["prompt"]
    return {"question": question, "question_with_examples": samples.with_examples(question)}


def in_order(live: list[Job]) -> list[Job]:
    """Return what runs before what waits, by its place in line, and what waits for its time last."""
    lines.with_places(live)
    return sorted(live, key=lambda job: (job.is_for_later, job.place or 0))


def needs_attention(job: Job, among: list[Job]) -> bool:
    """Say whether a job failed and nobody has tried it again since."""
    retried = {other.parent_id for other in among}
    return job.status == Status.FAILED and job.pk not in retried
