"""What the studio's tests begin with: people, a base model, data that was read, jobs."""

import pytest

from training.chat import Example, Message
from training.datasets import segments, versions
from training.datasets.shapes import Mistake, problem
from training.models import Dataset, DatasetVersion, Job, TunedModel


@pytest.fixture(autouse=True)
def own_data_folder(settings, tmp_path):
    settings.DATA = tmp_path
    settings.BUILTIN_MODEL = tmp_path / "builtin" / "none"
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path / "incoming"
    settings.FILE_UPLOAD_TEMP_DIR.mkdir()
    settings.MIN_EXAMPLES = 20
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = settings.STORAGES | {"staticfiles": plain}


@pytest.fixture
def base(settings, tiny_base) -> str:
    settings.MODELS = tiny_base.parent
    return tiny_base.name


@pytest.fixture
def signed_in(client, user):
    client.force_login(user)
    return client


@pytest.fixture
def stranger(user):
    from studio.models import User

    return User.objects.create_user("stranger", password="Sea-salt-42!")


def add_version(owner, *, name: str = "질문.jsonl", count: int = 40) -> DatasetVersion:
    """Store a version as the reader leaves it: `count` examples and one bad line."""
    dataset = Dataset.objects.create(owner=owner, name=name)
    version = DatasetVersion.objects.create(
        dataset=dataset, status="ready", file_name=name, example_count=count, problem_count=1,
        format="jsonl-prompt", encoding="utf-8", size_bytes=1234,
    )  # fmt: skip
    with segments.Writer(versions.folder(version)) as writer:
        for number in range(count):
            messages = (Message("user", f"질문 {number}"), Message("assistant", f"답변 {number}"))
            writer.add(Example(messages))
        writer.add_problem(problem(41, Mistake("answer_empty"), '{"prompt": "<b>끝</b>"}'))
    return version


def add_job(owner, version, *, status: str = "queued", name: str = "민원 분류", **fields) -> Job:
    from django.utils import timezone

    return Job.objects.create(
        owner=owner, version=version, status=status, name=name, base="tiny",
        queued_at=timezone.now(), resolved={"epochs": 3, "batch_size": 8}, **fields,
    )  # fmt: skip


def add_tuned(job: Job) -> TunedModel:
    return TunedModel.objects.create(
        owner=job.owner, name=job.name, job=job, base=job.base, method=job.method
    )


@pytest.fixture
def make():
    """The builders above, for tests that cannot import this file by name."""

    class Make:
        version = staticmethod(add_version)
        job = staticmethod(add_job)
        tuned = staticmethod(add_tuned)

    return Make
