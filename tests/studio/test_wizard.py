"""모델 학습: a draft that keeps what was entered, its data, and 조정 시작."""

import re

import making
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from training.models import DatasetVersion, Job, TokenCount

HTMX = {"HX-Request": "true"}


@pytest.fixture
def draft(signed_in, base) -> Job:
    signed_in.post("/train/new/")
    return Job.objects.get()


def at(draft: Job, step: str) -> str:
    return f"/train/{draft.pk}/{step}/"


def counted(*groups: tuple[int, int, int]) -> None:
    """Answer the token count that the light lane would: examples, their length, tokens before the
    answer."""
    result = making.lengths(*(groups or [(40, 20, 10)]))
    TokenCount.objects.update(status="ready", result=result)


def test_new_opens_the_first_step_on_a_draft(signed_in, base):
    answer = signed_in.post("/train/new/")
    draft = Job.objects.get()
    assert draft.status == "draft" and answer.url == at(draft, "method")


def test_the_guides_labels_stand_on_the_three_steps(signed_in, draft):
    wanted = {
        "method": ("학습 방법 선택", "미세 조정", "효율적인 미세 조정(PEFT)",
                   "전체 미세 조정(Full)", "계속"),
        "model": ("모델 설정", "모델 기본 정보 설정", "모델 이름", "기본 모델", "UI를 통한 설정",
                  "학습 반복", "배치 크기", "학습률", "계속"),
        "data": ("학습 데이터 설정", "JSONL 파일을 업로드", "URL로부터 JSONL 파일을 업로드",
                 "조정 시작"),
    }  # fmt: skip
    for step, labels in wanted.items():
        page = signed_in.get(at(draft, step)).text
        for label in labels:
            assert label in page, (step, label)


def test_a_draft_is_saved_across_the_steps(signed_in, draft, base):
    assert signed_in.post(at(draft, "method"), {"method": "full"}).url == at(draft, "model")
    form = {"name": "민원 답변", "base": base, "mode": "manual", "epochs": "2", "seed": "7"}
    assert signed_in.post(at(draft, "model"), form).url == at(draft, "data")
    draft.refresh_from_db()
    assert (draft.method, draft.name, draft.base) == ("full", "민원 답변", base)
    assert draft.knobs == {"epochs": 2, "seed": 7}
    page = signed_in.get(at(draft, "model")).text
    assert 'value="민원 답변"' in page and 'name="epochs" value="2"' in page
    assert "이어서 작성" in signed_in.get("/train/").text


def test_autosave_answers_the_summary(signed_in, draft, base):
    form = {"name": "민원", "base": base, "mode": "recommended"}
    answer = signed_in.post(at(draft, "model"), form, headers=HTMX)
    assert answer.status_code == 200
    assert 'id="summary"' in answer.text and "<html" not in answer.text
    draft.refresh_from_db()
    assert draft.name == "민원"


def test_autosave_lets_a_name_wait_but_going_on_does_not(signed_in, draft, base):
    form = {"name": "", "base": base, "mode": "recommended"}
    assert signed_in.post(at(draft, "model"), form, headers=HTMX).status_code == 200
    answer = signed_in.post(at(draft, "model"), form)
    assert answer.status_code == 422
    assert "모델 이름을 입력하세요" in answer.text


def test_a_bad_knob_is_422_and_what_is_sound_is_saved(signed_in, draft, base):
    form = {"name": "민원", "base": base, "mode": "manual", "epochs": "many", "batch_size": "4"}
    for headers in (HTMX, {}):
        answer = signed_in.post(at(draft, "model"), form, headers=headers)
        assert answer.status_code == 422
        assert "1에서 50 사이" in answer.text
    assert 'value="many"' in answer.text  # nothing that was typed is lost
    draft.refresh_from_db()
    assert draft.name == "민원" and draft.knobs == {"batch_size": 4}


def test_a_wrong_knob_is_marked_and_leaves_its_last_sound_value(signed_in, draft, base):
    form = {"name": "민원", "base": base, "mode": "manual", "epochs": "5", "seed": "7"}
    signed_in.post(at(draft, "model"), form, headers=HTMX)
    answer = signed_in.post(at(draft, "model"), form | {"epochs": "오", "seed": "8"}, headers=HTMX)
    assert 'data-mistake-of="id_epochs"' in answer.text
    draft.refresh_from_db()
    assert draft.knobs == {"epochs": 5, "seed": 8}


