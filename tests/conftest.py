"""Fixtures shared by all tests. Every connect off the loopback is refused before it happens."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "netblock"))
sys.path.insert(1, str(HERE))
import sitecustomize  # noqa: E402,F401 - the block itself

os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE / "netblock"), str(HERE.parent)])
os.environ["DADEUM_DATA"] = tempfile.mkdtemp(prefix="dadeum-test-")
os.environ["DADEUM_DEBUG"] = "1"
for name in ("DADEUM_MODELS", "DADEUM_DATABASE_URL", "DADEUM_BROKER_URL", "DADEUM_FETCH_ALLOW"):
    os.environ.pop(name, None)

import pytest  # noqa: E402


def pytest_sessionfinish() -> None:
    shutil.rmtree(os.environ["DADEUM_DATA"], ignore_errors=True)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory) -> Path:
    """A model folder with a 2-layer Llama, random weights and ChatML."""
    import tiny

    return tiny.build(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def user(db):
    from studio.models import User

    User.objects.create_user("first-admin", password="Sea-salt-42!", is_staff=True)
    return User.objects.create_user("mina", password="Sea-salt-42!", name="민아")


@pytest.fixture
def admin_client(client, user):
    from studio.models import User

    client.force_login(User.objects.get(username="first-admin"))
    return client
