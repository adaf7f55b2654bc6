"""Step 2 by hand: what a number does beside the recommended one, and what a run takes."""

import re

import making
import pytest

from studio.views import effects
from training import forecast
from training.forecast import Disk, Effect
from training.models import Job, TokenCount

HTMX = {"HX-Request": "true"}


@pytest.fixture
def draft(user, base, make) -> Job:
    return Job.objects.create(owner=user, base=base, name="민원", version=make.version(user))


def save(client, draft: Job, **numbers: str) -> str:
    """Save step 2 by hand as autosave does, and return the fragment."""
    form = {"name": draft.name, "base": draft.base, "mode": "manual"} | numbers
    return client.post(f"/train/{draft.pk}/model/", form, headers=HTMX).text


def beside(page: str, key: str) -> str:
    """Return what stands beside a knob, without marks."""
    (found,) = re.findall(rf'id="effect-{key}"[^>]*>(.*?)</span>', page)
    return re.sub(r"<[^>]+>", "", found).strip()


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (1, "그대로"), (1.02, "그대로"), (2, "약 2배"), (2.54, "약 2.5배"), (30, "약 30배"),
        (1.3, "약 30 % 늘어남"), (0.5, "약 50 % 줄어듦"),
    ],
)  # fmt: skip
def test_a_change_is_said_in_words(ratio, words):
    assert effects.change(ratio) == words


def test_what_is_not_known_is_not_said():
    assert effects.sentence(Effect(None, None, 1), has_data=True) == ""
    assert "데이터를 고르면" in effects.sentence(Effect(None, None, 1), has_data=False)
    assert effects.sentence(Effect(1, 1, 4), has_data=True).endswith("디스크 약 4배")


def test_autosave_brings_the_words_to_each_knob(signed_in, draft, settings):
    making.measured(settings.DATA)
    save(signed_in, draft)
    TokenCount.objects.update(status="ready", result=making.lengths((400_000_000, 30, 10)))
    draft.refresh_from_db()
    page = save(signed_in, draft, epochs="50", learning_rate="0.001")
    assert "추천값과 비교하면 시간 약 2배 · 메모리 그대로" in beside(page, "epochs")
    assert "시간 그대로 · 메모리 그대로" in beside(page, "learning_rate")
    assert beside(page, "batch_size") == "" and 'id="effect-seed" hx-swap-oob' in page
    whole = signed_in.get(f"/train/{draft.pk}/model/").text
    assert beside(whole, "epochs") == beside(page, "epochs")


def test_a_wrong_number_does_nothing(signed_in, draft):
    Job.objects.update(version=None)
    assert "시간" in beside(save(signed_in, draft, epochs="6", seed="3"), "epochs")
    page = save(signed_in, draft, epochs="viele", seed="3")
    assert beside(page, "epochs") == "" and beside(page, "seed") != ""


def test_without_data_memory_waits_for_it(signed_in, draft):
    Job.objects.update(version=None)
    page = save(signed_in, draft, batch_size="16")
    assert "메모리는 데이터를 고르면 알 수 있음" in beside(page, "batch_size")


def test_the_summary_says_what_the_disk_must_hold(signed_in, draft):
    page = signed_in.get(f"/train/{draft.pk}/method/").text
    assert "예상 디스크" in page and "학습 중 최대" in page
    assert page.count("기준으로 메모리 약") == 2  # each method's card


def test_a_disk_that_is_too_small_is_said_at_once_and_keeps_the_start_closed(
    signed_in, draft, monkeypatch
):
    monkeypatch.setattr(forecast, "disk", lambda *_: Disk(2**20, 3 * 2**20))
    monkeypatch.setattr(forecast, "free_bytes", lambda: 2**21)
    wanted = "디스크가 3 MB까지 필요한데 지금 2 MB만 남아 있습니다."
    assert wanted in signed_in.get(f"/train/{draft.pk}/model/").text
    page = signed_in.get(f"/train/{draft.pk}/data/").text
    assert wanted in page[page.index('id="start-reasons"') :].partition("</div>")[0]
    monkeypatch.setattr(forecast, "free_bytes", lambda: 2**22)
    assert "필요한데" not in signed_in.get(f"/train/{draft.pk}/data/").text


def test_step_three_says_how_many_examples_are_kept_back(signed_in, draft):
    page = signed_in.get(f"/train/{draft.pk}/data/").text
    assert "예제 40개 가운데 4개는 학습에 쓰지 않고" in page
    Job.objects.update(knobs={"validation_share": 0})
    assert "남겨 두는 예제 없이 모두" in signed_in.get(f"/train/{draft.pk}/data/").text
