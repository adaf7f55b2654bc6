"""No page speaks two languages: no Korean in English, no English in Korean, in any of its states.

Whatever people wrote is a digit here, so that all the words of a page are the studio's own.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from html import unescape

import making
import pytest
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from playground.models import Conversation
from studio import keys
from tests.locks.conftest import Belongings
from tests.locks.languages import Reader, foreign
from tests.locks.test_markup import attacked  # noqa: F401 - everything of somebody's, on all pages
from training import bases, drafts
from training.bases import BUILTIN

LANGUAGES = ("ko", "en")
OURS = frozenset({"tiny", "first-admin", BUILTIN.slug, BUILTIN.name, "Apache-2.0"})
"""Names in letters: the built-in base's, and those that the fixtures give."""
BAD_ROW = '{"prompt": "끝"}'
"""What the fixtures' unreadable file has in it."""
STATES: dict[str, dict] = {
    "waiting in line": {"status": "queued"},
    "checking": {"status": "validating_files"},
    "beginning": {"status": "running"},
    "reading": {"status": "running", "progress": {"phase": "reading"}},
    "learning": {"status": "running", "step": 3, "progress": {"seconds_left": 100, "loss": 1}},
    "saving": {"status": "running", "step": 9, "progress": {"phase": "saving"}},
    "ending": {"status": "running", "step": 3, "cancel_requested": True},
    "failed": {"status": "failed", "error": {"code": "trainer_crashed", "params": {"exit_code": 1}}},
    "failed without a word": {"status": "failed"},
    "cancelled": {"status": "cancelled", "step": 3},
    "done": {"status": "succeeded", "step": 9},
}  # fmt: skip


@pytest.fixture
def attack() -> str:
    """What stands in all that people wrote (see test_markup.py)."""
    return "7"


@pytest.fixture(params=LANGUAGES)
def language(request) -> str:
    return request.param


@pytest.fixture
def visitor(language):
    """Open a browser in the language, for somebody or for nobody."""

    def visit(person=None, **settings) -> Client:
        client = Client(headers={"Accept-Language": language}, **settings)
        if person:
            client.force_login(person)
        return client

    return visit


def check(answer, language: str) -> None:
    """Fail where an answer's page speaks the other language too."""
    page = Reader(answer.text.replace(escape(BAD_ROW), ""))
    leaks = page.korean() if language == "en" else page.english(OURS)
    place = answer.request["PATH_INFO"]
    assert not leaks, f"{place} in {language}: {leaks[:6]}"
    if "<html" in answer.text:
        assert f'<html lang="{language}"' in answer.text, place


def person_of(name: str):
    from studio.models import User

    return User.objects.get(username=name)


def test_pages_of_whoever_has_everything(attacked, visitor, language):  # noqa: F811
    for name, addresses in attacked.items():
        client = visitor(person_of(name))
        for address in addresses:
            answer = client.get(address)
            if answer.status_code != 204:
                check(answer, language)


def test_pages_of_a_newcomer(db, build, visitor, language):
    from studio.models import User

    User.objects.create_user("first-admin", password=build.password, is_staff=True)
    client = visitor(person_of("first-admin"))
    for address in (
        "/", "/train/", "/models/", "/data/", "/keys/", "/people/", "/password/", "/playground/",
        "/nowhere/", "/queue/", "/bases/", "/data/templates/",
    ):  # fmt: skip
        check(client.get(address), language)


def test_pages_before_and_without_an_account(db, build, visitor, language):
    from studio import accounts
    from studio.models import User

    client = visitor()
    link = f"/setup/{accounts.setup_token()}/"
    for address in ("/", link, "/setup/wrong/"):
        check(client.get(address), language)
    check(client.post(link, {"username": "7 7", "password": "7", "again": "8"}), language)
    User.objects.create_user("first-admin", password=build.password, is_staff=True)
    check(client.get("/login/"), language)
    check(client.post("/login/", {"username": "7", "password": "7"}), language)
    check(client.post("/login/", {}), language)


@pytest.fixture
def owner(db, build):
    from studio.models import User

    User.objects.create_user("first-admin", password=build.password, is_staff=True)
    return User.objects.create_user("7", password=build.password, is_staff=True)


