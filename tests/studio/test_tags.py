"""Filters and tags: Korean numbers, times and sizes."""

from datetime import datetime, timedelta

import pytest
import time_machine
from django.utils import timezone, translation

from studio.templatetags import studio as tags
from training.errors import UserError
from training.forecast import Forecast


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0초"), (59, "59초"), (60, "1분"), (125, "2분 5초"), (1260, "21분"),
     (3700, "1시간 1분"), (90_000, "1일 1시간"), (None, "")],
)  # fmt: skip
def test_a_length_of_time_has_at_most_two_units(seconds, words):
    assert tags.duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(134_515_008, "1억 3,500만"), (7_615_616_512, "76억"), (1_500_000, "150만"), (96_000, "10만")],
)
def test_parameters_are_counted_the_korean_way(count, words):
    assert tags.parameter_count(count) == words


def test_parameters_in_english():
    with translation.override("en"):
        assert tags.parameter_count(134_515_008) == "135M"


@pytest.mark.parametrize(
    ("number", "words"), [(0.0002, "0.0002"), (2e-5, "0.00002"), (16, "16"), (1.23456, "1.235")]
)
def test_small_numbers_are_never_written_with_an_exponent(number, words):
    assert tags.plain(number) == words


def test_a_moment_is_said_as_people_say_it():
    now = timezone.localtime().replace(hour=14, minute=5)
    assert "오늘 오후 2:05" in tags.moment(now)
    assert "월" in tags.moment(now - timedelta(days=2))
    assert "2020년" in tags.moment(timezone.make_aware(datetime(2020, 1, 2)))


def test_a_start_in_the_next_year_is_said_to_the_minute():
    with time_machine.travel(timezone.make_aware(datetime(2026, 12, 20, 12)), tick=False):
        assert tags.clock(timezone.make_aware(datetime(2027, 1, 3, 22))) == "1월 3일 오후 10:00"


def test_lengths_and_moments_in_english():
    now = timezone.localtime().replace(month=7, day=9, hour=14, minute=5)
    with translation.override("en"), time_machine.travel(now, tick=False):
        assert tags.duration(3700) == "1 h 1 min"
        assert ">14:05 today<" in tags.moment(now)
        assert ">7 Jul 14:05<" in tags.moment(now - timedelta(days=2))
        assert ">2 Jan 2020<" in tags.moment(timezone.make_aware(datetime(2020, 1, 2)))


def test_a_unit_stands_as_closely_as_the_language_has_it():
    assert (tags.amount(8, "개"), tags.amount(0.1, "")) == ("8개", "0.1")
    with translation.override("en"):
        assert (tags.amount(8192, "tokens"), tags.amount(42, "")) == ("8,192 tokens", "42")


def test_sizes():
    assert [tags.byte_size(size) for size in (0, 2048, 5 << 20, 3 << 30)] == [
        "0 B", "2 KB", "5.0 MB", "3.0 GB"
    ]  # fmt: skip


def test_a_missing_icon_does_not_break_the_page():
    assert "<svg" in tags.icon("no-such-icon")
    assert 'aria-label="닫기"' in tags.icon("x", label="닫기")


def test_an_error_becomes_its_sentence():
    assert tags.sentence(UserError("job_without_name")).what == "모델 이름이 없습니다."
    assert tags.sentence({"code": "job_without_name", "params": {}}).cure
    assert tags.sentence(None) is None


def test_an_event_without_a_sentence_shows_its_kind():
    from training.models import JobEvent

    assert tags.log_line(JobEvent(kind="new-kind", data={})) == "new-kind"


def test_the_log_says_what_the_limit_on_length_took_of_the_examples():
    from training.models import JobEvent

    facts = {"train_examples": 36, "validation_examples": 4, "total_steps": 9}

    def said(**more: int) -> str:
        return tags.log_line(JobEvent(kind="start", data=facts | more))

    whole = "학습 예제 36개, 검증 예제 4개로 9스텝을 학습합니다."
    assert said() == said(cut=0, lost=0) == whole
    cut = f"{whole} 길이 한계에서 뒤를 자른 예제는 3개입니다. 길이 한계 때문에 뺀 예제는 1개입니다."
    assert said(cut=4, lost=1) == cut
    assert said(cut=0, lost=5) == f"{whole} 길이 한계 때문에 뺀 예제는 5개입니다."


def test_the_log_says_how_a_run_is_computed():
    from training.models import JobEvent

    facts = {"train_examples": 36, "validation_examples": 4, "total_steps": 9}
    facts |= {"path": "fast", "precision": "bf16", "threads": 2}
    assert tags.log_line(JobEvent(kind="start", data=facts)).endswith(
        "빠른 경로로 계산합니다(bf16, 스레드 2개)."
    )
    facts |= {"processes": 3}
    assert tags.log_line(JobEvent(kind="start", data=facts)).endswith(
        "빠른 경로로 계산합니다(bf16, 프로세스 3개, 각각 스레드 2개)."
    )
    facts |= {"remakes": True, "is_4bit": False}
    again = "층을 다시 계산합니다."
    assert tags.log_line(JobEvent(kind="start", data=facts)).endswith(again)
    facts |= {"is_4bit": True}
    held = "층을 다시 계산하고 기본 모델을 4비트로 올립니다."
    assert tags.log_line(JobEvent(kind="start", data=facts)).endswith(held)


def test_an_absurd_number_is_told_by_its_size():
    assert tags.plain(4.839119998632853e18) == "4.839e+18"
    assert tags.plain(0.00000241) == "0.00000241"


@pytest.mark.parametrize(
    ("seconds", "doubt", "said"),
    [
        (0, 0.2, "약 1초"), (40, 0.25, "약 40초"), (70, 0.25, "약 50~90초"), (900, 0.2, "약 12~18분"),
        (150, 0.12, "약 2~3분"), (120, 0.1, "약 2분"), (9000, 0.25, "약 2~3시간"),
        (260_000, 0.25, "약 2~4일"),
    ],
)  # fmt: skip
def test_a_forecast_is_said_no_finer_than_it_can_be(seconds, doubt, said):
    assert tags.expected(Forecast(seconds, 0, False, doubt)) == said
