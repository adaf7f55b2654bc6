import shutil

import making
import pytest

from training.models import Dataset, DatasetVersion


@pytest.fixture
def models_folder(tiny_base, tmp_path, settings):
    """A DADEUM_MODELS folder that holds the tiny base as `tiny`."""
    settings.MODELS = tmp_path / "models"
    settings.MODELS.mkdir()
    shutil.copytree(tiny_base, settings.MODELS / "tiny")
    return settings.MODELS


@pytest.fixture
def data(settings, tmp_path):
    """A data folder of this test's own."""
    settings.DATA = tmp_path / "data"
    settings.DATA.mkdir()
    settings.FILE_UPLOAD_TEMP_DIR = settings.DATA / "incoming"
    settings.FILE_UPLOAD_TEMP_DIR.mkdir()
    return settings.DATA


@pytest.fixture
def version(user, data) -> DatasetVersion:
    """A version with 240 examples that is ready."""
    dataset = Dataset.objects.create(owner=user, name="날씨")
    version = DatasetVersion.objects.create(
        dataset=dataset, status="ready", example_count=240, format="jsonl-prompt"
    )
    making.write_examples(data / "datasets" / version.pk, 240)
    return version


@pytest.fixture
def run_folder(tiny_base, tmp_path):
    """Return a maker of run folders for the trainer alone."""

    def make(name: str = "run", *, base=None, **numbers):
        return making.run_folder(tmp_path / name, base or tiny_base, **numbers)

    return make