def test_settings_by_hand_stay_open_where_no_value_could_be_kept(signed_in, draft, base):
    form = {"name": "민원", "base": base, "mode": "manual", "epochs": "many"}
    signed_in.post(at(draft, "model"), form, headers=HTMX)
    assert 'id="mode-manual" checked' in signed_in.get(at(draft, "model")).text
    signed_in.post(at(draft, "model"), form | {"mode": "recommended"}, headers=HTMX)
    assert 'id="mode-manual" checked' not in signed_in.get(at(draft, "model")).text


def test_the_settings_say_automatic_in_words(signed_in, draft):
    page = signed_in.get(at(draft, "model")).text
    assert ">auto<" not in page and '"auto"' not in page and "(auto)" not in page
    assert 'placeholder="자동"' in page and "비워 두면" in page


def test_recommended_settings_ignore_what_stands_in_the_fields(signed_in, draft, base):
    form = {"name": "민원", "base": base, "mode": "recommended", "epochs": "9"}
    signed_in.post(at(draft, "model"), form)
    draft.refresh_from_db()
    assert draft.knobs == {}


def test_a_base_that_is_not_there_is_refused(signed_in, draft):
    form = {"name": "민원", "base": "../../etc", "mode": "recommended"}
    assert signed_in.post(at(draft, "model"), form).status_code == 422


def test_an_unknown_method_is_refused(signed_in, draft):
    assert signed_in.post(at(draft, "method"), {"method": "magic"}).status_code == 422


def test_a_refused_folder_is_shown_with_its_reason(signed_in, draft, settings, tmp_path):
    settings.MODELS = tmp_path / "models"
    (settings.MODELS / "pickled").mkdir(parents=True)
    (settings.MODELS / "pickled" / "pytorch_model.bin").touch()
    page = signed_in.get(at(draft, "model")).text
    assert 'value="pickled" disabled' in page and "pytorch_model.bin" in page


def test_an_upload_becomes_the_drafts_data(signed_in, draft):
    file = SimpleUploadedFile("질문.jsonl", b'{"prompt": "a", "completion": "b"}\n')
    assert signed_in.post(at(draft, "upload"), {"file": file}).url == at(draft, "data")
    version = DatasetVersion.objects.get()
    draft.refresh_from_db()
    assert draft.version == version and version.file_name == "질문.jsonl"
    page = signed_in.get(at(draft, "data")).text
    assert "every 1s" in page and "disabled" in page


def test_an_upload_by_script_answers_where_to_go(signed_in, draft):
    file = SimpleUploadedFile("질문.jsonl", b"{}\n")
    answer = signed_in.post(
        at(draft, "upload"), {"file": file}, headers={"Accept": "application/json"}
    )
    assert answer.json() == {"onward": at(draft, "data")}


def test_an_empty_upload_is_422(signed_in, draft):
    for data in ({}, {"file": SimpleUploadedFile("leer.jsonl", b"")}):
        assert signed_in.post(at(draft, "upload"), data).status_code == 422
    assert not DatasetVersion.objects.exists()


def test_a_url_that_cannot_be_meant_is_422_with_the_reason(signed_in, draft):
    answer = signed_in.post(at(draft, "url"), {"url": "ftp://example.org/a.jsonl"})
    assert answer.status_code == 422
    assert "http:// 또는 https://로 시작하는 주소가 아닙니다." in answer.text
    assert 'value="ftp://example.org/a.jsonl"' in answer.text
    assert answer.text.count(" autofocus") == 1
    assert " autofocus" not in signed_in.get(at(draft, "data")).text


def test_data_of_a_url_is_named_by_host_and_path(signed_in, draft):
    signed_in.post(at(draft, "url"), {"url": "https://files.example/login?next=rows.jsonl"})
    assert DatasetVersion.objects.get().dataset.name == "files.example/login"


def test_data_from_the_library_can_be_taken(signed_in, draft, user, make):
    version = make.version(user)
    assert version.dataset.name in signed_in.get(at(draft, "data")).text
    assert signed_in.post(at(draft, "library"), {"version": version.pk}).status_code == 302
    draft.refresh_from_db()
    assert draft.version == version


def test_other_peoples_data_cannot_be_taken(signed_in, draft, stranger, make):
    version = make.version(stranger)
    answer = signed_in.post(at(draft, "library"), {"version": version.pk})
    assert answer.status_code == 422
    draft.refresh_from_db()
    assert draft.version is None


