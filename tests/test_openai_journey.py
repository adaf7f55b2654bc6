"""OpenAI's own client, curl and the page's «코드 보기» on a real `manage.py up`: all say the same."""

import asyncio
import os
import shutil
import subprocess
import sys

import httpx
import openai
import pytest
import tiny
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect, sync_playwright
from running import Studio, wait_until

from tests import browser as chromium

pytestmark = [
    pytest.mark.journey,
    pytest.mark.skipif(not shutil.which("curl"), reason="curl is not here"),
]
PASSWORD = "Sea-salt-42!"
KEY = f"""
from studio import keys
from studio.models import User
user = User.objects.create_user("mina", password="{PASSWORD}", is_staff=True)
print(keys.create(user, "시험")[1])
"""
TUNED = """
import shutil
from django.conf import settings
from studio.models import User
from training import naming, registry
from training.models import Dataset, DatasetVersion, Job, TunedModel
owner = User.objects.get()
version = DatasetVersion.objects.create(dataset=Dataset.objects.create(owner=owner, name="d"))
job = Job.objects.create(owner=owner, name="문의 답변", method="full", base="tiny", status="succeeded", version=version)
tuned = TunedModel.objects.create(owner=owner, name=job.name, job=job, base="tiny", method="full")
shutil.copytree(settings.MODELS / "other", registry.folder(tuned))
print(naming.of(tuned))
"""
ASKED = [{"role": "user", "content": "오늘 날씨 어때요"}]
GREEDY = {"model": "tiny", "messages": ASKED, "temperature": 0, "max_tokens": 12}
AWKWARD = "그가 '$HOME'은 \"`pwd`\"라고 했다! \\n은 줄바꿈?\n둘째 줄: $(id) {{ 1 }} 100%"


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    data = tmp_path_factory.mktemp("openai-journey")
    tiny.build(data / "models" / "tiny")
    tiny.build(data / "models" / "other", hidden_size=64)
    tiny.build(data / "models" / "roomy", context_length=8192)
    with Studio(data) as running:
        yield running


@pytest.fixture(scope="module")
def secret(studio) -> str:
    return studio.shell(KEY).splitlines()[-1]


@pytest.fixture(scope="module")
def api(studio, secret):
    with connected(studio, secret) as found:
        yield found


def connected(studio: Studio, secret: str) -> openai.OpenAI:
    quiet = httpx.Client(trust_env=False)
    return openai.OpenAI(
        base_url=studio.url + "/v1", api_key=secret, max_retries=0, timeout=120, http_client=quiet
    )


def engine(studio: Studio) -> dict:
    """Return what the engine says of itself."""
    socket = next(part for one in studio.processes("playground.engine")
                  for part in one.cmdline() if part.endswith(".sock"))  # fmt: skip
    with httpx.Client(transport=httpx.HTTPTransport(uds=socket), trust_env=False) as http:
        return http.get("http://engine/health").json()


# --- OpenAI's client ----------------------------------------------------------------------------
def test_models_are_listed_and_found_by_name(studio, api, secret):
    name = studio.shell(TUNED).splitlines()[-1]
    assert [model.id for model in api.models.list()] == [name, "other", "roomy", "tiny"]
    assert api.models.retrieve(name).id == name and "문의-답변" in name
    assert api.models.retrieve("tiny").owned_by == "dadeum"
    own = api.chat.completions.create(**GREEDY | {"model": name})
    other = api.chat.completions.create(**GREEDY | {"model": "other"})
    assert own.choices[0].message.content == other.choices[0].message.content


