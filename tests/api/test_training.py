"""The guide's REST API: a job from its order to its end, in OpenAI's words."""

import json
import time

import pytest
from django.utils import timezone

from training import jobs, naming, registry
from training.models import Dataset, DatasetVersion, Job, TunedModel

CREATE = "/v1/training/fine_tune"


def order(api, files: str, **changes):
    body = {
        "base_model": "tiny", "suffix": "날씨 도우미", "training_file": f"{files}/40.jsonl",
        "train_method": "full", "hyperparams": {"epochs": 0, "batch_size": 0, "lr": 0},
    } | changes  # fmt: skip
    return api.post(CREATE, json.dumps(body), content_type="application/json")


def get(api, job: dict | str) -> dict:
    identity = job if isinstance(job, str) else job["id"]
    answer = api.get(f"{CREATE}/{identity}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_an_order_becomes_a_job_that_waits_for_its_data(api, files, user, rung):
    answer = order(api, files)
    job = answer.json()
    row = Job.objects.get()
    assert answer.status_code == 200
    assert job["id"] == f"ftjob-{row.pk}" and job["object"] == "fine_tuning.job"
    assert job["status"] == "validating_files" and job["suffix"] == "날씨 도우미"
    assert job["model"] == "tiny" and job["fine_tuned_model"] is None
    assert abs(job["created_at"] - time.time()) < 60 and job["finished_at"] is None
    assert job["hyperparameters"]["n_epochs"] == "auto" == job["hyperparameters"]["batch_size"]
    assert job["method"]["type"] == "supervised" and job["train_method"] == "full"
    assert job["error"] is None and job["trained_tokens"] is None and job["seed"] == 42
    assert (row.owner, row.name, row.method, row.knobs) == (user, "날씨 도우미", "full", {})
    assert ("read", row.version_id) in rung


def test_once_its_data_is_read_and_counted_it_waits_in_line_with_its_numbers(
    api, files, light_lane
):
    job = order(api, files, hyperparams={"epochs": 2, "lr": 0.0003}, train_method="peft").json()
    light_lane()
    job = get(api, job)
    assert job["status"] == "queued"
    assert job["hyperparameters"] == {
        "n_epochs": 2, "batch_size": 8, "learning_rate": 0.0003, "learning_rate_multiplier": 0.3,
    }  # fmt: skip
    assert job["method"]["supervised"]["hyperparameters"] == job["hyperparameters"]


@pytest.mark.parametrize(
    ("method", "stored"), [("lora", "lora"), ("peft", "lora"), ("full", "full")]
)
def test_the_methods_go_by_the_guides_words(api, files, method, stored):
    order(api, files, train_method=method)
    assert Job.objects.get().method == stored


def test_the_method_is_lora_where_nothing_is_said(api, files):
    body = {"base_model": "tiny", "suffix": "가", "training_file": f"{files}/40.jsonl"}
    answer = api.post(CREATE, json.dumps(body), content_type="application/json")
    assert answer.json()["train_method"] == "lora"


def test_a_backslash_that_a_shell_left_at_a_lines_end_is_no_mistake(api, files):
    """The guide prints `-d '{ \\`, which sends the backslash along."""
    body = json.dumps(
        {"base_model": "tiny", "suffix": "날\\씨", "training_file": f"{files}/40.jsonl"}, indent=1
    )
    answer = api.post(CREATE, body.replace("{\n", "{ \\\n"), content_type="application/json")
    assert answer.status_code == 200 and answer.json()["suffix"] == "날\\씨"


def test_an_alias_of_the_administrators_stands_for_a_base(api, files, settings):
    settings.MODEL_ALIASES = {"konan-text-llm-13b-2308": "tiny"}
    job = order(api, files, base_model="konan-text-llm-13b-2308").json()
    assert job["model"] == "tiny" and Job.objects.get().base == "tiny"
    answer = api.get("/v1/models/konan-text-llm-13b-2308")
    assert answer.json()["id"] == "tiny"


def test_too_few_examples_end_the_job_with_the_reason(api, files, light_lane):
    job = order(api, files, training_file=f"{files}/19.jsonl").json()
    light_lane()
    job = get(api, job)
    assert job["status"] == "failed" and job["finished_at"]
    assert job["error"]["code"] == "too_few_examples"
    assert job["error"]["param"] == "training_file"
    assert "Usable examples: 19." in job["error"]["message"]
    assert "at least 20" in job["error"]["message"]


def test_a_file_that_can_not_be_fetched_ends_the_job_with_the_reason(api, files, light_lane):
    job = order(api, files, training_file="http://127.0.0.1:9/a.jsonl").json()
    light_lane()
    assert get(api, job)["error"]["code"] == "url_private"


@pytest.mark.parametrize(
    ("overflow", "status", "code"),
    [("cut", "queued", None), ("drop", "queued", None), ("fail", "failed", "examples_too_long")],
)
def test_overflow_says_what_becomes_of_long_examples(
    api, files, light_lane, overflow, status, code
):
    url = f"{files}/40-long.jsonl"
    job = order(api, files, overflow=overflow, training_file=url).json()
    light_lane()
    job = get(api, job)
    assert (job["status"], job["overflow"]) == (status, overflow)
    assert (job["error"] or {}).get("code") == code


def test_the_minimum_counts_what_is_left_when_long_examples_go(api, files, light_lane, settings):
    settings.MIN_EXAMPLES = 37  # of 40, four are long
    job = order(api, files, overflow="drop", training_file=f"{files}/40-long.jsonl").json()
    light_lane()
    assert "leaves 36." in get(api, job)["error"]["message"]


def test_a_finished_job_names_its_model(api, user, tuned_of):
    tuned = tuned_of(user, "민원 분류 2")
    tuned.job.progress = {"trained_tokens": 1234, "seconds_left": 0}
    tuned.job.resolved = {"epochs": 3, "batch_size": 8, "learning_rate": 1e-3, "seed": 7}
    tuned.job.save()
    job = get(api, f"ftjob-{tuned.job_id}")
    assert job["fine_tuned_model"] == f"ft:tiny:dadeum:민원-분류-2:{tuned.pk[:8]}"
    assert job["trained_tokens"] == 1234 and job["seed"] == 7
    assert job["hyperparameters"]["learning_rate_multiplier"] == 1
    assert job["estimated_finish"] is None


def test_a_running_job_says_when_it_will_probably_be_done(api, user, job_of):
    job = job_of(user, "running", progress={"seconds_left": 300, "trained_tokens": 10})
    found = get(api, f"ftjob-{job.pk}")
    assert abs(found["estimated_finish"] - time.time() - 300) < 60
    assert found["trained_tokens"] is None


def test_jobs_are_listed_newest_first_and_page_by_page(api, user, job_of):
    made = [f"ftjob-{job_of(user, name=str(number)).pk}" for number in range(5)][::-1]
    job_of(user, "draft")
    seen, after = [], ""
    for has_more in (True, True, False):
        page = api.get(CREATE, {"limit": 2, "after": after} if after else {"limit": 2}).json()
        ids = [job["id"] for job in page["data"]]
        assert page["object"] == "list" and page["has_more"] is has_more
        assert (page["first_id"], page["last_id"]) == (ids[0], ids[-1])
        seen, after = seen + ids, page["last_id"]
    assert seen == made


def test_jobs_of_the_same_moment_are_listed_once_each(api, user, job_of):
    made = {f"ftjob-{job_of(user).pk}" for _ in range(4)}
    Job.objects.update(created_at=timezone.now())
    first = api.get(CREATE, {"limit": 2}).json()
    second = api.get(CREATE, {"limit": 2, "after": first["last_id"]}).json()
    assert {job["id"] for job in first["data"] + second["data"]} == made
    assert not second["has_more"]


def test_an_empty_list_is_a_list(api):
    assert api.get(CREATE).json() == {
        "object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None,
    }  # fmt: skip


@pytest.mark.parametrize("limit", ["0", "101", "many", "-1", ""])
def test_a_limit_out_of_bounds_is_refused_by_name(api, limit):
    answer = api.get(CREATE, {"limit": limit})
    assert answer.status_code == 422 and answer.json()["error"]["param"] == "limit"


def test_a_list_costs_as_many_queries_as_a_short_one(
    api, user, job_of, tuned_of, django_assert_max_num_queries
):
    for _ in range(6):
        job_of(user)
        tuned_of(user)
        job_of(user, "failed", error={"code": "out_of_memory", "params": {}})
    with django_assert_max_num_queries(9):  # five of them for when those that wait will end
        assert len(api.get(CREATE).json()["data"]) == 18


def test_a_waiting_job_is_cancelled(api, files):
    job = order(api, files).json()
    cancelled = api.post(f"{CREATE}/{job['id']}/cancel")
    assert cancelled.status_code == 200 and cancelled.json()["status"] == "cancelled"
    again = api.post(f"{CREATE}/{job['id']}/cancel")
    assert again.status_code == 200 and again.json()["status"] == "cancelled"


def test_a_running_job_is_asked_to_stop(api, user, job_of):
    job = job_of(user, "running")
    assert api.post(f"{CREATE}/ftjob-{job.pk}/cancel").json()["status"] == "running"
    job.refresh_from_db()
    assert job.cancel_requested


@pytest.mark.parametrize("status", ["succeeded", "failed"])
def test_what_is_over_can_not_be_cancelled(api, user, job_of, status):
    job = job_of(user, status)
    answer = api.post(f"{CREATE}/ftjob-{job.pk}/cancel")
    assert answer.status_code == 422 and answer.json()["error"]["code"] == "job_is_over"


def test_jobs_of_others_and_drafts_are_not_there(api, user, stranger, job_of):
    foreign, draft = job_of(stranger), job_of(user, "draft")
    for identity in (f"ftjob-{foreign.pk}", f"ftjob-{draft.pk}", foreign.pk, "ftjob-", "x%00"):
        for answer in (
            api.get(f"{CREATE}/{identity}"),
            api.post(f"{CREATE}/{identity}/cancel"),
            api.get(CREATE, {"after": identity}),
        ):
            assert answer.status_code == 404, identity
            assert answer.json()["error"]["code"] == "job_unknown"
    assert api.get(CREATE).json()["data"] == []
    foreign.refresh_from_db()
    assert foreign.status == "queued"


def test_the_own_job_is_found_under_its_whole_name_only(api, user, job_of):
    job = job_of(user)
    assert api.get(f"{CREATE}/{job.pk}").status_code == 404


def test_a_failed_order_leaves_no_data_behind(api, files):
    order(api, files, base_model="gone")
    assert not Dataset.objects.exists()


def test_a_cancelled_order_stays_cancelled_when_its_data_arrives(api, files, light_lane):
    job = order(api, files).json()
    jobs.cancel(Job.objects.get())
    light_lane()
    assert get(api, job)["status"] == "cancelled"


def test_the_api_describes_itself_without_fetching_anything(api):
    answer = api.get("/v1/openapi.json")
    paths = answer.json()["paths"]
    assert set(paths) >= {
        "/v1/training/fine_tune", "/v1/training/fine_tune/{job_id}",
        "/v1/training/fine_tune/{job_id}/cancel", "/v1/models", "/v1/models/{model_id}",
        "/v1/models/{model_id}/load", "/v1/models/{model_id}/unload",
    }  # fmt: skip
    assert api.get("/v1/docs").status_code == 404


@pytest.fixture
def full_model(user, settings, tmp_path):
    """A whole model that the user has tuned."""
    settings.DATA = tmp_path
    dataset = Dataset.objects.create(owner=user, name="d")
    version = DatasetVersion.objects.create(dataset=dataset, status="ready", example_count=300)
    parent = Job.objects.create(
        owner=user, status="succeeded", name="앞", base="tiny", method="full", attempt=1,
        version=version,
    )  # fmt: skip
    tuned = TunedModel.objects.create(owner=user, name="앞", job=parent, base="tiny", method="full")
    registry.folder(tuned).mkdir(parents=True)
    (registry.folder(tuned) / "model.safetensors").write_bytes(b"weights")
    return tuned


def test_the_name_of_ones_own_model_trains_it_further(api, files, full_model):
    answer = order(api, files, base_model=naming.of(full_model))
    row = Job.objects.exclude(pk=full_model.job_id).get()
    assert answer.status_code == 200
    assert (row.foundation, row.base, row.method) == (full_model, "tiny", "full")
    assert (registry.run_folder(row) / "foundation" / "model.safetensors").exists()


def test_a_model_is_not_trained_further_by_another_method(api, files, full_model):
    answer = order(api, files, base_model=naming.of(full_model), train_method="lora")
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == "train_method"
    assert not Job.objects.exclude(pk=full_model.job_id).exists()


def test_a_job_that_has_learnt_is_finished_by_request(api, files, full_model):
    running = Job.objects.create(
        owner=full_model.owner, status="running", name="b", base="tiny", step=5,
        version=full_model.job.version, token="x",
    )  # fmt: skip
    answer = api.post(f"{CREATE}/ftjob-{running.pk}/finish")
    assert answer.status_code == 200
    running.refresh_from_db()
    assert running.finish_requested
