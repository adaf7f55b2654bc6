"""`make screenshots`: a newcomer's first hour in a real studio, as pictures in docs/images/.

    .venv/bin/python -m docs.screenshots

Starts `manage.py up` in a temporary data folder with the built-in model, teaches it the sample, and
writes the same names each time. The training is real: it takes as long as the sample takes here.
"""

import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests import browser as chromium
from tests.running import ROOT, Studio

IMAGES = ROOT / "docs" / "images"
BUILTIN = ROOT / "data" / "builtin"
SAMPLE = ROOT / "training" / "datasets" / "samples" / "enquiries.jsonl"
ACCOUNT, PASSWORD = "admin", "Sea-salt-42!"
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
MARGIN = 40
"""Kept around what a page holds, in pixels."""
COLOURS = 128
LIMIT_BYTES = 150_000
POINTS = 6
"""On the chart before it is taken."""
TRAINING_MS = 60 * 60_000
CONTENT_END = """Math.max(...[...document.querySelectorAll("main > *")]
    .map(one => one.getBoundingClientRect().bottom))"""
COUNT_POINTS = """async () => {
    const chart = document.querySelector("[data-chart]");
    return chart ? (await (await fetch(chart.dataset.chart)).json()).training.length : 0;
}"""


# --- pictures -------------------------------------------------------------------------------------
def shoot(page: Page, name: str, is_whole: bool = False) -> None:
    """Write what the window shows, without empty margins unless `is_whole`."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(300)
    save(page.screenshot(clip=None if is_whole else content(page)), name)
    print(f"dadeum: {name}.png", flush=True)


def content(page: Page) -> dict[str, float]:
    """Return the part of the window in which something is."""
    width, height = page.viewport_size["width"], page.viewport_size["height"]
    bar = page.locator(".bar-row").bounding_box()
    left = max(0, bar["x"] - MARGIN / 2)
    bottom = min(height, page.evaluate(CONTENT_END) + MARGIN)
    return {"x": left, "y": 0, "width": width - 2 * left, "height": bottom}


def save(picture: bytes, name: str) -> None:
    """Keep a picture in few colours: letters stay sharp and the file small."""
    small = Image.open(io.BytesIO(picture)).convert("RGB")
    small = small.quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    path = IMAGES / f"{name}.png"
    small.save(path, optimize=True)
    assert path.stat().st_size < LIMIT_BYTES, f"{name} has {path.stat().st_size} bytes"


@contextmanager
def dark(page: Page) -> Iterator[None]:
    page.emulate_media(color_scheme="dark")
    yield
    page.emulate_media(color_scheme="light")


@contextmanager
def narrow(page: Page) -> Iterator[None]:
    page.set_viewport_size(NARROW)
    yield
    page.set_viewport_size(WIDE)


def open_window(browser: Browser, language: str, state: dict | None = None) -> Page:
    context = browser.new_context(
        locale=language, timezone_id="Asia/Seoul", viewport=WIDE, color_scheme="light",
        reduced_motion="reduce", storage_state=state,
    )  # fmt: skip
    page = context.new_page()
    page.set_default_timeout(60_000)
    return page


# --- the walk -------------------------------------------------------------------------------------
def set_up(page: Page, studio: Studio) -> None:
    page.goto(studio.setup_link)
    shoot(page, "setup")
    for name, value in {"username": ACCOUNT, "password": PASSWORD, "again": PASSWORD}.items():
        page.locator(f"[name={name}]").fill(value)
    page.locator("form.card .primary").click()
    expect(page).to_have_url(studio.url + "/")


def start_page(browser: Browser, page: Page, studio: Studio) -> None:
    """The start page before anything was done, in both languages and on a telephone."""
    button = page.locator("form[action*='/train/sample/'] button")
    while "약" not in button.inner_text():  # the machine is being measured
        page.wait_for_timeout(1000)
        page.reload()
    shoot(page, "home", is_whole=True)
    with narrow(page):
        shoot(page, "home-narrow", is_whole=True)
    english = open_window(browser, "en-US", page.context.storage_state())
    english.goto(studio.url)
    shoot(english, "home-english", is_whole=True)
    english.context.close()


def start_the_sample(page: Page) -> str:
    """Press the button and return the address of the model's page."""
    page.locator("form[action*='/train/sample/'] button").click()
    page.wait_for_url("**/models/*/")
    return page.url


