"""The river in a real browser, on a real `manage.py up` with a tiny model: from the set-up link to
a chat with the model that was taught."""

import json
import re

import pytest
import serving
import tiny
from playwright.sync_api import Page, expect, sync_playwright
from running import Studio

from tests import browser as chromium

pytestmark = pytest.mark.journey
PASSWORD = "Sea-salt-42!"
COUNT = 240


@pytest.fixture(scope="module")
def file_server(tmp_path_factory):
    """A loopback server whose address the administrator allows for data URLs."""
    with serving.files(lambda path: jsonl()) as port:
        yield port


@pytest.fixture(scope="module")
def studio(tmp_path_factory, file_server):
    data = tmp_path_factory.mktemp("journey")
    tiny.build(data / "models" / "tiny", hidden_size=64)
    with Studio(data, DADEUM_FETCH_ALLOW=f"127.0.0.1:{file_server}") as running:
        yield running


@pytest.fixture(scope="module")
def page(studio):
    with sync_playwright() as playwright:
        browser = chromium.launch(playwright)
        context = browser.new_context(locale="ko-KR", viewport={"width": 1440, "height": 900})
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.said = []
        page.on("console", lambda message: page.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: page.said.append(f"error: {error}"))
        set_up(page, studio)
        yield page
        browser.close()


@pytest.fixture(autouse=True)
def quiet_console(page):
    """No page may break the Content-Security-Policy or raise an error."""
    page.said.clear()
    yield
    wrong = [line for line in page.said if line.startswith("error") and "422" not in line]
    assert not wrong


def jsonl() -> str:
    rows = [{"prompt": f"오늘 날씨 {i % 9} 어때요", "completion": "맑습니다"} for i in range(COUNT)]
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


def csv() -> str:
    turns = [
        f"{i},user,오늘 날씨 {i % 9}\n{i},assistant,맑습니다\n{i},user,내일은?\n{i},assistant,비가 옵니다"
        for i in range(COUNT)
    ]
    return "\r\n".join(["C_ID,role,content", *turns])


def printed() -> str:
    """The way the guide prints its examples: spread over lines, with raw line breaks in strings."""
    one = """{"messages": [
       {"role": "user", "content": "다음 문서를 요약해주세요.

       문서: 오늘 날씨"},
       {"role": "assistant", "content": "1. 맑습니다
       - 비가 옵니다"}
]}"""
    return "\n".join([one] * COUNT)


def set_up(page: Page, studio: Studio) -> None:
    page.goto(studio.setup_link)
    inputs = page.locator("form.card input:not([type=hidden])")
    page.locator("[name=username]").fill("mina")
    page.locator("[name=name]").fill("민아")
    for field in inputs.all():
        if field.get_attribute("type") == "password":
            field.fill(PASSWORD)
    page.get_by_role("button", name="계속").click()
    if "/login/" in page.url:
        page.locator("[name=username]").fill("mina")
        page.locator("[name=password]").fill(PASSWORD)
        page.locator("main button").click()
    expect(page).to_have_url(studio.url + "/")


def choose(page: Page, radio: str) -> None:
    """Press the card around a radio button once it has stopped moving: what is saved meanwhile may
    shift the page a little."""
    page.locator("label", has=page.locator(radio)).click(position={"x": 12, "y": 12})
    expect(page.locator(radio)).to_be_checked()


def walk_to_data(page: Page, studio: Studio, name: str, method: str = "lora", **knobs: str) -> None:
    page.goto(studio.url)
    page.get_by_role("navigation").get_by_role("link", name="모델 학습").first.click()
    page.locator("form[action*='/train/new/'] button").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("학습 방법 선택")
    choose(page, f"[name=method][value={method}]")
    page.get_by_role("button", name="계속").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("모델 설정")
    page.get_by_label("모델 이름").fill(name)
    choose(page, "[name=base][value=tiny]")
    if knobs:
        choose(page, "#mode-manual")
        for knob, value in knobs.items():
            page.locator(f"[name={knob}]").fill(value)
    page.get_by_role("button", name="계속").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("학습 데이터 설정")


def upload(page: Page, name: str, content: bytes) -> None:
    page.locator("#id_file").set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    )


def start(page: Page) -> None:
    button = page.get_by_role("button", name="조정 시작")
    expect(button).to_be_enabled(timeout=60_000)
    button.click()
    page.wait_for_url(re.compile("/models/"))


def wait_for_the_end(page: Page) -> None:
    expect(page.locator(".title-row")).to_contain_text("학습 완료", timeout=120_000)


def test_a_jsonl_file_becomes_a_model_that_answers_in_the_browser(page, studio):
    walk_to_data(page, studio, "날씨 도우미", "full", learning_rate="0.01", epochs="2")
    expect(page.get_by_role("button", name="조정 시작")).to_be_disabled()
    upload(page, "날씨.jsonl", jsonl().encode())
    expect(page.locator("#reading")).to_contain_text("UTF-8", timeout=30_000)
    expect(page.locator("#reading")).to_contain_text("오늘 날씨 0 어때요")
    start(page)
    expect(page.locator("#now")).to_be_visible()
    wait_for_the_end(page)
    expect(page.locator("canvas").first).to_be_visible()
    page.get_by_role("button", name="로드", exact=True).click()
    expect(page.get_by_text("로드됨")).to_be_visible(timeout=60_000)
    page.get_by_role("link", name="플레이그라운드에서 열기").click()
    ask(page, "오늘 날씨 3 어때요")
    page.reload()
    expect(page.locator("#turns")).to_contain_text("오늘 날씨 3 어때요")
    expect(page.locator("#turns")).to_contain_text("맑습니다")
    assert page.locator("#turns > li").count() == 2


