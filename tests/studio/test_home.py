"""시작하기: three steps for a newcomer, the state of things for somebody who returns."""

from datetime import timedelta

from django.utils import timezone

from training.models import Job


def test_a_newcomer_meets_three_steps_and_the_question_whether_it_is_needed(signed_in):
    page = signed_in.get("/").text
    assert page.count("big-number") == 3
    assert "미세 조정이 필요할까요?" in page
    assert "20개 이상" in page  # the server's own minimum


def test_somebody_who_returns_sees_work_models_and_drafts(signed_in, user, make):
    version = make.version(user)
    make.job(user, version, status="running", name="지금 배우는 것", started_at=timezone.now())
    make.tuned(make.job(user, version, status="succeeded", name="다 배운 것"))
    Job.objects.create(owner=user, name="쓰다 만 것")
    page = signed_in.get("/").text
    for name in ("지금 배우는 것", "다 배운 것", "쓰다 만 것", "미세 조정이 필요할까요?"):
        assert name in page
    assert "every 2s" in page


def test_what_runs_stands_before_what_waits(signed_in, user, make):
    version = make.version(user)
    make.job(user, version, status="running", name="도는 것")
    make.job(user, version, name="기다리는 것")
    page = signed_in.get("/").text
    assert page.index("도는 것") < page.index("기다리는 것")


def test_a_failure_asks_for_attention_until_it_is_tried_again(signed_in, user, make):
    version = make.version(user)
    failed = make.job(user, version, status="failed", error={"code": "out_of_memory", "params": {}})
    assert "확인이 필요한 일" in signed_in.get("/").text
    make.job(user, version, parent=failed)
    assert "확인이 필요한 일" not in signed_in.get("/").text


def test_other_peoples_work_is_not_shown(signed_in, stranger, make):
    make.job(stranger, make.version(stranger), name="남의 것")
    assert "남의 것" not in signed_in.get("/").text


def test_what_waits_for_its_time_stands_last(signed_in, user, make):
    version, tomorrow = make.version(user), timezone.now() + timedelta(days=1)
    make.job(user, version, name="내일 할 것", not_before=tomorrow)
    make.job(user, version, status="running", name="도는 것")
    make.job(user, version, name="기다리는 것")
    page = signed_in.get("/").text
    assert page.index("도는 것") < page.index("기다리는 것") < page.index("내일 할 것")
