"""What the tests of the hub begin with: a stand-in, a library of one's own, a fat tiny model."""

import json
import struct

import pytest

from tests.hub import stand_in
from tests.hub.stand_in import Hub, Repo

REPO = "mansae/tiny-ko"


def fatten(content: bytes, size: int) -> bytes:
    """Add a tensor of zeros to a safetensors file, so that fetching it takes several chunks."""
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    header["padding"] = {
        "dtype": "U8", "shape": [size], "data_offsets": [len(data), len(data) + size]
    }  # fmt: skip
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data + bytes(size)


@pytest.fixture(autouse=True)
def library_folder(settings, tmp_path, monkeypatch):
    from training import tasks

    settings.DATA = tmp_path
    settings.MODELS = tmp_path / "models"
    settings.BUILTIN_MODEL = tmp_path / "builtin" / "none"
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path / "incoming"
    settings.FILE_UPLOAD_TEMP_DIR.mkdir()
    settings.HUB, settings.HF_TOKEN, settings.HUB_NETWORK = True, "", {}
    settings.BEAT_SECONDS = 0.1
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = settings.STORAGES | {"staticfiles": plain}
    monkeypatch.setattr(tasks, "ring", lambda name, identity: None)
    return settings.MODELS


@pytest.fixture
def hub(settings):
    with stand_in.serve() as running:
        settings.HUB_URL = running.url
        yield running


@pytest.fixture
def repo(hub: Hub, tiny_base) -> Repo:
    """The tiny model as `mansae/tiny-ko`, with 5 MB of weights and things that nobody wants."""
    found = Repo.of(tiny_base)
    found.files["model.safetensors"] = fatten(found.files["model.safetensors"], 5_000_000)
    found.files |= {"pytorch_model.bin": b"pickle", "README.md": b"---\nlicense: mit\n---\n"}
    found.files |= {"original/params.json": b"{}", ".gitattributes": b"*.bin filter=lfs\n"}
    hub.repos[REPO] = found
    return found
