"""The guard in front of ASGI: bodies, and from where a websocket may come."""

import pytest
from django.test import Client

from studio import guard


async def call(application, path: str, body: bytes, **headers: str) -> list[dict]:
    sent: list[dict] = []
    scope = {
        "type": "http", "method": "POST", "path": path, "query_string": b"",
        "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
    }  # fmt: skip
    chunks = [body[i : i + 65536] for i in range(0, len(body), 65536)] or [b""]

    async def receive() -> dict:
        chunk = chunks.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

    async def send(message: dict) -> None:
        sent.append(message)

    await application(scope, receive, send)
    return sent


async def swallow(scope: dict, receive, send) -> None:
    """An application that takes a whole body, as Django does before any view runs."""
    taken = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        taken += len(message["body"])
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(taken).encode()})


UPLOAD = "/train/abcdefgh/upload/"
LARGE = bytes(guard.SMALL_BYTES + 200_000)


@pytest.fixture
def cookie(user) -> str:
    client = Client()
    client.force_login(user)
    return f"sessionid={client.cookies['sessionid'].value}"


async def test_a_small_body_passes():
    answer = await call(guard.BodyGuard(swallow), "/login/", b"x" * 10, content_length="10")
    assert answer[0]["status"] == 200


@pytest.mark.parametrize("declared", [{}, {"content_length": str(len(LARGE))}])
async def test_a_large_body_is_refused_declared_or_not(declared):
    answer = await call(guard.BodyGuard(swallow), "/login/", LARGE, **declared)
    assert [message.get("status") for message in answer if "status" in message] == [413]


@pytest.mark.django_db(transaction=True)
async def test_an_upload_needs_a_session_before_its_body_is_taken(cookie):
    application = guard.BodyGuard(swallow)
    assert (await call(application, UPLOAD, LARGE))[0]["status"] == 413
    assert (await call(application, UPLOAD, LARGE, cookie="sessionid=nobody"))[0]["status"] == 413
    assert (await call(application, UPLOAD, LARGE, cookie=cookie))[0]["status"] == 200


@pytest.mark.parametrize(
    ("origin", "enters"),
    [
        ("http://127.0.0.1:8000", True),
        ("https://127.0.0.1:8000", True),
        ("http://127.0.0.1:9000", False),
        ("http://evil.example", False),
        ("", False),
        ("null", False),
    ],
)
async def test_a_websocket_comes_from_this_very_host_and_port(origin, enters):
    entered, sent = [], []

    async def application(scope, receive, send) -> None:
        entered.append(scope)

    async def send(message: dict) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1:8000"), (b"origin", origin.encode())]
    await guard.SameOrigin(application)({"type": "websocket", "headers": headers}, None, send)
    assert bool(entered) == enters
    assert enters or sent == [{"type": "websocket.close", "code": 4403}]


@pytest.mark.django_db(transaction=True)
async def test_a_body_for_which_the_disk_has_no_room_is_refused_first(cookie, monkeypatch):
    monkeypatch.setattr(guard.room, "SPARE_BYTES", 1 << 60)
    body = {"content_length": str(len(LARGE)), "cookie": cookie}
    answer = await call(guard.BodyGuard(swallow), "/data/new/", LARGE, **body)
    assert answer[0]["status"] == 507


@pytest.mark.django_db(transaction=True)
async def test_a_large_file_may_come_to_the_library_too(cookie):
    answer = await call(guard.BodyGuard(swallow), "/data/new/", LARGE, cookie=cookie)
    assert answer[0]["status"] == 200