def watch(page: Page, address: str) -> None:
    """The model's page while it learns, once the chart has some points."""
    page.goto(address)
    while page.evaluate(COUNT_POINTS) < POINTS:
        page.wait_for_timeout(2000)
        page.reload()
    page.reload()
    page.wait_for_selector("canvas")
    shoot(page, "running")


def walk_the_wizard(page: Page, studio: Studio, folder: Path) -> None:
    page.goto(studio.url + "/train/")
    page.locator("form[action*='/train/new/'] .primary").click()
    shoot(page, "method")
    page.locator(".wizard-form .primary").click()
    page.get_by_label("모델 이름").fill("민원 답변 초안")
    page.locator("[name=base]").first.check(force=True)
    page.locator("h1").click()
    shoot(page, "model")
    page.locator(".wizard-form .primary").click()
    page.locator("#id_file").set_input_files(some_bad_lines(folder))
    page.wait_for_selector("#reading .talk", timeout=TRAINING_MS)
    expect(page.locator("#start .primary")).to_be_enabled(timeout=TRAINING_MS)
    page.evaluate("scrollTo(0, 0)")
    shoot(page, "training-data")
    page.get_by_role("link", name="예제 모두 보기").click()
    shoot(page, "data")


def some_bad_lines(folder: Path) -> Path:
    """Write a copy of the sample in which some lines can't be used."""
    lines = SAMPLE.read_text("utf-8").splitlines()
    lines[11:11] = ['{"prompt": "가로등이 꺼져 있습니다.", "completion": ""}']
    lines[40:40] = ['{"prompt": "주차 요금이 얼마인가요?", "completion": "30분에 천 원입니다."']
    copy = folder / "민원 모음.jsonl"
    copy.write_text("\n".join(lines), "utf-8")
    return copy


def after_the_training(page: Page, studio: Studio, address: str) -> None:
    page.goto(address)
    page.wait_for_selector("#use", timeout=TRAINING_MS)
    page.locator("#use .load-state button").click()
    page.wait_for_selector("#use [data-state=ready]", timeout=TRAINING_MS)
    page.wait_for_selector("canvas")
    shoot(page, "trained")
    with dark(page):
        page.reload()
        page.wait_for_selector("#use [data-state=ready]")
        page.wait_for_selector("canvas")
        shoot(page, "trained-dark")
    page.goto(studio.url + "/models/")
    page.wait_for_selector(".load-state")
    shoot(page, "models")


def talk(page: Page, address: str) -> None:
    page.goto(address)
    page.locator(".tries a").first.click()
    page.locator("#temperature").fill("0")
    page.locator("#send").click()
    expect(page.locator("#turns .turn-meta").last).not_to_be_empty(timeout=TRAINING_MS)
    page.reload()
    shoot(page, "playground", is_whole=True)
    with dark(page):
        shoot(page, "playground-dark", is_whole=True)
    with narrow(page):
        shoot(page, "playground-narrow", is_whole=True)


def walk(browser: Browser, studio: Studio, folder: Path) -> None:
    page = open_window(browser, "ko-KR")
    set_up(page, studio)
    start_page(browser, page, studio)
    address = start_the_sample(page)
    walk_the_wizard(page, studio, folder)
    watch(page, address)
    after_the_training(page, studio, address)
    talk(page, address)


def main() -> None:
    if not BUILTIN.is_dir():
        sys.exit("dadeum: the built-in model is missing; run `make setup` first.")
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dadeum-pictures-") as folder:
        data = Path(folder) / "data"
        shutil.copytree(BUILTIN, data / "builtin")
        with (
            Studio(data, DADEUM_THREADS="0", DADEUM_LEASE_SECONDS="60") as studio,
            sync_playwright() as playwright,
        ):
            browser = chromium.launch(playwright)
            walk(browser, studio, Path(folder))
            browser.close()


if __name__ == "__main__":
    main()
