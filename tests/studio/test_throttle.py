"""Guessing passwords: counted by account and address and by address, for a while, at no cost."""

from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth import hashers
from django.test import Client
from django.utils import timezone

from studio import throttle
from studio.models import SignInTries

PASSWORD = "Sea-salt-42!"
WRONG = {"username": "mina", "password": "wrong"}
RIGHT = {"username": "mina", "password": PASSWORD}


@pytest.fixture
def now():
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


@pytest.fixture
def hashed(monkeypatch) -> list:
    """Note every look at a password."""
    looked: list[object] = []
    encode = hashers.MD5PasswordHasher.encode

    def noted(self, *args, **kwargs) -> str:
        looked.append(args)
        return encode(self, *args, **kwargs)

    monkeypatch.setattr(hashers.MD5PasswordHasher, "encode", noted)
    return looked


def tries(form: dict, count: int, address: str = "10.0.0.1") -> list[int]:
    client = Client(REMOTE_ADDR=address)
    return [client.post("/login/", form).status_code for _number in range(count)]


def test_the_sixth_try_is_refused_and_says_how_long_and_what_to_do(user, now):
    assert tries(WRONG, 5) == [422] * 5
    answer = Client(REMOTE_ADDR="10.0.0.1").post("/login/", WRONG)
    assert answer.status_code == 429 and answer.headers["Retry-After"] == "900"
    assert "15분 뒤에 다시 시도하세요" in answer.text and "관리자에게" in answer.text
    now.shift(timedelta(minutes=10))
    assert "5분 뒤에" in Client(REMOTE_ADDR="10.0.0.1").post("/login/", WRONG).text


def test_a_refusal_costs_no_hash_also_of_the_right_password(user, now, hashed):
    tries(WRONG, 5)
    hashed.clear()
    assert tries(RIGHT, 3) == [429] * 3
    assert hashed == []


def test_after_the_pause_the_right_password_is_let_in(user, now):
    assert tries(WRONG, 6)[-1] == 429
    now.shift(throttle.PAUSE + timedelta(seconds=1))
    assert tries(RIGHT, 1) == [302]


def test_trying_on_while_paused_does_not_make_the_pause_longer(user, now):
    tries(WRONG, 6)
    now.shift(throttle.PAUSE - timedelta(seconds=1))
    assert tries(WRONG, 1) == [429]
    now.shift(timedelta(seconds=2))
    assert tries(RIGHT, 1) == [302]


def test_unknown_and_known_accounts_are_not_told_apart(user, now, hashed):
    def text(username: str) -> tuple:
        client = Client(REMOTE_ADDR="10.0.0.7")
        answers = [
            client.post("/login/", {"username": username, "password": "wrong"}) for _n in range(6)
        ]
        looks = len(hashed)
        hashed.clear()
        pages = [a.text.replace(username, "").partition("<main")[2] for a in answers]
        plain = [page.partition('name="csrfmiddlewaretoken"')[0] for page in pages]
        return [a.status_code for a in answers], plain, looks

    assert text("mina") == text("nobody")


def test_another_address_and_another_account_are_free(user, now):
    tries(WRONG, 6)
    assert tries(WRONG, 1, "10.0.0.2") == [422]
    assert tries(WRONG | {"username": "first-admin"}, 1) == [422]


def test_knowing_the_password_takes_back_what_was_counted(user, now):
    for _day in range(3):
        assert tries(WRONG, 4) == [422] * 4
        assert tries(RIGHT, 1) == [302]
    assert SignInTries.objects.get().count == 12  # of the whole address


def test_one_address_may_not_try_all_accounts(user, now, monkeypatch):
    monkeypatch.setattr(throttle, "ADDRESS_TRIES", 7)
    said = [tries(WRONG | {"username": f"u{n}"}, 1)[0] for n in range(9)]
    assert said == [422] * 7 + [429] * 2
    assert tries(RIGHT, 1) == [429] and tries(RIGHT, 1, "10.0.0.2") == [302]


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.9", "10.0.0.9", True),
    ],
)
def test_a_person_has_a_whole_network_of_ipv6(user, now, one, other, is_same):
    tries(WRONG, 5, one)
    assert tries(WRONG, 1, other) == [429 if is_same else 422]


def test_old_tries_are_forgotten_and_no_name_is_kept(user, now):
    for number in range(4):
        tries(WRONG | {"username": f"u{number}"}, 1, f"10.0.1.{number}")
    assert SignInTries.objects.count() == 8
    assert not SignInTries.objects.filter(account__contains="u1").exists()
    now.shift(throttle.PAUSE + timedelta(seconds=1))
    tries(WRONG, 1)
    assert SignInTries.objects.count() == 2


@pytest.mark.parametrize("username", ["", " " * 9, "a" * 10_000, "\x00", "ﬁ\u202e"])
def test_odd_names_are_counted_like_others(user, now, username):
    assert tries({"username": username, "password": "x"}, 6)[-1] == 429


def test_the_old_password_cannot_be_guessed_by_whoever_took_over_a_session(signed_in, now):
    form = {"old_password": "x", "new_password1": "Brand-new-7", "new_password2": "Brand-new-7"}
    for _number in range(5):
        assert signed_in.post("/password/", form).status_code == 422
    assert "비밀번호를 여러 번 틀려" in signed_in.post("/password/", form).text
    assert signed_in.get("/").status_code == 200


def test_a_try_is_counted_before_the_password_is_looked_at(user, now, monkeypatch):
    """So that many at once are no more than one after another (test_https.py tries it)."""
    counted = []
    encode = hashers.MD5PasswordHasher.encode

    def noted(self, *args, **kwargs) -> str:
        counted.append(SignInTries.objects.exclude(account=throttle.WHOLE_ADDRESS).get().count)
        return encode(self, *args, **kwargs)

    monkeypatch.setattr(hashers.MD5PasswordHasher, "encode", noted)
    tries(WRONG, 3)
    assert counted == [1, 2, 3]
