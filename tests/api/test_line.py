"""Programs and the line: a start at a time, a limit a person."""

import json
import time

import pytest

from training.models import Dataset, Job

CREATE = "/v1/training/fine_tune"


def order(api, files: str, **changes):
    body = {"base_model": "tiny", "suffix": "가", "training_file": f"{files}/40.jsonl"} | changes
    return api.post(CREATE, json.dumps(body), content_type="application/json")


def test_a_job_can_be_asked_to_start_at_a_time(api, files, light_lane):
    at = int(time.time()) + 7200
    job = order(api, files, start_at=at).json()
    assert job["start_at"] == at
    light_lane()
    answer = api.get(f"{CREATE}/{job['id']}").json()
    assert (answer["status"], answer["start_at"]) == ("queued", at)
    assert Job.objects.get().is_for_later


def test_a_time_that_is_past_or_none_means_now(api, files):
    assert order(api, files, start_at=int(time.time()) - 5).json()["start_at"] is None
    assert order(api, files).json()["start_at"] is None


@pytest.mark.parametrize("at", [-1, "soon", 1.5, 10**11, "in 40 days"])
def test_a_time_that_cannot_be_is_refused_by_name(api, files, at):
    at = int(time.time()) + 40 * 86_400 if at == "in 40 days" else at
    answer = order(api, files, start_at=at)
    error = answer.json()["error"]
    assert answer.status_code == 422 and error["param"] == "start_at", error
    assert not Dataset.objects.exists()


def test_one_job_too_many_is_refused_before_anything_is_fetched(api, files, settings, user):
    """With 422: the official client tries 429 again by itself."""
    settings.QUEUE_LIMIT = 2
    for _ in range(2):
        assert order(api, files).status_code == 200
    answer = order(api, files)
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "queue_full"
    assert Job.objects.count() == Dataset.objects.count() == 2
