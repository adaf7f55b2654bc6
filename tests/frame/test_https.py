"""Behind a proxy that speaks TLS; and that nobody else can pretend to be one."""

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import making
import pytest
from running import ROOT, Studio, wait_until

HOST = "studio.example.org"
HTTPS = {"DADEUM_HTTPS": "1", "DADEUM_ALLOWED_HOSTS": HOST}
FORWARDED = {"Host": HOST, "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
WEB = (
    "import os, django; django.setup(); from studio.supervisor import children;"
    "web = children('')[0].command; os.execv(web[0], web)"
)
PEOPLE = """
from studio.models import User
User.objects.create_user("mina", password="Sea-salt-42!", is_staff=True)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("https")
    studio = Studio(folder)
    studio.manage("migrate", "--verbosity", "0")
    studio.shell(PEOPLE)
    return folder


@contextmanager
def web(data, **environment: str):
    """The web process alone, as `up` starts it."""
    studio = Studio(data, DJANGO_SETTINGS_MODULE="studio.settings", **environment)
    with (data / "web.txt").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", WEB], cwd=ROOT, env=studio.environment, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        wait_until(studio.answers, 60, "the start")
        yield studio
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def proxied(data):
    with web(data, **HTTPS) as studio:
        yield studio


def client(studio: Studio, headers: dict | None = None) -> httpx.Client:
    return httpx.Client(base_url=studio.url, headers=headers, trust_env=False)


def sign_in(browser: httpx.Client, password: str, **headers: str) -> httpx.Response:
    token = browser.get("/login/").text.partition('csrfmiddlewaretoken" value="')[2].partition('"')
    form = {"username": "mina", "password": password, "csrfmiddlewaretoken": token[0]}
    return browser.post("/login/", data=form, headers=headers)


def cookies_of(response: httpx.Response) -> dict[str, str]:
    found = response.headers.get_list("set-cookie")
    return {line.partition("=")[0]: line for line in found}


def upgrade(studio: Studio, origin: str, **headers: str) -> int:
    """Ask for a websocket; return the status that comes back."""
    lines = {
        "Host": HOST, "Origin": origin, "Upgrade": "websocket", "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", **headers,
    }  # fmt: skip
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    with socket.create_connection(("127.0.0.1", studio.port), timeout=20) as line:
        line.sendall(f"GET /ws/playground/abcdefgh/ HTTP/1.1\r\n{head}\r\n".encode())
        return int(line.recv(4096).split()[1])


def test_what_is_forwarded_as_https_is_https(proxied):
    answer = client(proxied, FORWARDED).get("/login/")
    assert answer.status_code == 200
    assert answer.headers["strict-transport-security"] == "max-age=2592000"
    assert "; Secure" in cookies_of(answer)["csrftoken"]


def test_signing_in_works_and_its_cookie_is_for_https_only(proxied):
    browser = client(proxied, FORWARDED)
    token = browser.get("/login/")
    csrf = cookies_of(token)["csrftoken"].partition("=")[2].partition(";")[0]
    field = token.text.partition('csrfmiddlewaretoken" value="')[2].partition('"')[0]
    form = {"username": "mina", "password": "Sea-salt-42!", "csrfmiddlewaretoken": field}
    said = {"Origin": f"https://{HOST}", "Cookie": f"csrftoken={csrf}"}
    assert (
        browser.post(
            "/login/", data=form, headers=said | {"Origin": "https://evil.example"}
        ).status_code
        == 403
    )
    answer = browser.post("/login/", data=form, headers=said)
    cookie = cookies_of(answer)["sessionid"]
    assert answer.status_code == 302
    assert "; Secure" in cookie and "; HttpOnly" in cookie and "; SameSite=Lax" in cookie
    session = cookie.partition(";")[0]
    page = browser.get("/keys/", headers={"Cookie": session})
    assert f"https://{HOST}/v1" in page.text
    assert page.headers["cache-control"].count("no-store")


def test_what_is_not_https_is_sent_there_except_health(proxied):
    answer = client(proxied, {"Host": HOST}).get("/models/")
    assert answer.status_code == 301 and answer.headers["location"] == f"https://{HOST}/models/"
    assert client(proxied).get("/health/live").status_code == 200


def test_a_websocket_comes_from_our_https_page_only(proxied):
    forwarded = {"X-Forwarded-Proto": "https"}
    assert upgrade(proxied, f"https://{HOST}", **forwarded) == 101
    assert upgrade(proxied, f"http://{HOST}", **forwarded) == 403
    assert upgrade(proxied, "https://evil.example", **forwarded) == 403
    assert upgrade(proxied, f"https://{HOST}:444", **forwarded) == 403


def test_a_foreign_host_is_refused(proxied):
    assert client(proxied, FORWARDED | {"Host": "evil.example"}).get("/login/").status_code == 400
    answer = client(proxied, FORWARDED | {"X-Forwarded-Host": "evil.example"}).get("/models/")
    assert "evil" not in answer.headers["location"]


def test_many_wrong_passwords_at_once_are_no_more_than_one_after_another(proxied):
    browser = client(proxied, FORWARDED | {"X-Forwarded-For": "203.0.113.77"})
    page = browser.get("/login/")
    token = cookies_of(page)["csrftoken"].partition("=")[2].partition(";")[0]
    form = {"username": "mina", "password": "wrong", "csrfmiddlewaretoken": token}
    said = {"Origin": f"https://{HOST}", "Cookie": f"csrftoken={token}"}
    with ThreadPoolExecutor(12) as pool:
        answers = pool.map(
            lambda _n: browser.post("/login/", data=form, headers=said, timeout=60).status_code,
            range(12),
        )
        assert sorted(answers) == [422] * 5 + [429] * 7


def test_who_is_no_proxy_of_ours_is_not_believed(data):
    with web(data, **HTTPS, DADEUM_PROXY="10.9.9.9") as studio:
        assert client(studio, FORWARDED).get("/login/").status_code == 301


def test_without_a_proxy_no_forwarded_header_counts(data):
    with web(data) as studio:
        browser = client(studio)
        addresses = [{"X-Forwarded-For": f"203.0.113.{n}"} for n in range(6)]
        said = [sign_in(browser, "wrong", **one).status_code for one in addresses]
        assert said == [422] * 5 + [429]
        answer = browser.get("/login/", headers={"X-Forwarded-Proto": "https"})
        assert "strict-transport-security" not in answer.headers
        assert "; Secure" not in cookies_of(answer)["csrftoken"]


def manage(tmp_path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {"DADEUM_DATA": str(tmp_path), "DADEUM_DEBUG": "0"} | environment,
    )  # fmt: skip


def test_djangos_own_check_finds_nothing_to_warn_of(tmp_path):
    said = manage(tmp_path, "check", "--deploy", "--fail-level", "WARNING", **HTTPS)
    assert said.returncode == 0, said.stderr
    assert "no issues" in said.stdout and "WARNINGS" not in said.stderr


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"DADEUM_HTTPS": "1"}, "DADEUM_ALLOWED_HOSTS"),
        ({"DADEUM_ALLOWED_HOSTS": "*"}, "DADEUM_ALLOWED_HOSTS"),
        ({"DADEUM_ALLOWED_HOSTS": f"https://{HOST}"}, "DADEUM_ALLOWED_HOSTS"),
        (HTTPS | {"DADEUM_PROXY": "*"}, "DADEUM_PROXY"),
        (HTTPS | {"DADEUM_HSTS_SECONDS": "-1"}, "DADEUM_HSTS_SECONDS"),
        ({"DADEUM_SECRET_KEY": "short"}, "DADEUM_SECRET_KEY"),
    ],
)
def test_what_would_not_be_safe_stops_the_start(tmp_path, environment, named):
    said = manage(tmp_path, "check", **environment)
    assert said.returncode == 1 and named in said.stderr
    assert len(said.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("host", "https", "address", "warns"),
    [
        ("127.0.0.1", False, "http://127.0.0.1:8000", False),
        ("::1", False, "http://[::1]:8000", False),
        ("0.0.0.0", False, "http://127.0.0.1:8000", True),
        ("10.1.2.3", False, "http://10.1.2.3:8000", True),
        ("0.0.0.0", True, f"https://{HOST}", False),
    ],
)
def test_up_prints_the_address_and_warns_of_plain_text(
    db, settings, monkeypatch, tmp_path, capsys, host, https, address, warns
):
    from studio.management.commands import up
    from training import tasks

    settings.HOST, settings.PORT, settings.HTTPS, settings.PUBLIC_HOSTS = host, 8000, https, [HOST]
    settings.DATA, rung = tmp_path, []
    monkeypatch.setattr(tasks, "ring", lambda *what: rung.append(what))
    making.measured(tmp_path)
    up.Command().announce()
    assert not rung  # a machine that is known is not measured again at each start
    (tmp_path / "speed.json").unlink()
    up.Command().announce()
    up.Command().announce()  # what was ordered before the first one ended is lost
    assert rung == [("measure", "machine")] * 2
    said = capsys.readouterr().out
    assert f"준비되었습니다: {address}\n" in said and f"{address}/setup/" in said
    assert ("암호화되지 않아" in said) == warns