@pytest.fixture
def ready(signed_in, draft, user, make) -> Job:
    draft.version, draft.name = make.version(user), "민원 답변"
    draft.save()
    signed_in.get(at(draft, "data"))
    return draft


def test_step_three_shows_examples_problems_and_why_it_waits(signed_in, ready):
    page = signed_in.get(at(ready, "data")).text
    assert page.count('class="turn user"') == 3
    assert "&lt;b&gt;끝&lt;/b&gt;" in page and "<b>끝" not in page
    assert "41번째 줄" in page
    assert 'id="start-reasons"' in page


def test_once_counted_the_summary_says_what_will_be_cut_and_opens_the_start(
    signed_in, ready, settings
):
    counted((37, 20, 10), (2, 900, 10), (1, 900, 600))
    making.measured(settings.DATA)
    page = signed_in.get(at(ready, "summary") + "?start=1", headers=HTMX).text
    assert "예상 시간" in page and "이 컴퓨터의 속도 기준" in page
    assert "예제 2개가" in page and "예제 1개는" in page and "답변이 들어오지 않아" in page
    assert "예제 40개 가운데 39개 사용" in page
    assert 'id="start"' in page and "disabled" not in page
    assert "every 1s" not in page


@pytest.mark.parametrize(
    ("overflow", "said"), [("drop", "길어서 학습에서 뺍니다"), ("fail", "시작하지 않습니다")]
)
def test_the_summary_says_what_becomes_of_long_examples(signed_in, ready, overflow, said):
    form = {"name": "하나", "base": ready.base, "mode": "manual", "overflow": overflow}
    signed_in.post(at(ready, "model"), form)
    assert f'value="{overflow}" selected' in signed_in.get(at(ready, "model")).text
    signed_in.get(at(ready, "summary"), headers=HTMX)
    counted((37, 20, 10), (2, 900, 10), (1, 900, 600))
    page = signed_in.get(at(ready, "summary"), headers=HTMX).text
    assert said in page and "뒤를 자릅니다" not in page


def test_the_recommended_settings_cut_long_examples(signed_in, ready):
    Job.objects.update(overflow="drop")
    form = {"name": "하나", "base": ready.base, "mode": "recommended", "overflow": "drop"}
    signed_in.post(at(ready, "model"), form)
    ready.refresh_from_db()
    assert ready.overflow == "cut"


def seen(page: str) -> dict:
    """Return what the start form of a page posts."""
    return {"seen": re.search(r'name="seen" value="(\w+)"', page)[1]}


def test_start_puts_the_job_in_line_and_shows_it(signed_in, ready):
    counted()
    form = seen(signed_in.get(at(ready, "data")).text)
    answer = signed_in.post(at(ready, "start"), form, follow=True)
    assert answer.redirect_chain[-1][0] == f"/models/{ready.pk}/"
    assert "곧 시작합니다" in answer.text and "시작했습니다" not in answer.text
    ready.refresh_from_db()
    assert ready.status == "queued"


def test_a_start_that_must_wait_says_how_many_are_before_it(signed_in, ready, stranger, make):
    theirs = make.version(stranger)
    make.job(stranger, theirs, status="running")
    make.job(stranger, theirs)
    counted()
    form = seen(signed_in.get(at(ready, "data")).text)
    page = signed_in.post(at(ready, "start"), form, follow=True).text
    sentence = "차례를 기다립니다. 앞에 다른 학습이 2개 있습니다. 끝나면 저절로 시작합니다."
    assert page.count(sentence) == 2  # the message and what is happening


def test_a_start_of_other_settings_than_the_page_shows_is_refused(signed_in, ready, base):
    counted()
    form = seen(signed_in.get(at(ready, "data")).text)
    elsewhere = {"name": "다른 이름", "base": base, "mode": "recommended"}
    signed_in.post(at(ready, "model"), elsewhere, headers=HTMX)
    answer = signed_in.post(at(ready, "start"), form)
    assert answer.status_code == 422 and "다른 창에서 설정이 바뀌었습니다." in answer.text
    assert "다른 이름" in answer.text
    assert signed_in.post(at(ready, "start"), {}).status_code == 422
    assert signed_in.post(at(ready, "start"), seen(answer.text)).status_code == 302


def test_the_summarys_polls_refresh_what_the_start_form_has_seen(signed_in, ready):
    before = seen(signed_in.get(at(ready, "data")).text)
    Job.objects.update(name="새 이름")
    after = seen(signed_in.get(at(ready, "summary") + "?start=1", headers=HTMX).text)
    assert before != after == seen(signed_in.get(at(ready, "data")).text)


