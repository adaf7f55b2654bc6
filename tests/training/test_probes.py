"""The questions that a training is watched by: what is kept of them, how answers are compared."""

import pytest

from training import probes
from training.history import History
from training.models import Job, JobEvent
from training.probes import Piece


@pytest.fixture
def job(user, version) -> Job:
    return Job.objects.create(
        owner=user, version=version, status="running", name="날씨", base="tiny", total_steps=100,
        resolved={"epochs": 4}, probes=["서울 날씨는?"],
    )  # fmt: skip


@pytest.fixture
def say(job):
    def say(kind: str, step: int = 0, **data) -> JobEvent:
        return JobEvent.objects.create(job=job, attempt=1, kind=kind, step=step, data=data)

    return say


def test_blank_questions_are_none_and_three_are_enough():
    assert probes.cleaned([" 하나 ", "", "\n", "둘"]) == ["하나", "둘"]
    assert probes.cleaned("가나다라") == ["가", "나", "다"]
    assert len(probes.cleaned(["가" * 501])[0]) == 500


def test_before_anything_was_said_the_users_own_questions_wait(job):
    watch = probes.watch(History(job))
    assert [question.asked.text for question in watch.questions] == ["서울 날씨는?"]
    assert watch.moments == [] and watch.newest == 0


def test_answers_stand_with_their_question_the_newest_first(job, say):
    say("probes", questions=["가?", "나?"], expected=["가.", ""])
    say("probe", 0, epoch=0, answers=["처음", "나 처음"])
    newest = say("probe", 50, answers=["나중", "나 나중"])
    watch = probes.watch(History(job))
    first, second = watch.questions
    assert (first.expected.text, second.expected.text) == ("가.", "")
    said = [(moment.step, moment.epoch, answer.text) for moment, answer in first.answers]
    assert said == [(50, 2.0, "나중"), (0, 0, "처음")]
    assert [answer.text for _moment, answer in second.answers] == ["나 나중", "나 처음"]
    assert watch.newest == newest.pk == probes.newest(History(job))


def test_answers_of_steps_that_were_run_again_count_once(job, say):
    say("probes", questions=["가?"], expected=[""])
    say("probe", 10, answers=["열"])
    say("probe", 30, answers=["서른"])
    say("start", 10)
    say("probe", 10, answers=["다시 열"])
    (question,) = probes.watch(History(job)).questions
    assert [answer.text for _moment, answer in question.answers] == ["다시 열"]


def test_answers_that_are_missing_are_empty_and_those_too_many_are_left_out(job, say):
    say("probes", questions=["가?", "나?"], expected=["가."])
    say("probe", 10, answers=["하나"])
    say("probe", 20, answers=["하나", "둘", "셋"])
    first, second = probes.watch(History(job)).questions
    assert [answer.text for _moment, answer in second.answers] == ["둘", ""]
    assert len(first.answers) == 2


def test_of_many_moments_the_first_the_last_and_some_between_are_shown(job, say):
    say("probes", questions=["가?"], expected=[""])
    for step in range(0, 100):
        say("probe", step, answers=[str(step)])
    shown = [moment.step for moment in probes.watch(History(job)).moments]
    assert shown[0] == 0 and shown[-1] == 99 and len(shown) <= probes.MOST_MOMENTS + 1
    say("probe", 100, answers=["100"])
    again = [moment.step for moment in probes.watch(History(job)).moments]
    assert again[:-1] == shown[:-1]  # what a reader looks at stays


def test_new_words_are_told_from_those_that_stood_before():
    pieces = probes.changes("신분증이 필요합니다.", "신분증과 사진이 필요합니다.")
    assert pieces == [Piece("신분증과 사진이 ", True), Piece("필요합니다.", False)]
    assert probes.changes("같다", "같다") == [Piece("같다", False)]
    assert probes.changes("", "새 말") == [Piece("새 말", True)]
    assert "".join(piece.text for piece in probes.changes("a b", " a\n\n c  b ")) == " a\n\n c  b "


def test_of_endless_answers_changes_are_not_looked_for():
    long = "네 아니요 " * 200
    assert probes.changes("아니요 네 " * 200, long) == [Piece(long, False)]


def test_the_end_of_a_long_answer_is_folded_at_a_word(job, say):
    text = "긴 답변입니다. " * 100
    say("probes", questions=["가?"], expected=[""])
    say("probe", 1, answers=[text])
    (question,) = probes.watch(History(job)).questions
    ((_moment, answer),) = question.answers
    head = "".join(piece.text for piece in answer.head)
    assert 300 < len(head) <= probes.HEAD_LETTERS and head.endswith(" ")
    assert answer.text == text


def test_a_fold_keeps_what_is_new_apart_from_what_is_not(job, say):
    old, new = "가나다라마바사아자차 " * 20, "카타파하거너더러머버 " * 40
    say("probes", questions=["가?"], expected=[""])
    say("probe", 1, answers=[old])
    say("probe", 2, answers=[old + new])
    (question,) = probes.watch(History(job)).questions
    _moment, answer = question.answers[0]
    assert answer.head[0] == Piece(old, False) and answer.head[1].is_new
    assert answer.rest[0].is_new and answer.text == old + new
