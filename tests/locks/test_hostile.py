"""What an attacker sends besides markup: bodies, names, hosts and headers."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tests.locks import routes

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@pytest.fixture
def owner(db, build):
    from studio.models import User

    User.objects.create_user("first-admin", password=build.password, is_staff=True)
    return build.everything(User.objects.create_user("owner", password=build.password), "하나")


@pytest.fixture
def browser(owner):
    client = Client(raise_request_exception=False)
    client.force_login(owner.person)
    return client


@pytest.fixture
def program(owner):
    headers = {"Authorization": f"Bearer {owner.secret}"}
    return Client(raise_request_exception=False, headers=headers)


@pytest.mark.parametrize("route", routes.every(), ids=lambda route: f"/{route}")
def test_every_answer_bears_the_headers_that_close_it(route, owner, browser, program):
    address = routes.addresses(route, routes.ROUTES[route], owner)[0]
    for client in (program if route.startswith("v1/") else browser, Client()):
        for answer in (client.get(address), client.post(address), client.generic("BREW", address)):
            for name, value in HEADERS.items():
                assert answer.headers.get(name) == value, f"{answer.status_code}: {name}"
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert "no-store" in answer.headers["Cache-Control"]
            assert "camera=()" in answer.headers["Permissions-Policy"]


BODIES = {
    "deep list": b"[" * 200_000,
    "deep object": b'{"a":' * 100_000,
    "deep and closed": b"[" * 50_000 + b"]" * 50_000,
    "deep field": b'{"suffix":' + b"[" * 900 + b"]" * 900 + b"}",
    "long number": b'{"hyperparams": {"epochs": ' + b"9" * 5000 + b"}}",
    "no number": b'{"hyperparams": {"epochs": NaN}}',
    "infinity": b'{"hyperparams": {"lr": 1e999}}',
    "no UTF-8": b'{"suffix": "\xff\xfe"}',
    "half a letter": b'{"suffix": "\\ud800"}',
    "nothing": b"",
    "a list": b"[]",
    "null": b"null",
    "NUL": b'{"suffix": "a\\u0000b"}',
    "the same key": b'{"suffix": "a", "suffix": {"a": 1}}',
}


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_body_is_refused_in_words(name, program):
    answer = program.post("/v1/training/fine_tune", BODIES[name], content_type="application/json")
    assert answer.status_code in (400, 422), answer.text[:300]
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("field", ["suffix", "base_model", "training_file"])
@pytest.mark.parametrize("value", ["\ud800", "a\x00b", "a\nb", "\u202eb", "a" * 10_000])
def test_a_hostile_text_in_an_order_never_breaks_the_server(program, field, value):
    order = {"base_model": "tiny", "suffix": "a", "training_file": "https://example.org/a.jsonl"}
    body = json.dumps(order | {field: value})
    answer = program.post("/v1/training/fine_tune", body, content_type="application/json")
    assert answer.status_code == 422, answer.text[:300]


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-Method-Override"])
def test_a_method_cannot_be_overridden(browser, header):
    answer = browser.get("/logout/", {"_method": "POST"}, headers={header: "POST"})
    assert answer.status_code == 405
    assert browser.get("/").status_code == 200


@pytest.mark.parametrize(
    "name",
    ["../../secret_key", "..\\..\\secret_key", "/etc/passwd", "a\x00.jsonl", "a" * 10_000 + ".jsonl",
     "\u202elnosj.exe", ".", "..", "a\r\nSet-Cookie: x=1.jsonl", "con", " "],
)  # fmt: skip
def test_an_upload_lies_where_we_put_it_whatever_its_name(browser, owner, settings, name):
    (settings.DATA / "speed.asked").touch()  # what a page that forecasts leaves
    before = {path for path in settings.DATA.iterdir()}
    file = SimpleUploadedFile("a.jsonl", b'{"prompt": "a", "completion": "b"}\n')
    file._name = name
    answer = browser.post(f"/train/{owner.draft.pk}/upload/", {"file": file})
    assert answer.status_code in (302, 400, 422), answer.text[:300]
    assert {path for path in settings.DATA.iterdir()} == before
    newest = owner.person.datasets.order_by("-created_at").first()
    assert "/" not in newest.name and len(newest.name) <= 200
    assert browser.get("/data/").status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/static/../studio/settings.py", "/static/%2e%2e/manage.py", "/static/..%2fmanage.py",
     "/static//etc/passwd", "/static/%00", "/static/css/../../manage.py", "/../manage.py"],
)  # fmt: skip
def test_static_files_are_static_files(browser, path):
    answer = browser.generic("GET", path)
    assert answer.status_code in (400, 404)


@pytest.mark.parametrize(
    "goal",
    ["//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example", "javascript:x",
     "/%0d%0aSet-Cookie:x=1", "///evil.example", "/\t/evil.example", " //evil.example", "home"],
)  # fmt: skip
def test_no_form_leads_to_another_site(owner, browser, build, goal):
    signed_out = Client()
    form = {"username": "owner", "password": build.password, "next": goal}
    answers = [
        signed_out.post("/login/", form),
        browser.post("/theme/", {"theme": "dark", "next": goal}),
        browser.post("/playground/unload/", {"model": "base:tiny", "next": goal}),
    ]
    for answer in answers:
        assert answer.status_code == 302
        assert answer.url in ("/", "/playground/") or answer.url == "/%0d%0aSet-Cookie:x=1"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil", ""])
def test_a_foreign_host_is_refused(browser, host, settings):
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    assert browser.get("/", headers={"Host": host}).status_code == 400
    answer = browser.get("/", headers={"Host": "127.0.0.1", "X-Forwarded-Host": "evil.example"})
    assert answer.status_code == 200 and "evil" not in answer.text


def test_the_set_up_link_cannot_be_guessed(db, settings):
    from studio import accounts

    assert len(accounts.setup_token()) >= 32  # 24 random bytes: nothing to slow down
