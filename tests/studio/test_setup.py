"""The first administrator: a link that works once, and nothing else before it."""

import stat

import pytest

from studio import accounts
from studio.models import User

PASSWORD = "Sea-salt-42!"
FORM = {"username": "hana", "name": "하나", "password": PASSWORD, "again": PASSWORD}


@pytest.fixture
def link(db) -> str:
    return f"/setup/{accounts.setup_token()}/"


def test_before_setup_every_page_says_where_the_link_is(client, db):
    for path in ("/", "/login/", "/models/", "/no/such/page/"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "터미널" in answer.text


def test_health_answers_before_setup(client, db):
    assert client.get("/health/live").json() == {"status": "ok"}


def test_the_token_is_kept_for_the_owner_of_the_folder_only(db):
    assert accounts.setup_token() == accounts.setup_token()
    assert stat.S_IMODE(accounts.token_path().stat().st_mode) == 0o600


def test_the_link_makes_an_administrator_and_signs_in(client, link):
    assert client.get(link).status_code == 200
    answer = client.post(link, FORM)
    assert answer.status_code == 302
    assert User.objects.get().is_administrator
    assert client.get("/").status_code == 200


def test_the_link_works_once(client, link):
    client.post(link, FORM)
    assert client.get(link).status_code == 404
    assert client.post(link, FORM | {"username": "second"}).status_code == 404
    assert not accounts.token_path().exists()
    assert User.objects.count() == 1


def test_a_wrong_token_opens_nothing(client, link):
    answer = client.get("/setup/wrong/")
    assert answer.status_code == 404
    assert "설정 주소가 맞지 않거나 이미 쓰였습니다" in answer.text and "/login/" in answer.text
    assert client.post("/setup/wrong/", FORM).status_code == 404
    assert not User.objects.exists()


def test_of_two_who_hold_the_token_one_wins(link):
    token = accounts.setup_token()
    facts = {"name": "", "password": PASSWORD}
    accounts.token_path().unlink()
    assert accounts.create_administrator(token, username="late", **facts) is None
    assert not User.objects.exists()


def test_a_failed_creation_leaves_the_link_usable(link, monkeypatch):
    token = accounts.setup_token()

    def fail(**_facts):
        raise RuntimeError

    monkeypatch.setattr(accounts, "add_person", fail)
    with pytest.raises(RuntimeError):
        accounts.create_administrator(token, username="a", name="", password=PASSWORD)
    assert accounts.setup_token() == token


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"again": "another-one-9"}, "두 비밀번호가 서로 다릅니다."),
        ({"password": "12345", "again": "12345"}, "비밀번호"),
        ({"username": "한 칸"}, "아이디에는 빈칸을 쓸 수 없습니다."),
    ],
)
def test_an_invalid_form_comes_back_with_the_reason(client, link, change, sentence):
    answer = client.post(link, FORM | change)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert not User.objects.exists()
