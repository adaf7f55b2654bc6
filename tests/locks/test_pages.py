"""Every page in a real browser, light and dark, wide and narrow: nothing that the strict
Content-Security-Policy forbids, no error, no sideways scrolling, no violation that axe-core finds."""

import fcntl
import json
import os
import socket

import pytest
import tiny
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, expect, sync_playwright
from running import Studio

from tests import browser as chromium

pytestmark = pytest.mark.journey
PASSWORD = "Sea-salt-42!"
WIDTHS, THEMES = (1440, 390), ("light", "dark")
OWN_STATUS = tuple(f"responded with a status of {status}" for status in (404, 422, 503))
ROWS = """
import json
from datetime import timedelta
from django.utils import timezone
from playground import batches, conversations
from playground.models import Batch, Comparison, Conversation
from studio import keys
from studio.models import User
from training.chat import Example, Message
from training import runs
from training.datasets import editing, reports, segments, versions
from training.datasets.lengths import Tally
from training.datasets.shapes import Mistake, problem
from training.models import BaseDownload, Dataset, DatasetVersion, Job, JobEvent, TokenCount, TunedModel

owner, now = User.objects.get(username="mina"), timezone.now()
jiho = User.objects.create_user("jiho", password="Sea-salt-42!", name="지호", is_active=False)

def version(name, **fields):
    row = DatasetVersion.objects.create(
        dataset=Dataset.objects.create(owner=owner, name=name), file_name=name, size_bytes=123456,
        **{"status": "ready", "format": "jsonl-prompt", "encoding": "cp949"} | fields)
    with segments.Writer(versions.folder(row)) as writer:
        for number in range(row.example_count):
            writer.add(Example((Message("user", f"오늘 날씨 {number}"), Message("assistant", "맑습니다"))))
        for number in range(row.problem_count):
            writer.add_problem(problem(number + 1, Mistake("answer_empty"), '{"prompt": "' + "가나다라" * 90 + '"}'))
    return row

def job(status, name, **fields):
    return Job.objects.create(
        owner=owner, version=data, status=status, name=name, base="tiny", queued_at=now,
        resolved={"epochs": 3, "batch_size": 8, "learning_rate": 0.0002}, **fields)

data = version("문의 모음 2026년 상반기.jsonl", example_count=240, problem_count=12)
bad = version("깨진파일.jsonl", status="failed", error={"code": "url_scheme", "params": {"scheme": "ftp"}})
version("웹페이지.html", status="failed", error={"code": "file_is_page", "params": {}})
done = job("succeeded", "문의 분류 도우미", step=90, total_steps=90, started_at=now - timedelta(minutes=3),
    finished_at=now, progress={"epoch": 3, "loss": 0.4, "validation_loss": 0.5, "tokens_per_second": 900})
TunedModel.objects.create(owner=owner, name=done.name, job=done, base="tiny", method="lora", size_bytes=99999)
running = job("running", "이름이 아주 길어서 한 줄에 들어가지 않는 지금 학습하고 있는 모델입니다", step=30, total_steps=90,
    attempt=1, token="held", lease_expires_at=now + timedelta(hours=9), started_at=now,
    progress={"epoch": 1, "loss": 0.9, "tokens_per_second": 800, "seconds_left": 100,
    "learning_rate": 0.000187, "gradient_norm": 0.83, "memory_bytes": 3 << 30})
for one in (done, running):
    for step in range(0, one.step, 3):
        JobEvent.objects.create(job=one, attempt=1, kind="metrics", step=step, data={"loss": 2 - step / 60, "epoch": step / 30,
            "learning_rate": 0.0002 - step / 1e6, "gradient_norm": 1 + step % 2, "tokens_per_second": 800, "memory_bytes": 3 << 30})
    JobEvent.objects.create(job=one, attempt=1, kind="probes", data={"questions": ["날씨는 어때요?", "What now? " * 99], "expected": ["맑습니다.", ""]})
    for step in (0, 15, 27):
        JobEvent.objects.create(job=one, attempt=1, kind="probe", step=step, data={"answers": [f"맑고 {step}도입니다.", f"{step} " + "no rain " * 99]})
    JobEvent.objects.create(job=one, attempt=1, kind="best", step=27, data={"validation_loss": 1.5})
    JobEvent.objects.create(job=one, attempt=1, kind="crash", step=15, data={"code": "worker_lost", "params": {}})
    JobEvent.objects.create(job=one, attempt=1, kind="validation", step=27, data={"validation_loss": 1.5})
    JobEvent.objects.create(job=one, attempt=1, kind="checkpoint", step=27)
failed = job("failed", "실패한 학습", error={"code": "trainer_crashed", "params": {"exit_code": 1}}, finished_at=now)
JobEvent.objects.create(job=failed, attempt=1, kind="error", data=failed.error)
ailing = [job("failed", f"실패한 학습: {code}", error={"code": code, "params": {"step": 9, "slug": "tiny"}}, finished_at=now)
    for code in ("out_of_memory", "disk_full", "base_missing", "loss_not_a_number")]
job("failed", "메모리를 줄여 다시 한 학습", parent=ailing[0], knobs={"row_tokens": 2048}, error=ailing[0].error)
faulty = version("점검한 데이터.jsonl", example_count=60)
editing.add(faulty.dataset, [
    Example((Message("user", f"연락처 {name}"), Message("assistant", text)))
    for name in "가나다라" for text in ("null", "답변: 010-2345-6789로 전화하십시오.", "We open at nine." + " 아주 긴 답변" * 60)])
runs.check(str(reports.of(versions.newest(faulty.dataset)).pk))
deep = "\\n\\n" + "> " * 60 + "깊이\\n\\n" + "- " * 60 + "깊이"
talk = Conversation.objects.create(owner=owner, title="날씨를 물은 대화", model="base:tiny", system_prompt="친절하게")
asked = conversations.say(talk, "오늘 날씨 어때요?")
for said in ("흐립니다.", "**맑습니다.** " * 60 + "a" * 300 + "\\n\\n| 시 | 도 |\\n|--|--|\\n| 12 | 20 |" + deep):
    conversations.answer(talk, asked, said, {"completion_tokens": 90, "seconds": 3, "finish_reason": "length"})
batch = Batch.objects.create(owner=owner, name="민원 질문.xlsx", model="base:tiny", model_name="tiny", status="ready", total=3,
    found_count=700, done_count=3, expected_count=2, same_count=1, error_count=1, problem_count=1, layout={"columns": ["질문", "정답"]},
    problems=[{"line": 3, "code": "prompt_empty", "params": {}, "row": '" ",답'}], parameters={"temperature": 0}, order={"source": "file"})
for position, (answer, is_same) in enumerate(((talk.title, True), ("아주 긴 답변 " * 90, False), ("", None)), 1):
    batch.questions.create(position=position, expected="날씨를 물은 대화", answer=answer, is_same=is_same, answered_at=now,
        messages=[{"role": "system", "content": "짧게"}, {"role": "user", "content": "오늘 날씨 " * 9}], usage={"completion_tokens": 9},
        error=None if answer else {"code": "generation_failed", "params": {}})
again = batches.again(batch, "base:tiny")
Batch.objects.filter(pk=again.pk).update(status="cancelled")
unread = Batch.objects.create(owner=owner, name="열 이름이 낯선 질문.csv", model="base:tiny", model_name="tiny", status="failed",
    layout={"columns": ["가", "나"]}, order={"source": "file"}, error={"code": "question_column_unknown", "params": {"columns": "가, 나"}})
batches.folder(unread).mkdir(parents=True)
(batches.folder(unread) / "raw").write_text("가,나")
compared = Comparison.objects.create(owner=owner, title="날씨를 비교", system_prompt="친절하게")
for place, label in enumerate(("tiny", "문의 분류 도우미 (아주 긴 이름을 지닌 둘째 판)", "셋째")):
    compared.contenders.create(model=f"tuned:{place}", label=label)
for number, fields in enumerate(({"vote": "best", "best": 1, "is_blind": True}, {"vote": "tie"}, {"is_blind": True}), 1):
    asked = compared.rounds.create(number=number, question="오늘 날씨 어때요?", begun_at=now, **fields)
    for place, contender in enumerate(compared.contenders.all()):
        asked.replies.create(contender=contender, place=place, content="**맑습니다.** " * 20 + "a" * 200 + deep if place < 2 else "",
            usage={"completion_tokens": 90, "seconds": 3, "finish_reason": "length"} if place < 2 else {},
            error=None if place < 2 else {"code": "engine_away", "params": {}})
tally = Tally()
for length, examples in ((20, 40), (30, 90), (45, 60), (70, 30), (400, 12), (9000, 8)):
    tally.answered[length] = tally.firsts[length // 2] = tally.answers[length - length // 2] = examples
counted = version("긴 예제가 있는 문의.jsonl", example_count=240)
TokenCount.objects.create(version=counted, base="tiny", status="ready", result=tally.result())
long = job("draft", "긴 예제가 있는 모델", knobs={"max_length": 64})
Job.objects.filter(pk=long.pk).update(version=counted)
key, _secret = keys.create(owner, "집계 프로그램")
old, _secret = keys.create(owner, "예전 프로그램")
keys.revoke(old)
size = {"size_bytes": 3 << 30, "done_bytes": 1 << 30}
BaseDownload.objects.create(owner=owner, repo="mansae/coming", status="fetching", token="held",
    lease_expires_at=now + timedelta(hours=9), seconds_left=200, **size)
failed_download = BaseDownload.objects.create(owner=owner, repo="mansae/a-model-with-a-very-long-name-that-does-not-fit",
    status="failed", error={"code": "hub_gated", "params": {"repo": "mansae/a-model"}}, **size)
Job.objects.create(owner=jiho, version=data, status="queued", name="지호의 학습", base="tiny", queued_at=now, priority=1)
print(json.dumps({
    "night": job("queued", "밤에 할 학습", not_before=now + timedelta(hours=9)).pk,
    "draft": job("draft", "작성 중인 모델", work="classify").pk,
    "long": long.pk, "empty": Job.objects.create(owner=owner, base="tiny", work="reference").pk,
    "queued": job("queued", "기다리는 학습").pk, "cancelled": job("cancelled", "취소한 학습", finished_at=now).pk,
    "done": done.pk, "running": running.pk, "failed": failed.pk,
    "memory": ailing[0].pk, "disk": ailing[1].pk, "gone": ailing[2].pk, "retried": Job.objects.get(parent=ailing[0]).pk, "data": data.dataset.pk,
    "download": failed_download.pk, "bad": bad.dataset.pk, "talk": talk.pk, "compared": compared.pk, "batch": batch.pk, "again": again.pk, "unread": unread.pk, "key": key.pk,
    "jiho": jiho.pk, "faulty": faulty.dataset.pk, "faulty_draft": Job.objects.create(
        owner=owner, base="tiny", name="점검", version=versions.newest(faulty.dataset)).pk}))
"""
EMPTY_PAGES = {
    "home": "/", "train": "/train/", "models": "/models/", "data": "/data/", "keys": "/keys/",
    "people": "/people/", "password": "/password/", "playground": "/playground/", "compare models": "/playground/compare/", "404": "/nowhere/", "bases": "/bases/",
}  # fmt: skip
PAGES = {
    "home": "/", "train": "/train/", "step 1": "/train/{draft}/method/",
    "step 2": "/train/{draft}/model/", "step 2 at a number": "/train/{draft}/model/?knob=validation_share",
    "step 3": "/train/{draft}/data/",
    "step 3 with long examples": "/train/{long}/data/", "step 3 empty": "/train/{empty}/data/", "discard": "/train/{draft}/discard/",
    "models": "/models/", "model done": "/models/{done}/", "model running": "/models/{running}/",
    "compare": "/models/compare/?job={done}&job={running}", "compare all": "/models/compare/?job={running}&job={done}&all=1",
    "model queued": "/models/{queued}/", "model failed": "/models/{failed}/",
    "line": "/waiting/", "model for the night": "/models/{night}/",
    "failed for memory": "/models/{memory}/", "failed for disk": "/models/{disk}/", "failed for its base": "/models/{gone}/",
    "another try": "/models/{retried}/", "model cancelled": "/models/{cancelled}/", "rename": "/models/{done}/rename/",
    "delete": "/models/{done}/delete/", "cancel": "/models/{running}/cancel/",
    "data": "/data/", "unreadable": "/data/unreadable/", "dataset": "/data/{data}/", "dataset failed": "/data/{bad}/",
    "report": "/data/{faulty}/report/", "dataset checked": "/data/{faulty}/", "finding": "/data/{faulty}/?finding=broken",
    "step 3 checked": "/train/{faulty_draft}/data/",
    "writing": "/data/templates/", "dataset delete": "/data/{bad}/delete/", "dataset in use": "/data/{data}/delete/",
    "data new": "/data/new/", "merge": "/data/merge/", "bad rows": "/data/{data}/problems/",
    "row": "/data/{data}/rows/0/", "row new": "/data/{data}/rows/new/?problem=0", "purge": "/data/{data}/purge/",
    "split": "/data/{data}/split/", "go back": "/data/{data}/versions/1/", "data rename": "/data/{data}/rename/", "removed": "/data/{data}/?q=민원",
    "bases": "/bases/", "base delete": "/bases/folders/tiny/delete/",
    "download discard": "/bases/downloads/{download}/discard/",
    "keys": "/keys/", "revoke": "/keys/{key}/revoke/", "people": "/people/",
    "reset": "/people/{jiho}/password/", "playground": "/playground/{talk}/", "playground new": "/playground/?new=1",
    "batch new": "/playground/batch/", "batch": "/playground/batch/{batch}/?beside={again}", "batch unread": "/playground/batch/{unread}/",
    "batch stopped": "/playground/batch/{again}/", "batch delete": "/playground/batch/{batch}/delete/", "batch mend": "/playground/batch/{batch}/mend/?message=2",
    "batch different": "/playground/batch/{batch}/?only=different",
    "compare models": "/playground/compare/", "comparison of models": "/playground/compare/{compared}/",
    "help": "/help/", "help page": "/help/data/", "help tables": "/help/data-report/",
    "error": "/models/{running}/delete/", "404": "/models/{talk}/",
}  # fmt: skip
AT_ONCE = """() => {  // no colour half-way between two themes
  const sheet = new CSSStyleSheet();
  sheet.replaceSync("* { transition: none !important }");
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
}"""
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
TOO_WIDE = """() => [...document.querySelectorAll("body *")]
  .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
  .map((one) => one.outerHTML.slice(0, 90)).slice(0, 4)"""


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """A studio whose heavy lane waits: the device is held here, so that what is queued stays so."""
    data = tmp_path_factory.mktemp("pages")
    tiny.build(data / "models" / "tiny")
    device = os.environ.get("CUDA_VISIBLE_DEVICES", "cpu").replace(",", "-") or "cpu"
    with (data / f"device-{socket.gethostname()}-{device}.lock").open("w") as device_lock:
        fcntl.flock(device_lock, fcntl.LOCK_EX)
        found = Studio(data, DADEUM_DEBUG="0")  # our own pages for what goes wrong
        found.manage("collectstatic", "--noinput", "--verbosity", "0")
        with found as running:
            yield running


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        found = chromium.launch(playwright)
        yield found
        found.close()


