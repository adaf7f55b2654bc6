"""What lies in the library: found by its names, shown with its facts, removed by rule."""

import json
import shutil

import making
import pytest

from training import bases, fit, forecast, recipe
from training.errors import UserError
from training.hub import ids, library, origin, presets
from training.models import Dataset, DatasetVersion, Job, TunedModel

pytestmark = pytest.mark.django_db
KANANA = "kakaocorp/kanana-1.5-2.1b-instruct-2505"


@pytest.fixture
def put(library_folder, tiny_base):
    def copy(name: str, **told) -> None:
        folder = shutil.copytree(tiny_base, library_folder / name)
        if told:
            origin.write(folder, origin.Origin(**told))

    return copy


@pytest.fixture
def base(put):
    put("tiny")
    return bases.find("tiny")


def job(owner, status: str, **fields) -> Job:
    version = DatasetVersion.objects.create(dataset=Dataset.objects.create(owner=owner, name="a"))
    return Job.objects.create(owner=owner, version=version, status=status, base="tiny", **fields)


def refusal(call, *arguments) -> UserError:
    with pytest.raises(UserError) as caught:
        call(*arguments)
    return caught.value


def test_folders_whose_name_begins_with_a_dot_are_no_bases(put, library_folder):
    put(".incoming/abc/half")
    put(".hidden")
    put("tiny")
    assert [base.slug for base in bases.catalogue()] == ["tiny"]


def test_a_hubs_id_finds_what_was_fetched_and_says_what_was_not(put, settings):
    put(ids.slug(KANANA), repo=KANANA, licence="apache-2.0")
    assert bases.find(KANANA).slug == bases.find(ids.slug(KANANA)).slug == ids.slug(KANANA)
    settings.MODEL_ALIASES = {"konan": KANANA}
    assert bases.find("konan").name == "kanana-1.5-2.1b-instruct-2505"
    for name in ("Qwen/Qwen3-0.6B", "Qwen--Qwen3-0.6B"):
        error = refusal(bases.find, name)
        assert (error.code, error.params) == ("base_not_downloaded", {"repo": "Qwen/Qwen3-0.6B"})
    assert refusal(bases.find, "../../etc").code == "base_missing"


def test_programs_are_told_what_to_do_about_a_model_that_is_not_here(client, user):
    from studio import keys

    _key, secret = keys.create(user, "k")
    order = {"base_model": "Qwen/Qwen3-0.6B", "suffix": "a", "training_file": "https://a.example/x"}
    answer = client.post(
        "/v1/training/fine_tune", json.dumps(order), content_type="application/json",
        headers={"Authorization": f"Bearer {secret}", "Accept-Language": "ko"},
    )  # fmt: skip
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (
        422, "base_not_downloaded", "base_model",
    )  # fmt: skip
    assert "Qwen/Qwen3-0.6B" in error["message"] and "기본 모델" in error["message"]


def test_a_card_knows_licence_gate_and_preset(put):
    put("a--x", repo="a/x", licence="cc-by-nc-4.0", is_gated=True)
    put("LGAI-EXAONE--EXAONE-4.0-1.2B", repo="LGAI-EXAONE/EXAONE-4.0-1.2B", licence="exaone")
    put("kanana-1.5-2.1b-instruct-2505")  # brought by hand, named like the model
    put("plain")
    found = {base.slug: base for base in bases.catalogue()}
    assert found["a--x"].is_noncommercial and found["a--x"].is_gated
    assert found["LGAI-EXAONE--EXAONE-4.0-1.2B"].is_noncommercial
    assert found["kanana-1.5-2.1b-instruct-2505"].preset.repo == KANANA
    assert not found["plain"].is_noncommercial and found["plain"].preset is None


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: other\nlicense_name: hyperclovax-seed\n---\n", "hyperclovax-seed"),
        ("---\nlicense: mit\n---\n", "mit"),
        ("---\nlicense: other\n---\n", "other"),
        ("no front matter", ""),
    ],
)
def test_the_licence_is_read_from_the_models_card(put, library_folder, card, licence):
    put("tiny")
    (library_folder / "tiny/README.md").write_text(card)
    assert bases.find("tiny").licence == licence


