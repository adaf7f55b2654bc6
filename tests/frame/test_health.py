"""/health/ready: what is well, within a second, whatever hangs; and how little strangers learn."""

import shutil
import socket
import sqlite3
import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.utils import timezone

from training import health
from training.models import Dataset, DatasetVersion, Heartbeat, Job, JobEvent

pytestmark = pytest.mark.django_db(transaction=True)
CHECKS = {
    "database", "disk", "broker", "heavy_worker", "light_worker", "oldest_waiting_job", "engine",
    "engines",
}  # fmt: skip


@pytest.fixture(autouse=True)
def places(settings, tmp_path):
    settings.DATA = tmp_path
    settings.BROKER_FOLDER = tmp_path / "broker"
    (tmp_path / "broker" / "queue").mkdir(parents=True)
    settings.ENGINE_SOCKET = ""
    settings.LEASE_SECONDS = 60
    yield
    wait_for_stragglers()


def wait_for_stragglers() -> None:
    for begun, _since in health._under_way.values():
        begun.exception(timeout=30)


@pytest.fixture
def workers(db):
    for lane in ("heavy", "light"):
        Heartbeat.objects.create(name=f"{lane}@secret-host:7", lane=lane, beat_at=timezone.now())


@pytest.fixture
def administrator(user, client):
    from studio.models import User

    client.force_login(User.objects.get(username="first-admin"))
    return client


def add_job(owner, **fields) -> Job:
    version = DatasetVersion.objects.create(
        dataset=Dataset.objects.create(owner=owner, name="질문"), status="ready"
    )
    fields = {"status": "queued", "queued_at": timezone.now()} | fields
    return Job.objects.create(owner=owner, version=version, name="분류", base="tiny", **fields)


def ago(seconds: float):
    return timezone.now() - timedelta(seconds=seconds)


def statuses(client) -> dict[str, str]:
    return {
        name: one["status"] for name, one in client.get("/health/ready").json()["checks"].items()
    }


def test_all_is_well_with_workers_and_without_an_engine(client, workers):
    answer = client.get("/health/ready")
    assert answer.status_code == 200 and answer.json()["status"] == "ok"
    assert set(answer.json()["checks"]) == CHECKS
    assert answer.json()["checks"]["engine"] == {"status": "off"}
    assert answer.json()["checks"]["engines"] == {"status": "off"}


def test_a_lost_server_of_models_degrades_the_whole_and_is_named_to_administrators_alone(
    client, workers, administrator, settings
):
    from django.test import Client

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        name = f"127.0.0.1:{taken.getsockname()[1]}"
    settings.ENGINES = [f"http://{name}"]
    answer = Client().get("/health/ready")
    assert answer.status_code == 200 and answer.json()["status"] == "degraded"
    assert answer.json()["checks"]["engines"] == {"status": "down"} and name not in answer.text
    told = administrator.get("/health/ready").json()["checks"]["engines"]["figures"]
    assert told == {"servers": {name: "engine_unreachable"}}


def test_strangers_learn_words_and_administrators_figures(client, workers, user, administrator):
    from django.test import Client

    strangers = [Client(), Client(headers={"Authorization": "Bearer dadeum-" + "x" * 43})]
    strangers.append(member := Client())
    member.force_login(user)
    for stranger in strangers:
        checks = stranger.get("/health/ready").json()["checks"]
        assert all(set(one) == {"status"} for one in checks.values())
    checks = administrator.get("/health/ready").json()["checks"]
    assert checks["disk"]["figures"]["free_bytes"] > 0 and "ms" in checks["disk"]
    figures = checks["heavy_worker"]["figures"]
    assert figures["workers"] == 1 and 0 <= figures["seconds_since_beat"] < 20


def test_an_administrators_key_opens_the_figures_and_a_members_does_not(client, user, workers):
    from studio import keys
    from studio.models import User

    secret = keys.create(User.objects.get(username="first-admin"), "감시")[1]
    answer = client.get("/health/ready", headers={"Authorization": f"Bearer {secret}"})
    assert "figures" in answer.json()["checks"]["disk"]
    secret = keys.create(user, "내 것")[1]
    answer = client.get("/health/ready", headers={"Authorization": f"Bearer {secret}"})
    assert "figures" not in answer.json()["checks"]["disk"]