def jobs_in_all_states(build, owner) -> Iterator:
    from training.models import JobEvent

    version = build.version(owner, "7", turns=("7", "7"), row="7")
    now = timezone.now()
    for fields in STATES.values():
        times = {"started_at": now} if fields.get("step") else {}
        if fields["status"] in ("failed", "cancelled", "succeeded"):
            times["finished_at"] = now + timedelta(minutes=70)
        job = build.job(owner, version, name="7", total_steps=9, attempt=1, **fields, **times)
        for kind in ("start", "resumed", "checkpoint", "done"):
            JobEvent.objects.create(job=job, attempt=1, kind=kind, step=3, data={"total_steps": 9})
        JobEvent.objects.create(job=job, attempt=1, kind="error", data={"code": "out_of_memory"})
        yield job


def test_a_job_in_each_of_its_states(owner, build, visitor, language):
    client, found = visitor(owner), list(jobs_in_all_states(build, owner))
    build.tuned(found[-1])
    for job in found:
        parts = ("", "now/", "log/", "table/", "rename/", "delete/", "cancel/")
        for part in parts:
            check(client.get(f"/models/{job.pk}/{part}", follow=True), language)
        check(client.post(f"/models/{job.pk}/cancel/", follow=True), language)
        check(client.post(f"/models/{job.pk}/rename/", {"name": ""}), language)
        check(client.post(f"/models/{job.pk}/rename/", {"name": "8"}, follow=True), language)
        check(client.post(f"/models/{job.pk}/delete/", follow=True), language)
    for address in ("/", "/live/", "/models/", "/queue/"):
        check(client.get(address), language)


def test_the_built_in_base_and_the_sample(owner, build, visitor, language, monkeypatch, tiny_base):
    from training import samples
    from training.forecast import Forecast

    monkeypatch.setattr(bases, "BUILTIN", replace(BUILTIN, folder=tiny_base))
    monkeypatch.setattr(samples, "expected", lambda: Forecast(400, 0, False))
    client = visitor(owner)
    check(client.get("/"), language)
    check(client.post("/train/sample/", follow=True), language)
    job = owner.jobs.get()
    job.status = "succeeded"
    job.save()
    build.tuned(job)
    for address in ("/", "/train/", "/data/", f"/models/{job.pk}/", "/playground/"):
        check(client.get(address), language)
    draft = build.job(owner, None, "draft", "7")
    check(client.get(f"/train/{draft.pk}/model/"), language)


def test_a_download_in_each_of_its_states(owner, visitor, language):
    client = visitor(owner)
    for fields in (
        {"status": "waiting"}, {"status": "fetching"}, {"status": "cancelled", "done_bytes": 9},
        {"status": "fetching", "size_bytes": 9, "seconds_left": 9}, {"status": "failed"},
        {"status": "fetching", "size_bytes": 9, "cancel_requested": True},
        {"status": "failed", "error": {"code": "hub_gated", "params": {"repo": "7"}}},
    ):  # fmt: skip
        row = owner.base_downloads.create(repo="7", **fields)
        check(client.get("/bases/"), language)
        check(client.get(f"/bases/downloads/{row.pk}/discard/"), language)
        check(client.post(f"/bases/downloads/{row.pk}/cancel/", follow=True), language)
        row.delete()
    check(client.post("/bases/fetch/", {"repo": ""}), language)
    check(client.post("/bases/fetch/", {"repo": "7"}), language)
    check(client.post("/bases/import/", {"name": "7 7"}), language)


def test_what_is_said_of_a_base_that_goes(owner, visitor, language):
    check(visitor(owner).get("/bases/folders/tiny/delete/"), language)


def test_data_in_each_of_its_states(owner, build, visitor, language):
    from training.datasets import versions

    client, notes = visitor(owner), ["raw_newlines_mended", "columns_ignored"]
    for number, fields in enumerate((
        {"status": "waiting"}, {"status": "reading", "size_bytes": 9}, {"source": "url"},
        {"status": "reading", "source": "url"}, {"notes": notes, "format": "csv-conversation"},
        {"status": "failed", "error": {"code": "file_locked"}}, {"source": "sample"},
    )):  # fmt: skip
        version = build.version(owner, str(number), turns=("7", "7"), row="7")
        for name, value in fields.items():
            setattr(version, name, value)
        version.save()
        draft = build.job(owner, version, "draft", "7")
        for part in ("model", "data", "reading", "summary"):
            answer = client.get(f"/train/{draft.pk}/{part}/")
            if answer.status_code != 204:
                check(answer, language)
        check(client.get(f"/data/{version.dataset_id}/"), language)
        check(client.get(f"/data/{version.dataset_id}/delete/"), language)
        assert versions.users(version.dataset) is not None
    check(client.get("/data/"), language)


