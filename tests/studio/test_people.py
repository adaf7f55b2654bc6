"""Signing in and out, and the administrators' list of accounts."""

import pytest
from django.test import Client

from studio.models import User

PASSWORD = "Sea-salt-42!"
NEW = {"username": "joon", "name": "준", "password": PASSWORD, "again": PASSWORD, "role": "member"}


def test_a_page_needs_sign_in_and_comes_back_to_itself(client, user):
    answer = client.get("/models/")
    assert answer.url == "/login/?next=/models/"
    form = {"username": "mina", "password": PASSWORD, "next": "/models/"}
    assert client.post("/login/", form).url == "/models/"


def test_sign_in_does_not_lead_to_another_site(client, user):
    form = {"username": "mina", "password": PASSWORD, "next": "https://evil.example/"}
    assert client.post("/login/", form).url == "/"


def test_a_wrong_password_is_said_with_422(client, user):
    answer = client.post("/login/", {"username": "mina", "password": "wrong"})
    assert answer.status_code == 422
    assert "아이디나 비밀번호가 맞지 않습니다" in answer.text


def test_a_fragment_of_somebody_signed_out_reloads_the_page(client, user):
    answer = client.get("/models/", headers={"HX-Request": "true"})
    assert answer.headers["HX-Refresh"] == "true"


def test_json_of_somebody_signed_out_is_401(client, user):
    assert client.get("/models/", headers={"Accept": "application/json"}).status_code == 401


def test_signing_out_needs_a_post(signed_in):
    assert signed_in.get("/logout/").status_code == 405
    assert signed_in.post("/logout/").url == "/login/"
    assert signed_in.get("/models/").status_code == 302


def test_changing_the_password_keeps_one_signed_in(signed_in, user):
    fresh = "Brand-new-salt-7"
    form = {"old_password": PASSWORD, "new_password1": fresh, "new_password2": fresh}
    assert signed_in.post("/password/", form).url == "/"
    assert signed_in.get("/").status_code == 200
    user.refresh_from_db()
    assert user.check_password(fresh)


def test_people_are_there_for_administrators_only(signed_in):
    assert signed_in.get("/people/").status_code == 404
    assert signed_in.post("/people/", NEW).status_code == 404


@pytest.mark.parametrize(("role", "is_staff"), [("member", False), ("administrator", True)])
def test_an_administrator_adds_a_person(admin_client, role, is_staff):
    assert admin_client.post("/people/", NEW | {"role": role}).url == "/people/"
    assert User.objects.get(username="joon").is_staff is is_staff
    assert "준" in admin_client.get("/people/").text


def test_an_account_that_was_stopped_cannot_sign_in(admin_client, user, client):
    admin_client.post(f"/people/{user.pk}/active/", {"active": "0"})
    user.refresh_from_db()
    assert not user.is_active
    admin_client.post(f"/people/{user.pk}/active/", {"active": "1"})
    user.refresh_from_db()
    assert user.is_active


def test_nobody_stops_their_own_account(admin_client):
    own = User.objects.get(username="first-admin")
    answer = admin_client.post(f"/people/{own.pk}/active/", {"active": "0"})
    assert answer.status_code == 422
    own.refresh_from_db()
    assert own.is_active


class TestNewPassword:
    def secret(self, answer) -> str:
        return answer.text.partition('id="secret" value="')[2].partition('"')[0]

    def test_an_administrator_gives_a_password_that_is_shown_once(self, admin_client, user):
        page = f"/people/{user.pk}/password/"
        assert "새로 만들까요" in admin_client.get(page).text
        answer = admin_client.post(page)
        secret = self.secret(answer)
        assert len(secret) == 19 and answer.headers["Cache-Control"].count("no-store")
        user.refresh_from_db()
        assert user.check_password(secret) and not user.check_password(PASSWORD)
        assert secret not in admin_client.get(page).text
        assert self.secret(admin_client.post(page)) != secret

    def test_it_ends_the_sessions_of_that_account(self, admin_client, user):
        theirs = Client()
        theirs.force_login(user)
        admin_client.post(f"/people/{user.pk}/password/")
        assert theirs.get("/").status_code == 302

    def test_it_lets_the_account_try_again(self, admin_client, user, settings):
        theirs = Client()
        for _number in range(6):
            answer = theirs.post("/login/", {"username": "mina", "password": "wrong"})
        assert answer.status_code == 429
        secret = self.secret(admin_client.post(f"/people/{user.pk}/password/"))
        form = {"username": "mina", "password": secret}
        assert theirs.post("/login/", form).status_code == 302

    def test_nobody_resets_their_own(self, admin_client):
        own = User.objects.get(username="first-admin")
        assert admin_client.post(f"/people/{own.pk}/password/").status_code == 422
        own.refresh_from_db()
        assert own.check_password(PASSWORD)


def test_changing_the_password_ends_the_other_sessions(signed_in, user):
    other = Client()
    other.force_login(user)
    fresh = "Brand-new-salt-7"
    form = {"old_password": PASSWORD, "new_password1": fresh, "new_password2": fresh}
    before = signed_in.cookies["sessionid"].value
    signed_in.post("/password/", form)
    assert other.get("/").status_code == 302
    assert signed_in.cookies["sessionid"].value != before


def test_signing_in_gives_a_session_that_nobody_knew_before(client, user):
    client.cookies["sessionid"] = "a" * 32
    client.post("/login/", {"username": "mina", "password": PASSWORD})
    first = client.cookies["sessionid"].value
    assert first != "a" * 32
    client.post("/logout/")
    client.post("/login/", {"username": "mina", "password": PASSWORD})
    assert client.cookies["sessionid"].value != first
