"""What a user sees while a model learns: the chart's points, several runs, answers, figures."""

import making
import pytest
from django.utils import timezone

from training.models import Job, JobEvent, TokenCount

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


def say(job: Job, kind: str, step: int = 0, **data) -> JobEvent:
    return JobEvent.objects.create(job=job, attempt=1, kind=kind, step=step, data=data)


def asked(job: Job, *answers: list[str]) -> list[JobEvent]:
    """Let a job tell two questions and its answers to them, every ten steps."""
    say(
        job,
        "probes",
        questions=["여권은 어디서 만드나요?", "주차 요금은?"],
        expected=["구청입니다.", ""],
    )
    return [
        say(job, "probe", 10 * place, epoch=place / 2, answers=said)
        for place, said in enumerate(answers)
    ]


# --- the chart ----------------------------------------------------------------------------------
def test_the_charts_points_bring_marks_and_the_best(signed_in, running):
    say(running, "metrics", 1, loss=2.0, epoch=0.03)
    say(running, "best", 20, validation_loss=0.5, epoch=0.6)
    say(running, "crash", 25, code="worker_lost", params={})
    said = signed_in.get(f"/models/{running.pk}/points/").json()
    assert said["best"] == {"step": 20, "epoch": 0.6, "loss": 0.5}
    assert [mark["kind"] for mark in said["marks"]] == ["crash"]
    assert said["is_live"] and len(said["training"]) == 1


@pytest.mark.parametrize("after", ["x'--", "-1", "٣", "9" * 400])
def test_points_take_nonsense_for_a_number(signed_in, running, after):
    say(running, "metrics", 1, loss=2.0)
    assert signed_in.get(f"/models/{running.pk}/points/", {"after": after}).status_code == 200


def test_what_was_told_is_not_told_again_when_it_is_polled(signed_in, running):
    seen = [say(running, "metrics", step, loss=2.0) for step in range(1, 9)][-1]
    url = f"/models/{running.pk}/points/?after={seen.pk}"
    assert signed_in.get(url).json()["training"] == []
    say(running, "metrics", 9, loss=1.0)
    assert [point["step"] for point in signed_in.get(url).json()["training"]] == [9]


def test_polling_needs_few_queries(signed_in, running, django_assert_max_num_queries):
    for step in range(1, 40):
        say(running, "metrics", step, loss=2.0)
    with django_assert_max_num_queries(14):
        signed_in.get(f"/models/{running.pk}/points/")


def test_the_table_of_a_long_run_is_short_and_says_so(signed_in, running):
    rows = [
        JobEvent(job=running, attempt=1, kind="metrics", step=step, data={"loss": 1 + step % 2})
        for step in range(1, 2001)
    ]
    JobEvent.objects.bulk_create(rows)
    page = signed_in.get(f"/models/{running.pk}/table/").text
    assert page.count("<tr>") == 201 and "스텝 10개씩" in page and "(1–2)" in page


def test_figures_have_plain_names_and_are_explained(signed_in, running):
    url = f"/models/{running.pk}/now/?was=running"
    assert "기울기 크기" not in signed_in.get(url).text  # not told yet
    Job.objects.update(
        progress={"learning_rate": 0.00012345, "gradient_norm": 0.456, "memory_bytes": 3 << 30}
    )
    page = signed_in.get(f"/models/{running.pk}/").text
    assert "학습률</dt><dd>0.000123</dd>" in page
    assert "기울기 크기</dt><dd>0.46</dd>" in page and "메모리</dt><dd>3.0 GB</dd>" in page
    assert "이 숫자들은 무슨 뜻인가요?" in page and "예제를 외우기 시작한 것입니다" in page


PHASES: dict[str, dict] = {
    "waiting": {"status": "queued"},
    "waiting again": {"status": "queued", "attempt": 1},
    "preparing": {"step": 0, "progress": {}},
    "reading": {"step": 0, "progress": {"phase": "reading"}},
    "learning": {"step": 3, "progress": {}},
    "learning with time left": {"step": 3, "progress": {"seconds_left": 9}},
    "saving": {"step": 100, "progress": {"phase": "saving"}},
    "checking data": {"status": "validating_files"},
}


@pytest.mark.parametrize("phase", PHASES)
def test_in_every_phase_the_page_says_that_it_may_be_closed(signed_in, running, phase):
    Job.objects.update(**PHASES[phase])
    assert "이 창은 닫아도 됩니다." in signed_in.get(f"/models/{running.pk}/").text


