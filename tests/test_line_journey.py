"""Two people and one machine, in a real studio and a real browser: turns, priorities, a start at night."""

import fcntl
import json
import os
import socket

import pytest
import tiny
from playwright.sync_api import Page, expect, sync_playwright
from running import Studio, wait_until

from tests import browser as chromium

pytestmark = pytest.mark.journey
PASSWORD = "Sea-salt-42!"
ROWS = """
import json
from datetime import timedelta
from django.utils import timezone
from studio.models import User
from training import recipe
from training.chat import Example, Message
from training.datasets import segments, versions
from training.models import Dataset, DatasetVersion, Job
User.objects.create_user("boss", password="Sea-salt-42!", is_staff=True, name="관리자")
numbers = recipe.resolve("lora", {"epochs": 1}, examples=240, context_length=512)
now, found = timezone.now(), {}

def version(owner):
    row = DatasetVersion.objects.create(status="ready", format="jsonl-prompt", example_count=240,
        dataset=Dataset.objects.create(owner=owner, name="민원.jsonl"), file_name="민원.jsonl")
    with segments.Writer(versions.folder(row)) as writer:
        for number in range(240):
            writer.add(Example((Message("user", f"오늘 날씨 {number}"), Message("assistant", "맑습니다"))))
    return row

for username, name in (("mina", "민아"), ("jiho", "지호")):
    owner = User.objects.create_user(username, password="Sea-salt-42!", name=name)
    data = version(owner)
    for number in range(3 if username == "mina" else 2):
        job = Job.objects.create(owner=owner, version=data, status="queued", base="tiny", resolved=numbers,
            name=f"{name}의 {number + 1}번 학습", queued_at=now - timedelta(seconds=60 - number - len(found)))
        found[f"{username}{number + 1}"] = job.pk
    found[f"{username}_draft"] = Job.objects.create(owner=owner, version=data, base="tiny", name=f"{name}의 초안").pk
print(json.dumps(found))
"""
BEGAN = """
from training.models import Job
job = Job.objects.get(pk="{pk}")
print((job.started_at - job.not_before).total_seconds() if job.started_at else "not yet")
"""


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    """The data folder, and the lock that keeps its heavy lane waiting until it is let go."""
    data = tmp_path_factory.mktemp("line")
    tiny.build(data / "models" / "tiny")
    name = os.environ.get("CUDA_VISIBLE_DEVICES", "cpu").replace(",", "-") or "cpu"
    with (data / f"device-{socket.gethostname()}-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield data, lock


@pytest.fixture(scope="module")
def studio(device):
    with Studio(device[0], DADEUM_QUEUE_LIMIT="3") as running:
        yield running


@pytest.fixture(scope="module")
def rows(studio) -> dict[str, str]:
    return json.loads(studio.shell(ROWS).splitlines()[-1])


@pytest.fixture(scope="module")
def windows(studio, rows):
    """A browser window for each of three people."""
    with sync_playwright() as playwright:
        browser = chromium.launch(playwright)
        yield {name: sign_in(browser, studio.url, name) for name in ("mina", "jiho", "boss")}
        browser.close()


def sign_in(browser, url: str, name: str) -> Page:
    page = browser.new_context(locale="ko-KR", reduced_motion="reduce").new_page()
    page.goto(f"{url}/login/")
    page.locator("[name=username]").fill(name)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("main button.primary").click()
    expect(page).to_have_url(f"{url}/")
    return page


def look(page: Page, name: str) -> None:
    """Where LOOK_AT names a folder, leave there what was seen, for the eye."""
    if folder := os.environ.get("LOOK_AT"):
        for width, theme in ((1440, "light"), (390, "dark")):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            page.screenshot(path=f"{folder}/{name}.{width}.{theme}.png", full_page=True)
        page.set_viewport_size({"width": 1280, "height": 800})


def in_turn(page: Page, url: str) -> list[str]:
    page.goto(f"{url}/waiting/")
    found = page.locator("section[aria-labelledby=turns-title] tbody th").all_inner_texts()
    return [text.split("\n")[0].strip() for text in found]


def test_two_people_take_turns_and_see_of_each_other_that_they_wait(windows, studio):
    other = "다른 사용자의 학습"
    mina = in_turn(windows["mina"], studio.url)
    assert mina == ["민아의 1번 학습", other, "민아의 2번 학습", other, "민아의 3번 학습"]
    look(windows["mina"], "line-mina")
    assert in_turn(windows["jiho"], studio.url) == [
        other, "지호의 1번 학습", other, "지호의 2번 학습", other
    ]  # fmt: skip


def test_one_moves_ones_own(windows, studio, rows):
    page = windows["mina"]
    in_turn(page, studio.url)
    page.locator(f"[id=before-{rows['mina3']}]").click()
    expect(page.locator("h1")).to_have_text("대기열")
    assert in_turn(page, studio.url)[2] == "민아의 3번 학습"


def test_an_administrator_lets_one_go_first(windows, studio, rows):
    page = windows["boss"]
    assert in_turn(page, studio.url)[0] == "민아 님의 학습"
    look(page, "line-boss")
    page.locator(f"[id='priority-{rows['jiho2']}-1']").click()
    expect(page.locator("h1")).to_have_text("대기열")
    assert in_turn(windows["jiho"], studio.url)[0] == "지호의 2번 학습"


def test_a_draft_is_set_for_the_night_and_its_page_says_so(windows, studio, rows):
    page = windows["jiho"]
    page.goto(f"{studio.url}/train/{rows['jiho_draft']}/data/")
    button = page.get_by_role("button", name="조정 시작")
    expect(button).to_be_enabled(timeout=60_000)
    page.get_by_label("밤에").check()
    expect(page.locator("#summary")).to_contain_text("오후 10:00")
    look(page, "line-draft")
    button.click()
    expect(page.locator("h1")).to_have_text("지호의 초안")
    expect(page.locator(".happening")).to_contain_text("부터 차례를 기다려 저절로 시작합니다.")
    look(page, "line-night")
    page.goto(f"{studio.url}/waiting/")
    expect(page.locator("section[aria-labelledby=later-title]")).to_contain_text("지호의 초안")


def test_the_one_with_too_many_jobs_is_told_why_none_more_starts(windows, studio, rows):
    page = windows["mina"]
    page.goto(f"{studio.url}/train/{rows['mina_draft']}/data/")
    expect(page.locator("#start-reasons")).to_contain_text("한꺼번에 맡길 수 있는 학습은 3개까지")
    look(page, "line-full")


def test_a_job_begins_within_seconds_of_its_time(studio, device, rows):
    studio.shell(
        "from datetime import timedelta\nfrom django.utils import timezone\n"
        "from training.models import Job\n"
        f"Job.objects.filter(status='queued').exclude(pk='{rows['mina1']}').update(status='paused')\n"
        f"Job.objects.filter(pk='{rows['mina1']}').update(rung_at=None,"
        " not_before=timezone.now() + timedelta(seconds=15))"
    )
    fcntl.flock(device[1], fcntl.LOCK_UN)
    began = BEGAN.format(pk=rows["mina1"])
    said = wait_until(lambda: (said := studio.shell(began)) != "not yet" and said, 60, "its start")
    assert 0 <= float(said) < 8
    done = f"from training.models import Job; print(Job.objects.get(pk='{rows['mina1']}').status)"
    wait_until(lambda: studio.shell(done) == "succeeded", 180, "its end")
