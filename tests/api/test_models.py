"""Models by their public names: listed, shown, deleted, loaded and unloaded."""

import pytest

from playground import client
from training import jobs, naming, registry
from training.errors import UserError
from training.models import Job, TunedModel


@pytest.fixture
def engine(monkeypatch):
    """An engine that remembers what it was told."""
    states: dict[str, str] = {}
    monkeypatch.setattr(client, "load", lambda name: states.update({name: "loading"}))
    monkeypatch.setattr(client, "unload", lambda name: states.pop(name, None))
    monkeypatch.setattr(
        client, "state", lambda name: client.ModelState(name, states.get(name, "away"))
    )
    return states


def test_one_sees_the_bases_and_ones_own_models(api, user, stranger, tuned_of):
    tuned = tuned_of(user, "민원 분류")
    tuned_of(stranger, "남의 것")
    page = api.get("/v1/models").json()
    assert [model["id"] for model in page["data"]] == [naming.of(tuned), "tiny"]
    assert [model["owned_by"] for model in page["data"]] == ["mina", "dadeum"]
    assert all(model["object"] == "model" and model["created"] for model in page["data"])
    assert page["object"] == "list" and page["has_more"] is False
    for model in page["data"]:
        assert api.get(f"/v1/models/{model['id']}").json() == model


def test_a_name_from_before_a_renaming_still_leads_to_its_model(api, user, tuned_of):
    tuned = tuned_of(user, "처음 이름")
    old = naming.of(tuned)
    jobs.rename(tuned.job, "새 이름")
    found = api.get(f"/v1/models/{old}").json()["id"]
    assert found == f"ft:tiny:dadeum:새-이름:{tuned.pk[:8]}" != old


@pytest.mark.parametrize("name", ["!!!", "a/b:c", "  공백 많은  이름 "])
def test_any_name_makes_an_address_that_leads_back(api, user, tuned_of, name):
    tuned = tuned_of(user, name)
    public = naming.of(tuned)
    assert "/" not in public and " " not in public
    assert api.get(f"/v1/models/{public}").json()["id"] == public


@pytest.mark.parametrize(
    "name",
    ["nowhere", "ft:tiny:dadeum:x:________", "ft:tiny:dadeum:x:%25%25%25%25%25%25%25%25",
     "ft:tiny:dadeum::", "ft:", "base:tiny", "..", "ft:other:dadeum:x:{letters}",
     "ft:tiny:openai:x:{letters}"],
)  # fmt: skip
def test_other_names_lead_nowhere(api, user, tuned_of, engine, name):
    name = name.replace("{letters}", tuned_of(user).pk[:8])
    for answer in (
        api.get(f"/v1/models/{name}"),
        api.delete(f"/v1/models/{name}"),
        api.post(f"/v1/models/{name}/load"),
        api.post(f"/v1/models/{name}/unload"),
    ):
        assert answer.status_code == 404
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert not engine


def test_models_of_others_are_not_there(strange_api, user, tuned_of, engine):
    name = naming.of(tuned_of(user))
    for answer in (
        strange_api.get(f"/v1/models/{name}"),
        strange_api.delete(f"/v1/models/{name}"),
        strange_api.post(f"/v1/models/{name}/load"),
        strange_api.post(f"/v1/models/{name}/unload"),
    ):
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "model_unknown"
    assert TunedModel.objects.count() == 1 and not engine


def test_an_own_model_is_deleted_with_its_files(api, user, tuned_of):
    tuned = tuned_of(user)
    registry.folder(tuned).mkdir(parents=True)
    name = naming.of(tuned)
    answer = api.delete(f"/v1/models/{name}")
    assert answer.status_code == 200
    assert answer.json() == {"id": name, "object": "model", "deleted": True}
    assert not TunedModel.objects.exists() and not Job.objects.exists()
    assert not registry.run_folder(tuned.job).exists()
    assert api.get(f"/v1/models/{name}").status_code == 404


def test_a_base_is_not_deleted(api, settings):
    answer = api.delete("/v1/models/tiny")
    assert answer.status_code == 422 and answer.json()["error"]["code"] == "base_is_shared"
    assert (settings.MODELS / "tiny" / "config.json").exists()


def test_a_model_is_loaded_and_unloaded(api, user, tuned_of, engine):
    tuned = tuned_of(user)
    name = naming.of(tuned)
    answer = api.post(f"/v1/models/{name}/load")
    assert answer.json() == {"id": name, "object": "model", "state": "loading"}
    assert engine == {f"tuned:{tuned.pk}": "loading"}
    answer = api.post(f"/v1/models/{name}/unload")
    assert answer.json() == {"id": name, "object": "model", "state": "away"}
    assert api.post("/v1/models/tiny/load").json()["state"] == "loading"
    assert engine == {"base:tiny": "loading"}


def test_an_engine_that_is_away_is_said(api):
    answer = api.post("/v1/models/tiny/load")
    assert answer.status_code == 503 and answer.json()["error"]["code"] == "engine_away"


def test_an_engine_that_refuses_gives_its_reason(api, monkeypatch):
    def refuse(name: str) -> None:
        raise UserError("engine_memory_short", needed_mb=9000, available_mb=100)

    monkeypatch.setattr(client, "load", refuse)
    answer = api.post("/v1/models/tiny/load")
    assert answer.status_code == 422 and "9,000 MB" in answer.json()["error"]["message"]
