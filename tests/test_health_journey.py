"""A worker that is frozen, seen from outside and in a browser: told, calm, and gone by itself."""

import json
import os
import signal
import sqlite3

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright
from running import Studio, wait_until

from tests import browser as chromium
from tests.locks.test_pages import AT_ONCE, DRAWN, TOO_WIDE, violations

pytestmark = pytest.mark.journey
TOLD = "학습을 맡은 프로그램이 응답하지 않습니다."
ROWS = """
from django.utils import timezone
from studio.models import User
from training.models import Dataset, DatasetVersion, Job
owner = User.objects.create_user("mina", password="Sea-salt-42!", name="민아", is_staff=True)
version = DatasetVersion.objects.create(
    dataset=Dataset.objects.create(owner=owner, name="문의.jsonl"), status="ready", example_count=240)
print(Job.objects.create(owner=owner, version=version, name="문의 분류 도우미", base="tiny",
    status="paused", attempt=1, started_at=timezone.now(), step=30, total_steps=90,
    queued_at=timezone.now(), resolved={"epochs": 3}, progress={"epoch": 1, "loss": 0.9}).pk)
"""


@pytest.fixture
def studio(tmp_path):
    found = Studio(tmp_path / "data", DADEUM_DEBUG="0", DADEUM_LOG_FORMAT="json")
    found.data.mkdir()
    found.manage("collectstatic", "--noinput", "--verbosity", "0")
    with found as running:
        yield running


@pytest.fixture
def page():
    with sync_playwright() as playwright:
        browser = chromium.launch(playwright)
        page = browser.new_context(locale="ko-KR", reduced_motion="reduce").new_page()
        yield page
        browser.close()


def ready(studio: Studio) -> dict:
    answer = httpx.get(studio.url + "/health/ready", trust_env=False, timeout=5)
    assert answer.status_code == 200
    return answer.json()


def sign_in(page: Page, studio: Studio) -> None:
    page.goto(studio.url + "/login/")
    page.locator("[name=username]").fill("mina")
    page.locator("[name=password]").fill("Sea-salt-42!")
    page.locator("main button.primary").click()
    expect(page).to_have_url(studio.url + "/")


def keep_pictures(page: Page, name: str) -> None:
    """Look at both themes and widths; where LOOK_AT names a folder, leave pictures there."""
    page.evaluate(AT_ONCE)
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate(DRAWN)
        is_wide = page.evaluate("document.scrollingElement.scrollWidth > innerWidth")
        assert not is_wide, page.evaluate(TOO_WIDE)
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            page.evaluate(DRAWN)
            if folder := os.environ.get("LOOK_AT"):
                page.screenshot(path=f"{folder}/{name}.{width}.{theme}.png")
            assert not violations(page)


def test_a_frozen_worker_is_told_of_and_its_return_too(studio, page):
    job = studio.shell(ROWS).splitlines()[-1]
    wait_until(lambda: ready(studio)["status"] == "ok", 60, "the workers")
    sign_in(page, studio)
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    (worker,) = studio.processes("-Q heavy")
    worker.send_signal(signal.SIGSTOP)
    with sqlite3.connect(studio.data / "dadeum.sqlite3", timeout=20) as database:
        database.execute("UPDATE training_job SET status = 'queued'")  # now it waits for the worker
    try:
        page.goto(f"{studio.url}/models/{job}/")
        assert not page.get_by_text(TOLD).count()  # nobody cries wolf
        expect(page.get_by_text(TOLD)).to_be_visible(timeout=60_000)  # without a new page
        assert ready(studio)["checks"]["heavy_worker"] == {"status": "down"}
        expect(page.locator("#silent")).to_contain_text("logs/worker-heavy.log")
        keep_pictures(page, "frozen-model")
        for name, address in {
            "home": "/",
            "wizard": "/train/",
            "playground": "/playground/",
        }.items():
            page.goto(studio.url + address)
            expect(page.get_by_text(TOLD)).to_be_visible()
            keep_pictures(page, f"frozen-{name}")
    finally:
        worker.send_signal(signal.SIGCONT)
    expect(page.get_by_text(TOLD)).to_have_count(0, timeout=30_000)
    wait_until(lambda: ready(studio)["status"] == "ok", 30, "its return")
    assert not [line for line in said if line.startswith(("error", "warning"))]
    worker.send_signal(signal.SIGTERM)
    wait_until(lambda: ready(studio)["checks"]["heavy_worker"]["status"] == "down", 30, "its leave")


def test_every_line_of_ours_is_json(studio):
    wait_until(lambda: ready(studio)["status"] == "ok", 60, "the workers")
    headers = {"X-Request-ID": "from-the-gateway"}
    assert httpx.get(studio.url, trust_env=False, headers=headers).status_code == 503
    lines = [
        json.loads(line) for line in (studio.data / "logs" / "web.log").read_text().splitlines()
    ]
    assert {"ts", "level", "logger", "message"} <= lines[0].keys()
    assert [line["message"] for line in lines if line.get("request") == "from-the-gateway"]
    for name in ("engine", "worker-heavy", "worker-light"):
        text = (studio.data / "logs" / f"{name}.log").read_text()
        ours = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        assert any(line["level"] == "INFO" for line in ours), name
