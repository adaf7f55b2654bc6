"""Rows of talking: a conversation and its messages, and questions that are asked all at once."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from training.models import Leased, id_field


class Conversation(models.Model):
    id = id_field()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="conversations"
    )
    title = models.CharField(max_length=200, blank=True)
    model = models.CharField(max_length=120)
    """Name of the model as the engine knows it: "base:SLUG" or "tuned:ID"."""
    system_prompt = models.TextField(blank=True)
    parameters = models.JSONField(default=dict, blank=True)
    """As last used (parameters.py)."""
    tip = models.ForeignKey(
        "Message", models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )
    """The last message of the branch that is shown."""
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-updated_at"]

    def __str__(self) -> str:
        return self.title or self.id


class Message(models.Model):
    """A question or an answer. Those that follow the same one are branches of the conversation."""

    conversation = models.ForeignKey(Conversation, models.CASCADE, related_name="messages")
    parent = models.ForeignKey(
        "self", models.CASCADE, null=True, blank=True, related_name="children"
    )
    """What it follows; None at the beginning."""
    role = models.CharField(max_length=10)
    content = models.TextField()
    usage = models.JSONField(default=dict, blank=True)
    """prompt_tokens, completion_tokens, seconds, finish_reason of an answer."""
    model = models.CharField(max_length=120, blank=True)
    """Which model answered, as the engine knows it."""
    rating = models.SmallIntegerField(default=0)
    """What the user thinks of an answer: 1 good, -1 bad, 0 nothing said."""
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    @property
    def tokens_per_second(self) -> float:
        return self.usage.get("completion_tokens", 0) / (self.usage.get("seconds") or 1)


class Preset(models.Model):
    """Settings that somebody keeps under a name."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="presets")
    name = models.CharField(max_length=60)
    system_prompt = models.TextField(blank=True)
    parameters = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="preset_name")]

    def __str__(self) -> str:
        return self.name


class Batch(Leased):
    """Questions that a model answers in the background. Only batches.py writes `status`."""

    class Status(models.TextChoices):
        WAITING = "waiting", _("차례 대기")
        RUNNING = "running", _("답하는 중")
        READY = "ready", _("끝남")
        FAILED = "failed", _("끝내지 못함")
        CANCELLED = "cancelled", _("멈춤")

    LIVE = (Status.WAITING, Status.RUNNING)

    id = id_field()
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="batches")
    name = models.CharField(max_length=200)
    """Where the questions come from, in the owner's words: a file's, a model's or a dataset's name."""
    model = models.CharField(max_length=120)
    """As the engine knows it."""
    model_name = models.CharField(max_length=120, blank=True)
    """What it was called when the batch was made; it may be deleted since."""
    system_prompt = models.TextField(blank=True)
    parameters = models.JSONField(default=dict)
    order = models.JSONField(default=dict)
    """What a child is to read (datasets/questions.py): source, most, is_random and the like."""
    parent = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="repeats"
    )
    """The first batch with the same questions, where another model answered them."""
    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING)
    cancel_requested = models.BooleanField(default=False)
    waits_for = models.CharField(max_length=20, blank=True)
    """What a running one waits for: engine_away, loading; empty while it is being answered."""
    layout = models.JSONField(default=dict, blank=True)
    """What the reader recognised in a file: columns, and which of them are used (mapping)."""
    found_count = models.PositiveIntegerField(default=0)
    """Questions that there were; `total` of them are asked."""
    total = models.PositiveIntegerField(default=0)
    done_count = models.PositiveIntegerField(default=0)
    error_count = models.PositiveIntegerField(default=0)
    expected_count = models.PositiveIntegerField(default=0)
    """Answers that can be compared with an expected one."""
    same_count = models.PositiveIntegerField(default=0)
    problem_count = models.PositiveIntegerField(default=0)
    """Rows of the file that are no questions."""
    problems = models.JSONField(default=list, blank=True)
    """The first of them: line, code, params, row."""
    seconds_left = models.PositiveIntegerField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["status"],
                condition=models.Q(status="running"),
                name="one_batch_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_live(self) -> bool:
        return self.status in self.LIVE

    @property
    def percent(self) -> int:
        return min(100, 100 * self.done_count // self.total) if self.total else 0

    @property
    def left_count(self) -> int:
        return self.total - self.done_count

    @property
    def same_percent(self) -> float:
        return 100 * self.same_count / self.expected_count if self.expected_count else 0


class BatchQuestion(models.Model):
    batch = models.ForeignKey(Batch, models.CASCADE, related_name="questions")
    position = models.PositiveIntegerField()
    """1 is the first."""
    messages = models.JSONField()
    """The conversation as it was found: a list of {role, content}; the user speaks last."""
    expected = models.TextField(blank=True)
    answer = models.TextField(blank=True)
    usage = models.JSONField(default=dict, blank=True)
    """prompt_tokens, completion_tokens, seconds, finish_reason, and trimmed: messages left out."""
    is_same = models.BooleanField(null=True)
    """Whether the answer is the expected one to the letter; None where nobody knows."""
    error = models.JSONField(null=True, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["batch", "position"], name="one_question_a_position")
        ]

    @property
    def asked(self) -> str:
        """The last words of the user."""
        return self.messages[-1]["content"]

    @property
    def before(self) -> list[dict]:
        """What was said before them."""
        return self.messages[:-1]