def open_window(browser) -> Page:
    context = browser.new_context(locale="ko-KR", reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.said = []
    page.on("console", lambda message: page.said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: page.said.append(f"error: {error}"))
    return page


@pytest.fixture(scope="module")
def outsider(browser) -> Page:
    return open_window(browser)


@pytest.fixture(scope="module")
def member(browser, studio) -> Page:
    """The window of who made the first account; nothing is there yet."""
    page = open_window(browser)
    page.goto(studio.setup_link)
    for name, value in {
        "username": "mina",
        "name": "민아",
        "password": PASSWORD,
        "again": PASSWORD,
    }.items():
        page.locator(f"[name={name}]").fill(value)
    page.get_by_role("button", name="계속").click()
    expect(page).to_have_url(studio.url + "/")
    return page


@pytest.fixture(scope="module")
def rows(member, studio) -> dict[str, object]:
    return json.loads(studio.shell(ROWS).splitlines()[-1])


def keep_picture(page: Page, address: str, width: int, theme: str) -> None:
    """Where LOOK_AT names a folder, leave there what was seen, for the eye."""
    if folder := os.environ.get("LOOK_AT"):
        place = "-".join(address.split("/")[3:]).strip("-").replace("?", "-") or "home"
        page.screenshot(path=f"{folder}/{place[:80]}.{width}.{theme}.png", full_page=True)


def look(page: Page, address: str, status: int = 200) -> None:
    """Open a page and look at it at each width in each theme."""
    page.said.clear()
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    answer = page.goto(address)
    assert answer.status == status, f"{address}: {answer.status}"
    expect(page.locator("h1")).to_have_count(1)
    page.evaluate(AT_ONCE)
    page.wait_for_timeout(60)  # what htmx fetches on load
    faults: list[str] = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate(DRAWN)
        wide = page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
        if wide > 0:
            faults.append(f"{width} px: {wide} px too wide: {page.evaluate(TOO_WIDE)}")
        for theme in THEMES:
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            keep_picture(page, address, width, theme)
            faults += [f"{width} px, {theme}: {fault}" for fault in violations(page, theme)]
    own = OWN_STATUS if status != 200 else ()
    faults += [
        line for line in page.said
        if line.startswith(("error", "warning")) and not any(words in line for words in own)
    ]  # fmt: skip
    assert not faults, "\n".join(faults)


def violations(page: Page, theme: str = THEMES[0]) -> list[str]:
    """Return what axe-core finds; of a second theme, in its colours alone: nothing else differs."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    options = {"resultTypes": ["violations"]}
    if theme != THEMES[0]:
        options["runOnly"] = ["color-contrast"]
    found = page.evaluate("options => axe.run(options)", options)["violations"]
    return [
        f"axe {one['id']}: " + "; ".join(node["html"][:160] for node in one["nodes"][:3])
        for one in found
    ]


def test_before_there_is_an_account(outsider, studio):
    look(outsider, studio.url, 503)
    look(outsider, studio.setup_link)


@pytest.mark.parametrize("name", EMPTY_PAGES)
def test_pages_of_a_newcomer(name, member, studio):
    look(member, studio.url + EMPTY_PAGES[name], 404 if name == "404" else 200)


def test_pages_of_whoever_is_signed_out(member, outsider, studio):
    look(outsider, studio.url + "/login/")
    look(outsider, studio.setup_link, 404)


@pytest.mark.parametrize("name", PAGES)
def test_pages_of_whoever_has_everything(name, member, rows, studio):
    status = {"404": 404, "error": 422}.get(name, 200)
    look(member, studio.url + PAGES[name].format_map(rows), status)


PRESS_AT_ONCE = """new MutationObserver((_, observer) => {
  observer.disconnect();
  const button = document.getElementById("way-drop");
  button.focus();
  button.click();
}).observe(document.getElementById("lengths").parentNode, {childList: true})"""
"""Press in new content before the browser does anything else."""


def test_one_press_decides_about_long_examples_where_one_is(member, rows, studio):
    member.set_viewport_size({"width": WIDTHS[0], "height": 900})
    member.goto(studio.url + PAGES["step 3 with long examples"].format_map(rows))
    comparison = member.locator("#comparison details")
    comparison.locator("summary").click()
    member.evaluate(PRESS_AT_ONCE)
    member.locator("#way-raise").focus()
    member.keyboard.press("Enter")
    expect(member.locator("#summary")).to_contain_text("예제 240개 가운데 232개 사용")
    assert not member.locator("#way-raise").count()  # the base reads no more
    expect(member.locator("#way-drop")).to_have_attribute("aria-pressed", "true")
    expect(member.locator("#way-drop")).to_be_focused()
    assert comparison.get_attribute("open") is not None


def test_no_page_is_too_wide_in_english(member, rows, studio):
    member.context.add_cookies([{"name": "language", "value": "en", "url": studio.url}])
    member.set_viewport_size({"width": WIDTHS[1], "height": 900})
    faults = {}
    for name, address in PAGES.items():
        member.goto(studio.url + address.format_map(rows))
        assert member.locator("html").get_attribute("lang") == "en"
        if member.evaluate("document.scrollingElement.scrollWidth > innerWidth"):
            faults[name] = member.evaluate(TOO_WIDE)
    member.context.clear_cookies(name="language")
    assert not faults


NEW_ANSWER = """
from training.models import Job, JobEvent
JobEvent.objects.create(job_id="{running}", attempt=1, kind="probe", step=30, data={{"answers": ["새 답변입니다.", "new"]}})
"""


def test_new_answers_come_without_losing_what_the_reader_looks_at(member, rows, studio):
    member.set_viewport_size({"width": WIDTHS[0], "height": 900})
    member.goto(studio.url + PAGES["model running"].format_map(rows))
    panel = member.locator("#probes")
    expect(panel.locator("[data-moment-name]")).to_have_text("학습 반복 0.9")
    member.locator("#moment-before").click()
    expect(panel.locator("[data-moment-name]")).to_have_text("학습 반복 0.5")
    panel.locator("li.shown summary").first.click()
    studio.shell(NEW_ANSWER.format_map(rows))
    expect(panel.locator("[data-moment]")).to_have_count(8)  # two questions, four times
    expect(panel.locator("[data-moment-name]")).to_have_text("학습 반복 0.5")
    expect(panel.locator("li.shown details").first).to_have_attribute("open", "")
    member.locator("#moment-slider").press("End")
    expect(panel.locator("li.shown").first).to_contain_text("새 답변입니다.")
    expect(member.locator("#moment-after")).to_be_disabled()


def test_runs_are_chosen_in_the_list_while_it_is_polled(member, rows, studio):
    member.goto(studio.url + "/models/")
    for name in ("done", "running"):
        member.locator(f"#pick-{rows[name]}").check()
    with member.expect_response(lambda answer: "/models/?page=" in answer.url):
        pass
    member.evaluate(DRAWN)
    expect(member.locator(f"#pick-{rows['done']}")).to_be_checked()
    member.get_by_role("button", name="함께 보기").click()
    expect(member.locator("[data-run]")).to_have_count(2)
    expect(member.locator("[data-losses] canvas")).to_have_count(2)
    member.get_by_role("link", name="같은 설정도 보기").click()
    expect(member.locator("#differences-title")).to_have_text("모든 설정")


def test_the_chart_of_a_run_that_is_over_asks_once(member, rows, studio):
    asked: list[str] = []
    member.on("request", lambda request: asked.append(request.url))
    member.goto(studio.url + PAGES["model done"].format_map(rows))
    expect(member.locator(".chart canvas")).to_have_count(1)
    member.locator("[data-figures] summary").click()
    expect(member.locator(".small-plot canvas")).to_have_count(4)
    member.locator(".chart .u-over").hover()
    expect(member.locator("[data-readout]")).to_contain_text("학습 손실")
    member.wait_for_timeout(2500)
    assert sum("/points/" in url for url in asked) == 1