def test_the_summary_of_the_other_steps_brings_no_start_form_along(signed_in, ready):
    assert 'id="start"' not in signed_in.get(at(ready, "summary"), headers=HTMX).text
    assert "summary/?start=1" not in signed_in.get(at(ready, "method")).text
    assert "summary/?start=1" in signed_in.get(at(ready, "data")).text


def test_a_start_that_may_not_be_says_why_on_the_same_page(signed_in, draft):
    answer = signed_in.post(at(draft, "start"), seen(signed_in.get(at(draft, "data")).text))
    assert answer.status_code == 422
    assert answer.text.count("모델 이름이 없습니다.") == 1
    assert f'<a href="{at(draft, "model")}">2단계에서 모델 이름을 입력하세요.</a>' in answer.text
    draft.refresh_from_db()
    assert draft.status == "draft"


def test_too_few_examples_keep_the_start_closed(signed_in, draft, user, make):
    draft.version = make.version(user, count=5)
    draft.save()
    page = signed_in.get(at(draft, "data")).text
    assert "disabled" in page and "20" in page


def test_a_started_job_leads_from_the_wizard_to_its_page(signed_in, user, base, make):
    job = make.job(user, make.version(user))
    for step in ("method", "model", "data"):
        assert signed_in.get(at(job, step)).url == f"/models/{job.pk}/"


def test_only_steps_that_need_nothing_more_are_ticked(signed_in, draft, user, make):
    draft.version = make.version(user)
    draft.save()
    assert signed_in.get(at(draft, "data")).text.count('class="done"') == 1
    draft.name = "민원"
    draft.save()
    assert signed_in.get(at(draft, "data")).text.count('class="done"') == 2


def test_a_draft_is_thrown_away_after_a_question(signed_in, draft):
    assert "이름 없는 학습을 지울까요?" in signed_in.get("/train/").text
    assert "이름 없는 학습을 지울까요?" in signed_in.get(at(draft, "discard")).text
    assert Job.objects.exists()
    assert signed_in.post(at(draft, "discard")).url == "/train/"
    assert not Job.objects.exists()


def test_a_reading_that_fails_reloads_the_page(signed_in, ready):
    DatasetVersion.objects.update(status="failed", error={"code": "file_is_page", "params": {}})
    answer = signed_in.get(at(ready, "reading"), headers=HTMX)
    assert answer.headers["HX-Refresh"] == "true"
    page = signed_in.get(at(ready, "data")).text
    assert page.count("웹 페이지(HTML)") == 1
    assert "먼저 읽을 수 있는 데이터를 올리세요." in page


def test_a_reason_that_a_choice_about_long_examples_cures_leads_there(signed_in, ready):
    Job.objects.update(overflow="fail")
    counted((37, 20, 10), (3, 900, 10))
    page = signed_in.get(at(ready, "data")).text
    reasons = page[page.index('id="start-reasons"') :].partition("</div>")[0]
    assert "3개가" in reasons and 'href="#lengths"' in reasons and 'id="lengths"' in page


def test_a_reason_that_another_base_cures_leads_to_step_two(signed_in, ready):
    counted((10, 20, 10), (30, 900, 600))
    page = signed_in.get(at(ready, "data")).text
    reasons = page[page.index('id="start-reasons"') :].partition("</div>")[0]
    assert "더 길게 읽는 기본 모델" in reasons and f'href="{at(ready, "model")}"' in reasons


@pytest.mark.parametrize("step", ["method", "model", "data", "reading", "summary"])
def test_other_peoples_drafts_are_not_there(signed_in, base, stranger, step):
    foreign = Job.objects.create(owner=stranger, base=base)
    assert signed_in.get(at(foreign, step)).status_code == 404


CHANGES = ["method", "model", "recipe", "upload", "url", "library", "start", "discard"]


@pytest.mark.parametrize("step", CHANGES)
def test_other_peoples_drafts_cannot_be_changed(signed_in, base, stranger, step):
    foreign = Job.objects.create(owner=stranger, base=base)
    assert signed_in.post(at(foreign, step), {"method": "full"}).status_code == 404
    foreign.refresh_from_db()
    assert foreign.method == "lora"


