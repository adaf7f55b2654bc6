"""Doors of 모델 학습: three steps that edit one draft row, its data, and 조정 시작.

Every step is a plain POST that saves and goes on; htmx saves on change and answers the summary.
"""

from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from studio.data_forms import LibraryForm, UploadForm, UrlForm
from studio.data_forms import library as own_library
from studio.forms import MethodForm, ModelForm, RecipeForm
from studio.line_forms import WhenForm
from studio.middleware import wants_json
from studio.views import cards, findings, layouts, lines
from studio.views.datasets import numbered
from studio.views.drafts import Step, Summary
from studio.watch_forms import ProbesForm
from training import bases, drafts, jobs, recipe, recipe_file, samples, taste, wording
from training.datasets import holding, versions
from training.errors import UserError
from training.models import DatasetVersion, Job

require_form = require_http_methods(["GET", "HEAD", "POST"])
STEPS = (
    Step(1, "wizard-method", gettext_lazy("학습 방법 선택")),
    Step(2, "wizard-model", gettext_lazy("모델 설정")),
    Step(3, "wizard-data", gettext_lazy("학습 데이터 설정")),
)
EFFECTS, START = "effects", "start"
BESIDE = {2: EFFECTS, 3: START}
"""What changes with the summary, by step: the words at each knob, the start button."""
SHOWN_EXAMPLES, SHOWN_PROBLEMS = 3, 10
BY_HAND = "drafts_by_hand"
"""Session key: the drafts whose knobs are set by hand."""
REMEMBERED_DRAFTS = 50


def draft_view(view: Callable) -> Callable:
    """Hand the user's own draft to a view; a started job's page takes over from its draft."""

    @wraps(view)
    def found(request: HttpRequest, pk: str) -> HttpResponse:
        own = Job.objects.filter(owner=request.user).select_related(
            "version__dataset", "foundation__job"
        )
        job = get_object_or_404(own, pk=pk)
        if job.status == Job.Status.DRAFT:
            return view(request, job)
        if request.htmx:  # a fragment's place must not be filled with a whole page
            onward = reverse("model", args=[job.pk])
            return HttpResponse(status=204, headers={"HX-Redirect": onward})
        return redirect("model", job.pk)

    return found


def show(request: HttpRequest, job: Job, number: int, status: int = 200, **extra) -> HttpResponse:
    """Render one step with its stepper and summary."""
    context = beside(job, BESIDE.get(number, ""), steps=STEPS, step=STEPS[number - 1], **extra)
    return render(request, f"wizard/step{number}.html", context, status=status)


def beside(job: Job, companion: str, **more: object) -> dict:
    """Return what «이대로 시작하면» shows, and what comes along with its updates: START, EFFECTS
    or nothing; `is_update` where it is sent by itself."""
    return {"job": job, "summary": Summary(job), "companion": companion} | more


@require_GET
def train(request: HttpRequest) -> HttpResponse:
    drafts = Job.objects.filter(owner=request.user, status=Job.Status.DRAFT)
    context = {"drafts": drafts.select_related("version__dataset"), "methods": recipe.METHODS}
    return render(request, "wizard/train.html", context)


@require_POST
def new(request: HttpRequest) -> HttpResponse:
    """Open a new draft, with data from the library where a page of it sends one."""
    form = LibraryForm(request.user, request.POST)
    draft = drafts.open_draft(request.user)
    if form.is_valid():
        drafts.edit(draft, version=form.cleaned_data["version"])
    return redirect("wizard-method", draft.pk)


@require_POST
def sample(request: HttpRequest) -> HttpResponse:
    """예제로 해보기: straight to a job that learns the built-in sample."""
    return redirect("model", samples.start(request.user).pk)


@require_form
@draft_view
def method(request: HttpRequest, job: Job) -> HttpResponse:
    """Step 1: 학습 방법 선택."""
    initial = {"method": job.method, "work": job.work}
    form = MethodForm(request.POST or None, initial=initial)
    if request.method != "POST":
        return show(request, job, 1, form=form)
    if not form.is_valid():
        return show(request, job, 1, 422, form=form)
    drafts.edit(job, **form.cleaned_data)
    return saved(request, job, "wizard-model")


