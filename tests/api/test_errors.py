"""Whatever goes wrong under /v1/ is said in JSON, in one shape, in the reader's language."""

import json

import pytest
from django.test import override_settings

from studio.guard import SMALL_BYTES, BodyGuard
from training import jobs
from training.models import Dataset, Job

CREATE = "/v1/training/fine_tune"
GOOD = {"base_model": "tiny", "suffix": "날씨", "training_file": "http://127.0.0.1:1/a.jsonl"}


def send(api, content, **headers: str):
    body = content if isinstance(content, (bytes, str)) else json.dumps(content)
    return api.post(CREATE, body, content_type="application/json", headers=headers)


def refusal(answer, status: int) -> dict:
    """Check the shape of an error and return it."""
    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"].startswith("application/json")
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] and "{" not in error["message"].replace("{ }", "")
    assert not Job.objects.exists() and not Dataset.objects.exists()
    return error


@pytest.mark.parametrize(
    "body",
    [
        "", "{", "not json", b"\xff\xfe\x00", "\u201cbase_model\u201d", "[" * 100_000,
        '{"a": ' + "1" * 5000 + "}",
    ],
    ids=range(7),
)  # fmt: skip
def test_garbage_is_unreadable(api, body):
    error = refusal(send(api, body), 400)
    assert error["code"] == "request_unreadable" and error["type"] == "invalid_request_error"


