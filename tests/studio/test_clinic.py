"""The failure clinic on pages: the sentence, the cures, what a press leads to."""

import making
import pytest

from training import tasks
from training.datasets import versions
from training.models import Job, JobEvent, TokenCount

OUT_OF_MEMORY = {"code": "out_of_memory", "params": {}}


@pytest.fixture(autouse=True)
def no_bells(monkeypatch):
    monkeypatch.setattr(tasks, "ring", lambda *_: None)


@pytest.fixture
def failed(user, make, base) -> Job:
    """A job that ran out of memory; its data is counted."""
    version = make.version(user)
    job = make.job(user, version, status="failed", error=OUT_OF_MEMORY)
    JobEvent.objects.create(job=job, attempt=1, kind="start", data={"path": "packed"})
    versions.token_count(version, job.base)
    TokenCount.objects.update(status="ready", result=making.lengths((40, 30, 20)))
    return job


def test_the_recommended_cure_is_the_one_main_button(signed_in, failed):
    page = signed_in.get(f"/models/{failed.pk}/").text
    assert page.count('class="button primary" name="key"') == 1
    assert "고쳐서 다시 시작" in page and "한 번에 계산하는 토큰을 줄입니다(4,096 →" in page
    assert "LoRA 랭크 줄이기" in page and "같은 설정으로 다시" in page


def test_one_press_starts_the_mended_job_and_both_say_so(signed_in, failed):
    answer = signed_in.post(f"/models/{failed.pk}/cure/", {"key": "rows"}, follow=True)
    job = Job.objects.get(parent=failed)
    assert answer.redirect_chain[-1][0] == f"/models/{job.pk}/" and job.status == "queued"
    page = " ".join(answer.text.split())
    assert "바뀐 것: 한 번에 계산하는 토큰 4,096 →" in page and f"/models/{failed.pk}/" in page
    assert f"/models/{job.pk}/" in signed_in.get(f"/models/{failed.pk}/").text


def test_what_is_left_to_decide_opens_the_wizard_at_its_place(signed_in, failed):
    Job.objects.update(error={"code": "base_missing", "params": {"slug": "tiny"}})
    answer = signed_in.post(f"/models/{failed.pk}/cure/", {"key": "base"})
    draft = Job.objects.get(parent=failed)
    assert answer.url == f"/train/{draft.pk}/model/#bases" and draft.status == "draft"
    page = signed_in.get(f"/train/{draft.pk}/model/").text
    assert 'id="bases"' in page and "설정을 옮겨 두었습니다" in page


def test_what_is_in_the_way_is_said_and_nothing_is_lost(signed_in, failed, settings):
    settings.MIN_EXAMPLES = 1000
    answer = signed_in.post(f"/models/{failed.pk}/cure/", {"key": "same"}, follow=True)
    draft = Job.objects.get(parent=failed)
    assert draft.status == "draft" and draft.version == failed.version
    assert "아직 시작하지 못했습니다" in answer.text and "1,000개 이상이 필요합니다" in answer.text


def test_a_cure_that_is_not_offered_is_refused(signed_in, failed):
    answer = signed_in.post(f"/models/{failed.pk}/cure/", {"key": "slower"})
    assert answer.status_code == 422 and not Job.objects.filter(parent=failed).exists()


def test_a_full_disk_is_shown_with_what_takes_most_of_it(signed_in, failed, make):
    Job.objects.update(error={"code": "disk_full", "params": {}})
    tuned = make.tuned(make.job(failed.owner, failed.version, status="succeeded", name="큰 모델"))
    type(tuned).objects.update(size_bytes=5 << 20)
    page = signed_in.get(f"/models/{failed.pk}/").text
    assert "가장 많이 차지하는 것" in page and "5.0 MB" in page
    assert f'href="/models/{tuned.job_id}/"' in page


def test_an_unexplained_failure_gives_a_number_for_the_administrator(signed_in, failed):
    Job.objects.update(error={"code": "trainer_crashed", "params": {"exit_code": -11}})
    page = signed_in.get(f"/models/{failed.pk}/").text
    assert f"<code>{failed.pk}</code>" in page and "(코드 -11)" in page


def test_home_says_the_same_sentence(signed_in, failed):
    for address in ("/", f"/models/{failed.pk}/"):
        assert "메모리가 모자라 학습이 멈췄습니다." in signed_in.get(address).text


def test_other_peoples_failures_are_not_there(signed_in, stranger, make):
    job = make.job(stranger, make.version(stranger), status="failed", error=OUT_OF_MEMORY)
    assert signed_in.post(f"/models/{job.pk}/cure/", {"key": "same"}).status_code == 404
