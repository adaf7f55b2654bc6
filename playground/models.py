"""Rows of talking: a conversation and its messages; a comparison, its models, rounds and replies;
questions that are asked all at once."""

from typing import Any

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


class Measured:
    """What tells how long its text took."""

    usage: Any

    @property
    def tokens_per_second(self) -> float:
        return self.usage.get("completion_tokens", 0) / (self.usage.get("seconds") or 1)


class Message(Measured, models.Model):
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


class Comparison(models.Model):
    """The same questions to several models."""

    id = id_field()
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="comparisons")
    title = models.CharField(max_length=200)
    system_prompt = models.TextField(blank=True)
    parameters = models.JSONField(default=dict, blank=True)
    """As last used, like the system prompt."""
    is_blind = models.BooleanField(default=False)
    """Whether the next round hides which model said what."""
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-updated_at"]

    def __str__(self) -> str:
        return self.title


class Contender(models.Model):
    """A model of a comparison."""

    comparison = models.ForeignKey(Comparison, models.CASCADE, related_name="contenders")
    model = models.CharField(max_length=120)
    """Its name as the engine knows it."""
    label = models.CharField(max_length=200)
    """What it was called when it was chosen; it may be deleted since."""

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["comparison", "model"], name="a_model_competes_once")
        ]


class Round(models.Model):
    """One question, and how the user voted on the replies."""

    class Vote(models.TextChoices):
        BEST = "best", _("가장 좋음")
        TIE = "tie", _("비슷해요")
        NONE = "none", _("모두 별로")

    comparison = models.ForeignKey(Comparison, models.CASCADE, related_name="rounds")
    number = models.PositiveIntegerField()
    """1 is the comparison's first."""
    question = models.TextField()
    is_blind = models.BooleanField(default=False)
    is_set_aside = models.BooleanField(default=False)
    """Whether it was asked again, in a round of its own; models do not see it any more."""
    begun_at = models.DateTimeField(null=True, blank=True)
    """When the models began to answer; None until somebody listens."""
    vote = models.CharField(max_length=4, choices=Vote, blank=True, default="")
    best = models.PositiveSmallIntegerField(null=True, blank=True)
    """Place of the reply that was voted the best."""
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["comparison", "number"], name="one_round_of_a_number"),
            models.CheckConstraint(
                condition=models.Q(vote="best", best__isnull=False)
                | (~models.Q(vote="best") & models.Q(best__isnull=True)),
                name="the_best_reply_is_named",
            ),
        ]

    @property
    def is_hidden(self) -> bool:
        """Whether nobody is to know yet which model said what."""
        return self.is_blind and not self.vote

    @property
    def is_votable(self) -> bool:
        """A vote on hidden names is final: whoever voted knows them."""
        ended = any(reply.content or reply.error for reply in self.replies.all())
        return ended and (self.is_hidden or not self.is_blind)

    @property
    def winner(self) -> "Reply | None":
        return next((one for one in self.replies.all() if one.place == self.best), None)


class Reply(Measured, models.Model):
    """What one model said in a round; there, but empty, from the beginning."""

    LETTERS = _("가나다라")
    """One for each place, in order."""
    NAMELESS = frozenset({
        "engine_away", "engine_memory", "engine_memory_short", "generation_failed",
        "model_load_failed", "model_not_loaded", "model_unloaded", "prompt_too_long",
    })  # fmt: skip
    """Codes of errors whose sentences name no model."""

    round = models.ForeignKey(Round, models.CASCADE, related_name="replies")
    contender = models.ForeignKey(Contender, models.CASCADE, related_name="replies")
    place = models.PositiveSmallIntegerField()
    """Where it is shown, from 0: shuffled where names are hidden."""
    content = models.TextField(blank=True)
    usage = models.JSONField(default=dict, blank=True)
    """As of a message."""
    error = models.JSONField(null=True, blank=True)
    """Code and params of what went wrong."""

    class Meta:
        ordering = ["place"]
        constraints = [
            models.UniqueConstraint(fields=["round", "place"], name="one_reply_at_a_place"),
            models.UniqueConstraint(fields=["round", "contender"], name="one_reply_of_a_model"),
        ]

    @property
    def letter(self) -> str:
        return str(self.LETTERS)[self.place]

    @property
    def name(self) -> str:
        return self.letter if self.round.is_hidden else self.contender.label

    @property
    def is_best(self) -> bool:
        return self.round.best == self.place

    @property
    def told(self) -> dict | None:
        """What a page may say of the error: what might name a model waits for the vote."""
        if self.error and self.round.is_hidden and self.error.get("code") not in self.NAMELESS:
            return {"code": "reason_hidden"}
        return self.error


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