@pytest.mark.parametrize("body", ["[]", "null", '"text"', "7", "true"])
def test_a_body_that_is_no_object_is_unreadable(api, body):
    refusal(send(api, body), 400)


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"base_model": None}, "base_model", "field_wrong"),
        ({"base_model": 7}, "base_model", "field_wrong"),
        ({"base_model": ["tiny"]}, "base_model", "field_wrong"),
        ({"base_model": "x" * 201}, "base_model", "field_wrong"),
        ({"base_model": "nowhere"}, "base_model", "base_missing"),
        ({"base_model": "../../etc"}, "base_model", "base_missing"),
        ({"base_model": "\ud800"}, "base_model", "field_wrong"),
        ({"suffix": ""}, "suffix", "field_wrong"),
        ({"suffix": "   "}, "suffix", "field_wrong"),
        ({"suffix": "가" * 65}, "suffix", "field_wrong"),
        ({"suffix": "두\n줄"}, "suffix", "field_wrong"),
        ({"suffix": "\x00"}, "suffix", "field_wrong"),
        ({"suffix": "\ud800"}, "suffix", "field_wrong"),
        ({"training_file": 1}, "training_file", "field_wrong"),
        ({"training_file": "file:///etc/passwd"}, "training_file", "url_scheme"),
        ({"training_file": "URL_OF_DATASET_FILE"}, "training_file", "url_scheme"),
        ({"training_file": "http://u:p@h/x"}, "training_file", "url_credentials"),
        ({"training_file": "http://h/\ud800"}, "training_file", "field_wrong"),
        ({"train_method": "qlora"}, "train_method", "field_wrong"),
        ({"train_method": 1}, "train_method", "field_wrong"),
        ({"hyperparams": []}, "hyperparams", "field_wrong"),
        ({"hyperparams": {"epochs": "many"}}, "hyperparams.epochs", "field_wrong"),
        ({"hyperparams": {"epochs": True}}, "hyperparams.epochs", "field_wrong"),
        ({"hyperparams": {"epochs": None}}, "hyperparams.epochs", "field_wrong"),
        ({"hyperparams": {"epochs": 51}}, "hyperparams.epochs", "number_wrong"),
        ({"hyperparams": {"epochs": 1.5}}, "hyperparams.epochs", "number_wrong"),
        ({"hyperparams": {"batch_size": -1}}, "hyperparams.batch_size", "number_wrong"),
        ({"hyperparams": {"lr": 5}}, "hyperparams.lr", "number_wrong"),
        ({"hyperparams": {"lr": float("nan")}}, "hyperparams.lr", "number_wrong"),
        ({"hyperparams": {"lr": 10**400}}, "hyperparams.lr", "number_wrong"),
        ({"hyperparams": {"n_epochs": 3}}, "hyperparams.n_epochs", "field_unknown"),
        ({"overflow": "shrink"}, "overflow", "field_wrong"),
        ({"model": "tiny"}, "model", "field_unknown"),
        ({"validation_file": None}, "validation_file", "field_unknown"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named_and_nothing_is_begun(api, changes, param, code):
    error = refusal(send(api, GOOD | changes), 422)
    assert (error["param"], error["code"]) == (param, code)
    if code.startswith("field"):
        assert param in error["message"]


@pytest.mark.parametrize("name", ["base_model", "suffix", "training_file"])
def test_what_is_missing_is_named(api, name):
    error = refusal(send(api, {key: GOOD[key] for key in GOOD if key != name}), 422)
    assert (error["param"], error["code"]) == (name, "field_missing")


def test_routes_that_are_not_there_and_methods_they_do_not_take(api):
    for path in ("/v1/", "/v1/no/such", "/v1/models/a/b/c", "/v1/training/fine_tune/"):
        assert refusal(api.get(path), 404)["code"] == "route_unknown"
    answer = api.put(CREATE, "{}", content_type="application/json")
    assert refusal(answer, 405)["code"] == "method_unknown"
    assert set(answer.headers["Allow"].replace(" ", "").split(",")) == {"GET", "POST"}
    assert refusal(api.delete(CREATE), 405)
    assert refusal(api.post("/v1/models"), 405)


@override_settings(DEBUG=True)
def test_what_is_not_there_is_json_in_development_too(api):
    refusal(api.get("/v1/no/such"), 404)


def test_a_foreign_host_is_refused_in_json(api):
    error = refusal(api.get("/v1/models", headers={"Host": "evil.example"}), 400)
    assert error["type"] == "invalid_request_error"


def test_a_fault_of_ours_is_500_with_an_id_and_no_traceback(api, monkeypatch, caplog):
    def break_down(*args, **kwargs):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(jobs, "submit", break_down)
    answer = send(api, GOOD)
    Dataset.objects.all().delete()
    error = refusal(answer, 500)
    assert error["type"] == "server_error" and "a fault of ours" not in answer.text
    assert answer.headers["X-Request-Id"] in caplog.text
    assert answer.headers["X-Should-Retry"] == "false"


@pytest.mark.parametrize("asked, words", [
    ("", "not known"), ("*", "not known"), ("fr", "not known"), ("en-GB,ko;q=0.5", "not known"),
    ("ko", "모르는 항목"), ("ko-KR,en;q=0.5", "모르는 항목"), ("fr,ko;q=0.5", "모르는 항목"),
])  # fmt: skip
def test_the_language_is_what_the_program_asks_for_and_english_by_default(api, asked, words):
    api.cookies["language"] = "ko"  # a browser's choice counts for nothing here
    answer = send(api, GOOD | {"x": 1}, **{"Accept-Language": asked})
    assert words in answer.json()["error"]["message"]
    assert answer.headers["Content-Language"] == ("en" if words == "not known" else "ko")


def test_what_never_reaches_a_view_is_refused_in_the_same_language(api):
    for asked, words in (("", "no API at this address"), ("ko", "API가 없습니다")):
        answer = api.get("/v1/nowhere", headers={"Accept-Language": asked})
        assert words in refusal(answer, 404)["message"]


@pytest.mark.django_db
def test_a_key_is_refused_in_the_same_language(client):
    for asked, words in (("", "There is no API key"), ("ko", "API 키가 없습니다")):
        answer = client.get("/v1/models", headers={"Accept-Language": asked})
        assert words in refusal(answer, 401)["message"]


async def guarded(path: str, *parts: bytes, declared: int | None = None) -> tuple[dict, bytes]:
    """Send a body through the guard and return what it answers, start and body."""
    sent: list[dict] = []
    waiting = list(parts)

    async def application(scope, receive, send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def receive() -> dict:
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    async def send(message: dict) -> None:
        sent.append(message)

    length = [] if declared is None else [(b"content-length", str(declared).encode())]
    scope = {"type": "http", "path": path, "method": "POST", "headers": length, "query_string": b""}
    await BodyGuard(application)(scope, receive, send)
    return sent[0], sent[1]["body"]


@pytest.mark.parametrize("declared", [SMALL_BYTES + 1, None])
async def test_a_body_that_is_too_large_is_413_in_json(declared):
    start, body = await guarded(CREATE, b"x" * SMALL_BYTES, b"x", declared=declared)
    headers = dict(start["headers"])
    assert start["status"] == 413 and headers[b"content-type"] == b"application/json"
    assert json.loads(body)["error"]["code"] == "request_too_large"
    assert int(headers[b"content-length"]) == len(body)


async def test_a_page_gets_its_413_as_text():
    start, body = await guarded("/models/", b"", declared=SMALL_BYTES + 1)
    assert start["status"] == 413 and dict(start["headers"])[b"content-type"].startswith(b"text")
    assert "크기를 넘었습니다" in body.decode()
