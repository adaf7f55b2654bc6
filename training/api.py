"""The REST door of jobs, files and models: parse, call one verb, answer. Holds no rules."""

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from ninja import Query, Router

from training import bases, drafts, jobs, line, naming, recipe, wire
from training.bases import Base
from training.datasets import holding, reports, versions
from training.errors import UserError, about
from training.models import DatasetVersion, Job, TunedModel

router = Router()
LIMIT = Query(20, ge=1, le=100)
FIELDS = {"learning_rate": "hyperparams.lr"}


@router.post("/training/fine_tune", response=wire.FineTuningJob, tags=["training"])
def create(request: HttpRequest, order: wire.FineTune) -> dict:
    """Fetch a training file from a URL and fine-tune a base model with it."""
    with about("base_model"):
        base, foundation = _beginning(request, order.base_model)
    with about("train_method"):
        asked = order.method if "train_method" in order.model_fields_set else None
        method = drafts.method_on(foundation, asked) if foundation else order.method
    knobs = _knobs(order, method)
    line.refuse_beyond_limit(request.user.pk)  # before anything is fetched
    with about("start_at"):
        start = line.not_before(order.not_before)
    with about("training_file"):
        version = versions.from_url(request.user, order.training_file)
    job = jobs.submit(
        request.user,
        name=order.suffix,
        method=method,
        base=base.slug,
        knobs=knobs,
        version=version,
        overflow=order.overflow,
        foundation=foundation,
        not_before=start,
    )
    return wire.job(job)


def _beginning(request: HttpRequest, name: str) -> tuple[Base, TunedModel | None]:
    """Return the base of a name; with a tuned model of one's own, that is trained further, its base."""
    if not name.startswith(naming.MARK):
        return bases.find(name), None
    tuned = naming.find(request.user, name)
    assert isinstance(tuned, TunedModel)
    return bases.find(tuned.base), tuned


def _knobs(order: wire.FineTune, method: str) -> dict:
    """Raises: UserError `number_wrong` for the first number out of its bounds."""
    try:
        return recipe.parse(method, order.hyperparams.knobs())
    except recipe.Invalid as invalid:
        key, reason = next(iter(invalid.errors.items()))
        field = FIELDS.get(key, f"hyperparams.{key}")
        with about(field):
            raise UserError("number_wrong", field=field, reason=str(reason)) from None


@router.get("/training/fine_tune", response=wire.Jobs, tags=["training"])
def list_jobs(request: HttpRequest, limit: int = LIMIT, after: str = "") -> dict:
    """List the fine-tuning jobs, newest first."""
    found = _jobs(request).order_by("-created_at", "-pk")
    if after:
        with about("after"):
            last = _job(request, after)
        older = Q(created_at__lt=last.created_at) | Q(created_at=last.created_at, pk__lt=last.pk)
        found = found.filter(older)
    rows = list(found[: limit + 1])
    return wire.page(wire.jobs(rows[:limit]), has_more=len(rows) > limit)


@router.get("/training/fine_tune/{job_id}", response=wire.FineTuningJob, tags=["training"])
def get_job(request: HttpRequest, job_id: str) -> dict:
    """Show one fine-tuning job."""
    return wire.job(_job(request, job_id))


@router.post("/training/fine_tune/{job_id}/cancel", response=wire.FineTuningJob, tags=["training"])
def cancel(request: HttpRequest, job_id: str) -> dict:
    """Cancel a job that waits or runs."""
    job = _job(request, job_id)
    if not jobs.cancel(job):
        raise UserError("job_is_over", name=job.name)
    return wire.job(job)


@router.post("/training/fine_tune/{job_id}/pause", response=wire.FineTuningJob, tags=["training"])
def pause(request: HttpRequest, job_id: str) -> dict:
    """Pause a job that waits or runs; what it learnt is kept."""
    job = _job(request, job_id)
    if not jobs.pause(job):
        raise UserError("job_not_to_pause", name=job.name)
    return wire.job(job)


@router.post("/training/fine_tune/{job_id}/resume", response=wire.FineTuningJob, tags=["training"])
def resume(request: HttpRequest, job_id: str) -> dict:
    """Put a paused job back in line; it goes on where it stopped."""
    job = _job(request, job_id)
    if not jobs.resume(job):
        raise UserError("job_not_paused", name=job.name)
    return wire.job(job)


@router.post("/training/fine_tune/{job_id}/finish", response=wire.FineTuningJob, tags=["training"])
def finish(request: HttpRequest, job_id: str) -> dict:
    """Train no further and make the model of what was learnt so far."""
    job = _job(request, job_id)
    if not jobs.finish_early(job):
        raise UserError("job_not_to_finish", name=job.name)
    return wire.job(job)


@router.get("/files/{file_id}/report", response=wire.Report, tags=["training"])
def get_report(request: HttpRequest, file_id: str) -> dict:
    """Show what is wrong with a training file; the first call has it checked."""
    version = _file(request, file_id)
    with holding.present(version):
        return wire.report(version, reports.of(version))


@router.get("/models", response=wire.Models, tags=["models"])
def list_models(request: HttpRequest) -> dict:
    """List one's own tuned models, newest first, then the base models."""
    tuned = TunedModel.objects.filter(owner=request.user).select_related("owner")
    usable = [base for base in bases.catalogue() if not base.problem]
    return wire.page([wire.model(found) for found in [*tuned, *usable]])


@router.get("/models/{model_id}", response=wire.Model, tags=["models"])
def get_model(request: HttpRequest, model_id: str) -> dict:
    """Show one model."""
    return wire.model(naming.find(request.user, model_id))


@router.delete("/models/{model_id}", response=wire.Deleted, tags=["models"])
def delete_model(request: HttpRequest, model_id: str) -> dict:
    """Delete a tuned model together with its job and files."""
    found = naming.find(request.user, model_id)
    if not isinstance(found, TunedModel):
        raise UserError("base_is_shared", id=model_id)
    jobs.delete(found.job)
    return {"id": model_id}


def _jobs(request: HttpRequest) -> QuerySet[Job]:
    """Return the jobs that were started; drafts are nobody's business but the wizard's."""
    started = Job.objects.filter(owner=request.user).exclude(status=Job.Status.DRAFT)
    return started.select_related("tuned")


def _file(request: HttpRequest, file_id: str) -> DatasetVersion:
    """Raises: UserError `file_unknown`, also for other people's."""
    own = DatasetVersion.objects.filter(dataset__owner=request.user)
    version = own.filter(pk=file_id.removeprefix(wire.FILE_MARK)).first()
    if version is None or not file_id.startswith(wire.FILE_MARK):
        raise UserError("file_unknown", id=file_id)
    return version


def _job(request: HttpRequest, job_id: str) -> Job:
    """Raises: UserError `job_unknown`, also for other people's."""
    job = _jobs(request).filter(pk=job_id.removeprefix(wire.JOB_MARK)).first()
    if job is None or not job_id.startswith(wire.JOB_MARK):
        raise UserError("job_unknown", id=job_id)
    return job