def test_an_answer_comes_whole_or_in_pieces(api):
    whole = api.chat.completions.create(**GREEDY)
    assert whole.choices[0].finish_reason == "length" and whole.usage.completion_tokens == 12
    stream = api.chat.completions.create(
        **GREEDY, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == "length" and chunks[-1].usage == whole.usage


def test_refusals_are_the_errors_that_the_client_knows(studio, secret, api):
    with connected(studio, "dadeum-wrong") as stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()
    for stream in (False, True):
        create = api.chat.completions.create
        with pytest.raises(openai.NotFoundError) as unknown:
            create(**GREEDY | {"model": "ft:tiny:dadeum:x:abcdefgh"}, stream=stream)
        assert (unknown.value.code, unknown.value.param) == ("model_unknown", "model")
        long = [{"role": "user", "content": "hello " * 3000}]
        with pytest.raises(openai.BadRequestError) as too_long:
            create(**GREEDY | {"messages": long}, stream=stream)
        assert too_long.value.code == "prompt_too_long"
        with pytest.raises(openai.BadRequestError) as unserved:
            create(**GREEDY, stream=stream, n=2)
        assert unserved.value.param == "n"


def test_hanging_up_ends_the_answer_and_too_many_at_once_are_refused(studio, api):
    long = GREEDY | {"model": "roomy", "max_tokens": 4096}
    api.chat.completions.create(**long | {"max_tokens": 1})
    streams = [api.chat.completions.create(**long, stream=True) for _ in range(4)]
    for stream in streams:
        next(iter(stream))
    with pytest.raises(openai.RateLimitError) as refused:
        api.chat.completions.create(**GREEDY)
    assert refused.value.code == "too_many_answers"
    assert refused.value.response.headers["Retry-After"] == "1"
    assert engine(studio)["streams"] == 4
    for stream in streams:
        stream.close()
    wait_until(lambda: engine(studio)["streams"] == 0, 10, "the end of the streams")
    api.chat.completions.create(**GREEDY)


def test_a_whole_answer_that_nobody_waits_for_any_more_ends_too(studio, api):
    long = GREEDY | {"model": "roomy", "max_tokens": 4096}
    with pytest.raises(openai.APITimeoutError):
        api.chat.completions.create(**long, timeout=1)
    wait_until(lambda: engine(studio)["streams"] == 0, 10, "the end of the stream")
    api.chat.completions.create(**GREEDY)


def test_several_programs_are_answered_at_once(studio, secret):
    """Through the asynchronous client, as services use it."""

    async def ask() -> list[str]:
        quiet = httpx.AsyncClient(trust_env=False)
        async with openai.AsyncOpenAI(
            base_url=studio.url + "/v1", api_key=secret, http_client=quiet
        ) as client:
            said = await asyncio.gather(
                *(client.chat.completions.create(**GREEDY) for _ in range(6))
            )
        return [one.choices[0].message.content for one in said]

    assert len(set(asyncio.run(ask()))) == 1  # those beyond the limit were tried again


# --- the page -----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def page(studio, secret):
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
        yield page
        browser.close()


def ask(page: Page, text: str, count: int) -> str:
    """Ask and return the answer, once it is there."""
    page.locator("#question").fill(text)
    page.locator("#question").press("Enter")
    answers = page.locator("#turns > .turn.assistant[data-id]")
    expect(answers).to_have_count(count, timeout=60_000)
    return answers.last.locator(".turn-source").text_content()


def code(page: Page) -> str:
    return page.locator("#code-text").text_content()


def run(command: list[str], secret: str) -> str:
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "DADEUM_API_KEY": secret}
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, encoding="utf-8"
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


def test_the_code_of_a_conversation_says_what_the_page_said(studio, secret, page):
    page.goto(studio.url + "/playground/?new=1&model=base:tiny")
    page.locator("#temperature").fill("0")
    page.locator("#max_tokens").fill("16")
    page.locator("#chat-settings .fold summary").click()
    page.locator("#repetition_penalty").fill("1.3")
    page.locator("#stops").fill("'zz'↵")
    page.locator("#seed").fill("0")
    page.locator("#system_prompt").fill("'짧게' 그리고 \"$USER\"에게\n친절하게")
    ask(page, AWKWARD, 1)
    answer = ask(page, "내일은 '맑음'?", 2)

    page.get_by_role("button", name="코드 보기").click()
    expect(page.locator("#code-text")).to_contain_text("curl http://127.0.0.1")
    assert secret not in code(page)
    for width in (390, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        assert not Axe().run(page, "#code-dialog").response["violations"]
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    said = run(["sh", "-c", code(page)], secret)
    assert httpx.Response(200, text=said).json()["choices"][0]["message"]["content"] == answer
    page.get_by_label("Python").check()
    expect(page.locator("#code-text")).to_contain_text("OpenAI")
    assert "seed=0" in code(page) and '{"repetition_penalty": 1.3}' in code(page)
    assert run([sys.executable, "-c", code(page)], secret) == answer + "\n"
    page.get_by_label("답을 만들어지는 대로 받기").check()
    expect(page.locator("#code-text")).to_contain_text("stream=True")
    assert run([sys.executable, "-c", code(page)], secret) == answer + "\n"
    page.get_by_label("curl").check()
    expect(page.locator("#code-text")).to_contain_text("curl -N")
    said = run(["bash", "-c", code(page)], secret)
    assert said.count("data: ") > 3 and said.endswith("data: [DONE]\n\n")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#code-copy").click()
    expect(page.locator("#code-said")).to_have_text("복사했습니다.")
    assert page.evaluate("navigator.clipboard.readText()") == code(page)
    page.keyboard.press("Escape")
    expect(page.locator("#code-dialog")).to_be_hidden()

    page.locator("#temperature").fill("9")  # the panel as it stands, not as it was
    page.get_by_role("button", name="코드 보기").click()
    expect(page.locator("#code [role=alert]")).to_be_visible()
    page.locator("#code-dialog [data-closes]").first.click()
    assert not [line for line in page.said if line.startswith("error") and "422" not in line]
