"""모델 학습: a draft that keeps what was entered, its data, and 조정 시작."""

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


def counted(draft: Job, **result) -> None:
    """Answer the token count that the light lane would."""
    facts = {"examples": 40, "tokens": 800, "labels": 400, "longest": 30, "cut": 0, "lost": 0}
    TokenCount.objects.update(status="ready", result=facts | result)


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
        assert "1부터 50까지" in answer.text
    assert 'value="many"' in answer.text  # nothing that was typed is lost
    draft.refresh_from_db()
    assert draft.name == "민원" and draft.knobs == {}


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
    assert "ftp" in answer.text and 'value="ftp://example.org/a.jsonl"' in answer.text


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


def test_once_counted_the_summary_says_what_will_be_cut_and_opens_the_start(signed_in, ready, settings):
    counted(ready, cut=3, lost=1)
    (settings.DATA / "speed.json").write_text('{"gigaflops": 900}')
    page = signed_in.get(at(ready, "summary"), headers=HTMX).text
    assert "예상 시간" in page and "이 컴퓨터의 속도 기준" in page
    assert "예제 3개가" in page and "1개는 답변이 남지 않아" in page
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
    counted(ready, cut=3, lost=1)
    page = signed_in.get(at(ready, "summary"), headers=HTMX).text
    assert said in page and "뒤를 자릅니다" not in page


def test_the_recommended_settings_cut_long_examples(signed_in, ready):
    Job.objects.update(overflow="drop")
    form = {"name": "하나", "base": ready.base, "mode": "recommended", "overflow": "drop"}
    signed_in.post(at(ready, "model"), form)
    ready.refresh_from_db()
    assert ready.overflow == "cut"


def test_start_puts_the_job_in_line_and_shows_it(signed_in, ready):
    counted(ready)
    assert signed_in.post(at(ready, "start")).url == f"/models/{ready.pk}/"
    ready.refresh_from_db()
    assert ready.status == "queued"


def test_a_start_that_may_not_be_says_why_on_the_same_page(signed_in, draft):
    answer = signed_in.post(at(draft, "start"))
    assert answer.status_code == 422
    assert "모델 이름이 없습니다." in answer.text
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


def test_a_draft_can_be_thrown_away(signed_in, draft):
    assert signed_in.post(at(draft, "discard")).url == "/train/"
    assert not Job.objects.exists()


def test_a_reading_that_fails_reloads_the_page(signed_in, ready):
    DatasetVersion.objects.update(status="failed", error={"code": "file_is_page", "params": {}})
    answer = signed_in.get(at(ready, "reading"), headers=HTMX)
    assert answer.headers["HX-Refresh"] == "true"
    assert "웹 페이지" in signed_in.get(at(ready, "data")).text


@pytest.mark.parametrize("step", ["method", "model", "data", "reading", "summary"])
def test_other_peoples_drafts_are_not_there(signed_in, base, stranger, step):
    foreign = Job.objects.create(owner=stranger, base=base)
    assert signed_in.get(at(foreign, step)).status_code == 404


CHANGES = ["method", "model", "upload", "url", "library", "start", "discard"]


@pytest.mark.parametrize("step", CHANGES)
def test_other_peoples_drafts_cannot_be_changed(signed_in, base, stranger, step):
    foreign = Job.objects.create(owner=stranger, base=base)
    assert signed_in.post(at(foreign, step), {"method": "full"}).status_code == 404
    foreign.refresh_from_db()
    assert foreign.method == "lora"