# --- the kind of work -----------------------------------------------------------------------------
def test_no_kind_of_work_is_chosen_until_somebody_does(signed_in, draft):
    page = signed_in.get(at(draft, "method")).text
    assert 'name="work" value="" checked' in page
    signed_in.post(at(draft, "method"), {"method": "lora"})
    draft.refresh_from_db()
    assert draft.work == ""
    page = signed_in.get(at(draft, "data")).text
    assert "하는 일</dt>" not in page and "starter-title" not in page


def test_a_kind_of_work_is_kept_and_said_beside_every_step(signed_in, draft):
    form = {"method": "lora", "work": "classify"}
    assert signed_in.post(at(draft, "method"), form).url == at(draft, "model")
    draft.refresh_from_db()
    assert draft.work == "classify"
    assert 'name="work" value="classify" checked' in signed_in.get(at(draft, "method")).text
    for step in ("method", "model", "data"):
        assert "<dt>하는 일</dt><dd>분류</dd>" in signed_in.get(at(draft, step)).text


def test_an_unknown_kind_of_work_is_refused(signed_in, draft):
    form = {"method": "lora", "work": "magic"}
    assert signed_in.post(at(draft, "method"), form).status_code == 422
    draft.refresh_from_db()
    assert draft.work == ""


def test_a_recommendation_is_told_in_step_two_and_gives_way_to_the_user(signed_in, ready, base):
    signed_in.post(at(ready, "method"), {"method": "lora", "work": "classify"})
    page = signed_in.get(at(ready, "model")).text
    assert "«분류»에는 학습 반복을 자동보다 2번 더 하기를" in page
    assert "«분류»에 권장하는 대로 여기에 2번을 더합니다" in page and 'placeholder="권장"' in page
    assert re.search(r'<dd>27번\s*<span class="help">권장</span>', page)
    form = {"name": "민원", "base": base, "mode": "manual", "epochs": "2"}
    said = signed_in.post(at(ready, "model"), form, headers=HTMX).text
    assert "<dd>2번" in said and "권장" not in said


def test_a_recommendation_is_recorded_with_the_start(signed_in, ready):
    signed_in.post(at(ready, "method"), {"method": "lora", "work": "classify"})
    counted()
    signed_in.post(at(ready, "start"), seen(signed_in.get(at(ready, "data")).text))
    ready.refresh_from_db()
    assert (ready.status, ready.resolved["epochs"], ready.knobs) == ("queued", 27, {})
    page = signed_in.get(f"/models/{ready.pk}/").text
    assert "<dt>하는 일</dt><dd>분류</dd>" in page
    assert re.search(r'<dd>27번\s*<span class="help">권장</span>', page)
    assert '"epochs": 27' in signed_in.get(f"/models/{ready.pk}/recipe/").text


def test_step_three_offers_the_kinds_template_first(signed_in, draft):
    signed_in.post(at(draft, "method"), {"method": "lora", "work": "reference"})
    page = signed_in.get(at(draft, "data")).text
    offered = page.index("/data/templates/reference.xlsx")
    assert offered < page.index("JSONL 파일을 업로드")
    assert 'href="/data/templates/#reference"' in page


def test_a_draft_in_which_nothing_was_written_is_opened_again(signed_in, draft):
    first = signed_in.post("/train/new/").url
    assert signed_in.post("/train/new/").url == first
    Job.objects.filter(pk=draft.pk).update(name="쓰던 것")
    signed_in.post("/train/new/")
    signed_in.post("/train/new/")
    assert Job.objects.count() == 2


def test_a_zero_is_no_batch_size(signed_in, draft):
    form = {"name": "a", "base": "tiny", "mode": "manual", "batch_size": "0"}
    answer = signed_in.post(at(draft, "model"), form)
    assert answer.status_code == 422 and "1에서 256 사이" in answer.text


def test_whoever_comes_for_a_knob_finds_it_open(signed_in, draft):
    page = signed_in.get(at(draft, "model") + "?knob=validation_share").text
    assert 'id="mode-manual" checked' in page
    assert '<details class="fold expert" open' in page and 'id="id_validation_share"' in page


def test_a_wrong_url_leaves_the_chosen_data_in_view(signed_in, draft, user, make):
    version = make.version(user)
    Job.objects.filter(pk=draft.pk).update(version=version)
    answer = signed_in.post(at(draft, "url"), {"url": "메롱"})
    assert answer.status_code == 422 and 'id="reading"' in answer.text
    assert '<details class="fold section" open' in answer.text
