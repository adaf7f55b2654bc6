"""Names of models in, their folders out: "base:SLUG" and "tuned:ID".

Paths are made here, from the catalogue and the rows, never from what a user sends.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playground.parameters import Parameters
from training import bases, naming, registry, samples, works
from training.bases import Base
from training.chat import Renderer
from training.errors import UserError
from training.models import Job, TunedModel
from training.works import Work


@dataclass(frozen=True)
class Home:
    folder: Path
    """Weights or adapter, tokenizer and chat template."""
    label: str
    context_length: int
    base: Base | None = None
    """The base that an adapter sits on; None for a model that stands alone."""


def find(name: str) -> Home:
    """Raises: UserError("model_unknown"), UserError("base_missing") or the base's own problem."""
    kind, _, key = name.partition(":")
    if kind == "base":
        base = bases.find(key)
        return Home(base.folder, base.name, base.context_length)
    tuned = TunedModel.objects.filter(pk=key).select_related("job").first()
    if kind != "tuned" or tuned is None:
        raise UserError("model_unknown", model=name)
    folder = registry.folder(tuned)
    if tuned.method != "lora":
        return Home(folder, tuned.name, Renderer.of(folder).context_length)
    base = bases.find(tuned.base)
    return Home(folder, tuned.name, base.context_length, base)


def job(name: str) -> Job | None:
    """Return the job that a tuned model came from."""
    kind, _, key = name.partition(":")
    tuned = TunedModel.objects.filter(pk=key).select_related("job__version").first()
    return tuned.job if kind == "tuned" and tuned else None


def work(name: str) -> Work | None:
    """Return the kind of work that a model was tuned for, if one was chosen."""
    found = job(name)
    return works.WORKS.get(found.work) if found else None


def is_practice(name: str) -> bool:
    """Say whether a model is the sample's, which is small and often wrong."""
    found = job(name)
    return found is not None and samples.is_practice(found)


def public_name(name: str) -> str:
    """Return the name by which programs know a model. Raises: UserError("model_unknown")."""
    kind, _, key = name.partition(":")
    if kind == "base":
        return key
    tuned = TunedModel.objects.filter(pk=key).first()
    if kind != "tuned" or tuned is None:
        raise UserError("model_unknown", model=name)
    return naming.of(tuned)


def parameters(name: str) -> Parameters:
    """Return what a conversation with a model begins with."""
    known = work(name)
    return Parameters.parse(known.talking if known else {})


@dataclass(frozen=True)
class Choice:
    """One line of the model list."""

    name: str
    label: str
    base: str = ""


@dataclass(frozen=True)
class Choices:
    bases: list[Choice]
    tuned: list[Choice]

    def label(self, name: str) -> str:
        """Return the words for a name; empty when the user has no such model."""
        return next((c.label for c in [*self.bases, *self.tuned] if c.name == name), "")

    def allow(self, name: str) -> None:
        """Raises: UserError("model_unknown") for a name that the user may not talk to."""
        if not self.label(name):
            raise UserError("model_unknown", model=name)

    @property
    def first(self) -> str:
        """What a new conversation begins with: the newest own model, else the first base."""
        return next((choice.name for choice in [*self.tuned, *self.bases]), "")


def choices(owner: Any) -> Choices:
    """Return what a user may talk to: every base that passes the gate, and the own models."""
    usable = [base for base in bases.catalogue() if base.problem is None]
    tuned = TunedModel.objects.filter(owner=owner)
    return Choices(
        [Choice(f"base:{base.slug}", base.name) for base in usable],
        [Choice(f"tuned:{row.pk}", row.name, row.base) for row in tuned],
    )
