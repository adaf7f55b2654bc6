"""Fixtures shared by all tests."""

import sqlite3
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.utils import translation


def pytest_configure() -> None:
    """Have passwords hashed quickly: what the product takes is slow by design."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files come first, those that start whole studios and those that train: taken last, one of
    two processes would wait for the other."""

    def turn(item: pytest.Item) -> int:
        if item.get_closest_marker("journey"):
            return 0
        return 1 if item.path.parent.name == "training" else 2

    items.sort(key=turn)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory) -> Path:
    """A model folder with a 2-layer Llama, random weights and ChatML."""
    import tiny

    return tiny.build(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(autouse=True)
def nothing_of_a_request_is_left_behind():
    """A request leaves its language and its id in the thread; the next test begins without."""
    from training import logs

    yield
    translation.deactivate()
    logs.begin()


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


@pytest.fixture
def on_disk(transactional_db, tmp_path):
    """Have the database in a file with the product's own options, where threads wait for each
    other; in memory they are refused."""
    if connection.vendor != "sqlite":
        yield
        return
    in_memory, name = connection.connection, connection.settings_dict["NAME"]
    in_memory.backup(copy := sqlite3.connect(tmp_path / "line.sqlite3"))
    copy.close()
    connection.connection = None
    connection.settings_dict["NAME"] = str(tmp_path / "line.sqlite3")
    yield
    connection.close()
    connection.settings_dict["NAME"] = name
    connection.connection = in_memory
