"""Step 3: how long the examples are, what becomes of long ones, how finely bases cut the text."""

import re
import shutil

import making
import pytest

from training import bases, drafts, fit, recipe
from training.datasets import versions
from training.models import Job, TokenCount

HTMX = {"HX-Request": "true"}
LONG = ((30, 20, 10), (6, 400, 10), (4, 500, 300))


@pytest.fixture
def draft(user, base, make) -> Job:
    return Job.objects.create(
        owner=user, base=base, name="민원", version=make.version(user), knobs={"max_length": 256}
    )


def counted(draft: Job, *groups: tuple[int, int, int]) -> None:
    """Answer the count of all rows as the light lane would."""
    drafts.token_count(draft)
    result = making.lengths(*(groups or LONG))
    TokenCount.objects.filter(is_sample=False).update(status="ready", result=result)


def sampled(base: str, tokens: int, *groups: tuple[int, int, int]) -> None:
    """Answer the count of a base's sample, with so many tokens for 1,000 characters."""
    text = {"text_characters": 1000, "text_tokens": tokens}
    result = making.lengths(*(groups or LONG)) | text
    TokenCount.objects.filter(base=base, is_sample=True).update(status="ready", result=result)


def page_of(client, draft: Job) -> str:
    return client.get(f"/train/{draft.pk}/data/").text


def choose(client, draft: Job, way: str, **more):
    return client.post(f"/train/{draft.pk}/long/", {"way": way}, **more)


def section(page: str, name: str = "lengths") -> str:
    """Return the section of a page without its marks."""
    found = re.search(rf'<(section|div) id="{name}".*?</\1>', page, re.DOTALL)[0]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found))


def test_till_the_data_is_counted_the_page_says_so(signed_in, draft):
    assert "예제의 길이를 재는 중입니다" in section(page_of(signed_in, draft))


def test_the_lengths_are_drawn_and_said(signed_in, draft):
    counted(draft)
    page = page_of(signed_in, draft)
    said = section(page)
    assert "예제 절반은 20토큰 이하이고, 100개 가운데 95개는 500토큰 이하입니다." in said
    assert "가장 긴 예제는 500토큰입니다. 10개는 한계인 256토큰보다 깁니다." in said
    assert "한계 256" in said and 'class="bar over"' in page
    assert 'aria-labelledby="lengths-caption"' in page and 'id="lengths-caption"' in page
    assert "답변 40개의 절반은 10토큰 이하이고, 가장 긴 답변은 390토큰입니다." in said


def test_where_nothing_is_too_long_there_is_nothing_to_choose(signed_in, draft):
    counted(draft, (40, 20, 10))
    page = page_of(signed_in, draft)
    assert "한계인 256토큰을 넘는 예제는 없습니다." in section(page)
    assert 'id="way-' not in page and 'class="bar over"' not in page


def test_each_way_says_what_it_leaves_and_costs(signed_in, draft, settings):
    making.measured(settings.DATA, 0.01)
    counted(draft)
    said = section(page_of(signed_in, draft))
    assert "예제 10개가 256토큰보다 깁니다." in said
    assert "한계를 가장 긴 예제에 맞추어 500토큰으로 늘립니다." in said
    assert re.search(
        r"자르는 것과 비교하면 시간 약 \d+ % 늘어남 · 메모리 (약 \d+ % 늘어남|그대로)", said
    )
    assert "긴 예제 10개를 학습에서 빼고, 남은 30개는 끝까지 학습합니다." in said
    assert "256토큰까지만 학습합니다. 예제 6개는 답변의 뒷부분이 잘립니다." in said
    assert "예제 4개는 답변이 남지 않아 학습에서 뺍니다." in said


def test_one_press_saves_a_way_and_brings_all_that_it_changes(signed_in, draft):
    counted(draft)
    page_of(signed_in, draft)
    answer = choose(signed_in, draft, "drop", headers=HTMX)
    draft.refresh_from_db()
    assert (draft.overflow, draft.knobs) == ("drop", {"max_length": 256})
    assert 'id="way-drop" name="way" value="drop" aria-pressed="true"' in answer.text
    assert "예제 40개 가운데 30개 사용" in answer.text and "<html" not in answer.text
    for name in ("summary", "start", "lengths", "cutters"):
        assert re.search(rf'id="{name}"[^>]*hx-swap-oob="outerHTML"', answer.text), name
    assert drafts.fingerprint(draft) in answer.text


