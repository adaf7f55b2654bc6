"""What the child refuses, and that it does so before the first byte of weights."""

import json
import shutil

import pytest

from tests.hub.conftest import REPO
from training import wording
from training.errors import UserError
from training.hub import child, sizes

SLUG = "mansae--tiny-ko"


@pytest.fixture
def fetch(hub, repo, tmp_path, monkeypatch):
    """Fetch in this process; returns what it refuses, or nothing."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))

    def run(**order) -> UserError | None:
        wanted = {"repo": REPO, "revision": "", "commit": "", "endpoint": hub.url, "download": "d"}
        wanted |= {"max_bytes": 10**12} | order
        (tmp_path / "d").mkdir(exist_ok=True)
        try:
            child.fetch(child.Order(**wanted), tmp_path / "d")
        except UserError as error:
            assert wording.say(error.code, error.params).cure  # in words
            return error
        return None

    return run


def sent_weights(hub) -> int:
    return hub.sent.get("model.safetensors", 0)


def test_a_gate_that_is_shut_is_said_before_the_weights(fetch, hub, repo, monkeypatch):
    repo.gated, repo.token = True, "right"
    assert fetch().code == "hub_gated"
    monkeypatch.setattr(child, "has_token", lambda: True)
    assert fetch().code == "hub_gated_for_token"
    assert not hub.sent


def test_an_unknown_model_is_said(fetch):
    assert fetch(repo="mansae/nothing").code == "hub_unknown"


def test_what_has_no_safetensors_is_refused(fetch, hub, repo):
    del repo.files["model.safetensors"]
    assert fetch().code == "hub_no_safetensors" and not hub.sent


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_what_lacks_a_part_is_refused(fetch, hub, repo, name):
    del repo.files[name]
    error = fetch()
    assert (error.code, error.params["file"]) == ("hub_file_missing", name) and not hub.sent


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_what_needs_code_of_its_own_is_refused_before_the_weights(fetch, hub, repo, name):
    config = json.loads(repo.files[name]) | {"auto_map": {"AutoModel": "modeling_x.X"}}
    repo.files |= {name: json.dumps(config).encode(), "modeling_x.py": b"import os"}
    assert fetch().code == "hub_remote_code"
    assert not sent_weights(hub) and "modeling_x.py" not in hub.sent


def test_code_that_the_model_does_not_need_stays_where_it_is(fetch, hub, repo):
    repo.files["convert.py"] = b"import os"
    assert fetch() is None and "convert.py" not in hub.sent


def test_too_little_disk_is_said_with_both_numbers(fetch, hub, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=sizes.SPARE_BYTES)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    error = fetch()
    assert error.code == "hub_disk" and not hub.sent
    assert error.params == {"needed": "1.0 GB", "free": "1.0 GB"}


def test_a_model_beyond_the_limit_is_refused(fetch, hub):
    error = fetch(max_bytes=1024 * 1024)
    assert (error.code, error.params["limit"]) == ("hub_too_large", "1 MB") and not hub.sent


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_that_is_not_what_the_hub_says_is_thrown_away(fetch, repo, name, tmp_path):
    repo.lies[name] = "0" * 64
    error = fetch()
    assert (error.code, error.params["file"]) == ("hub_damaged", name)
    assert not list((tmp_path / "d" / SLUG).glob(f"{name}*"))
    repo.lies.clear()
    assert fetch() is None


def test_the_same_weights_in_another_layout_are_left_out(fetch, hub, repo):
    repo.files["consolidated.safetensors"] = repo.files["model.safetensors"]
    assert fetch() is None and "consolidated.safetensors" not in hub.sent


def test_a_resumed_download_stays_with_its_commit(fetch, hub):
    fetch(commit="abc", revision="main")
    assert hub.asked[0][0] == f"/api/models/{REPO}/revision/abc"


def test_what_belongs_to_another_state_of_the_model_goes(fetch, tmp_path):
    folder = tmp_path / "d" / SLUG
    folder.mkdir(parents=True)
    (folder / "old.safetensors").write_bytes(b"x")
    (folder / "model.safetensors.part").write_bytes(b"x" * 9_000_000)  # longer than it can be
    assert fetch() is None
    assert not (folder / "old.safetensors").exists()


@pytest.mark.parametrize(
    ("status", "code"), [(429, "hub_busy"), (500, "hub_trouble"), (404, "hub_file_gone")]
)
def test_what_the_hub_answers_is_put_into_words(status, code):
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    request = httpx2.Request("GET", "http://127.0.0.1/x")
    with pytest.raises(UserError) as caught, child.in_our_words(REPO, "config.json"):
        raise HfHubHTTPError("x", response=httpx2.Response(status, request=request))
    assert caught.value.code == code