def test_it_is_never_kept_and_needs_no_https_and_no_setup(client, settings):
    settings.SECURE_SSL_REDIRECT = True
    answer = client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert client.head("/health/ready").status_code == 200


def test_a_worker_that_is_gone_is_named_and_pages_still_count_as_served(client, workers):
    Heartbeat.objects.filter(lane="heavy").update(beat_at=ago(61))
    answer = client.get("/health/ready")
    assert answer.status_code == 200 and answer.json()["status"] == "degraded"
    assert statuses(client)["heavy_worker"] == "down"
    assert statuses(client)["light_worker"] == "ok"


def test_a_missing_broker_folder_is_a_broker_that_is_down(client, workers, settings):
    shutil.rmtree(settings.BROKER_FOLDER)
    assert statuses(client)["broker"] == "down"
    assert client.get("/health/ready").status_code == 200


def test_a_full_disk_is_503(client, workers, monkeypatch):
    usage = shutil.disk_usage("/")
    tight = type(usage)(usage.total, usage.used, 500 * 1024**2)
    monkeypatch.setattr(health.shutil, "disk_usage", lambda place: tight)
    assert statuses(client)["disk"] == "degraded"
    full = type(usage)(usage.total, usage.total, 1024**2)
    monkeypatch.setattr(health.shutil, "disk_usage", lambda place: full)
    answer = client.get("/health/ready")
    assert answer.status_code == 503 and answer.json()["status"] == "down"


def test_a_data_folder_that_is_gone_is_503(client, settings, tmp_path):
    settings.DATA = tmp_path / "unmounted"
    assert client.get("/health/ready").status_code == 503