def test_a_way_is_saved_without_script_too(signed_in, draft):
    counted(draft)
    answer = choose(signed_in, draft, "raise")
    assert answer.status_code == 302 and answer.url == f"/train/{draft.pk}/data/#lengths"
    draft.refresh_from_db()
    assert draft.knobs == {"max_length": 500} and drafts.usable_examples(draft) == 40
    choose(signed_in, draft, "cut")
    draft.refresh_from_db()
    assert draft.overflow == "cut"


def test_what_is_no_way_changes_nothing(signed_in, draft):
    counted(draft)
    assert choose(signed_in, draft, "magic").status_code == 302
    draft.refresh_from_db()
    assert (draft.overflow, draft.knobs) == ("cut", {"max_length": 256})


def test_before_the_data_is_counted_there_is_nothing_to_choose(signed_in, draft):
    drafts.token_count(draft)
    assert choose(signed_in, draft, "drop").status_code == 302
    draft.refresh_from_db()
    assert draft.overflow == "cut"


def test_a_choice_in_step_three_stands_in_step_two(signed_in, draft):
    counted(draft)
    choose(signed_in, draft, "raise")
    page = signed_in.get(f"/train/{draft.pk}/model/").text
    assert 'id="mode-manual" checked' in page and 'name="max_length" value="500"' in page


def test_a_base_that_reads_no_more_is_said(signed_in, draft):
    Job.objects.update(knobs={})
    counted(draft, (30, 20, 10), (10, 900, 10))
    page = page_of(signed_in, draft)
    assert "512토큰이 이 기본 모델로 읽을 수 있는 가장 긴 길이" in section(page)
    assert 'id="way-raise"' not in page and 'id="way-drop"' in page


def test_a_way_that_leaves_too_few_says_so(signed_in, draft):
    counted(draft, (15, 20, 10), (25, 400, 10))
    said = section(page_of(signed_in, draft))
    assert "쓸 수 있는 예제가 15개뿐이라 시작할 수 없습니다. 20개 이상이 필요합니다." in said
    assert said.count("개뿐이라 시작할 수 없습니다") == 1


def test_a_way_that_this_machine_may_not_carry_says_so(signed_in, draft, settings, monkeypatch):
    making.measured(settings.DATA, 0.01)
    counted(draft)
    assert "모자랄 수 있습니다" not in section(page_of(signed_in, draft))
    monkeypatch.setattr(fit.psutil, "virtual_memory", lambda: type("M", (), {"total": 2**28})())
    assert "이 컴퓨터에서는 모자랄 수 있습니다" in section(page_of(signed_in, draft))


def test_a_raised_limit_can_be_taken_back(signed_in, draft, monkeypatch):
    monkeypatch.setattr(recipe, "LONGEST", 256)
    Job.objects.update(knobs={})
    counted(draft)
    choose(signed_in, draft, "raise")
    page = page_of(signed_in, draft)
    assert (
        'value="raise" aria-pressed="true"' in page and 'value="cut" aria-pressed="false"' in page
    )
    choose(signed_in, draft, "cut")
    draft.refresh_from_db()
    assert draft.knobs == {}


# --- base models beside each other ----------------------------------------------------------------
@pytest.fixture
def two_bases(settings, tmp_path, tiny_base, draft) -> Job:
    settings.MODELS = tmp_path / "models"
    for name in ("tiny", "korean"):
        shutil.copytree(tiny_base, settings.MODELS / name)
    Job.objects.update(base="tiny")
    draft.refresh_from_db()
    return draft


