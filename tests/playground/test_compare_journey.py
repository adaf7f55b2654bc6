"""Three models side by side in a real browser, on a real `manage.py up`: asked blind, voted on, asked
on, stopped, asked again, opened again, taken home and deleted; wide and narrow."""

import re
import shutil

import pytest
import tiny
from playwright.sync_api import Page, expect, sync_playwright
from running import Studio

from tests import browser as chromium

pytestmark = pytest.mark.journey
PASSWORD = "Sea-salt-42!"
NAMES = ("첫째 모델", "둘째 모델")
ROWS = """
import shutil
from django.conf import settings
from studio.models import User
from training import registry
from training.models import Dataset, DatasetVersion, Job, TunedModel
owner = User.objects.create_user("mina", password="Sea-salt-42!", name="민아", is_staff=True)
version = DatasetVersion.objects.create(dataset=Dataset.objects.create(owner=owner, name="d"), status="ready")
for name in ("첫째 모델", "둘째 모델"):
    job = Job.objects.create(owner=owner, name=name, method="lora", base="tiny", status="succeeded", version=version)
    row = TunedModel.objects.create(owner=owner, name=name, job=job, base="tiny", method="lora")
    shutil.copytree(settings.DATA / name, registry.folder(row))
print(job.pk)
"""


@pytest.fixture(scope="module")
def studio(tmp_path_factory, adapter, other_adapter):
    data = tmp_path_factory.mktemp("compare")
    tiny.build(data / "models" / "tiny", context_length=8192)
    for name, folder in zip(NAMES, (adapter, other_adapter), strict=True):
        shutil.copytree(folder, data / name)
    with Studio(data) as running:
        yield running


@pytest.fixture(scope="module")
def job(studio) -> str:
    """The training of the second model."""
    return studio.shell(ROWS).splitlines()[-1]


@pytest.fixture(scope="module")
def page(studio, job):
    with sync_playwright() as playwright:
        browser = chromium.launch(playwright)
        context = browser.new_context(locale="ko-KR", viewport={"width": 1440, "height": 900})
        page = context.new_page()
        page.said = []
        page.on("console", lambda message: page.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: page.said.append(f"error: {error}"))
        page.goto(studio.url + "/login/")
        page.locator("[name=username]").fill("mina")
        page.locator("[name=password]").fill(PASSWORD)
        page.locator("main button").click()
        expect(page).to_have_url(studio.url + "/")
        yield page
        browser.close()


@pytest.fixture(autouse=True)
def quiet_console(page):
    page.said.clear()
    yield
    assert not [line for line in page.said if line.startswith("error") and "422" not in line]


def set_length(page: Page, tokens: int) -> None:
    page.locator("summary", has_text="시스템 프롬프트와 설정").click()
    page.locator("#max_tokens").fill(str(tokens))


def wait_for_all(page: Page, number: int) -> None:
    """Wait until a round has ended and was drawn anew by the server."""
    answers = page.locator(f"#round-{number} .answer")
    expect(answers.locator(".turn-meta:not(:empty)")).to_have_count(3, timeout=60_000)
    expect(page.locator(f"#round-{number} button[value=tie]")).to_be_visible()


def is_too_wide(page: Page) -> bool:
    return page.evaluate("document.scrollingElement.scrollWidth > innerWidth")


def test_three_models_are_asked_blind_and_named_after_the_vote(page, studio, job):
    page.goto(f"{studio.url}/models/{job}/")
    page.get_by_role("link", name="나란히 비교").click()
    selects = page.locator("select[name=model]")
    expect(selects.nth(0).locator("option:checked")).to_have_text(NAMES[1])
    expect(selects.nth(1)).to_have_value("base:tiny")
    selects.nth(2).select_option(label=NAMES[0])
    page.get_by_label("질문").fill("오늘 날씨 어때요")
    page.get_by_label("이름 가리고 비교").check()
    set_length(page, 40)
    page.get_by_role("button", name="비교하기").click()
    page.wait_for_url(re.compile("/playground/compare/.+/"))
    wait_for_all(page, 1)
    assert not [name for name in (*NAMES, "tiny") if name in page.content()]
    page.locator("#round-1 button[value='best:1']").press("Enter")
    expect(page.locator("#round-1 .voted")).to_be_focused()
    for name in (*NAMES, "tiny"):
        expect(page.locator("#round-1 .answers")).to_contain_text(name)
        expect(page.locator("#contenders")).to_contain_text(name)
    expect(page.locator("#round-1 .answer.best")).to_have_count(1)
    expect(page.locator("#standings")).to_contain_text("1번 가운데 1번")


def test_the_next_question_is_stopped_and_asked_again(page):
    page.get_by_label("이름 가리고 비교").uncheck()
    set_length(page, 4096)
    question = page.locator("#question")
    question.fill("내일은?")
    question.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    expect(page.locator(".round")).to_have_count(1)  # a syllable was being composed
    question.press("Enter")
    running = page.locator("#round-2 .answer.running")
    expect(running).to_have_count(3)
    expect(question).to_have_value("")
    expect(page.locator("#round-2 .answer .turn-text:not(:empty)")).to_have_count(3, timeout=60_000)
    page.get_by_role("button", name="멈추기").click()
    wait_for_all(page, 2)
    expect(page.locator("#round-2")).to_contain_text("여기서 멈췄습니다")
    page.locator("#max_tokens").fill("20")
    page.locator("#round-2").get_by_role("button", name="다시").click()
    wait_for_all(page, 3)
    expect(page.locator("#round-2")).to_contain_text("아래에서 다시 물었습니다")
    expect(page.locator("#round-3 .turn.user")).to_contain_text("내일은?")
    page.locator("#round-3 button[value=tie]").click()
    expect(page.locator("#round-3 .voted")).to_contain_text("비슷해요")
    page.locator("#round-3 button[value=none]").click()
    expect(page.locator("#round-3 .voted")).to_contain_text("모두 별로")


def test_an_empty_question_is_refused_where_it_is_typed(page):
    question = page.locator("#question")
    question.fill("   ")
    page.get_by_role("button", name="보내기").click()
    expect(page.locator("#compare-problem")).to_contain_text("비어 있습니다")
    expect(page.locator(".round")).to_have_count(3)


def test_what_was_compared_is_there_later_on_a_narrow_screen_too(page, studio):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(studio.url + "/playground/")
    page.locator("summary", has_text="대화 목록").click()
    page.get_by_role("link", name="나란히 비교").click()
    assert not is_too_wide(page)
    expect(page.locator("#standings")).to_contain_text("1번 가운데 1번")
    page.locator(".past").get_by_role("link", name="오늘 날씨 어때요").click()
    expect(page.locator(".round")).to_have_count(3)
    assert not is_too_wide(page)
    boxes = [one.bounding_box() for one in page.locator("#round-1 .answer").all()]
    assert boxes[0]["x"] == boxes[1]["x"] and boxes[0]["y"] < boxes[1]["y"] < boxes[2]["y"]
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    rows = download.value.path().read_text("utf-8-sig").splitlines()
    assert rows[0].startswith("질문,모델,")
    page.get_by_role("button", name="삭제").first.click()
    page.get_by_role("dialog").get_by_role("button", name="삭제").click()
    expect(page.locator("#notices")).to_contain_text("비교를 삭제했습니다")
    expect(page.locator(".past")).to_have_count(0)
