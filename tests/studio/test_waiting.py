"""대기열: who sees what of the line, and what can be done about one's own place."""

from datetime import timedelta

import making
import pytest
from django.utils import timezone

from training import drafts, line
from training.models import Job, TokenCount

HTMX = {"HX-Request": "true"}


@pytest.fixture
def mine(user, make):
    version = make.version(user)
    return [make.job(user, version, name=name) for name in ("첫째 일", "둘째 일", "셋째 일")]


@pytest.fixture
def theirs(stranger, make) -> Job:
    type(stranger).objects.filter(pk=stranger.pk).update(name="지호")
    return make.job(stranger, make.version(stranger), name="비밀 계획")


@pytest.fixture
def draft(user, base, make) -> Job:
    version = make.version(user)
    result = making.lengths((40, 20, 10))
    TokenCount.objects.create(version=version, base=base, status="ready", result=result)
    return Job.objects.create(owner=user, base=base, name="초안", version=version)


def order() -> list[str]:
    return [job.name for job in line.order(line.in_line())]


def test_everybody_sees_their_own_jobs_and_that_others_wait(signed_in, mine, theirs):
    page = signed_in.get("/waiting/").text
    assert "첫째 일" in page and "다른 사용자의 학습" in page
    assert "비밀 계획" not in page and "지호" not in page
    assert page.index("첫째 일") < page.index("다른 사용자의 학습") < page.index("둘째 일")
    assert f"/waiting/{theirs.pk}/" not in page and 'value="1"' in page
    assert f'id="priority-{mine[0].pk}-1"' not in page  # 먼저 is not theirs to give


def test_administrators_see_whose_a_job_is_and_nothing_else_of_it(admin_client, mine, theirs):
    page = admin_client.get("/waiting/").text
    assert "지호 님의 학습" in page and "민아 님의 학습" in page
    assert "비밀 계획" not in page and "첫째 일" not in page and "질문.jsonl" not in page
    assert f"/waiting/{theirs.pk}/rank/" in page


def test_the_list_polls_itself(signed_in, mine):
    answer = signed_in.get("/waiting/", headers=HTMX).text
    assert "<html" not in answer and 'hx-trigger="every 5s"' in answer


def test_an_empty_line_says_so(signed_in):
    assert "지금 신청하면 바로 다음 차례입니다" in signed_in.get("/waiting/").text
    assert 'href="/waiting/"' in signed_in.get("/").text  # the pill leads there


def test_what_waits_for_its_time_stands_apart(signed_in, mine):
    Job.objects.filter(name="둘째 일").update(not_before=timezone.now() + timedelta(days=3))
    page = signed_in.get("/waiting/").text
    assert page.index("셋째 일") < page.index("정한 시각을 기다리는 중") < page.index("둘째 일")


def test_the_page_takes_the_same_few_queries_for_many(
    signed_in, user, make, theirs, django_assert_max_num_queries
):
    for number in range(20):
        make.job(user, theirs.version, name=f"{number}")
    with django_assert_max_num_queries(12):
        signed_in.get("/waiting/")


def test_own_jobs_are_moved_and_others_are_not_there(signed_in, mine, theirs):
    url = f"/waiting/{mine[2].pk}/move/"
    assert signed_in.post(url, {"step": "-1"}).url == "/waiting/"
    assert order()[0] == "첫째 일" and order().index("셋째 일") < order().index("둘째 일")
    assert signed_in.post(f"/waiting/{theirs.pk}/move/", {"step": "-1"}).status_code == 404
    said = signed_in.post(f"/waiting/{mine[0].pk}/move/", {"step": "-1"}, follow=True).text
    assert "옮기지 않았습니다" in said


def test_people_lower_and_administrators_raise(signed_in, user, mine):
    url = f"/waiting/{mine[0].pk}/priority/"
    here = f"/models/{mine[0].pk}/"
    assert signed_in.post(url, {"priority": "-1", "next": here}).url == here
    assert order() == ["둘째 일", "셋째 일", "첫째 일"]
    assert "관리자만 정할 수 있습니다" in signed_in.post(url, {"priority": "1"}).text
    assert signed_in.post(f"/waiting/{mine[0].pk}/rank/", {"priority": "1"}).status_code == 404
    signed_in.force_login(type(user).objects.get(username="first-admin"))
    signed_in.post(f"/waiting/{mine[0].pk}/rank/", {"priority": "1"})
    assert order()[0] == "첫째 일"
    Job.objects.filter(pk=mine[0].pk).update(status="running")
    said = signed_in.post(f"/waiting/{mine[0].pk}/rank/", {"priority": "0"}, follow=True).text
    assert "우선순위를 바꾸지 않았습니다" in said


def test_an_administrators_own_job_can_go_first_from_its_page(admin_client, user, make):
    admin = type(user).objects.get(username="first-admin")
    job = make.job(admin, make.version(admin))
    page = admin_client.get(f"/models/{job.pk}/").text
    assert f'action="/waiting/{job.pk}/rank/"' in page and f'id="priority-{job.pk}-1"' in page