def test_questions_in_each_of_their_states(owner, build, visitor, language):
    client, mine = visitor(owner), build.batch(owner, "7")
    mine.name = "7"
    broken = {"code": "generation_failed", "params": {}}
    for position, fields in enumerate((
        {"is_same": True, "answer": "7"}, {"answer": "7 " * 900, "usage": {"finish_reason": "length"}},
        {"error": broken}, {"answer": " ", "usage": {"finish_reason": "time", "trimmed": 2}},
    ), 2):  # fmt: skip
        turns = [{"role": "user", "content": "7"}] * 2
        mine.questions.create(
            position=position, messages=turns, answered_at=timezone.now(), **fields
        )
    for fields in (
        {"status": "waiting"}, {"status": "running", "total": 0}, {"status": "running", "seconds_left": 9},
        {"status": "running", "waits_for": "engine_away"}, {"status": "running", "waits_for": "loading"},
        {"status": "running", "cancel_requested": True}, {"status": "ready", "error_count": 1, "found_count": 9},
        {"status": "cancelled", "order": {"is_random": True}, "problem_count": 2},
        {"status": "failed", "error": {"code": "question_column_unknown", "params": {"columns": "7"}}},
    ):  # fmt: skip
        for name, value in (
            {"total": 5, "waits_for": "", "cancel_requested": False} | fields
        ).items():
            setattr(mine, name, value)
        mine.save()
        for query in ("", "?only=different", "?page=2"):
            check(client.get(f"/playground/batch/{mine.pk}/{query}"), language)
        check(client.get(f"/playground/batch/{mine.pk}/now/?was={mine.status}"), language)
    for address in ("", f"{mine.pk}/mend/?message=1", f"{mine.pk}/delete/"):
        check(client.get(f"/playground/batch/{address}"), language)
    for form in ({}, {"source": "held"}, {"most": "x", "model": "base:tiny"}):
        check(client.post("/playground/batch/", form), language)


@pytest.mark.parametrize("overflow", ["cut", "drop", "fail"])
def test_the_summary_of_data_that_was_counted(owner, build, visitor, language, overflow):

    version = build.version(owner, "7", count=40, turns=("7", "7"), row="7")
    draft = build.job(owner, version, "draft", "7", overflow=overflow)
    count = drafts.token_count(draft)
    for lost, cut in ((0, 0), (3, 9), (30, 30)):
        count.result = making.lengths((40 - cut, 9, 7), (cut - lost, 900, 7), (lost, 900, 700))
        count.status = "ready"
        count.save()
        check(visitor(owner).get(f"/train/{draft.pk}/data/"), language)


def test_forms_that_are_refused(owner, build, visitor, language):
    mine, client = one_of_each(build, owner), visitor(owner)
    draft = f"/train/{mine.draft.pk}"
    for address, form in (
        ("/keys/", {}), ("/people/", {}), ("/people/", {"username": "7", "password": "7", "again": "7"}),
        ("/people/", {"username": "8", "password": "88888888", "again": "8", "role": "7"}),
        ("/password/", {}), ("/password/", {"old_password": "7", "new_password1": "7", "new_password2": "8"}),
        (f"/people/{owner.pk}/active/", {"active": "0"}), (f"{draft}/method/", {}),
        (f"{draft}/model/", {}), (f"{draft}/model/", {"mode": "manual", "epochs": "7777", "lora_rank": "-"}),
        (f"{draft}/upload/", {}), (f"{draft}/url/", {}), (f"{draft}/url/", {"url": "7"}),
        (f"{draft}/library/", {}), (f"{draft}/library/", {"version": "7"}), (f"{draft}/start/", {}),
        (f"/playground/{mine.conversation.pk}/rename/", {"title": ""}),
        ("/playground/new/", {"model": "7"}), ("/playground/load/", {"model": f"tuned:{mine.tuned.pk}"}),
        ("/train/sample/", {}), (f"/data/{mine.version.dataset_id}/delete/", {}),
    ):  # fmt: skip
        check(client.post(address, form, follow=True), language)
        check(client.post(address, form, headers={"HX-Request": "true"}), language)


