"""Fetching: what is allowed arrives whole; every trick of a hostile server ends in a sentence."""

import gzip
import socket
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from training.datasets import fetch
from training.datasets.fetch import check
from training.errors import UserError

ROWS = b'{"prompt": "a", "completion": "b"}\n'


class Handler(BaseHTTPRequestHandler):
    """Each path is one kind of server; `hits` remembers what was asked for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        self.server.hits.append(self.path)
        with suppress(OSError):
            getattr(self, self.path.split("?")[0].strip("/").split("/")[0].replace(".", "_"))()

    def answer(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if body and "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def drip(self, letter: bytes, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.server.over.wait(0.05):
            self.wfile.write(letter)
            self.wfile.flush()

    def rows_jsonl(self) -> None:
        self.answer(body=ROWS)

    def named(self) -> None:
        name = "attachment; filename*=UTF-8''..%2F%ED%95%99%EC%8A%B5.jsonl"
        self.answer(body=ROWS, Content_Disposition=name)

    def page(self) -> None:
        self.answer(body=b"<!doctype html><html>", Content_Type="text/plain")

    def login(self) -> None:
        self.answer(body=b"<!-- hi --><div>", Content_Type="text/html; charset=utf-8")

    def miscalled(self) -> None:
        self.answer(body=ROWS, Content_Type="text/html")

    def status(self) -> None:
        self.answer(int(self.path.split("/")[2]), b"no")

    def go(self) -> None:
        self.answer(302, Location=self.path.split("?", 1)[1])

    def loop(self) -> None:
        self.answer(302, Location="/loop")

    def huge_redirect(self) -> None:
        self.answer(302, Location="/rows.jsonl")
        self.endless()

    def drip_headers(self) -> None:
        self.drip(b"H")

    def drip_body(self) -> None:
        self.answer(Content_Length="1000000")
        self.drip(b"x")

    def silent(self) -> None:
        self.server.over.wait(30)

    def endless(self) -> None:
        self.answer(Content_Type="text/plain")
        for _ in range(2000):
            self.wfile.write(b"x" * 65_536)

    def chunks(self) -> None:
        self.answer(Transfer_Encoding="chunked")
        for _ in range(2000):
            self.wfile.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")

    def declared(self) -> None:
        self.answer(Content_Length="99999999999")

    def bomb(self) -> None:
        self.answer(body=gzip.compress(b"\0" * 10_000_000), Content_Encoding="gzip")

    def short(self) -> None:
        self.answer(Content_Length="1000", body=b"only this")

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def servers():
    """Two servers on two loopback addresses: one that is allowed, one that is not."""
    found = [ThreadingHTTPServer((host, 0), Handler) for host in ("127.0.0.2", "127.0.0.3")]
    for server in found:
        server.daemon_threads = True
        server.hits, server.over = [], threading.Event()
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found
    for server in found:
        server.over.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def allowed(servers):
    return servers[0]


@pytest.fixture
def secret(servers):
    servers[1].hits.clear()
    return servers[1]


def address(server: ThreadingHTTPServer) -> str:
    return f"{server.server_address[0]}:{server.server_port}"


def take(url: str, tmp_path, allow=("127.0.0.2",), max_bytes=1_000_000, seconds=10, **more):
    return fetch.fetch(
        url, tmp_path / "raw", allow=allow, max_bytes=max_bytes, deadline_seconds=seconds, **more
    )


def refused(url: str, tmp_path, **more) -> UserError:
    with pytest.raises(UserError) as caught:
        take(url, tmp_path, **more)
    assert list(tmp_path.iterdir()) == []
    return caught.value


# --- what works ---------------------------------------------------------------------------------
@pytest.mark.parametrize("allow", ["127.0.0.2", "127.0.0.0/30", "ADDRESS", "127.0.0.2/32"])
def test_a_file_arrives_whole_from_an_allowed_address(allowed, tmp_path, allow):
    allow = allow.replace("ADDRESS", address(allowed))
    fetched = take(f"http://{address(allowed)}/rows.jsonl?v=1", tmp_path, allow=[allow])
    assert (tmp_path / "raw").read_bytes() == ROWS
    assert (fetched.size_bytes, fetched.file_name) == (len(ROWS), "rows.jsonl")


def test_the_server_may_name_the_file_but_not_its_folder(allowed, tmp_path):
    assert take(f"http://{address(allowed)}/named", tmp_path).file_name == "학습.jsonl"


def test_a_redirect_to_an_allowed_address_is_followed(allowed, tmp_path):
    take(f"http://{address(allowed)}/go?http://{address(allowed)}/rows.jsonl", tmp_path)
    assert (tmp_path / "raw").read_bytes() == ROWS


def test_data_that_is_miscalled_html_is_still_data(allowed, tmp_path):
    assert take(f"http://{address(allowed)}/miscalled", tmp_path).size_bytes == len(ROWS)


def test_progress_tells_bytes_so_far_and_in_all(allowed, tmp_path):
    told = []
    take(f"http://{address(allowed)}/rows.jsonl", tmp_path, on_progress=lambda *n: told.append(n))
    assert told[-1] == (len(ROWS), len(ROWS))


def test_a_proxy_in_the_environment_is_not_asked(allowed, secret, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://{address(secret)}")
    take(f"http://{address(allowed)}/rows.jsonl", tmp_path)
    assert secret.hits == []


# --- where it may not go ------------------------------------------------------------------------
PRIVATE = [
    "http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://169.254.169.254/latest/",
    "http://10.0.0.1/", "http://172.16.0.1/", "http://192.168.0.1/", "http://0.0.0.0/",
    "http://0x7f000001/", "http://[::ffff:127.0.0.1]/", "http://[64:ff9b::7f00:1]/",
    "http://[fe80::1]/", "http://[fd00::1]/", "http://100.64.0.1/", "http://224.0.0.1/",
]  # fmt: skip
ENCODED = ["http://2130706433/", "http://0177.0.0.1/", "http://127.1/", "http://①②⑦.⓪.⓪.①/"]


@pytest.mark.parametrize("url", PRIVATE + ENCODED)
def test_private_addresses_are_refused_before_any_connect(tmp_path, url, monkeypatch):
    def connect(*arguments: object) -> None:
        raise AssertionError("connected")

    monkeypatch.setattr(socket.socket, "connect", connect)
    expected = {"url_private"} if url in PRIVATE else {"url_private", "url_unusable"}
    assert refused(url, tmp_path, allow=[]).code in expected


def test_an_address_that_is_not_allowed_is_refused(secret, tmp_path):
    assert refused(f"http://{address(secret)}/rows.jsonl", tmp_path).code == "url_private"
    assert secret.hits == []


def test_another_port_of_an_allowed_address_is_refused(allowed, tmp_path):
    allow = [f"127.0.0.2:{allowed.server_port % 65535 + 1}"]
    error = refused(f"http://{address(allowed)}/rows.jsonl", tmp_path, allow=allow)
    assert error.code == "url_private"


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("http://SECRET/rows.jsonl", "url_private"),
        ("//SECRET/rows.jsonl", "url_private"),
        ("http://169.254.169.254/", "url_private"),
        ("file:///etc/passwd", "url_scheme"),
        ("ftp://127.0.0.2/x", "url_scheme"),
        ("http://me:secret@127.0.0.2/", "url_credentials"),
        ("http://[broken", "url_unusable"),
    ],
)
def test_a_redirect_is_judged_like_a_first_address(allowed, secret, tmp_path, target, code):
    target = target.replace("SECRET", address(secret))
    assert refused(f"http://{address(allowed)}/go?{target}", tmp_path).code == code
    assert secret.hits == []


def test_a_refused_redirect_names_the_place_it_led_to(allowed, tmp_path):
    error = refused(f"http://{address(allowed)}/go?http://169.254.169.254/", tmp_path)
    assert error.params["host"] == "169.254.169.254"


def test_a_name_that_turns_private_between_look_up_and_connect_leads_nowhere(
    allowed, secret, tmp_path, monkeypatch
):
    answers = iter(["127.0.0.2", "127.0.0.3"])

    def look_up(host: str, port: int, *more: object) -> list[tuple]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    url = f"http://rebinding.example:{allowed.server_port}/rows.jsonl"
    assert take(url, tmp_path).size_bytes == len(ROWS)
    assert refused_again(url, tmp_path).code == "url_private"
    assert secret.hits == []


def refused_again(url: str, tmp_path) -> UserError:
    (tmp_path / "raw").unlink()
    return refused(url, tmp_path)


def test_a_public_address_is_open_at_the_usual_ports_only():
    guard = fetch.Guard(["10.1.2.3:8080", "[::1]:90", "192.168.7.0/24"])
    permitted = [
        guard.permits(host, port)
        for host, port in (
            ("93.184.216.34", 443), ("93.184.216.34", 80), ("10.1.2.3", 8080), ("::1", 90),
            ("192.168.7.9", 5000),
        )
    ]  # fmt: skip
    forbidden = [
        guard.permits(host, port)
        for host, port in (
            ("93.184.216.34", 22), ("10.1.2.3", 80), ("::1", 80), ("192.168.8.1", 80),
        )
    ]  # fmt: skip
    assert all(permitted)
    assert not any(forbidden)


def test_an_allow_list_that_says_nothing_is_named(tmp_path):
    for entry in ("intranet", "10.0.0.0/99", "64:ff9b::/96"):
        assert refused("http://127.0.0.2/", tmp_path, allow=[entry]).code == "fetch_allow_unusable"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("", "url_unusable"),
        ("data.jsonl", "url_scheme"),
        ("file:///etc/passwd", "url_scheme"),
        ("ftp://a.example/x", "url_scheme"),
        ("gopher://a.example/", "url_scheme"),
        ("http://", "url_unusable"),
        ("http:///x", "url_unusable"),
        ("http://a.example:99999/", "url_unusable"),
        ("http://a.example:0/", "url_unusable"),
        ("http://a.example/ x", "url_unusable"),
        ("http://a.example/\r\nHost: b", "url_unusable"),
        ("http://[::1", "url_unusable"),
        ("http://me@a.example/", "url_credentials"),
        ("http://a.example@127.0.0.1/", "url_credentials"),
        ("http://a.example/" + "x" * 2000, "url_unusable"),
    ],
)
def test_an_impossible_url_is_refused_by_its_letters(url, code):
    with pytest.raises(UserError) as caught:
        check(url)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "url", ["https://a.example/학습.jsonl?v=1#x", "HTTP://10.0.0.1:8080/a", "http://[::1]/a"]
)
def test_a_possible_url_passes_the_early_check(url):
    check(url)


# --- what a server may try ----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("loop", "url_redirects"),
        ("page", "url_is_page"),
        ("login", "url_is_page"),
        ("bomb", "url_compressed"),
        ("declared", "url_too_big"),
        ("endless", "url_too_big"),
        ("chunks", "url_too_big"),
        ("short", "url_broken"),
        ("status/401", "url_denied"),
        ("status/403", "url_denied"),
        ("status/404", "url_missing"),
        ("status/429", "url_busy"),
        ("status/500", "url_busy"),
        ("status/418", "url_status"),
    ],
)
def test_a_server_that_gives_no_file_is_explained(allowed, tmp_path, path, code):
    assert refused(f"http://{address(allowed)}/{path}", tmp_path).code == code


@pytest.mark.parametrize("path", ["drip_headers", "drip_body", "silent"])
def test_the_clock_rules_whatever_a_server_drips(allowed, tmp_path, path):
    began = time.monotonic()
    assert refused(f"http://{address(allowed)}/{path}", tmp_path, seconds=1).code == "url_too_slow"
    assert time.monotonic() - began < 3


def test_a_look_up_that_never_answers_is_under_the_clock_too(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: time.sleep(5))
    assert refused("http://slow.example/", tmp_path, seconds=0.5).code == "url_too_slow"


def test_the_body_of_a_redirect_is_not_read(allowed, tmp_path):
    began = time.monotonic()
    assert take(f"http://{address(allowed)}/huge_redirect", tmp_path).size_bytes == len(ROWS)
    assert time.monotonic() - began < 3


def test_a_port_where_nobody_listens_and_a_name_nobody_knows_are_explained(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.2", 0))
        port = free.getsockname()[1]
    assert refused(f"http://127.0.0.2:{port}/", tmp_path).code == "url_unreachable"

    def unknown(*arguments: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert refused("http://nowhere.example/", tmp_path).code == "url_not_found"


def test_a_server_without_a_certificate_is_explained(allowed, tmp_path):
    error = refused(f"https://{address(allowed)}/rows.jsonl", tmp_path)
    assert error.code in ("url_certificate", "url_unreachable")