@contextmanager
def silent_server():
    """Something that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@contextmanager
def nobody():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield port


@pytest.mark.parametrize("peer", [silent_server, nobody])
@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_is_down_or_hangs_keeps_nobody_waiting(
    client, workers, settings, monkeypatch, scheme, peer
):
    from celery import current_app

    with peer() as port:
        settings.BROKER_URL = f"{scheme}://127.0.0.1:{port}//"
        for name in ("broker_url", "broker_write_url"):
            monkeypatch.setitem(current_app.conf, name, settings.BROKER_URL)
        monkeypatch.setitem(current_app.conf, "broker_transport_options", {})
        monkeypatch.setattr(current_app.amqp, "_producer_pool", None)
        began = time.monotonic()
        found = statuses(client)
        assert time.monotonic() - began < 1.5
        assert found["broker"] == "down" and found["database"] == "ok"


def test_a_check_that_hangs_is_down_in_time_and_is_not_begun_beside_itself(client, monkeypatch):
    begun = []

    def hang():
        begun.append(1)
        time.sleep(2.5)
        return health.Finding()

    monkeypatch.setitem(health.CHECKS, "database", hang)
    began = time.monotonic()
    answers = [client.get("/health/ready") for _ in range(2)]
    assert time.monotonic() - began < 2.4
    assert [one.status_code for one in answers] == [503, 503]
    assert len(begun) == 1


def test_a_check_that_hangs_for_good_is_tried_anew_after_a_while(client, monkeypatch):
    let_go, begun = threading.Event(), []

    def hang_once():
        begun.append(1)
        return health.Finding() if len(begun) > 1 or let_go.wait(20) else None

    monkeypatch.setattr(health, "LIMIT_SECONDS", 0.3)
    monkeypatch.setitem(health.CHECKS, "broker", hang_once)
    assert statuses(client)["broker"] == "down"
    monkeypatch.setattr(health, "GIVEN_UP_SECONDS", 0)
    monkeypatch.setattr(health, "LIMIT_SECONDS", 10)
    assert statuses(client)["broker"] == "ok"
    let_go.set()


def test_what_a_failing_check_says_is_for_administrators_alone(client, administrator, monkeypatch):
    from django.test import Client

    def fail():
        raise OSError("/secret/place")

    monkeypatch.setitem(health.CHECKS, "broker", fail)
    assert "secret" not in Client().get("/health/ready").text
    assert "OSError: /secret/place" in administrator.get("/health/ready").text


class TestWaiting:
    def test_nobody_waits(self):
        assert health.stalled_seconds() == health.waiting_seconds() == 0

    def test_a_job_that_nobody_takes_is_noticed(self, user, client, workers):
        add_job(user, queued_at=ago(300))
        assert 299 <= health.stalled_seconds() <= 302
        assert statuses(client)["oldest_waiting_job"] == "degraded"

    def test_behind_a_training_a_job_waits_rightly(self, user):
        add_job(user, queued_at=ago(300))
        held = timezone.now() + timedelta(seconds=60)
        add_job(user, status="running", token="a", lease_expires_at=held)
        assert health.stalled_seconds() == 0
        assert 299 <= health.waiting_seconds() <= 302

    def test_a_training_whose_worker_died_keeps_nobody_busy(self, user):
        add_job(user, queued_at=ago(300))
        add_job(user, status="running", token="a", lease_expires_at=ago(1))
        assert health.stalled_seconds() >= 299

    def test_the_wait_counts_from_the_end_of_the_training_before(self, user):
        add_job(user, queued_at=ago(300))
        before = add_job(user, status="succeeded", finished_at=ago(20))
        assert 19 <= health.stalled_seconds() <= 22
        JobEvent.objects.create(job=before, attempt=1, kind="metrics")  # one that was paused, say
        assert health.stalled_seconds() <= 2

    def test_a_night_job_does_not_wait_before_its_time(self, user):
        job = add_job(user, queued_at=ago(3000), not_before=timezone.now() + timedelta(hours=1))
        assert health.waiting_seconds() == 0
        Job.objects.filter(pk=job.pk).update(not_before=ago(40))
        assert 39 <= health.waiting_seconds() <= 42


def test_light_work_is_known_by_its_owner(user):
    from studio.models import User

    other = User.objects.get(username="first-admin")
    assert not health.has_light_work(user) and not health.has_light_work()
    version = DatasetVersion.objects.create(
        dataset=Dataset.objects.create(owner=user, name="질문"), status="waiting"
    )
    assert health.has_light_work(user) and health.has_light_work()
    assert not health.has_light_work(other)
    DatasetVersion.objects.filter(pk=version.pk).update(status="ready")
    version.token_counts.create(base="tiny", status="counting")
    assert health.has_light_work(user) and not health.has_light_work(other)


def test_sqlite_that_is_locked_for_good_is_503_in_time(tmp_path_factory):
    """The whole web process, with a database that another program keeps to itself."""
    from running import Studio

    from tests.frame.test_https import web

    folder = tmp_path_factory.mktemp("locked")
    Studio(folder).manage("migrate", "--verbosity", "0")
    with web(folder) as studio:
        import httpx

        assert httpx.get(studio.url + "/health/ready", trust_env=False).status_code == 200
        holder = sqlite3.connect(folder / "dadeum.sqlite3", isolation_level=None)
        holder.execute("PRAGMA locking_mode=EXCLUSIVE")
        holder.execute("PRAGMA journal_mode=DELETE")
        holder.execute("BEGIN EXCLUSIVE")
        for _ in range(2):
            began = time.monotonic()
            answer = httpx.get(studio.url + "/health/ready", trust_env=False, timeout=5)
            assert time.monotonic() - began < 2
            assert answer.status_code == 503
            assert answer.json()["checks"]["database"] == {"status": "down"}
        assert studio.answers()  # it is alive, and said so without the database
        holder.close()
        assert httpx.get(studio.url + "/health/ready", trust_env=False).status_code in (200, 503)


def test_postgresql_that_says_nothing_is_503_in_time(tmp_path_factory):
    import httpx

    from tests.frame.test_https import web

    folder = tmp_path_factory.mktemp("silent")
    with silent_server() as port:
        address = f"postgresql://dadeum:secret@127.0.0.1:{port}/dadeum"
        with web(folder, DADEUM_DATABASE_URL=address) as studio:
            for _ in range(3):
                began = time.monotonic()
                answer = httpx.get(studio.url + "/health/ready", trust_env=False, timeout=5)
                assert time.monotonic() - began < 2.5
                assert answer.status_code == 503 and "secret" not in answer.text
            assert studio.answers()
