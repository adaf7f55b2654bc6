"""모델 관리: list, one job's page, its chart and log, and what can be done with it."""

import zipfile
from io import BytesIO
from urllib.parse import quote

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from training import registry
from training.models import Job, JobEvent

HTMX = {"HX-Request": "true"}


@pytest.fixture
def version(user, make):
    return make.version(user)


@pytest.fixture
def running(user, version, make) -> Job:
    return make.job(
        user, version, status="running", started_at=timezone.now(), step=30, total_steps=100,
        progress={"loss": 1.5, "seconds_left": 125, "epoch": 0.9, "tokens_per_second": 842.3},
    )  # fmt: skip


def test_an_empty_list_says_what_to_do(signed_in):
    page = signed_in.get("/models/").text
    assert "아직 학습한 모델이 없습니다" in page and "/train/new/" in page


def test_the_list_shows_state_progress_and_place_in_line(signed_in, user, version, running, make):
    make.job(user, version, name="첫째")
    make.job(user, version, name="둘째")
    page = signed_in.get("/models/").text
    assert "30% · 2분 5초 남음" in page
    assert "다음 차례" in page and "2번째 차례" in page
    assert "every 2s" in page


def test_drafts_are_not_in_the_list(signed_in, user):
    Job.objects.create(owner=user, name="아직 초안")
    assert "아직 초안" not in signed_in.get("/models/").text


def test_polling_answers_the_table_and_ends_with_the_work(signed_in, running):
    answer = signed_in.get("/models/", headers=HTMX)
    assert "<html" not in answer.text and "every 2s" in answer.text
    Job.objects.update(status="succeeded")
    assert "every 2s" not in signed_in.get("/models/", headers=HTMX).text


def test_the_list_needs_the_same_few_queries_for_one_and_for_twenty(
    signed_in, user, version, make, django_assert_max_num_queries
):
    for number in range(20):
        job = make.job(user, version, status="succeeded" if number % 2 else "queued")
        if number % 2:
            make.tuned(job)
    with django_assert_max_num_queries(11):
        signed_in.get("/models/")


def test_the_page_says_in_one_sentence_what_is_happening(signed_in, running):
    page = signed_in.get(f"/models/{running.pk}/").text
    assert "예제를 보며 학습하고 있습니다. 2분 5초 남았습니다." in page
    assert "842" in page and 'max="100" value="30"' in page


def test_a_change_of_status_reloads_the_page(signed_in, running):
    same = signed_in.get(f"/models/{running.pk}/now/?was=running", headers=HTMX)
    assert same.status_code == 200 and 'id="now"' in same.text
    Job.objects.update(status="succeeded")
    moved = signed_in.get(f"/models/{running.pk}/now/?was=running", headers=HTMX)
    assert moved.headers["HX-Refresh"] == "true"


def test_points_come_after_the_last_one_that_was_seen(signed_in, running):
    for step in (1, 2):
        event = JobEvent.objects.create(
            job=running, attempt=1, kind="metrics", step=step, data={"loss": 2.0 / step}
        )
    JobEvent.objects.create(
        job=running, attempt=1, kind="validation", step=2, data={"validation_loss": 1.1}
    )
    url = f"/models/{running.pk}/points/"
    every = signed_in.get(url).json()
    assert [point["loss"] for point in every["training"]] == [2.0, 1.0]
    assert every["validation"][0]["loss"] == 1.1 and every["is_live"]
    newer = signed_in.get(f"{url}?after={event.pk}").json()
    assert newer["training"] == [] and len(newer["validation"]) == 1
    table = signed_in.get(f"/models/{running.pk}/table/").text
    assert table.count("<tr>") == 3 and "1.1" in table


def test_points_take_nonsense_for_the_beginning(signed_in, running):
    assert signed_in.get(f"/models/{running.pk}/points/?after=x'--").status_code == 200


def test_the_log_is_in_words_and_newest_last(signed_in, running):
    facts = {"train_examples": 270, "validation_examples": 30, "total_steps": 102}
    crash = {"code": "worker_lost", "params": {}}
    for kind, step, data in (
        ("start", 0, facts), ("checkpoint", 50, {}), ("crash", 60, crash), ("resumed", 50, {})
    ):  # fmt: skip
        JobEvent.objects.create(job=running, attempt=1, kind=kind, step=step, data=data)
    page = signed_in.get(f"/models/{running.pk}/log/").text
    lines = ("270개", "50번째 스텝까지 저장", "학습이 멈췄습니다", "50번째 스텝부터 이어서")
    places = [page.index(line) for line in lines]
    assert places == sorted(places)