def test_forms_that_are_taken(owner, build, visitor, language):
    mine, client = one_of_each(build, owner), visitor(owner)
    for address, form in (
        ("/keys/", {"name": "7"}), (f"/keys/{mine.key.pk}/revoke/", {}),
        (f"/data/{mine.dataset.pk}/delete/", {}), (f"/train/{mine.draft.pk}/discard/", {}),
        (f"/models/{mine.finished.pk}/retry/", {}), (f"/models/{mine.queued.pk}/cancel/", {}),
        (f"/playground/{mine.conversation.pk}/delete/", {}),
        ("/people/", {"username": "77", "password": build.password, "again": build.password, "role": "member"}),
        (f"/people/{person_of('first-admin').pk}/active/", {"active": "0"}),
        (f"/people/{person_of('first-admin').pk}/active/", {"active": "1"}),
        ("/password/", {"old_password": build.password, "new_password1": "Sea-salt-43!", "new_password2": "Sea-salt-43!"}),
    ):  # fmt: skip
        answer = client.post(address, form, follow=True)
        assert answer.status_code == 200, address
        check(answer, language)


def one_of_each(build, owner) -> Belongings:
    """Return what a person has, all of it named by a digit."""
    version = build.version(owner, "7", turns=("7", "7"), row="7")
    unused = build.version(owner, "7", turns=("7", "7"), row="7")
    finished = build.job(owner, version, "succeeded", "7", finished_at=timezone.now())
    key, secret = keys.create(owner, "7")
    return Belongings(
        person=owner, version=version, finished=finished, tuned=build.tuned(finished),
        draft=build.job(owner, version, "draft", "7"), key=key, secret=secret,
        queued=build.job(owner, version, "queued", "7"), dataset=unused.dataset,
        conversation=Conversation.objects.create(owner=owner, title="7", model="base:tiny"),
    )  # fmt: skip


def test_what_goes_wrong_before_or_within_a_view(owner, visitor, language, monkeypatch):
    from studio.views import home

    strict = visitor(owner, enforce_csrf_checks=True)
    answer = strict.post("/train/new/")
    assert answer.status_code == 403
    check(answer, language)
    monkeypatch.setattr(home, "in_order", lambda live: 1 / 0)
    answer = visitor(owner, raise_request_exception=False).get("/")
    assert answer.status_code == 500
    check(answer, language)


def test_every_refusal_of_the_api(owner, build, language):
    _key, secret = keys.create(owner, "7")
    asked = {"Accept-Language": language, "Authorization": f"Bearer {secret}"}
    client = Client(headers=asked)
    good = {"base_model": "tiny", "suffix": "7", "training_file": "https://127.0.0.1/7"}
    address = "/v1/training/fine_tune"
    for answer in (
        Client(headers={"Accept-Language": language}).get("/v1/models"), client.get("/v1/nowhere"),
        client.delete(address), client.get("/v1/models/7"), client.get(f"{address}/7"),
        client.delete("/v1/models/tiny"), client.post("/v1/models/tiny/load"),
        *(
            client.post(address, good | wrong, content_type="application/json")
            for wrong in (
                {}, {"suffix": ""}, {"suffix": 7}, {"suffix": "7" * 65}, {"suffix": "\t"}, {"x": 7},
                {"train_method": "7"}, {"training_file": "7"}, {"base_model": "7"}, {"hyperparams": 7},
                {"hyperparams": {"epochs": 777}}, {"hyperparams": {"epochs": "7"}}, {"overflow": "7"},
            )
        ),
        client.post(address, {"suffix": "7"}, content_type="application/json"),
        client.post(address, "7", content_type="application/json"),
    ):  # fmt: skip
        if answer.status_code == 200:
            continue
        message = answer.json()["error"]["message"]
        fields = frozenset({*good, "hyperparams.epochs", "hyperparams", "train_method", "tiny", "x",
                            "lora", "peft", "full", "cut", "drop", "fail", "or"})  # fmt: skip
        wrong = Reader(message).korean() if language == "en" else foreign(message, fields)
        assert not wrong, message


