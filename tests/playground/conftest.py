"""A tiny adapter, and a real engine process on a socket of its own."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
from engine_process import EngineProcess


def make_adapter(base: Path, folder: Path, seed: int = 1) -> Path:
    """Write a PEFT folder whose adapter visibly changes what the tiny base says."""
    import peft
    import torch

    from training.lm import load

    torch.manual_seed(seed)
    config = peft.LoraConfig(r=4, lora_alpha=64, target_modules="all-linear", task_type="CAUSAL_LM")
    model = peft.get_peft_model(load.model(base, dtype=torch.float32), config)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(base / name, folder / name)
    (folder / "README.md").unlink(missing_ok=True)
    return folder


@pytest.fixture(scope="session")
def adapter(tiny_base, tmp_path_factory) -> Path:
    return make_adapter(tiny_base, tmp_path_factory.mktemp("adapters") / "first")


@pytest.fixture(scope="session")
def other_adapter(tiny_base, tmp_path_factory) -> Path:
    return make_adapter(tiny_base, tmp_path_factory.mktemp("adapters") / "second", seed=2)


@pytest.fixture(scope="session")
def roomy_base(tmp_path_factory) -> Path:
    """The tiny base with a context long enough for a stream that lasts a while."""
    import tiny

    return tiny.build(tmp_path_factory.mktemp("models") / "roomy", context_length=8192)


@pytest.fixture(scope="session")
def engine_process():
    process = EngineProcess()
    yield process
    process.end()


@pytest.fixture
def engine(engine_process, settings):
    """The session's engine, empty, and named in the settings."""
    engine_process.unload_all()
    settings.ENGINE_SOCKET = engine_process.socket
    return engine_process


@pytest.fixture
def tiny_catalogue(settings, tiny_base):
    """The tiny base as the only one in the catalogue: "base:tiny"."""
    settings.MODELS = tiny_base.parent


@pytest.fixture
def tuned(user, tiny_catalogue, adapter, settings, tmp_path):
    """A LoRA model of `user` on the tiny base, with its files in place."""
    from training import registry
    from training.models import Dataset, DatasetVersion, Job, TunedModel

    settings.DATA = tmp_path / "data"
    version = DatasetVersion.objects.create(dataset=Dataset.objects.create(owner=user, name="d"))
    job = Job.objects.create(
        owner=user, name="상담", method="lora", base="tiny", status="succeeded", version=version
    )
    row = TunedModel.objects.create(owner=user, name="상담", job=job, base="tiny", method="lora")
    shutil.copytree(adapter, registry.folder(row))
    return row
