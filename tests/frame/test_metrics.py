"""/metrics: there for who brings the token, and what it says."""

import pytest
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from studio import metrics
from training import health
from training.models import Dataset, DatasetVersion, Heartbeat, Job, JobEvent

pytestmark = pytest.mark.django_db(transaction=True)
TOKEN = "a-token-of-the-tests"


@pytest.fixture(autouse=True)
def places(settings, tmp_path, monkeypatch):
    settings.DATA, settings.ENGINE_SOCKET = tmp_path, ""
    settings.METRICS_TOKEN = TOKEN
    monkeypatch.setattr(health, "LIMIT_SECONDS", 20)  # the machine may be busy
    rows = metrics.Rows()
    metrics.registry.unregister(metrics.ROWS)
    metrics.registry.register(rows)
    yield
    metrics.registry.unregister(rows)
    metrics.registry.register(metrics.ROWS)


def scrape(client) -> dict[tuple, float]:
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    return {
        (one.name, *one.labels.values()): one.value for family in families for one in family.samples
    }


def add_job(owner, status: str, **fields) -> Job:
    version = DatasetVersion.objects.create(
        dataset=Dataset.objects.create(owner=owner, name="질문"), status="ready"
    )
    return Job.objects.create(
        owner=owner, version=version, name="분류", base="tiny", status=status,
        queued_at=timezone.now(), **fields,
    )  # fmt: skip


def test_without_a_token_in_the_settings_there_is_no_such_page(client, settings):
    settings.METRICS_TOKEN = ""
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {TOKEN}"}):
        assert client.get("/metrics", headers=headers).status_code == 404


@pytest.mark.parametrize(
    "sent", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", "Bearer é", TOKEN]
)
def test_whoever_brings_no_token_learns_nothing(client, sent):
    answer = client.get("/metrics", headers={"Authorization": sent})
    assert answer.status_code == 401 and not answer.content


def test_not_even_an_administrators_session_opens_it(admin_client):
    assert admin_client.get("/metrics").status_code == 401


def test_gauges_tell_how_things_stand(client, user):
    add_job(user, "queued")
    add_job(user, "failed", finished_at=timezone.now())
    Heartbeat.objects.create(name="heavy@a:1", lane="heavy", beat_at=timezone.now())
    found = scrape(client)
    assert found["dadeum_jobs", "queued"] == found["dadeum_jobs", "failed"] == 1
    assert found["dadeum_jobs", "running"] == 0
    assert found["dadeum_workers", "heavy"] == 1 and found["dadeum_workers", "light"] == 0
    assert found["dadeum_check_ok", "heavy_worker"] == 1
    assert found["dadeum_check_ok", "light_worker"] == 0
    assert ("dadeum_check_ok", "engine") not in found  # none is meant to be here
    assert found["dadeum_datasets",] == 2 and found["dadeum_tuned_models",] == 0
    assert found["dadeum_disk_free_bytes",] > 0
    assert 0 <= found["dadeum_queue_oldest_wait_seconds",] < 60
    assert found["process_resident_memory_bytes",] > 0


def test_each_server_of_models_has_a_gauge(client, monkeypatch):
    servers = {"gpu1:8000": "ok", "gpu2:8000": "engine_unreachable"}
    found = health.Finding(health.DEGRADED, {"servers": servers})
    monkeypatch.setitem(health.CHECKS, "engines", lambda: found)
    told = scrape(client)
    assert told["dadeum_engine_ok", "gpu1:8000"] == 1
    assert told["dadeum_engine_ok", "gpu2:8000"] == 0
    assert told["dadeum_check_ok", "engines"] == 0


def test_counters_rise_with_the_rows_and_deleting_takes_nothing_back(client, user):
    old = add_job(user, "succeeded", progress={"trained_tokens": 5000})
    job = add_job(user, "running", attempt=1, progress={"trained_tokens": 100})
    JobEvent.objects.create(job=old, attempt=1, kind="crash")
    before = scrape(client)
    assert before["dadeum_jobs_finished_total", "succeeded"] == 0
    assert before["dadeum_job_crashes_total",] == before["dadeum_trained_tokens_total",] == 0
    Job.objects.filter(pk=job.pk).update(status="succeeded", progress={"trained_tokens": 900})
    JobEvent.objects.create(job=job, attempt=1, kind="crash")
    JobEvent.objects.create(job=job, attempt=2, kind="metrics")
    for _ in range(2):
        found = scrape(client)
        assert found["dadeum_jobs_finished_total", "succeeded"] == 1
        assert found["dadeum_jobs_finished_total", "failed"] == 0
        assert found["dadeum_job_crashes_total",] == 1
        assert found["dadeum_trained_tokens_total",] == 800
    Job.objects.all().delete()
    found = scrape(client)
    assert found["dadeum_jobs_finished_total", "succeeded"] == 1
    assert found["dadeum_job_crashes_total",] == 1
    assert found["dadeum_trained_tokens_total",] == 800


def test_requests_are_counted_by_the_name_of_their_route(client, user):
    client.force_login(user)
    job = add_job(user, "queued")

    def count(*labels: str) -> float:
        return scrape(client).get(("dadeum_http_requests_total", *labels), 0)

    before = count("model", "2xx"), count("model", "4xx"), count("none", "4xx")
    client.get(f"/models/{job.pk}/")
    client.get("/models/nobodys/")
    client.get("/no/such/place")
    client.get("/another/")
    assert (count("model", "2xx"), count("model", "4xx"), count("none", "4xx")) == (
        before[0] + 1, before[1] + 1, before[2] + 2,
    )  # fmt: skip
    assert scrape(client)["dadeum_http_request_duration_seconds_count", "model"] >= 2


def test_rows_that_cannot_be_read_leave_the_rest_to_be_told(client, monkeypatch):
    monkeypatch.setattr(metrics.Rows, "read", lambda self: 1 / 0)
    found = scrape(client)
    assert ("dadeum_jobs", "queued") not in found
    assert found["dadeum_check_ok", "database"] == 1


def test_the_page_keeps_to_the_format(client, user):
    """One HELP and TYPE a family, counters end in _total, nothing personal in a label."""
    add_job(user, "queued")
    text = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    kinds = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(kinds) == len(set(kinds))
    assert "분류" not in text and "mina" not in text
