"""The guide's call, as it is printed and mended for this server, through the real curl: from the
order to a tuned model in memory."""

import json
import shutil
import subprocess
import time

import httpx
import pytest
import serving
import tiny
from running import Studio

pytestmark = [
    pytest.mark.journey,
    pytest.mark.skipif(not shutil.which("curl"), reason="curl is not here"),
]
PRINTED = """curl “https://api.konantech.com/v1/training/fine_tune” \\
  –X POST \\
  –H “Content-Type: application/json” \\
  -d ‘{ \\
        “base_model”: “konan-text-llm-13b-2308”,
        “suffix”: “custom-name”,
        “training_file”: “URL_OF_DATASET_FILE”,
        “train_method”: “full”,
        “hyperparams”: {
        “epochs”: 0,
        “batch_size”: 0,
        “lr”: 0
         }
       }’
"""
KEY = """
from studio import keys
from studio.models import User
user = User.objects.create_user("mina", password="Sea-salt-42!", is_staff=True)
print(keys.create(user, "curl")[1])
"""


@pytest.fixture(scope="module")
def file_url():
    rows = [{"prompt": f"오늘 날씨 {i % 9} 어때요", "completion": "맑습니다"} for i in range(240)]
    content = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    with serving.files(lambda path: content) as port:
        yield f"http://127.0.0.1:{port}/data.jsonl"


@pytest.fixture(scope="module")
def studio(tmp_path_factory, file_url):
    data = tmp_path_factory.mktemp("api-journey")
    tiny.build(data / "models" / "tiny", hidden_size=64)
    address = file_url.removeprefix("http://").partition("/")[0]
    aliases = "konan-text-llm-13b-2308=tiny"
    with Studio(data, DADEUM_FETCH_ALLOW=address, DADEUM_MODEL_ALIASES=aliases) as running:
        yield running


@pytest.fixture(scope="module")
def secret(studio) -> str:
    return studio.shell(KEY).splitlines()[-1]


@pytest.fixture
def api(studio, secret):
    headers = {"Authorization": f"Bearer {secret}"}
    with httpx.Client(
        base_url=studio.url + "/v1", headers=headers, trust_env=False, timeout=30
    ) as client:
        yield client


def mended(studio: Studio, secret: str, file_url: str) -> str:
    """Set plain quotes and hyphens, our host, a real URL and the key into what is printed."""
    text = PRINTED.replace("“", '"').replace("”", '"').replace("‘", "'").replace("’", "'")
    text = text.replace("–", "-").replace("https://api.konantech.com", studio.url)
    text = text.replace("URL_OF_DATASET_FILE", file_url)
    header = f'  -H "Authorization: Bearer {secret}" \\\n  -d '
    return text.replace("  -d ", header)


def curl(command: str) -> dict:
    said = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, timeout=60,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "LANG": "C.UTF-8"},
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout)


def poll(ask, wanted: str, seconds: float) -> dict:
    """Ask until `status` or `state` is what is wanted; an end in another way is a failure."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = ask().json()
        state = found.get("status") or found.get("state")
        if state == wanted:
            return found
        assert state not in ("failed", "cancelled"), found
        time.sleep(0.2)
    raise AssertionError(f"not {wanted} after {seconds} s: {found}")


def test_the_printed_call_trains_a_model_that_loads(studio, secret, api, file_url):
    job = curl(mended(studio, secret, file_url))
    assert job["object"] == "fine_tuning.job" and job["suffix"] == "custom-name"
    assert (job["model"], job["train_method"]) == ("tiny", "full")
    assert job["status"] in ("validating_files", "queued")
    ended = poll(lambda: api.get(f"/training/fine_tune/{job['id']}"), "succeeded", 180)
    assert ended["trained_tokens"] > 0 and ended["error"] is None
    assert ended["hyperparameters"]["n_epochs"] == 5
    assert ended["fine_tuned_model"].startswith("ft:tiny:dadeum:custom-name:")
    name = ended["fine_tuned_model"]
    assert [model["id"] for model in api.get("/models").json()["data"]][:2] == [name, "tiny"]
    poll(lambda: api.post(f"/models/{name}/load"), "ready", 60)
    assert api.post(f"/models/{name}/unload").json()["state"] == "away"
    assert api.delete(f"/models/{name}").json()["deleted"] is True
    assert api.get(f"/training/fine_tune/{job['id']}").status_code == 404


def test_a_body_without_end_is_refused_in_json_by_the_running_server(api):
    def endless():
        for _ in range(40):
            yield b"x" * 65536

    answer = api.post("/training/fine_tune", content=endless())
    assert answer.status_code == 413 and answer.json()["error"]["code"] == "request_too_large"


def test_without_a_key_curl_is_told_what_to_do(studio):
    said = curl(f"curl -s {studio.url}/v1/models")
    assert said["error"]["code"] == "key_missing" and "Authorization" in said["error"]["message"]