@require_form
@draft_view
def model(request: HttpRequest, job: Job) -> HttpResponse:
    """Step 2: 모델 설정."""
    if request.method != "POST":
        sought = request.GET.get("knob", "")
        form = ModelForm(job, is_manual=job.pk in request.session.get(BY_HAND, ()), sought=sought)
        return show_model(request, job, form)
    form = ModelForm(job, request.POST, is_draft=bool(request.htmx))
    remember_mode(request, job, form)
    if form.is_valid():
        drafts.edit(job, **form.draft())
        return saved(request, job, "wizard-data")
    drafts.edit(job, **form.draft())
    if request.htmx:
        context = beside(job, EFFECTS, is_update=True, form=form)
        return render(request, "wizard/_summary.html", context, status=422)
    return show_model(request, job, form, 422)


def show_model(
    request: HttpRequest, job: Job, form: ModelForm, status: int = 200, **extra: object
) -> HttpResponse:
    context = {"form": form, "cards": cards.of_bases(job.method)}
    return show(request, job, 2, status, **context | extra)


@require_POST
@draft_view
def recipe_upload(request: HttpRequest, job: Job) -> HttpResponse:
    """설정 파일로: fill the draft from a saved recipe. What stands in the form is kept first."""
    form, chosen = ModelForm(job, request.POST, is_draft=True), RecipeForm(job, None, request.FILES)
    form.is_valid()
    drafts.edit(job, **form.draft())
    if not chosen.is_valid():
        return show_model(request, job, form, 422, recipe_form=chosen)
    fill(request, job, chosen.cleaned_data["recipe"])
    return redirect("wizard-model", job.pk)


def fill(request: HttpRequest, job: Job, found: recipe_file.Recipe) -> None:
    """Take a recipe over; a base that is not here leaves the chosen one, and that is said."""
    drafts.edit(job, knobs=found.knobs, overflow=found.overflow)
    if missing := found.missing_base:
        words = wording.say(missing.code, missing.params)
        left = _(
            "파일에 적힌 {base} 모델을 쓸 수 없어 지금 고른 모델을 그대로 두고, 나머지 설정은 모두 채웠습니다."
        )
        messages.warning(request, f"{left.format(base=found.base)} {words.cure}")
        return
    if found.base:
        drafts.edit(job, base=bases.find(found.base).slug)
    messages.success(request, _("설정 파일의 값을 채웠습니다. 아래에서 확인하고 고칠 수 있습니다."))


def remember_mode(request: HttpRequest, job: Job, form: ModelForm) -> None:
    """Keep «직접 설정» open for the next visit, also where no value of its own is saved yet."""
    known = request.session.get(BY_HAND, [])
    if form.is_manual and job.pk not in known:
        request.session[BY_HAND] = [*known, job.pk][-REMEMBERED_DRAFTS:]
    elif not form.is_manual and job.pk in known:
        request.session[BY_HAND] = [pk for pk in known if pk != job.pk]


def saved(request: HttpRequest, job: Job, onward: str) -> HttpResponse:
    """Answer a saved step: the summary for autosave, the next step for 계속."""
    if request.htmx:
        companion = EFFECTS if onward == "wizard-data" else ""
        context = beside(job, companion, is_update=True)
        return render(request, "wizard/_summary.html", context)
    return redirect(onward, job.pk)


@require_GET
@draft_view
def data(request: HttpRequest, job: Job) -> HttpResponse:
    """Step 3: 학습 데이터 설정."""
    if job.version:
        versions.count_again(job.version)
    return show_data(request, job)


def show_data(request: HttpRequest, job: Job, status: int = 200, **forms: object) -> HttpResponse:
    context = {
        "upload_form": UploadForm(request.user),
        "url_form": UrlForm(),
        "library": own_library(request.user)[:50],
        "upload_limit": settings.UPLOAD_LIMIT_BYTES,
        "minimum": settings.MIN_EXAMPLES,
        "when_form": WhenForm.of(job),
        "probes_form": ProbesForm(job),
        **state_of(job.version),
    }
    return show(request, job, 3, status, **context | forms)


