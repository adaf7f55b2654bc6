"""Rows of talking: a conversation and its messages."""

from django.conf import settings
from django.db import models

from training.models import id_field


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
