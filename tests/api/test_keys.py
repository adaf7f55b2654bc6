"""An API key's life: shown once, kept as a digest, used, revoked."""

import hashlib
from datetime import timedelta

import pytest
from django.utils import timezone

from studio import keys
from studio.models import ApiKey


@pytest.fixture
def mine(client, user):
    client.force_login(user)
    return client


def make(client, name: str = "집계 프로그램") -> str:
    """Make a key on the page and return its secret."""
    answer = client.post("/keys/", {"name": name})
    assert answer.status_code == 200
    return answer.text.partition('id="secret" value="')[2].partition('"')[0]


def ask(client, secret: str, **headers: str):
    return client.get("/v1/models", headers={"Authorization": f"Bearer {secret}"} | headers)


def test_the_secret_is_shown_once_and_kept_as_a_digest(mine):
    secret = make(mine)
    assert secret.startswith("dadeum-") and len(secret) == len("dadeum-") + 43
    key = ApiKey.objects.get()
    assert key.digest == hashlib.sha256(secret.encode()).hexdigest()
    page = mine.get("/keys/").text
    assert secret not in page and key.prefix in page and len(key.prefix) < 16
    assert secret not in str(ApiKey.objects.values())


def test_the_page_that_shows_a_secret_is_never_stored(mine):
    answer = mine.post("/keys/", {"name": "하나"})
    assert "no-store" in answer.headers["Cache-Control"]


def test_secrets_are_random():
    assert len({keys.secrets.token_urlsafe(keys.SECRET_BYTES) for _ in range(50)}) == 50
    assert keys.SECRET_BYTES * 8 == 256


def test_a_key_needs_a_name(mine):
    answer = mine.post("/keys/", {"name": "  "})
    assert answer.status_code == 422 and "이름을 입력하세요" in answer.text
    assert not ApiKey.objects.exists()


def test_a_revoked_key_is_refused_from_then_on(mine, client):
    secret = make(mine)
    key = ApiKey.objects.get()
    assert ask(client, secret).status_code == 200
    assert "폐기할까요" in mine.get(f"/keys/{key.pk}/revoke/").text
    assert mine.post(f"/keys/{key.pk}/revoke/").url == "/keys/"
    answer = ask(client, secret)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "key_unknown"
    assert "폐기됨" in mine.get("/keys/").text
    assert mine.post(f"/keys/{key.pk}/revoke/").status_code == 404


def test_nobody_sees_or_revokes_the_keys_of_others(mine, stranger):
    key, _ = keys.create(stranger, "남의 것")
    assert "남의 것" not in mine.get("/keys/").text
    assert mine.get(f"/keys/{key.pk}/revoke/").status_code == 404
    assert mine.post(f"/keys/{key.pk}/revoke/").status_code == 404
    key.refresh_from_db()
    assert key.revoked_at is None


def test_the_key_of_a_stopped_account_is_refused(client, user):
    _, secret = keys.create(user, "하나")
    user.is_active = False
    user.save()
    assert ask(client, secret).status_code == 401


@pytest.mark.parametrize(
    "header",
    [
        None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic bWluYTpwYXNz",
        "Bearer dadeum-\u00e9", "Bearer " + "x" * 5000,
    ],
)  # fmt: skip
def test_without_a_valid_key_everything_is_401_in_json(client, user, header):
    headers = {} if header is None else {"Authorization": header}
    for path in ("/v1/models", "/v1/no/such/route", "/v1/openapi.json", "/v1/"):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
        error = answer.json()["error"]
        assert error["type"] == "authentication_error" and error["message"]


def test_the_scheme_is_written_in_any_case(client, user):
    _, secret = keys.create(user, "하나")
    answer = client.get("/v1/models", headers={"Authorization": f"bearer  {secret} "})
    assert answer.status_code == 200


def test_a_browser_that_is_signed_in_is_nobody_to_the_api(mine):
    assert mine.get("/v1/models").status_code == 401


def test_a_key_acts_as_its_owner_whoever_is_signed_in(mine, stranger, tuned_of):
    tuned_of(stranger, "남의 모델")
    _, secret = keys.create(stranger, "하나")
    answer = ask(mine, secret)
    assert any(model["owned_by"] == "stranger" for model in answer.json()["data"])


def test_a_key_opens_no_page(client, user):
    _, secret = keys.create(user, "하나")
    answer = client.get("/models/", headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 302


def test_use_is_noted_to_the_minute(client, user, django_assert_num_queries):
    key, secret = keys.create(user, "하나")
    ask(client, secret)
    key.refresh_from_db()
    first = key.last_used_at
    assert first
    ask(client, secret)
    key.refresh_from_db()
    assert key.last_used_at == first
    ApiKey.objects.update(last_used_at=timezone.now() - timedelta(seconds=61))
    ask(client, secret)
    key.refresh_from_db()
    assert key.last_used_at > first


def test_the_page_names_no_inline_script_or_style(mine):
    make(mine)
    for page in (mine.get("/keys/").text, mine.post("/keys/", {"name": "둘"}).text):
        assert " style=" not in page and "<style" not in page
        assert "<script>" not in page and " onclick=" not in page


def test_a_name_is_only_text(mine):
    make(mine, '<img src=x onerror="alert(1)">')
    assert "<img src=x" not in mine.get("/keys/").text


def test_a_browser_without_a_key_sees_what_the_api_can_do(client, user, api):
    client.force_login(user)
    assert 'href="/keys/openapi.json"' in client.get("/keys/").text
    said = client.get("/keys/openapi.json")
    assert said.status_code == 200
    assert said.json() == api.get("/v1/openapi.json").json()
