"""Doors of 모델 관리: the list of started jobs, one job's page, and what can be done with it."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from studio import figures
from studio.forms import NameForm
from studio.line_forms import WhenForm
from studio.views import clinic, lines, places
from studio.views.sending import attached, in_threads
from training import archive, drafts, history, jobs, naming, probes, recipe_file, registry, samples
from training.errors import UserError
from training.history import History
from training.models import Job, TunedModel
from training.works import WORKS

PAGE = 20
LOG_LINES = 200
require_form = require_http_methods(["GET", "HEAD", "POST"])


def own(request: HttpRequest, pk: str) -> Job:
    """Return a started job of the user's. Raises: Http404, also for other people's."""
    return get_object_or_404(lines.jobs_of(request.user), pk=pk)


@require_GET
def models(request: HttpRequest) -> HttpResponse:
    """The whole page, or for its own polling only the table."""
    page = Paginator(lines.jobs_of(request.user), PAGE).get_page(request.GET.get("page"))
    found = lines.with_places(list(page.object_list))
    context = {"page": page, "jobs": found, "is_live": any(job.is_live for job in found)}
    template = "models/_table.html" if request.htmx else "models/models.html"
    return render(request, template, context)


@require_GET
def model(request: HttpRequest, pk: str) -> HttpResponse:
    job = own(request, pk)
    tuned = getattr(job, "tuned", None)
    context = {
        "job": job,
        "tuned": tuned,
        "happening": lines.happening(job),
        "work": WORKS.get(job.work),
        "settings": lines.settings_of(job, job.resolved),
        "files": lines.files_of(tuned) if tuned else [],
        "name_form": NameForm(initial={"name": job.name}),
        "is_practice": samples.is_practice(job),
        "row": places.of(job) if job.status == Job.Status.QUEUED else None,
        "when_form": WhenForm.of(job),
        "held_out": samples.held_out(5) if job.version.is_sample else [],
        **clinic.of(job),
        "watch": probes.watch(History(job)),
        "figures": figures.CHARTED,
        "explained": figures.EXPLAINED,
    }
    return render(request, "models/model.html", context)


@require_GET
def now(request: HttpRequest, pk: str) -> HttpResponse:
    """The part that changes while the job lives. When the status moved, the page loads anew."""
    job = own(request, pk)
    if request.GET.get("was") != job.status:
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    return render(request, "models/_now.html", {"job": job, "happening": lines.happening(job)})


@require_GET
def log(request: HttpRequest, pk: str) -> HttpResponse:
    """The newest log lines, newest last."""
    events = list(history.log(own(request, pk)).order_by("-pk")[:LOG_LINES])[::-1]
    return render(request, "models/_log.html", {"events": events})


@require_form
def cancel(request: HttpRequest, pk: str) -> HttpResponse:
    job = own(request, pk)
    if request.method != "POST":
        return render(request, "models/cancel.html", {"job": job})
    if "keep" in request.POST:
        return end_with_a_model(request, job)
    is_cancelled = jobs.cancel(job)
    if job.status == Job.Status.CANCELLED:
        messages.success(request, _("학습을 취소했습니다."))
    elif is_cancelled:
        messages.success(request, _("취소를 요청했습니다."))
    else:
        messages.info(request, _("이미 끝난 학습이라 취소하지 않았습니다."))
    return redirect("model", job.pk)


@require_POST
def finish(request: HttpRequest, pk: str) -> HttpResponse:
    """여기서 마치기: train no further and make the model of what was learnt."""
    return end_with_a_model(request, own(request, pk))


def end_with_a_model(request: HttpRequest, job: Job) -> HttpResponse:
    if jobs.finish_early(job):
        messages.success(request, _("지금까지 배운 것으로 모델을 만듭니다."))
    else:
        messages.info(
            request, _("아직 배운 것이 없거나 이미 끝난 학습이라 모델을 만들 수 없습니다.")
        )
    return redirect("model", job.pk)


@require_POST
def further(request: HttpRequest, pk: str) -> HttpResponse:
    """이어서 학습: open a draft that begins with this model."""
    tuned = get_object_or_404(TunedModel, job=own(request, pk))
    return redirect("wizard-data", drafts.further(tuned).pk)


@require_POST
def pause(request: HttpRequest, pk: str) -> HttpResponse:
    """Have a training wait, with all that it has learnt, till somebody resumes it."""
    job = own(request, pk)
    if not jobs.pause(job):
        messages.info(request, _("지금은 일시 중지할 수 없는 학습입니다."))
    return redirect("model", job.pk)


@require_POST
def resume(request: HttpRequest, pk: str) -> HttpResponse:
    """Put a paused training back in line."""
    job = own(request, pk)
    if not jobs.resume(job):
        messages.info(request, _("일시 중지한 학습이 아닙니다."))
    return redirect("model", job.pk)


@require_form
def rename(request: HttpRequest, pk: str) -> HttpResponse:
    job = own(request, pk)
    form = NameForm(request.POST or None, initial={"name": job.name})
    if request.method == "POST" and form.is_valid():
        jobs.rename(job, form.cleaned_data["name"])
        messages.success(request, _("이름을 바꾸었습니다."))
        return redirect("model", job.pk)
    context = {"job": job, "form": form}
    return render(request, "models/rename.html", context, status=422 if form.errors else 200)


@require_form
def delete(request: HttpRequest, pk: str) -> HttpResponse:
    job = own(request, pk)
    if request.method != "POST":
        jobs.refuse_live(job)
        context = {"job": job, "tuned": getattr(job, "tuned", None)}
        return render(request, "models/delete.html", context)
    name = str(job)
    jobs.delete(job)
    messages.success(request, _("{name} 모델을 삭제했습니다.").format(name=name))
    return redirect("models")


@require_GET
def recipe(request: HttpRequest, pk: str) -> HttpResponse:
    """설정 내려받기: what 설정 파일로 takes."""
    job = own(request, pk)
    name = _("{name}-설정").format(name=naming.of_file(job)) + ".json"
    return attached(HttpResponse(recipe_file.write(job), content_type="application/json"), name)


@require_GET
def download(request: HttpRequest, pk: str) -> HttpResponseBase:
    """내려받기: the model's files as a ZIP that is made while it is sent."""
    tuned = get_object_or_404(TunedModel, job=own(request, pk))
    folder, name = registry.folder(tuned), naming.of_file(tuned.job)
    if not archive.files(folder):
        raise UserError("model_files_missing")
    pieces = in_threads(archive.stream(folder, name))
    return attached(StreamingHttpResponse(pieces, content_type="application/zip"), f"{name}.zip")


@require_POST
def retry(request: HttpRequest, pk: str) -> HttpResponse:
    """Open a new draft with the same settings: to start it, or to change them first."""
    draft = drafts.retry(own(request, pk))
    return redirect("wizard-model" if "change" in request.POST else "wizard-data", draft.pk)
