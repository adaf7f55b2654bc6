"""설정 파일로 and 설정 내려받기: a recipe goes from a model's page into a draft."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from training import recipe_file
from training.models import Job

GOOD = {"dadeum_recipe": 1, "method": "lora", "base": "tiny", "settings": {"epochs": 4}}


@pytest.fixture
def draft(user, base) -> Job:
    return Job.objects.create(owner=user, base=base, knobs={"seed": 7})


def send(client, draft: Job, said: dict | bytes | None, **form: str):
    """Post step 2 with a file, as its «설정 채우기» does without a script."""
    sent = {"name": "적던 이름", "base": draft.base, "mode": "file"} | form
    if said is not None:
        raw = said if isinstance(said, bytes) else json.dumps(said).encode()
        sent["recipe"] = SimpleUploadedFile("설정.json", raw)
    return client.post(f"/train/{draft.pk}/recipe/", sent)


def test_a_models_recipe_fills_another_draft(signed_in, user, draft, make):
    job = make.job(user, make.version(user), status="succeeded", overflow="drop", knobs={})
    answer = signed_in.get(f"/models/{job.pk}/recipe/")
    assert "attachment" in answer.headers["Content-Disposition"]
    assert send(signed_in, draft, answer.content).url == f"/train/{draft.pk}/model/"
    draft.refresh_from_db()
    assert (draft.knobs, draft.overflow) == (job.resolved, "drop")
    page = signed_in.get(f"/train/{draft.pk}/model/").text
    assert "설정 파일의 값을 채웠습니다." in page and 'id="mode-manual" checked' in page
    assert 'name="epochs" value="3"' in page and 'value="적던 이름"' in page


def test_every_mistake_is_shown_and_nothing_is_lost(signed_in, draft):
    wrong = GOOD | {"colour": "red", "settings": {"epochs": 99, "lora_rnk": "<b>1</b>"}}
    answer = send(signed_in, draft, wrong)
    assert answer.status_code == 422
    for said in ("«colour» 항목", "«lora_rnk» 항목", "학습 반복: 1에서 50 사이"):
        assert said in answer.text
    assert 'id="mode-file" checked' in answer.text and 'value="적던 이름"' in answer.text
    draft.refresh_from_db()
    assert (draft.name, draft.knobs) == ("적던 이름", {"seed": 7})


def test_another_methods_recipe_names_both(signed_in, draft):
    answer = send(signed_in, draft, GOOD | {"method": "full"})
    assert "전체 미세 조정(Full) 설정인데" in answer.text
    assert "효율적인 미세 조정(PEFT)입니다. 1단계에서" in answer.text


def test_a_base_that_is_not_here_leaves_the_chosen_one(signed_in, draft, base):
    page = send(signed_in, draft, GOOD | {"base": "gone-7b"})
    page = signed_in.get(page.url).text
    assert "gone-7b 모델을 쓸 수 없어" in page and "나머지 설정은 모두 채웠습니다." in page
    draft.refresh_from_db()
    assert (draft.base, draft.knobs) == (base, {"epochs": 4})


def test_no_file_an_empty_one_and_a_large_one_are_refused(signed_in, draft):
    assert "설정 파일을 먼저 고르세요." in send(signed_in, draft, None).text
    assert "내용이 없는 파일입니다." in send(signed_in, draft, b"").text
    large = json.dumps(GOOD).encode() + b" " * recipe_file.MAX_BYTES
    assert "이 프로그램의 설정 파일이 아닙니다." in send(signed_in, draft, large).text


def test_going_on_by_file_keeps_what_was_filled_in(signed_in, draft, base):
    form = {"name": "민원", "base": base, "mode": "file", "epochs": "9"}
    assert signed_in.post(f"/train/{draft.pk}/model/", form).status_code == 302
    draft.refresh_from_db()
    assert draft.knobs == {"seed": 7}


def test_enter_in_a_field_goes_on_and_opens_no_file(signed_in, draft):
    """The first button of a form is the one that Enter presses."""
    page = signed_in.get(f"/train/{draft.pk}/model/").text
    form = page[page.index('class="model-form"') :]
    first = form[form.index("<button") :].partition(">")[0]
    assert "formaction" not in first and "aria-hidden" in first


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "줄\n바꿈", 'a";b', "가 나/다"])
def test_the_files_name_is_safe(signed_in, user, make, name):
    job = make.job(user, make.version(user), status="failed", name=name)
    header = signed_in.get(f"/models/{job.pk}/recipe/").headers["Content-Disposition"]
    assert "/" not in header and "\n" not in header and header.count('"') in (0, 2)