def state_of(version: DatasetVersion | None) -> dict:
    """Return the first examples and problems of the chosen data, as far as it is read.

    Raises: UserError `data_gone`.
    """
    if version is None or version.is_busy:
        return {}
    is_ready = version.status == DatasetVersion.Status.READY
    with holding.present(version):
        found = numbered(version, 0, SHOWN_EXAMPLES) if is_ready and version.example_count else []
        problems = versions.problems(version, 0, SHOWN_PROBLEMS) if version.problem_count else []
        context = {"examples": found, "problems": problems, "layout_form": layouts.form_of(version)}
        return context | findings.found(version)


def use(request: HttpRequest, job: Job, version: DatasetVersion) -> HttpResponse:
    """Make a version the draft's data and show step 3."""
    drafts.edit(job, version=version)
    onward = reverse("wizard-data", args=[job.pk])
    return JsonResponse({"onward": onward}) if wants_json(request) else redirect(onward)


@require_POST
@draft_view
def upload(request: HttpRequest, job: Job) -> HttpResponse:
    form = UploadForm(request.user, request.POST, request.FILES)
    if form.is_valid():
        return use(request, job, form.take())
    return show_data(request, job, 422, upload_form=form)


@require_POST
@draft_view
def url(request: HttpRequest, job: Job) -> HttpResponse:
    form = UrlForm(request.POST)
    if form.is_valid():
        try:
            version = versions.from_url(request.user, form.cleaned_data["url"].strip())
            return use(request, job, version)
        except UserError as error:
            return show_data(request, job, 422, url_form=form, url_error=error)
    return show_data(request, job, 422, url_form=form)


@require_POST
@draft_view
def library(request: HttpRequest, job: Job) -> HttpResponse:
    form = LibraryForm(request.user, request.POST)
    if form.is_valid():
        return use(request, job, form.cleaned_data["version"])
    return show_data(request, job, 422, library_form=form)


@require_GET
@draft_view
def reading(request: HttpRequest, job: Job) -> HttpResponse:
    """The data's state while it is read; with its end come summary and start button too."""
    if job.version and job.version.status == DatasetVersion.Status.FAILED:
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    is_read = not (job.version and job.version.is_busy)
    context = beside(job, START, is_update=is_read, minimum=settings.MIN_EXAMPLES)
    context |= state_of(job.version)
    return render(request, "wizard/_reading.html", context)


@require_GET
@draft_view
def summary(request: HttpRequest, job: Job) -> HttpResponse:
    """The summary while tokens are counted, and with it what else they tell on the page."""
    companion = next((one for one in BESIDE.values() if one in request.GET), "")
    context = beside(job, companion, is_update=True)
    return render(request, "wizard/_summary.html", context)


@require_POST
@draft_view
def start(request: HttpRequest, job: Job) -> HttpResponse:
    """조정 시작, when the form says."""
    form = WhenForm(request.POST) if "when" in request.POST else None
    if form and not form.is_valid():
        return show_data(request, job, 422, when_form=form)
    try:
        if form:
            drafts.edit(job, not_before=form.moment())
        jobs.start(job, seen=request.POST.get("seen", ""))
    except UserError as error:
        is_shown = error.code in {blocker.code for blocker in drafts.blockers(job)}
        return show_data(request, job, 422, start_error=None if is_shown else error)
    messages.success(request, lines.accepted(job))
    return redirect("model", job.pk)


@require_POST
@draft_view
def start_taste(request: HttpRequest, job: Job) -> HttpResponse:
    """맛보기 학습: a few rows first; the draft stays."""
    try:
        tasting = taste.start(job)
    except UserError as error:
        is_shown = error.code in {blocker.code for blocker in drafts.blockers(job)}
        return show_data(request, job, 422, start_error=None if is_shown else error)
    messages.success(request, lines.accepted(tasting))
    return redirect("model", tasting.pk)


@require_POST
@draft_view
def anew(request: HttpRequest, job: Job) -> HttpResponse:
    """Begin at the base model, not at the tuned one that the draft was to train further."""
    drafts.edit(job, foundation=None)
    return redirect("wizard-data", job.pk)


@require_form
@draft_view
def discard(request: HttpRequest, job: Job) -> HttpResponse:
    """Ask on a page of its own, then throw the draft away."""
    if request.method != "POST":
        return render(request, "wizard/discard.html", {"draft": job})
    jobs.delete(job)
    messages.success(request, _("작성 중이던 학습을 지웠습니다."))
    return redirect("train")
