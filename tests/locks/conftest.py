"""A studio with an owner who has one of everything, and people who should get none of it."""

from dataclasses import dataclass

import pytest

from training.chat import Example, Message
from training.datasets import segments, versions
from training.datasets.shapes import Mistake, problem

PASSWORD = "Sea-salt-42!"
CANARY = "남몰래"
"""Stands in the name of everything that the owner has."""


@pytest.fixture(autouse=True)
def own_data_folder(settings, tmp_path, tiny_base, monkeypatch):
    from training import tasks

    settings.DATA = tmp_path
    settings.BUILTIN_MODEL = tmp_path / "builtin" / "none"
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path / "incoming"
    settings.FILE_UPLOAD_TEMP_DIR.mkdir()
    settings.MODELS = tiny_base.parent
    settings.MIN_EXAMPLES = 20
    settings.ENGINE_SOCKET = str(tmp_path / "no-engine.sock")
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = settings.STORAGES | {"staticfiles": plain}
    monkeypatch.setattr(tasks, "ring", lambda name, identity: None)


@dataclass
class Belongings:
    """What one person has, by the words that the table of routes uses."""

    person: object
    draft: object
    queued: object
    finished: object
    tuned: object
    dataset: object
    version: object
    conversation: object
    key: object
    secret: str
    comparison: object = None
    batch: object = None
    stored: object = None
    """A dataset with rows."""
    download: object = None
    bringing: str = ""
    arriving: str = ""
    """Id of a base model's import that is under way."""


def add_version(owner, name: str, count: int = 25, turns: tuple[str, str] | None = None, row=""):
    """Store a version as the reader leaves it: `count` examples and one bad line."""
    from training.models import Dataset, DatasetVersion

    version = DatasetVersion.objects.create(
        dataset=Dataset.objects.create(owner=owner, name=name), status="ready", file_name=name,
        example_count=count, problem_count=1, format="jsonl-prompt", encoding="utf-8",
    )  # fmt: skip
    question, answer = turns or (f"질문 {CANARY}", "답변")
    with segments.Writer(versions.folder(version)) as writer:
        for _number in range(count):
            writer.add(Example((Message("user", question), Message("assistant", answer))))
        writer.add_problem(problem(count + 1, Mistake("answer_empty"), row or '{"prompt": "끝"}'))
    return version


def add_job(owner, version, status: str, name: str, **fields):
    from django.utils import timezone

    from training.models import Job

    return Job.objects.create(
        owner=owner, version=version, status=status, name=name, base="tiny",
        queued_at=timezone.now(), resolved={"epochs": 3, "batch_size": 8}, **fields,
    )  # fmt: skip


def add_batch(person, name: str):
    """Store questions that were asked all at once: one, with its answer."""
    from django.utils import timezone

    from playground.models import Batch

    batch = Batch.objects.create(
        owner=person, name=f"{name} 질문", model="base:tiny", model_name=name, status="ready",
        total=1, found_count=1, done_count=1, expected_count=1, parameters={"temperature": 0},
    )  # fmt: skip
    batch.questions.create(
        position=1, messages=[{"role": "user", "content": name}], expected=name,
        answer=f"{name}!", is_same=False, answered_at=timezone.now(),
    )  # fmt: skip
    return batch


def add_tuned(job):
    from training.models import TunedModel

    return TunedModel.objects.create(
        owner=job.owner, name=job.name, job=job, base=job.base, method=job.method
    )


def add_everything(person, name: str) -> Belongings:
    from playground import comparisons, conversations
    from playground.comparisons import Question
    from playground.models import Conversation
    from playground.parameters import Parameters
    from studio import keys
    from training.datasets import arrivals
    from training.hub import imports
    from training.models import DatasetVersion

    version = add_version(person, f"{name}.jsonl")
    finished = add_job(person, version, "succeeded", f"{name} 끝난 학습")
    tuned = add_tuned(finished)
    conversation = Conversation.objects.create(
        owner=person, title=f"{name} 대화", model=f"tuned:{tuned.pk}", system_prompt=name
    )
    conversations.answer(conversation, conversations.say(conversation, name), name, {})
    comparison = comparisons.create(
        person, ["base:tiny", f"tuned:{tuned.pk}"], Question(name, name, Parameters(), False)
    )
    comparisons.begin(comparison, 1)
    key, secret = keys.create(person, f"{name} 키")
    unused = DatasetVersion.objects.create(
        dataset=person.datasets.create(name=f"{name} 안 쓴 데이터"), status="ready"
    )
    return Belongings(
        person=person, version=version, finished=finished, tuned=tuned, secret=secret, key=key,
        draft=add_job(person, version, "draft", f"{name} 초안"),
        queued=add_job(person, version, "queued", f"{name} 기다리는 학습"),
        conversation=conversation, batch=add_batch(person, name), comparison=comparison, dataset=unused.dataset, stored=version.dataset,
        bringing=imports.begin("brought"),
        arriving=arrivals.begin(person, "a.jsonl", 100, "").id,
        download=person.base_downloads.create(repo="mansae/failed", status="failed"),
    )  # fmt: skip


@pytest.fixture
def build():
    """The builders above, for tests that cannot import this file by name."""

    class Build:
        version = staticmethod(add_version)
        job = staticmethod(add_job)
        tuned = staticmethod(add_tuned)
        batch = staticmethod(add_batch)
        everything = staticmethod(add_everything)
        canary = CANARY
        password = PASSWORD

    return Build
