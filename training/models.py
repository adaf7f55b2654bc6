"""Rows of data, jobs and models: facts and read-only derivations. The verbs live in jobs.py,
datasets/versions.py and registry.py; examples themselves live in files, never here."""

import secrets

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


def new_id() -> str:
    """Return 16 random letters and digits (79 bits), fit for URLs and folder names."""
    return "".join(secrets.choice(ALPHABET) for _ in range(16))


def id_field() -> models.CharField:
    return models.CharField(primary_key=True, max_length=16, default=new_id, editable=False)


class Leased(models.Model):
    """A row that a worker claims for a while: see leases.py."""

    attempt = models.PositiveIntegerField(default=0)
    token = models.CharField(max_length=32, blank=True, default="")
    """Fencing token of the worker that holds the row; empty when nobody does."""
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    rung_at = models.DateTimeField(null=True, blank=True)
    """When the doorbell last rang for this row."""

    class Meta:
        abstract = True


class Dataset(models.Model):
    id = id_field()
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="datasets")
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name


class Origin(models.Model):
    """Where an example comes from that somebody mended while talking."""

    dataset = models.ForeignKey(Dataset, models.CASCADE, related_name="origins")
    mark = models.CharField(max_length=64)
    """Of the example (editing.mark), wherever in the data it stands."""
    conversation = models.CharField(max_length=16)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["dataset", "mark"])]

    def __str__(self) -> str:
        return self.mark


class DatasetVersion(Leased):
    """One reading of one file. Its examples are immutable segment files in its folder."""

    class Status(models.TextChoices):
        WAITING = "waiting", _("읽기 대기")
        READING = "reading", _("읽는 중")
        READY = "ready", _("준비됨")
        FAILED = "failed", _("읽지 못함")

    class Source(models.TextChoices):
        UPLOAD = "upload", _("파일")
        URL = "url", _("URL")
        SAMPLE = "sample", _("기본 제공 예제")
        EDIT = "edit", _("고친 판")
        MERGE = "merge", _("합친 데이터")
        SPLIT = "split", _("나눈 데이터")

    id = id_field()
    dataset = models.ForeignKey(Dataset, models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField(default=1)
    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING)
    source = models.CharField(max_length=10, choices=Source, default=Source.UPLOAD)
    file_name = models.CharField(max_length=255, blank=True)
    url = models.URLField(max_length=2000, blank=True)
    size_bytes = models.BigIntegerField(default=0)
    done_bytes = models.BigIntegerField(default=0)
    """Bytes fetched or read so far, for the progress bar."""
    encoding = models.CharField(max_length=20, blank=True)
    format = models.CharField(max_length=40, blank=True)
    example_count = models.PositiveIntegerField(default=0)
    problem_count = models.PositiveIntegerField(default=0)
    notes = models.JSONField(default=list, blank=True)
    """What the reader mended, as codes for wording.py."""
    fingerprint = models.CharField(max_length=64, blank=True)
    """sha256 over the segments and edits."""
    parent = models.ForeignKey("self", models.SET_NULL, null=True, blank=True)
    """The version whose rows this one began with."""
    is_open = models.BooleanField(default=False)
    """Whether edits go into it; never again once a job has used it."""
    cure = models.JSONField(default=dict, blank=True)
    """What was done to the version before to make this one: {"key", "how", "count", "params"} of a
    data report's finding, or {"how": "back", "number"}; empty where rows were edited by hand."""
    choices = models.JSONField(default=dict, blank=True)
    """What the user decided over the reader's own recognition: see datasets/choices.py."""
    layout = models.JSONField(default=dict, blank=True)
    """What the reader recognised: kind, encoding, columns, first rows, mapping."""
    error = models.JSONField(null=True, blank=True)
    """{"code", "params"} for wording.py when status is failed."""
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "number"], name="one_version_a_number")
        ]

    @property
    def is_busy(self) -> bool:
        return self.status in (self.Status.WAITING, self.Status.READING)

    @property
    def is_of_a_file(self) -> bool:
        """Whether its rows are those of a file as it was read, without edits."""
        return self.source in (self.Source.UPLOAD, self.Source.URL, self.Source.SAMPLE)

    @property
    def is_sample(self) -> bool:
        return self.source == self.Source.SAMPLE