def ask(page: Page, question: str) -> None:
    page.locator("#temperature").fill("0")
    page.locator("#max_tokens").fill("20")
    page.get_by_label("질문", exact=True).fill(question)
    page.get_by_label("질문", exact=True).press("Enter")
    expect(page.locator("#turns")).to_contain_text(question)
    expect(page.locator("#turns")).to_contain_text("초당", timeout=60_000)


def test_enter_while_a_syllable_is_composed_does_not_send(page, studio):
    page.goto(studio.url + "/playground/?new=1")
    box = page.get_by_label("질문", exact=True)
    box.fill("안녕하세")
    box.dispatch_event("compositionstart")
    box.dispatch_event("keydown", {"key": "Enter", "isComposing": True, "keyCode": 229})
    assert box.input_value() == "안녕하세"
    assert page.locator("#turns > li").count() == 0
    box.dispatch_event("compositionend")


def test_a_cp949_csv_with_several_turns_is_read_and_trained(page, studio):
    walk_to_data(page, studio, "엑셀에서 온 모델")
    upload(page, "대화.csv", csv().encode("cp949"))
    expect(page.locator("#reading")).to_contain_text("CP949", timeout=30_000)
    expect(page.locator("#reading")).to_contain_text("비가 옵니다")
    start(page)
    wait_for_the_end(page)


def test_a_url_of_an_allowed_server_is_fetched_and_others_are_refused(page, studio, file_server):
    walk_to_data(page, studio, "주소에서 온 모델")
    box = page.get_by_label("URL로부터 JSONL 파일을 업로드")
    box.fill("http://127.0.0.1:9/data.jsonl")
    page.get_by_role("button", name="가져오기").click()
    expect(page.locator(".notice.bad")).to_be_visible(timeout=30_000)
    box.fill(f"http://127.0.0.1:{file_server}/data.jsonl")
    page.get_by_role("button", name="가져오기").click()
    start(page)
    wait_for_the_end(page)


def test_the_guides_printed_examples_are_read(page, studio):
    walk_to_data(page, studio, "인쇄된 예시")
    upload(page, "guide.jsonl", printed().encode())
    expect(page.locator("#reading")).to_contain_text("- 비가 옵니다", timeout=30_000)
    start(page)
    wait_for_the_end(page)


def test_too_few_examples_are_refused_with_the_reason_and_the_lines(page, studio):
    walk_to_data(page, studio, "모자란 데이터")
    upload(page, "few.jsonl", ("\n".join(jsonl().splitlines()[:50]) + '\n{"prompt": "x"}').encode())
    expect(page.locator("#start-reasons")).to_contain_text("50", timeout=30_000)
    expect(page.get_by_role("button", name="조정 시작")).to_be_disabled()
    expect(page.locator("#reading")).to_contain_text("51")


def test_a_draft_survives_leaving_and_going_back(page, studio):
    walk_to_data(page, studio, "돌아올 초안")
    page.goto(studio.url + "/train/")
    page.get_by_role("link", name=re.compile("돌아올 초안")).first.click()
    page.goto(page.url.replace("/data/", "/model/").replace("/method/", "/model/"))
    expect(page.get_by_label("모델 이름")).to_have_value("돌아올 초안")


def test_a_large_upload_survives_a_broken_connection_and_a_closed_page(page, studio, tmp_path):
    file = tmp_path / "큰 파일.jsonl"
    file.write_text(jsonl() * 2200, "utf-8")  # 41 MB, three pieces
    sent = []

    def break_the_second(route):
        sent.append(route.request.url.partition("start=")[2])
        if len(sent) == 2:
            route.abort("connectionreset")
        elif len(sent) < 4:  # the page is closed before the third has left
            route.continue_()

    page.goto(studio.url + "/data/new/")
    page.route("**/piece/**", break_the_second)
    page.on("dialog", lambda dialog: dialog.accept())
    page.set_input_files("#id_file", file)
    expect(page.locator(".drop-status")).to_contain_text("연결이 끊겼습니다")
    expect(page.locator(".drop-status")).to_contain_text("32.0 MB / ", timeout=30_000)
    page.wait_for_timeout(300)
    assert sent[:3] == ["0", "16777216", "16777216"]
    page.said.clear()  # the browser's own word on the connection

    lost = []

    def lose_the_first_answer(route):
        if not lost:
            lost.append(route.fetch().json())
            return route.abort("connectionreset")
        return route.continue_()

    page.goto(studio.url + "/data/new/")
    page.unroute("**/piece/**")
    page.route("**/data/new/", lose_the_first_answer)  # a dataset is made of it all the same
    with page.expect_response("**/data/arrivals/") as begun:
        page.set_input_files("#id_file", file)
    assert begun.value.json()["here"] == 33_554_432
    page.wait_for_url(lambda address: lost and address.endswith(lost[0]["onward"]), timeout=30_000)
    page.said.clear()
    page.get_by_role("button", name="읽기 그만두기").click()
    expect(page).to_have_url(studio.url + "/data/")
    expect(page.get_by_text("큰 파일.jsonl")).to_have_count(0)