def test_samples_are_ordered_once_the_data_itself_is_counted(signed_in, two_bases):
    page_of(signed_in, two_bases)
    assert not TokenCount.objects.filter(is_sample=True).exists()
    counted(two_bases)
    for _visit in range(2):
        page = page_of(signed_in, two_bases)
        assert "모델마다 토큰을 세는 중입니다." in page and "comparison/" in page
    found = TokenCount.objects.filter(is_sample=True).values_list("base", "status")
    assert sorted(found) == [("korean", "waiting"), ("tiny", "waiting")]


def test_bases_are_compared_the_thriftiest_first(signed_in, two_bases):
    counted(two_bases)
    page_of(signed_in, two_bases)
    sampled("tiny", 1500)
    sampled("korean", 600, (40, 20, 10))
    page = page_of(signed_in, two_bases)
    said = section(page, "cutters")
    assert "이 데이터의 예제 40개로 세었습니다." in said and "세는 중" not in said
    assert said.index("korean") < said.index("60.0") < said.index("tiny") < said.index("150.0")
    assert "가장 적은 모델의 2.5배" in said and "지금 모델" in said
    assert re.search(r"60\.0 0개 한계 256", said) and re.search(r"150\.0 10개 한계 256", said)
    assert "지금 고른 tiny 모델은 같은 글에 korean 모델의 2.5배가 되는 토큰을 씁니다." in page
    assert 'width="40.00%"' in page and "comparison/" not in page


def test_a_base_that_is_not_twice_as_wasteful_is_not_blamed(signed_in, two_bases):
    counted(two_bases)
    page_of(signed_in, two_bases)
    sampled("tiny", 1200)
    sampled("korean", 600)
    page = page_of(signed_in, two_bases)
    assert "가장 적은 모델의" not in page and "지금 고른 tiny" not in page


def test_each_base_has_the_limit_that_it_would_have(signed_in, two_bases, monkeypatch):
    Job.objects.update(knobs={})
    found = {base.slug: base for base in bases.catalogue()}
    counted(two_bases)
    page_of(signed_in, two_bases)
    sampled("tiny", 700)
    sampled("korean", 600)
    config = found["korean"].folder / "config.json"
    config.write_text(
        config.read_text().replace(
            '"max_position_embeddings": 512', '"max_position_embeddings": 128'
        )
    )
    said = section(page_of(signed_in, two_bases), "cutters")
    assert "60.0 10개 한계 128" in said and "70.0 0개 한계 512" in said


def test_the_table_fetches_itself_till_all_are_counted(signed_in, two_bases):
    counted(two_bases)
    address = f"/train/{two_bases.pk}/comparison/"
    first = signed_in.get(address, headers=HTMX).text
    assert f'hx-get="{address}"' in first and 'id="wasteful" hx-swap-oob' in first
    sampled("tiny", 1500)
    assert "every 1s" in signed_in.get(address, headers=HTMX).text
    TokenCount.objects.filter(base="korean").update(
        status="failed", error={"code": "tokenizer_unreadable", "params": {"folder": "korean"}}
    )
    last = signed_in.get(address, headers=HTMX).text
    assert "every 1s" not in last and "korean 모델로는 셀 수 없었습니다." in last


def test_one_base_alone_has_nothing_beside_it(signed_in, draft):
    counted(draft)
    page_of(signed_in, draft)
    sampled(draft.base, 900)
    assert "견주어 볼 모델이 없습니다" in page_of(signed_in, draft)


def test_editing_the_data_has_samples_counted_anew(two_bases):
    from training.datasets import editing

    counted(two_bases)
    versions.samples(two_bases.version, ["tiny", "korean"])
    opened = editing.remove(two_bases.version.dataset, [0])
    versions.samples(opened, ["tiny"])
    editing.remove(opened.dataset, [1])
    assert not opened.token_counts.exists()


@pytest.mark.parametrize("step", ["long", "comparison"])
def test_other_peoples_lengths_are_not_there(signed_in, base, stranger, step):
    foreign = Job.objects.create(owner=stranger, base=base)
    ask = signed_in.post if step == "long" else signed_in.get
    assert ask(f"/train/{foreign.pk}/{step}/", {"way": "drop"}).status_code == 404