class TokenCount(Leased):
    """How long a version's examples are in one base model's own tokens."""

    class Status(models.TextChoices):
        WAITING = "waiting"
        COUNTING = "counting"
        READY = "ready"
        FAILED = "failed"

    version = models.ForeignKey(DatasetVersion, models.CASCADE, related_name="token_counts")
    base = models.CharField(max_length=100)
    is_sample = models.BooleanField(default=False)
    """Whether only some rows were counted, to compare base models by."""
    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING)
    result = models.JSONField(default=dict, blank=True)
    """Lengths, from which every limit is answered (see datasets/lengths.py); of a sample also
    text_characters and text_tokens (datasets/count.py)."""
    error = models.JSONField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["version", "base", "is_sample"], name="one_count_a_base"
            )
        ]


class DataReport(Leased):
    """What is wrong with a version's rows, as they were at a fingerprint (datasets/check/)."""

    class Status(models.TextChoices):
        WAITING = "waiting"
        CHECKING = "checking"
        READY = "ready"
        FAILED = "failed"

    version = models.OneToOneField(DatasetVersion, models.CASCADE, related_name="report")
    fingerprint = models.CharField(max_length=64)
    """That of the version when the report was ordered; another one makes the report outdated."""
    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING)
    done_rows = models.PositiveIntegerField(default=0)
    total_rows = models.PositiveIntegerField(default=0)
    result = models.JSONField(default=dict, blank=True)
    """findings and statistics (see datasets/check/report.py)."""
    error = models.JSONField(null=True, blank=True)

    @property
    def is_busy(self) -> bool:
        return self.status in (self.Status.WAITING, self.Status.CHECKING)

    @property
    def percent(self) -> int:
        return min(99, 100 * self.done_rows // self.total_rows) if self.total_rows else 0


class BaseDownload(Leased):
    """One base model on its way from the hub. Only hub/downloads.py writes `status`."""

    class Status(models.TextChoices):
        WAITING = "waiting", _("받기 대기")
        FETCHING = "fetching", _("받는 중")
        READY = "ready", _("받음")
        FAILED = "failed", _("받지 못함")
        CANCELLED = "cancelled", _("멈춤")

    LIVE = (Status.WAITING, Status.FETCHING)

    id = id_field()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="base_downloads"
    )
    repo = models.CharField(max_length=100)
    """The hub's id, `org/name`."""
    revision = models.CharField(max_length=100, blank=True)
    """A branch, tag or commit; empty for the hub's main one."""
    commit = models.CharField(max_length=64, blank=True)
    """What the revision stood for when the fetching began; a resumed one stays with it."""
    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING)
    size_bytes = models.BigIntegerField(default=0)
    done_bytes = models.BigIntegerField(default=0)
    seconds_left = models.PositiveIntegerField(null=True, blank=True)
    cancel_requested = models.BooleanField(default=False)
    error = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["repo"],
                condition=models.Q(status__in=("waiting", "fetching")),
                name="one_live_download_a_repo",
            ),
            models.UniqueConstraint(
                fields=["status"],
                condition=models.Q(status="fetching"),
                name="one_download_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return self.repo

    @property
    def is_live(self) -> bool:
        return self.status in self.LIVE

    @property
    def percent(self) -> int:
        return min(99, int(100 * self.done_bytes / self.size_bytes)) if self.size_bytes else 0


class Job(Leased):
    """One fine-tuning job, from its draft to its end. Only jobs.py writes `status`."""

    class Status(models.TextChoices):
        DRAFT = "draft", _("작성 중")
        VALIDATING = "validating_files", _("데이터 확인 중")
        QUEUED = "queued", _("학습 대기")
        RUNNING = "running", _("학습 중")
        PAUSED = "paused", _("일시 중지")
        SUCCEEDED = "succeeded", _("학습 완료")
        FAILED = "failed", _("학습 실패")
        CANCELLED = "cancelled", _("취소됨")

    FINAL = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)

    id = id_field()
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="jobs")
    status = models.CharField(max_length=20, choices=Status, default=Status.DRAFT)
    name = models.CharField(max_length=64, blank=True)
    work = models.CharField(max_length=20, blank=True, default="")
    """The kind of work it is tuned for (a key of works.WORKS); empty where none was chosen."""
    method = models.CharField(max_length=10, default="lora")
    base = models.CharField(max_length=100, blank=True)
    knobs = models.JSONField(default=dict, blank=True)
    """What the user chose, knob by knob; a missing one is "auto"."""
    overflow = models.CharField(max_length=4, default="cut")
    """What happens to examples longer than max_length: cut, drop or fail (recipe.OVERFLOWS)."""
    resolved = models.JSONField(default=dict, blank=True)
    """The numbers that the run uses, frozen at 조정 시작."""
    version = models.ForeignKey(
        DatasetVersion, models.PROTECT, null=True, blank=True, related_name="jobs"
    )
    parent = models.ForeignKey("self", models.SET_NULL, null=True, blank=True)
    """The job that it is another try of, or whose model it trains further."""
    foundation = models.ForeignKey(
        "TunedModel", models.SET_NULL, null=True, blank=True, related_name="continuations"
    )
    """The tuned model that is trained further; none where training begins at the base."""
    is_taste = models.BooleanField(default=False)
    """Whether it trains a few rows only, to see that everything works (taste.py)."""
    probes = models.JSONField(default=list, blank=True)
    """Questions to be answered on the way, as the user chose them; none leaves it to us."""
    priority = models.SmallIntegerField(default=0)
    """Jobs of a higher one go first, whenever they were queued."""
    not_before = models.DateTimeField(null=True, blank=True)
    """When the job may begin at the earliest: a night job waits for the evening."""
    cancel_requested = models.BooleanField(default=False)
    pause_requested = models.BooleanField(default=False)
    """Whether its owner wants a running job to stop for a while; what it learnt is kept."""
    finish_requested = models.BooleanField(default=False)
    """Whether it should train no further, and what it has learnt become the model."""
    crashes = models.PositiveIntegerField(default=0)
    """Crashes in a row without a new checkpoint."""
    step = models.PositiveIntegerField(default=0)
    total_steps = models.PositiveIntegerField(default=0)
    progress = models.JSONField(default=dict, blank=True)
    """Latest figures: phase, loss, validation_loss, epoch, tokens_per_second, seconds_left."""
    error = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    queued_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["status", "queued_at"])]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status="draft") | models.Q(version__isnull=False),
                name="a_started_job_has_data",
            )
        ]

    def __str__(self) -> str:
        return self.name or self.id

    @property
    def is_final(self) -> bool:
        return self.status in self.FINAL

    @property
    def is_live(self) -> bool:
        return self.status in (self.Status.VALIDATING, self.Status.QUEUED, self.Status.RUNNING)

    @property
    def is_for_later(self) -> bool:
        """Whether it waits for its time rather than for its turn."""
        is_set = self.not_before is not None and self.not_before > timezone.now()
        return self.status == self.Status.QUEUED and is_set

    @property
    def is_asked_to_end(self) -> bool:
        """Whether a running one will end or stop before its time."""
        return self.cancel_requested or self.pause_requested or self.finish_requested

    @property
    def can_pause(self) -> bool:
        states = (self.Status.QUEUED, self.Status.RUNNING)
        return self.status in states and not self.is_asked_to_end

    @property
    def can_finish(self) -> bool:
        """Whether what it has learnt may become the model now."""
        states = (self.Status.QUEUED, self.Status.RUNNING, self.Status.PAUSED)
        is_asked = self.cancel_requested or self.finish_requested
        return self.status in states and self.step > 0 and not is_asked

    @property
    def percent(self) -> int:
        if self.status == self.Status.SUCCEEDED:
            return 100
        return min(99, int(100 * self.step / self.total_steps)) if self.total_steps else 0


class JobEvent(models.Model):
    """One line of a job's life: a point of the chart or a line of the log."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="events")
    attempt = models.PositiveIntegerField()
    kind = models.CharField(max_length=20)
    """metrics, validation, checkpoint, or a code of wording.py's log lines."""
    step = models.PositiveIntegerField(default=0)
    data = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["job", "kind", "id"])]


class Heartbeat(models.Model):
    """A worker that is there: each one renews its row every few seconds."""

    name = models.CharField(primary_key=True, max_length=200)
    """lane@host:process, so that no two have the same."""
    lane = models.CharField(max_length=10)
    started_at = models.DateTimeField(auto_now_add=True)
    beat_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["lane", "beat_at"])]


class TunedModel(models.Model):
    """What a job brought forth: a standard PEFT or transformers folder."""

    id = id_field()
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="tuned_models")
    name = models.CharField(max_length=64)
    job = models.OneToOneField(Job, models.CASCADE, related_name="tuned")
    base = models.CharField(max_length=100)
    method = models.CharField(max_length=10)
    metrics = models.JSONField(default=dict, blank=True)
    size_bytes = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name
