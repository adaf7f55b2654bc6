"""A training that fails is mended by one press in a real browser, and its new try succeeds."""

import json

import pytest
import tiny
from playwright.sync_api import expect, sync_playwright
from running import Studio
from safetensors.torch import load_file, save_file

from tests import browser as chromium

pytestmark = pytest.mark.journey
PASSWORD = "Sea-salt-42!"
START = """
import time
from studio.models import User
from training import drafts, jobs
from training.datasets import versions
import pathlib, shutil
user = User.objects.get(username="mina")
copy = pathlib.Path(shutil.copy({file!r}, versions.incoming()))
version = versions.from_upload(user, "날씨.jsonl", copy)
job = drafts.create_draft(user)
knobs = {{"learning_rate": 0.1, "epochs": 2}}
drafts.edit(job, name="날씨", method="full", base="tiny", version=version, knobs=knobs)
jobs.start_when_read(job)
print(job.pk)
"""


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """A studio whose base model lies near the largest numbers: it bears no high learning rate."""
    data = tmp_path_factory.mktemp("clinic")
    weights = tiny.build(data / "models" / "tiny") / "model.safetensors"
    tensors = load_file(weights)
    tensors["model.norm.weight"] = tensors["model.norm.weight"] * 3e18
    save_file(tensors, weights, metadata={"format": "pt"})
    with Studio(data, DADEUM_MIN_EXAMPLES="20") as running:
        yield running


def test_a_diverging_training_is_mended_by_one_press(studio):
    rows = [{"prompt": f"오늘 날씨 {i % 9} 어때요", "completion": "맑습니다"} for i in range(60)]
    file = studio.data / "날씨.jsonl"
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    with sync_playwright() as playwright:
        browser = chromium.launch(playwright)
        page = browser.new_context(locale="ko-KR").new_page()
        page.goto(studio.setup_link)
        for name in ("username", "name"):
            page.locator(f"[name={name}]").fill("mina")
        for name in ("password", "again"):
            page.locator(f"[name={name}]").fill(PASSWORD)
        page.get_by_role("button", name="계속").click()
        expect(page).to_have_url(studio.url + "/")
        job = studio.shell(START.format(file=str(file))).splitlines()[-1]
        page.goto(f"{studio.url}/models/{job}/")
        failure = page.get_by_role("alert")
        expect(failure).to_contain_text("손실이 숫자가 아니게 되어", timeout=120_000)
        expect(failure).to_contain_text("학습률을 낮추고(0.1 → 0.0001)")
        failure.get_by_role("button", name="고쳐서 다시 시작").click()
        expect(page.locator("body")).to_contain_text("바뀐 것: 학습률 0.1 → 0.0001")
        assert job not in page.url
        expect(page.locator("h1 + .chip")).to_have_text("학습 완료", timeout=120_000)
        browser.close()