# --- the choice ----------------------------------------------------------------------------------
@pytest.mark.parametrize("asked, spoken", [
    ("", "ko"), ("ko", "ko"), ("en", "en"), ("en-US,en;q=0.9", "en"), ("ko-KR,en;q=0.5", "ko"),
    ("en;q=0.5,ko;q=0.9", "ko"), ("fr", "ko"), ("*", "ko"), ("x" * 5000, "ko"),
])  # fmt: skip
def test_korean_is_spoken_unless_the_browser_asks_for_english_first(owner, asked, spoken):
    answer = Client(headers={"Accept-Language": asked}).get("/login/")
    assert f'<html lang="{spoken}"' in answer.text
    assert answer.headers["Content-Language"] == spoken and "Accept-Language" in answer["Vary"]


def test_a_choice_counts_more_than_what_the_browser_asks_for(owner):
    client = Client(headers={"Accept-Language": "ko"})
    answer = client.post("/language/", {"language": "en", "next": "/login/?next=/models/"})
    assert answer.url == "/login/?next=/models/"
    page = client.get(answer.url).text
    assert '<html lang="en"' in page
    assert 'value="en" lang="en" aria-pressed="true"' in page
    assert 'value="ko" lang="ko" aria-pressed="false"' in page
    client.force_login(owner)
    assert '<html lang="en"' in client.get("/models/").text


@pytest.mark.parametrize("asked", LANGUAGES)
def test_each_language_is_named_in_itself(owner, asked):
    page = Client(headers={"Accept-Language": asked}).get("/login/").text
    assert ">한국어</button>" in page and ">English</button>" in page


def test_the_choice_can_be_made_before_there_is_any_account(db):
    client = Client()
    assert 'action="/language/"' in client.get("/").text
    client.post("/language/", {"language": "en", "next": "/"})
    assert "create the administrator’s account first" in client.get("/").text


@pytest.mark.parametrize("chosen", ["", "fr", "../../etc", '"><script>'])
def test_an_unknown_choice_follows_the_browser_again(owner, chosen):
    client = Client(headers={"Accept-Language": "en"})
    client.post("/language/", {"language": "ko"})
    assert '<html lang="ko"' in client.get("/login/").text
    client.post("/language/", {"language": chosen})
    assert '<html lang="en"' in client.get("/login/").text


@pytest.mark.parametrize("referer, onward", [
    ("http://testserver/train/7/data/?a=1", "/train/7/data/?a=1"), ("", "/"),
    ("http://evil.example//evil.example/", "/"), ("javascript:alert(1)", "/"),
])  # fmt: skip
def test_from_a_refused_form_the_choice_leads_to_the_forms_page(owner, referer, onward):
    client = Client()
    client.force_login(owner)
    page = client.post("/train/sample/", headers={"Referer": referer}).text
    goal = unescape(page.partition('name="next" value="')[2].partition('"')[0])
    assert client.post("/language/", {"language": "en", "next": goal}).url == onward


def test_the_choice_does_not_lead_to_another_site(db):
    answer = Client().post("/language/", {"language": "en", "next": "//evil.example"})
    assert answer.url == "/"


def test_the_reader_finds_what_it_is_there_to_find():
    for html in (
        "<p>안녕</p>", "<p title='안녕'>x</p>", "<b data-a='안녕'>x</b>", "<code>안녕</code>",
        "<p><b lang='ko'>안녕</b> 또</p>", "<br><p lang='ko'>안녕</p><p>또</p>",
    ):  # fmt: skip
        assert Reader(html).korean(), html
    for html in (
        "<p>학습 started</p>", "<p aria-label='Close'>7</p>", "<b data-a='Not yet'>7</b>",
        "<p><b lang='en'>English</b> Hello</p>", "<option>No</option>",
    ):  # fmt: skip
        assert Reader(html).english(), html
    assert not Reader("<html lang='en'><b lang='ko'>한국어</b><p>Hello</p>").korean()
    assert not Reader("<p data-state='ready'>LoRA 랭크</p><code>cat</code>").english()