@pytest.mark.parametrize("text", ["[]", "{", "null", '{"repo": {"a": 1}}', "x" * 70_000])
def test_an_origin_that_is_no_use_breaks_no_page(put, library_folder, text):
    put("tiny")
    (library_folder / "tiny/origin.json").write_text(text)
    assert bases.find("tiny").slug == "tiny"


# --- removing -----------------------------------------------------------------------------------
def test_a_base_that_nobody_needs_goes_with_its_files(base, user, library_folder, monkeypatch):
    told = []
    monkeypatch.setattr(library, "BEFORE_REMOVING", [told.append])
    for status in ("draft", "failed", "cancelled"):
        job(user, status)
    library.remove(base)
    assert told == [base] and not (library_folder / "tiny").exists()
    assert not list((library_folder / ".incoming").iterdir())


@pytest.mark.parametrize("status", ["validating_files", "queued", "running", "paused"])
def test_a_base_that_a_live_job_needs_stays(base, user, status, library_folder):
    job(user, status)
    error = refusal(library.remove, base)
    assert (error.code, error.params["jobs"], error.params["tuned"]) == ("base_in_use", 1, 0)
    assert (library_folder / "tiny").exists()


@pytest.mark.parametrize(("method", "stays"), [("lora", True), ("full", False)])
def test_a_base_under_a_lora_model_stays(base, user, method, stays):
    done = job(user, "succeeded", method=method)
    TunedModel.objects.create(owner=user, name="a", job=done, base="tiny", method=method)
    if stays:
        assert refusal(library.remove, base).params["tuned"] == 1
    else:
        library.remove(base)


def test_the_built_in_base_stays(base):
    from dataclasses import replace

    assert refusal(library.remove, replace(base, is_builtin=True)).code == "base_is_builtin"


# --- what this machine carries --------------------------------------------------------------------
def test_every_preset_can_be_ordered_and_says_what_is_not_sure():
    repos = [preset.repo for preset in presets.PRESETS]
    assert len(set(repos)) == len(repos) >= 13
    for preset in presets.PRESETS:
        assert ids.repo(preset.repo) == preset.repo and presets.find(preset.slug) is preset
        assert preset.parameters and preset.size_bytes > preset.parameters
        assert preset.licence and str(preset.korean)
    assert all(one.is_noncommercial for one in presets.PRESETS if "NC" in one.licence)
    assert presets.find("kanana-nano-2.1b-instruct").is_noncommercial


@pytest.fixture
def machine(monkeypatch):
    """Give this machine so many GB and billions of operations a second."""
    import psutil

    def make(gigabytes: float, gigaflops: float) -> None:
        total = psutil.virtual_memory()._replace(total=int(gigabytes * 1024**3))
        monkeypatch.setattr(psutil, "virtual_memory", lambda: total)
        rates = making.RATES | {"step": {"products": 1 / (gigaflops * 1e9)}} if gigaflops else None
        monkeypatch.setattr(forecast, "measured", lambda: rates)

    return make


@pytest.mark.parametrize(
    ("gigabytes", "gigaflops", "best"),
    [(4, 0, None), (12, 0, "HyperCLOVA X SEED 0.5B"), (24, 0, "Kanana 1.5 2.1B"),
     (128, 0, "A.X 4.0 Light"), (128, 16, "HyperCLOVA X SEED 0.5B")],
)  # fmt: skip
def test_the_largest_that_fits_and_ends_overnight_is_recommended(
    machine, gigabytes, gigaflops, best
):
    machine(gigabytes, gigaflops)
    found = fit.recommended(presets.PRESETS, recipe.LORA)
    assert (found.label if found else None) == best


def test_what_is_not_known_to_speak_korean_is_not_recommended(machine, put):
    machine(64, 0)
    put("tiny")
    assert fit.recommended(bases.catalogue(), recipe.LORA) is None
    put(ids.slug(KANANA), repo=KANANA)
    found = fit.recommended(bases.catalogue(), recipe.LORA)
    assert found and found.slug == ids.slug(KANANA)


def test_what_a_company_may_not_use_is_not_recommended(machine, put):
    machine(64, 0)
    put("kanana-nano-2.1b-instruct")
    assert fit.recommended(bases.catalogue(), recipe.LORA) is None