def test_a_failure_says_cause_and_cure_and_offers_another_try(signed_in, user, version, make):
    error = {"code": "out_of_memory", "params": {}}
    job = make.job(user, version, status="failed", error=error)
    page = signed_in.get(f"/models/{job.pk}/").text
    assert "메모리가 모자라" in page and "같은 설정으로 다시" in page


def test_another_try_is_a_new_draft_with_the_same_settings(signed_in, user, version, base, make):
    job = make.job(user, version, status="failed", knobs={"epochs": 2})
    answer = signed_in.post(f"/models/{job.pk}/retry/")
    draft = Job.objects.get(parent=job)
    assert answer.url == f"/train/{draft.pk}/data/"
    assert (draft.knobs, draft.version) == ({"epochs": 2}, version)


def test_a_training_is_paused_and_resumed_from_its_page(signed_in, user, version, make):
    job = make.job(user, version, status="queued")
    url = f"/models/{job.pk}/"
    assert "일시 중지" in signed_in.get(url).text
    signed_in.post(f"{url}pause/")
    page = signed_in.get(url).text
    assert "멈춘 곳부터 이어서 배웁니다" in page and f'action="{url}resume/"' in page
    assert "학습 취소" in page
    signed_in.post(f"{url}resume/")
    job.refresh_from_db()
    assert job.status == "queued"
    assert "일시 중지한 학습이 아닙니다" in signed_in.post(f"{url}resume/", follow=True).text


def test_a_running_training_that_is_to_pause_says_so(signed_in, user, version, make):
    job = make.job(user, version, status="running", token="held", step=3)
    signed_in.post(f"/models/{job.pk}/pause/")
    page = signed_in.get(f"/models/{job.pk}/").text
    assert "일시 중지하는 중입니다" in page and "일시 중지하는 중</" in page
    Job.objects.update(status="succeeded", pause_requested=False)
    page = signed_in.post(f"/models/{job.pk}/pause/", follow=True).text
    assert "일시 중지할 수 없는 학습입니다" in page


def test_cancelling_asks_first(signed_in, user, version, make):
    job = make.job(user, version)
    page = signed_in.get(f"/models/{job.pk}/cancel/").text
    assert "취소할까요?" in page and "아직 시작하지 않은 학습입니다." in page
    job.refresh_from_db()
    assert job.status == "queued"
    answer = signed_in.post(f"/models/{job.pk}/cancel/", follow=True)
    assert "학습을 취소했습니다." in answer.text and "취소를 요청했습니다." not in answer.text
    job.refresh_from_db()
    assert job.status == "cancelled"
    Job.objects.update(status="succeeded", cancel_requested=False)
    answer = signed_in.post(f"/models/{job.pk}/cancel/", follow=True)
    assert "이미 끝난 학습이라" in answer.text


def test_renaming_reaches_the_model_too(signed_in, user, version, make):
    tuned = make.tuned(make.job(user, version, status="succeeded"))
    url = f"/models/{tuned.job_id}/rename/"
    assert signed_in.post(url, {"name": " "}).status_code == 422
    assert signed_in.post(url, {"name": "새 이름"}).status_code == 302
    tuned.refresh_from_db()
    assert tuned.name == "새 이름"


def test_deleting_asks_says_what_goes_and_leaves_the_data(signed_in, user, version, make):
    tuned = make.tuned(make.job(user, version, status="succeeded"))
    url = f"/models/{tuned.job_id}/delete/"
    assert "학습한 모델 파일" in signed_in.get(url).text
    assert signed_in.post(url).url == "/models/"
    assert not Job.objects.exists()
    version.refresh_from_db()


def test_a_live_job_is_not_deleted(signed_in, running):
    url = f"/models/{running.pk}/delete/"
    for answer in (signed_in.get(url), signed_in.post(url)):
        assert answer.status_code == 422 and "아직 진행 중이라" in answer.text
    running.refresh_from_db()


def test_a_job_that_waits_was_asked_for_and_not_started(signed_in, user, version, running, make):
    job = make.job(user, version)
    page = " ".join(signed_in.get(f"/models/{job.pk}/").text.split())
    assert "</time> 신청" in page and "</time> 시작" not in page
    assert "앞에 다른 학습이 1개 있습니다." in page
    assert "</time> 시작" in signed_in.get(f"/models/{running.pk}/").text


