"""A model folder through the browser: in pieces or in one form, and everything that must not pass."""

import io
import os
import time
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from studio import guard
from training import bases, gate, pieces
from training.errors import UserError
from training.hub import imports, library

pytestmark = pytest.mark.django_db
JSON = {"Accept": "application/json"}
DANGEROUS = (
    "modeling.py", "pytorch_model.bin", "model.pt", "rng_state.pth", "x.pkl", "run.sh", "x.so",
    "config.json.exe", "model.safetensors.zip", "noending", ".hidden.json", "",
)  # fmt: skip
TRICKS = (
    "../config.json", "..\\config.json", "/etc/config.json", "sub/config.json", "C:\\x.json",
    "..", "a\x00.json", "con fig.json", "가.json", "\u202econfig.json", "a" * 300 + ".json",
)  # fmt: skip


@pytest.fixture
def begun(admin_client) -> dict:
    answer = admin_client.post("/bases/import/", {"name": "kept", "size": "100"}, headers=JSON)
    assert answer.status_code == 200, answer.text
    return answer.json()


def send(client, begun: dict, name: str, content: bytes, start: object = 0):
    return client.generic(
        "POST", f"{begun['piece']}?start={start}", content, query_params={"name": name, "start": start},
        content_type="application/octet-stream", headers=JSON,
    )  # fmt: skip


def code_of(answer) -> str:
    assert answer.status_code == 422, answer.text
    return answer.json()["error"]["code"]


def bring(client, begun: dict, folder: Path, piece: int = 70_000) -> None:
    for path in folder.iterdir():
        content = path.read_bytes()
        for start in range(0, max(1, len(content)), piece):
            answer = send(client, begun, path.name, content[start : start + piece], start)
            assert answer.status_code == 200, answer.text
        assert answer.json()["size"] == len(content)


def test_a_folder_in_pieces_becomes_a_base(admin_client, begun, tiny_base, library_folder):
    bring(admin_client, begun, tiny_base)
    assert bases.catalogue() == []  # not before all of it is here
    answer = admin_client.post(begun["finish"], headers=JSON)
    assert answer.json() == {"onward": "/bases/"}
    assert bases.find("kept").parameters and not list((library_folder / ".incoming").iterdir())
    for path in tiny_base.iterdir():
        assert (library_folder / "kept" / path.name).read_bytes() == path.read_bytes()


def test_a_piece_may_come_again_and_none_may_be_left_out(admin_client, begun):
    send(admin_client, begun, "config.json", b"12345")
    assert send(admin_client, begun, "config.json", b"abc", 2).json() == {"size": 5}
    assert send(admin_client, begun, "config.json", b"xy", 2).json() == {"size": 4}
    assert code_of(send(admin_client, begun, "config.json", b"x", 9)) == "import_out_of_step"
    for start in ("-1", "x", ""):
        assert (
            code_of(send(admin_client, begun, "config.json", b"x", start)) == "import_out_of_step"
        )


@pytest.mark.parametrize("name", DANGEROUS + TRICKS, ids=repr)
def test_a_file_that_may_not_lie_in_a_model_is_refused_before_a_byte_is_kept(
    admin_client, begun, name, tmp_path
):
    before = sorted(tmp_path.rglob("*"))
    assert code_of(send(admin_client, begun, name, b"x")) == "import_file_refused"
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a/b", ".x", "", "..", "a..b", "a\x00b", "가", "x" * 101, ".incoming"]
)
def test_a_name_that_could_lead_elsewhere_is_refused(admin_client, name, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    answer = admin_client.post("/bases/import/", {"name": name}, headers=JSON)
    assert code_of(answer) == "import_name_wrong" and sorted(tmp_path.rglob("*")) == before


def test_the_gate_has_the_last_word_and_leaves_nothing(
    admin_client, begun, tiny_base, library_folder
):
    bring(admin_client, begun, tiny_base)
    send(admin_client, begun, "config.json", b'{"auto_map": {"AutoModel": "x.X"}}')
    answer = admin_client.post(begun["finish"], headers=JSON)
    assert code_of(answer) == "gate_key" and "kept" in answer.json()["error"]["message"]
    assert not list((library_folder / ".incoming").iterdir()) and not bases.catalogue()
    assert admin_client.post(begun["finish"], headers=JSON).status_code == 404


def test_what_is_too_large_is_refused_at_the_start_and_while_it_comes(
    admin_client, begun, settings, monkeypatch
):
    settings.MODEL_LIMIT_BYTES = 1000
    form = {"name": "large", "size": "1001"}
    assert code_of(admin_client.post("/bases/import/", form, headers=JSON)) == "import_too_large"
    assert send(admin_client, begun, "a.safetensors", b"x" * 600).status_code == 200
    assert code_of(send(admin_client, begun, "b.safetensors", b"x" * 600)) == "import_too_large"
    monkeypatch.setattr(gate, "JSON_LIMIT_BYTES", 50)
    assert code_of(send(admin_client, begun, "vocab.json", b"x" * 51)) == "import_too_large"


def test_a_full_disk_is_said_at_the_start(admin_client, begun, monkeypatch):
    import shutil

    usage = shutil.disk_usage("/")._replace(free=1024)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    form = {"name": "large", "size": "1001"}
    assert code_of(admin_client.post("/bases/import/", form, headers=JSON)) == "import_disk"
    assert code_of(send(admin_client, begun, "a.json", b"x")) == "import_disk"


def test_a_name_that_is_taken_is_refused(admin_client, begun, library_folder):
    (library_folder / "taken").mkdir()
    form = {"name": "taken"}
    assert code_of(admin_client.post("/bases/import/", form, headers=JSON)) == "base_here_already"


def test_giving_up_takes_the_files_along(admin_client, begun, library_folder):
    send(admin_client, begun, "config.json", b"{}")
    assert admin_client.post(begun["abandon"], headers=JSON).status_code == 200
    assert not list((library_folder / ".incoming").iterdir())


def test_what_was_left_half_done_is_swept_after_a_day(begun, library_folder):
    from training.hub import downloads

    downloads.sweep()
    (folder,) = (library_folder / ".incoming").iterdir()
    old = time.time() - library.ABANDONED_SECONDS - 60
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (old, old))
    downloads.sweep()
    assert not folder.exists()