# --- several runs -------------------------------------------------------------------------------
@pytest.fixture
def two(user, version, make) -> list[Job]:
    def run(name: str, **numbers) -> Job:
        job = make.job(
            user, version, status="succeeded", name=name, step=9, total_steps=9,
            started_at=timezone.now(), finished_at=timezone.now(), progress={"loss": 0.5},
        )  # fmt: skip
        Job.objects.filter(pk=job.pk).update(resolved=job.resolved | numbers)
        say(job, "validation", 9, validation_loss=0.25, epoch=3)
        return job

    return [run("첫째", learning_rate=0.0002), run("둘째", learning_rate=0.0001)]


def together(*jobs: Job, **more: str) -> dict:
    return {"job": [job.pk for job in jobs], **more}


def test_runs_are_shown_with_results_and_what_differs(signed_in, two):
    page = signed_in.get("/models/compare/", together(*two)).text
    assert page.index("첫째") < page.index("둘째")
    for job in two:
        assert f'data-points="/models/{job.pk}/points/"' in page
    assert "0.25 (학습 반복 3)" in page
    assert "0.0002" in page and "0.0001" in page
    assert "배치 크기" not in page  # it is the same
    everything = signed_in.get("/models/compare/", together(*two, all="1")).text
    assert "배치 크기" in everything and 'class="differs"' in everything


def test_every_run_has_a_number_and_dashes_of_its_own(signed_in, two):
    page = signed_in.get("/models/compare/", together(*two)).text
    assert 'data-run="1"' in page and 'data-dash=""' in page
    assert 'data-run="2"' in page and 'data-dash="8 4"' in page


def test_runs_that_are_alike_in_all_say_so(signed_in, two):
    Job.objects.update(resolved={"epochs": 3})
    assert (
        "설정과 데이터가 모두 같습니다." in signed_in.get("/models/compare/", together(*two)).text
    )


def test_the_tables_follow_as_long_as_a_run_lives(signed_in, two):
    url = f"/models/compare/?job={two[0].pk}&job={two[1].pk}"
    assert "every 5s" not in signed_in.get(url).text
    Job.objects.filter(pk=two[0].pk).update(status="running", finished_at=None)
    answer = signed_in.get(url, headers=HTMX).text
    assert "every 5s" in answer and "<html" not in answer and "0초째" in answer


@pytest.mark.parametrize("count", [0, 1, 7])
def test_fewer_than_two_or_more_than_six_runs_lead_back_with_a_word(
    signed_in, user, version, make, count
):
    jobs = [make.job(user, version, step=1) for _number in range(count)]
    answer = signed_in.get("/models/compare/", together(*jobs), follow=True)
    assert answer.redirect_chain == [("/models/", 302)]
    assert "두 개에서 여섯 개까지 고르세요" in answer.text


def test_the_same_run_twice_is_one(signed_in, two):
    assert signed_in.get("/models/compare/", together(two[0], two[0])).status_code == 302


def test_other_peoples_runs_and_drafts_are_not_there(signed_in, user, stranger, two, make):
    theirs = make.job(stranger, make.version(stranger), step=1)
    draft = make.job(user, two[0].version, status="draft")
    for other in (theirs, draft):
        assert signed_in.get("/models/compare/", together(two[0], other)).status_code == 404
    assert signed_in.get("/models/compare/", {"job": [two[0].pk, "'--"]}).status_code == 404


def test_six_runs_need_hardly_more_queries_than_two(
    signed_in, user, version, make, django_assert_max_num_queries
):
    jobs = [make.job(user, version, step=1, status="succeeded") for _number in range(6)]
    with django_assert_max_num_queries(30):
        signed_in.get("/models/compare/", together(*jobs))


def test_runs_that_have_learnt_something_can_be_chosen_in_the_list(signed_in, two, user, make):
    waiting = make.job(user, two[0].version)
    page = signed_in.get("/models/").text
    assert 'action="/models/compare/"' in page
    for job in two:
        assert f'id="pick-{job.pk}" name="job" value="{job.pk}" form="together"' in page
    assert f"pick-{waiting.pk}" not in page


# --- answers ------------------------------------------------------------------------------------
def test_answers_are_listed_the_newest_first_with_what_is_new_in_them(signed_in, running):
    asked(running, ["구청", "모릅니다."], ["구청 민원실입니다.", "모릅니다."])
    page = signed_in.get(f"/models/{running.pk}/").text
    assert "답변이 어떻게 달라지나" in page and "구청입니다." in page
    assert page.index("학습 반복 0.5") < page.index("시작 전")
    assert '<mark class="fresh">민원실입니다.</mark>' in page
    assert "AI가 생성한 답변" in page and "바라는 답:" in page