@pytest.mark.parametrize("status", ["failed", "cancelled", "succeeded"])
def test_every_job_that_is_over_can_be_done_again(signed_in, user, version, make, status):
    job = make.job(user, version, status=status)
    if status == "succeeded":
        make.tuned(job)
    again = f"/models/{job.pk}/retry/"
    assert again in signed_in.get(f"/models/{job.pk}/").text
    assert (again in signed_in.get("/models/").text) is (status != "succeeded")


def test_preparing_and_cancelling_are_said_as_they_are(signed_in, running):
    url = f"/models/{running.pk}/"
    Job.objects.update(step=0, progress={})
    page = signed_in.get(url).text
    assert "준비하고 있습니다. 이 창은 닫아도 됩니다." in page
    assert "아직 배운 것이 없습니다" in page
    Job.objects.update(cancel_requested=True)
    page = signed_in.get(url).text
    assert "취소하는 중</span>" in page and "하던 스텝을" not in page


def test_shares_and_epochs_are_written_the_short_way(signed_in, running):
    numbers = {"epochs": 1, "warmup_ratio": 0.1, "validation_share": 0.0833}
    Job.objects.update(resolved=numbers, progress={"epoch": 0.2083})
    page = signed_in.get(f"/models/{running.pk}/").text
    assert "10 %" in page and "8.3 %" in page
    assert '0.21<span class="of"> / 1<' in page


def test_a_finished_job_offers_load_and_playground(signed_in, user, version, make):
    tuned = make.tuned(make.job(user, version, status="succeeded"))
    page = signed_in.get(f"/models/{tuned.job_id}/").text
    assert f"/playground/state/?model=tuned:{tuned.pk}" in page
    assert f'class="button primary" href="/playground/?model=tuned:{tuned.pk}"' in page
    assert "로드하면" not in page


def test_a_models_files_come_as_one_zip(signed_in, user, version, make):
    tuned = make.tuned(make.job(user, version, status="succeeded", name="민원 분류"))
    folder = registry.folder(tuned)
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text("# 모델")
    url = f"/models/{tuned.job_id}/download/"
    assert url in signed_in.get(f"/models/{tuned.job_id}/").text
    answer = signed_in.get(url)
    assert answer.streaming and answer.is_async  # else uvicorn's side would hold all of it
    assert quote("민원_분류.zip") in answer.headers["Content-Disposition"]
    packed = zipfile.ZipFile(BytesIO(async_to_sync(whole)(answer)))
    assert packed.read("민원_분류/adapter_model.safetensors") == b"weights"
    assert packed.namelist() == ["민원_분류/README.md", "민원_분류/adapter_model.safetensors"]


async def whole(answer) -> bytes:
    return b"".join([piece async for piece in answer.streaming_content])


def test_a_model_whose_files_are_gone_says_so(signed_in, user, version, make):
    tuned = make.tuned(make.job(user, version, status="succeeded"))
    url = f"/models/{tuned.job_id}/download/"
    assert url not in signed_in.get(f"/models/{tuned.job_id}/").text
    answer = signed_in.get(url)
    assert answer.status_code == 422 and "파일이 디스크에 없습니다." in answer.text


def test_a_job_without_a_model_has_nothing_to_take_home(signed_in, running):
    assert signed_in.get(f"/models/{running.pk}/download/").status_code == 404


def test_a_failures_log_is_open(signed_in, user, version, make, running):
    job = make.job(user, version, status="failed", error={"code": "worker_lost", "params": {}})
    assert '<details class="fold" open' in signed_in.get(f"/models/{job.pk}/").text
    assert '<details class="fold" open' not in signed_in.get(f"/models/{running.pk}/").text


PARTS = [
    "", "now/", "points/", "table/", "probes/", "log/", "cancel/", "rename/", "delete/", "recipe/", "download/"
]  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_other_peoples_jobs_are_not_there(signed_in, stranger, make, part):
    job = make.job(stranger, make.version(stranger))
    assert signed_in.get(f"/models/{job.pk}/{part}").status_code == 404


@pytest.mark.parametrize("part", ["cancel/", "rename/", "delete/", "retry/"])
def test_other_peoples_jobs_cannot_be_changed(admin_client, stranger, make, part):
    job = make.job(stranger, make.version(stranger))
    assert admin_client.post(f"/models/{job.pk}/{part}", {"name": "mine"}).status_code == 404
    job.refresh_from_db()
    assert (job.status, job.name) == ("queued", "민원 분류")


def test_names_are_shown_as_text(signed_in, user, version, make):
    job = make.job(user, version, name="<script>alert(1)</script>", status="cancelled")
    for url in ("/", "/models/", f"/models/{job.pk}/", f"/models/{job.pk}/delete/"):
        assert "<script>alert" not in signed_in.get(url).text