def test_a_waiting_jobs_page_puts_it_off_and_brings_it_forward(signed_in, mine):
    job, url = mine[0], f"/waiting/{mine[0].pk}/when/"
    page = signed_in.get(f"/models/{job.pk}/").text
    assert "밤에 시작 (" in page and "지금부터 차례 기다리기" not in page
    assert signed_in.post(url, {"when": "night"}).url == f"/models/{job.pk}/"
    job.refresh_from_db()
    assert job.not_before == line.tonight()
    page = signed_in.get(f"/models/{job.pk}/").text
    assert "부터 차례를 기다려 저절로 시작합니다." in page and "지금부터 차례 기다리기" in page
    signed_in.post(url, {"when": "now"})
    assert len(order()) == 3
    assert "날짜와 시각" in signed_in.post(url, {"when": "at"}, follow=True).text
    Job.objects.filter(pk=job.pk).update(status="running")
    said = signed_in.post(url, {"when": "night"}, follow=True).text
    assert "시작 시각을 바꾸지 않았습니다" in said


def test_step_three_asks_when_and_the_start_goes_by_it_without_scripts(signed_in, draft):
    page = signed_in.get(f"/train/{draft.pk}/data/").text
    assert "언제 시작할까요?" in page and "신청하면 바로" in page
    later = timezone.localtime() + timedelta(days=2)
    form = {"when": "at", "at": later.strftime("%Y-%m-%dT%H:%M")}
    assert f'name="seen" value="{drafts.fingerprint(draft)}"' in page
    form["seen"] = drafts.fingerprint(draft)
    answer = signed_in.post(f"/train/{draft.pk}/start/", form, follow=True)
    assert "부터 차례를 기다려 저절로 시작합니다." in answer.text
    draft.refresh_from_db()
    assert draft.status == "queued"
    assert draft.not_before == later.replace(second=0, microsecond=0)


def test_a_chosen_time_is_kept_at_once_and_shown_in_the_summary(signed_in, draft):
    url = f"/train/{draft.pk}/when/"
    answer = signed_in.post(url, {"when": "night"}, headers=HTMX)
    assert answer.status_code == 200 and 'id="summary"' in answer.text
    draft.refresh_from_db()
    assert draft.not_before == line.tonight()
    page = signed_in.get(f"/train/{draft.pk}/data/").text
    assert 'value="night" form="start" checked' in page
    assert signed_in.post(url, {"when": "now"}).url == f"/train/{draft.pk}/data/"
    draft.refresh_from_db()
    assert draft.not_before is None


@pytest.mark.parametrize(
    ("at", "words"),
    [("", "시작할 날짜와 시각을 적으세요"), ("soon", "날짜와 시각을 모두"), ("2999-01-01T00:00", "31일 안")],
)  # fmt: skip
def test_a_time_that_is_none_keeps_the_start_on_the_page(signed_in, draft, at, words):
    form = {"when": "at", "at": at}
    answer = signed_in.post(f"/train/{draft.pk}/start/", form)
    assert answer.status_code == 422 and words in answer.text
    assert signed_in.post(f"/train/{draft.pk}/when/", form, headers=HTMX).status_code == 422
    draft.refresh_from_db()
    assert draft.status == "draft" and draft.not_before is None


def test_a_time_that_is_past_means_now(signed_in, draft):
    form = {"when": "at", "at": "2020-01-01T00:00", "seen": drafts.fingerprint(draft)}
    signed_in.post(f"/train/{draft.pk}/start/", form)
    draft.refresh_from_db()
    assert (draft.status, draft.not_before) == ("queued", None)


def test_step_three_says_when_a_training_would_start_behind_others(signed_in, draft, make, user):
    running = make.job(user, draft.version, status="running", progress={"seconds_left": 7200})
    said = signed_in.get(f"/train/{draft.pk}/summary/").text
    assert "지금 신청하면" in said and "쯤" in said
    Job.objects.filter(pk=running.pk).update(progress={})
    Job.objects.filter(pk=running.pk).update(base="gone", version=make.version(user))
    assert "앞의 학습이 끝나면" in signed_in.get(f"/train/{draft.pk}/summary/").text


def test_home_list_and_page_say_when_a_waiting_job_will_start(signed_in, user, make):
    version = make.version(user)
    make.job(user, version, status="running", progress={"seconds_left": 7200})
    job = make.job(user, version, name="기다림")
    for url in ("/", "/models/"):
        page = signed_in.get(url).text
        assert "다음 차례 · " in page and "쯤 시작" in page
    assert "쯤 시작할 것으로 보입니다." in signed_in.get(f"/models/{job.pk}/").text


def test_whoever_has_too_many_is_told_before_the_start_and_at_it(signed_in, draft, mine, settings):
    settings.QUEUE_LIMIT = 3
    page = signed_in.get(f"/train/{draft.pk}/data/").text
    assert "한꺼번에 맡길 수 있는 학습은 3개까지" in page
    assert signed_in.post(f"/train/{draft.pk}/start/").status_code == 422
    draft.refresh_from_db()
    assert draft.status == "draft"
