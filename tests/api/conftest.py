"""A program with a key, a base to train, a server with files, and lanes that work at once."""

import json
import shutil

import pytest
import serving

from training import runs, tasks
from training.models import DataReport, DatasetVersion, Job, TokenCount


@pytest.fixture(autouse=True)
def own_data_folder(settings, tmp_path, tiny_base):
    settings.DATA = tmp_path
    settings.BUILTIN_MODEL = tmp_path / "builtin" / "none"
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path / "incoming"
    settings.FILE_UPLOAD_TEMP_DIR.mkdir()
    settings.MODELS = tmp_path / "models"
    settings.MODELS.mkdir()
    shutil.copytree(tiny_base, settings.MODELS / "tiny")
    settings.MIN_EXAMPLES = 20
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = settings.STORAGES | {"staticfiles": plain}


@pytest.fixture
def rung(monkeypatch):
    """Record the bell instead of sending messages."""
    found: list[tuple[str, str]] = []
    monkeypatch.setattr(tasks, "ring", lambda name, identity: found.append((name, str(identity))))
    return found


def program(owner):
    """Return a client that calls as `owner`'s program: a key, no cookies, CSRF in force."""
    from django.test import Client

    from studio import keys

    _, secret = keys.create(owner, "시험")
    return Client(enforce_csrf_checks=True, headers={"Authorization": f"Bearer {secret}"})


@pytest.fixture
def api(user, rung):
    return program(user)


@pytest.fixture
def stranger(user):
    from studio.models import User

    return User.objects.create_user("stranger", password="Sea-salt-42!")


@pytest.fixture
def strange_api(stranger, rung):
    return program(stranger)


def rows(count: int, long_every: int = 0) -> str:
    lines = []
    for number in range(count):
        question = f"오늘 날씨 {number % 9}"
        if long_every and number % long_every == 0:
            question = "hello world " * 400
        lines.append(json.dumps({"prompt": question, "completion": "맑습니다"}))
    return "\n".join(lines)


@pytest.fixture
def files(settings):
    """A loopback server that the administrator allows: /COUNT.jsonl, /COUNT-long.jsonl."""

    def content_of(path: str) -> str:
        name = path.removeprefix("/").removesuffix(".jsonl")
        count, _, is_long = name.partition("-")
        return rows(int(count), 10 if is_long else 0)

    with serving.files(content_of) as port:
        settings.FETCH_ALLOW = [f"127.0.0.1:{port}"]
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def light_lane():
    """Do what waits in the light lane: read, then check and count."""

    def work() -> None:
        for version in DatasetVersion.objects.filter(status="waiting"):
            runs.read(version.pk)
        for report in DataReport.objects.filter(status="waiting"):
            runs.check(str(report.pk))
        for count in TokenCount.objects.filter(status="waiting"):
            runs.count(count.pk)

    return work


@pytest.fixture
def job_of():
    """Store a job of an owner, as if it had been started by its program."""
    from django.utils import timezone

    from training.models import Dataset

    def make(owner, status: str = "queued", **fields) -> Job:
        dataset = Dataset.objects.create(owner=owner, name="d")
        version = DatasetVersion.objects.create(dataset=dataset, status="ready", example_count=40)
        given = {"name": "민원 분류", "base": "tiny", "queued_at": timezone.now()} | fields
        return Job.objects.create(owner=owner, version=version, status=status, **given)

    return make


@pytest.fixture
def tuned_of(job_of):
    from django.utils import timezone

    from training.models import TunedModel

    def make(owner, name: str = "민원 분류") -> TunedModel:
        job = job_of(owner, "succeeded", name=name, finished_at=timezone.now())
        return TunedModel.objects.create(
            owner=owner, name=name, job=job, base="tiny", method="lora"
        )

    return make