def test_a_job_without_questions_shows_no_panel(signed_in, running):
    assert "답변이 어떻게" not in signed_in.get(f"/models/{running.pk}/").text
    assert 'id="probes"' in signed_in.get(f"/models/{running.pk}/").text  # it may come yet


def test_questions_wait_for_their_first_answer(signed_in, running):
    asked(running)
    page = signed_in.get(f"/models/{running.pk}/").text
    assert "여권은 어디서" in page and "아직 답변이 없습니다." in page
    Job.objects.update(status="cancelled")
    assert "적어 둔 답변이 없습니다." in signed_in.get(f"/models/{running.pk}/").text


def test_the_panel_changes_only_when_there_is_a_new_answer(signed_in, running):
    (first,) = asked(running, ["하나", "둘"])
    url = f"/models/{running.pk}/probes/"
    assert signed_in.get(url, {"seen": first.pk}, headers=HTMX).status_code == 204
    second = say(running, "probe", 20, answers=["셋", "넷"])
    answer = signed_in.get(url, {"seen": first.pk}, headers=HTMX).text
    assert "셋" in answer and f"seen={second.pk}" in answer and "<html" not in answer
    Job.objects.update(status="succeeded")
    assert "every 5s" not in signed_in.get(url).text


def test_what_a_model_says_is_text_in_its_language(signed_in, running):
    asked(running, ["<script>alert(1)</script>", "주차장"])
    page = signed_in.get(f"/models/{running.pk}/").text
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page
    assert '<div class="probe-answer" lang="en">&lt;script' in page
    assert '<div class="probe-answer" lang="ko">주차장' in page


def test_an_empty_answer_says_so(signed_in, running):
    asked(running, ["", " \n"])
    page = signed_in.get(f"/models/{running.pk}/").text
    assert page.count("아무 말도 하지 않았습니다.") == 2


# --- questions in step 3 --------------------------------------------------------------------------
@pytest.fixture
def draft(signed_in, user, version, base) -> Job:
    return Job.objects.create(owner=user, version=version, name="초안", base=base)


def test_questions_to_watch_are_kept_in_the_draft(signed_in, draft):
    form = {"probe_1": " 여권은 어디서 만드나요? ", "probe_2": "", "probe_3": "주차 요금은?"}
    answer = signed_in.post(f"/train/{draft.pk}/probes/", form)
    assert answer.url == f"/train/{draft.pk}/data/#probes"
    draft.refresh_from_db()
    assert draft.probes == ["여권은 어디서 만드나요?", "주차 요금은?"]
    page = signed_in.get(f"/train/{draft.pk}/data/").text
    assert "지켜볼 질문" in page and "2개 적음" in page and "주차 요금은?</textarea>" in page
    signed_in.post(f"/train/{draft.pk}/probes/", {})
    draft.refresh_from_db()
    assert draft.probes == []


def test_saving_by_itself_brings_a_start_button_that_knows_of_it(signed_in, draft):
    page = signed_in.get(f"/train/{draft.pk}/data/").text
    answer = signed_in.post(f"/train/{draft.pk}/probes/", {"probe_1": "가?"}, headers=HTMX)
    seen = 'name="seen" value="'
    assert answer.status_code == 200 and seen in answer.text
    before, after = (text.partition(seen)[2][:16] for text in (page, answer.text))
    assert before != after
    TokenCount.objects.update(status="ready", result=making.lengths((40, 20, 10)))
    assert after in signed_in.get(f"/train/{draft.pk}/summary/?start=1", headers=HTMX).text


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_a_question_that_is_too_long_is_refused_and_shown_again(signed_in, draft, headers):
    form = {"probe_1": "가" * 501}
    answer = signed_in.post(f"/train/{draft.pk}/probes/", form, headers=headers)
    assert answer.status_code == 422 and "500자까지" in answer.text
    assert headers or "가" * 501 in answer.text
    draft.refresh_from_db()
    assert draft.probes == []


def test_another_try_watches_the_same_questions(signed_in, user, version, base, make):
    job = make.job(user, version, status="failed", probes=["가?"])
    signed_in.post(f"/models/{job.pk}/retry/")
    assert Job.objects.get(parent=job).probes == ["가?"]