def test_only_administrators_bring_models(client, user, begun):
    client.force_login(user)
    for address in ("/bases/import/", *(begun[name] for name in ("piece", "finish", "abandon"))):
        assert client.post(address, {"name": "x"}).status_code == 404
        assert Client().post(address).status_code == 302


@pytest.mark.parametrize("pk", ["x" * 16, "..", "kept", "%2e%2e"])
def test_an_import_that_is_none_is_not_there(admin_client, begun, pk):
    assert admin_client.post(f"/bases/import/{pk}/finish/").status_code == 404


# --- the plain form -------------------------------------------------------------------------------
def upload(folder: Path, **more: bytes) -> list[SimpleUploadedFile]:
    content = {path.name: path.read_bytes() for path in folder.iterdir()} | more
    return [SimpleUploadedFile(name, data) for name, data in content.items()]


def test_the_plain_form_brings_a_folder_at_once(admin_client, tiny_base, library_folder):
    answer = admin_client.post("/bases/import/", {"name": "plain", "files": upload(tiny_base)})
    assert answer.status_code == 302 and bases.find("plain").context_length == 512
    assert "plain 모델을 가져왔습니다." in admin_client.get("/bases/").text


def test_the_plain_form_says_what_is_wrong_and_keeps_nothing(
    admin_client, tiny_base, library_folder
):
    files = upload(tiny_base, **{"evil.py": b"import os"})
    answer = admin_client.post("/bases/import/", {"name": "plain", "files": files})
    assert answer.status_code == 422 and "evil.py" in answer.text
    assert not library_folder.exists() or not list(library_folder.rglob("*.*"))
    answer = admin_client.post("/bases/import/", {"name": "", "files": []})
    assert answer.status_code == 422 and "이름을 입력하세요." in answer.text


def test_the_files_of_a_form_pass_the_gate_too(tmp_path, library_folder):
    (tmp_path / "spool").write_bytes(b"{}")
    with pytest.raises(UserError) as caught:
        imports.take("plain", [("config.json", tmp_path / "spool")])
    assert caught.value.code == "gate_missing" and not list(
        (library_folder / ".incoming").iterdir()
    )


# --- the guard in front -----------------------------------------------------------------------------
async def swallowed(path: str, size: int, cookie: str = "") -> int:
    """Send a body through the guard; return the status that it leads to."""
    sent: list[dict] = []
    left = [size]

    async def receive() -> dict:
        now = min(left[0], 1_000_000)
        left[0] -= now
        return {"type": "http.request", "body": bytes(now), "more_body": left[0] > 0}

    async def send_out(message: dict) -> None:
        sent.append(message)

    async def application(scope: dict, receive, send) -> None:
        while (message := await receive())["type"] == "http.request" and message["more_body"]:
            pass
        if message["type"] == "http.request":
            await send({"type": "http.response.start", "status": 200, "headers": []})

    scope = {
        "type": "http", "method": "POST", "path": path, "query_string": b"",
        "headers": [(b"cookie", cookie.encode())],
    }  # fmt: skip
    await guard.BodyGuard(application)(scope, receive, send_out)
    return sent[0]["status"]


@pytest.mark.django_db(transaction=True)
async def test_only_an_administrators_piece_is_taken_and_no_larger_one(user):
    from studio.models import User

    administrator = await User.objects.aget(username="first-admin")
    piece = f"/bases/import/{'a' * 16}/piece/"

    async def cookie(person) -> str:
        client = Client()
        await client.aforce_login(person)
        return f"sessionid={client.cookies['sessionid'].value}"

    members, administrators = await cookie(user), await cookie(administrator)
    for path in (piece, "/bases/import/"):
        assert await swallowed(path, 2_000_000) == 413
        assert await swallowed(path, 2_000_000, members) == 413
        assert await swallowed(path, 2_000_000, administrators) == 200
    assert await swallowed(piece, pieces.PIECE_BYTES + 1, administrators) == 413
    assert await swallowed("/bases/fetch/", 2_000_000, administrators) == 413
    assert await swallowed("/train/abc/upload/", 2_000_000, members) == 200


def test_the_stream_is_read_in_chunks(tmp_path, library_folder):
    folder = imports.find(imports.begin("chunks"))
    asked = []

    def read(size: int) -> bytes:
        asked.append(size)
        return source.read(size)

    source = io.BytesIO(bytes(3_000_000))
    assert imports.receive(folder, "model.safetensors", 0, read) == 3_000_000
    assert set(asked) == {pieces.CHUNK_BYTES}
