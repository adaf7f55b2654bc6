"""An administrator in a real browser: fetch, stop, go on, bring a folder, remove it."""

import re
import shutil

import pytest
import tiny
from playwright.sync_api import expect, sync_playwright
from running import Studio

from tests import browser as chromium
from tests.hub import stand_in
from tests.hub.conftest import fatten

pytestmark = pytest.mark.journey


@pytest.fixture
def folders(tmp_path):
    """A model folder on the administrator's computer, and one with code in it."""
    good = tiny.build(tmp_path / "own" / "my-ko-model")
    weights = good / "model.safetensors"
    weights.write_bytes(fatten(weights.read_bytes(), 20_000_000))
    (good / ".cache").mkdir()
    (good / ".cache" / "x.lock").write_text("stays at home")
    bad = shutil.copytree(good, tmp_path / "own" / "evil")
    (bad / "modeling.py").write_text("import os")
    return good, bad


def test_models_come_by_the_hub_and_by_the_browser(tmp_path, folders):
    good, bad = folders
    (tmp_path / "data").mkdir()
    with (
        stand_in.serve() as hub,
        Studio(tmp_path / "data", DADEUM_HUB_URL=hub.url) as studio,
        sync_playwright() as playwright,
    ):
        files = {path.name: path.read_bytes() for path in good.iterdir() if path.is_file()}
        hub.repos["Qwen/Qwen3-0.6B"] = stand_in.Repo(files)
        hub.pause_seconds = 0.01
        page = chromium.launch(playwright).new_page(locale="ko-KR")
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.set_default_timeout(20_000)
        page.goto(studio.setup_link)
        for name, value in {"username": "mina", "password": "Sea-salt-42!",
                            "again": "Sea-salt-42!"}.items():  # fmt: skip
            page.locator(f"[name={name}]").fill(value)
        page.get_by_role("button", name="계속").click()
        expect(page).to_have_url(studio.url + "/")
        page.goto(studio.url + "/bases/")

        page.get_by_role("button", name=re.compile("받기.*Qwen3 0.6B")).click()
        expect(page.locator("#library progress")).to_be_visible()
        page.get_by_role("button", name="멈추기").click()
        page.get_by_role("button", name="이어서 받기").click()
        expect(page.locator("#here-title ~ ul h3")).to_have_text("Qwen3-0.6B", timeout=30_000)

        page.set_input_files("#id_files", bad)
        page.locator("#bring").get_by_role("button", name="가져오기").click()
        expect(page.locator(".drop-status")).to_contain_text("evil/modeling.py")
        assert not list((tmp_path / "data/models/.incoming").iterdir())  # nothing was sent
        page.fill("#id_name", "")
        page.set_input_files("#id_files", good)
        expect(page.locator("#id_name")).to_have_value("my-ko-model")
        sent: list[str] = []

        def restart_the_proxy_meanwhile(route):
            sent.append(route.request.url.partition("?")[2])
            return route.fulfill(status=502) if len(sent) == 1 else route.continue_()

        page.route("**/piece/**", restart_the_proxy_meanwhile)
        page.locator("#bring").get_by_role("button", name="가져오기").click()
        expect(page.locator("#notices")).to_contain_text("my-ko-model 모델을 가져왔습니다.")
        here = tmp_path / "data/models/my-ko-model"
        assert {path.name: path.read_bytes() for path in here.iterdir()} == files
        assert sent[0] == sent[1] and len(set(sent)) == len(sent) - 1

        page.get_by_role("link", name=re.compile("삭제.*my-ko-model")).click()
        page.get_by_role("button", name="삭제").click()
        expect(page.locator("#notices")).to_contain_text("my-ko-model 모델을 삭제했습니다.")
        assert not here.exists() and not [line for line in said if "Refused" in line]
