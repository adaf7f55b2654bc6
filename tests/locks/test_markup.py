"""Whatever people, files and models write is shown as text: it never becomes part of a page."""

from html.parser import HTMLParser

import pytest
from django.test import Client

from playground import batches, comparisons, conversations
from playground.models import Batch, Comparison, Conversation

MARK = "xss"
"""Part of every attack that could become a name: of an element, of an attribute, of a function."""
CORPUS = {
    "script": "<script>alert('xss')</script>",
    "closed title": "</title></textarea></script><script src=//xss.example></script>",
    "handler": '<img src=x onerror="xss()">',
    "svg": "<svg/onload=xss()><xss-element>",
    "quotes": "\" onfocus=xss() autofocus data-xss=\" ' onmouseover=xss() data-xss='",
    "backtick": "`${xss()}` onclick=xss()",
    "address": "javascript:xss()",
    "address in letters": "JaVaScRiPt&colon;xss()",
    "data address": "data:text/html,<script>xss()</script>",
    "template": "{{ xss }}{% load xss %}${xss}#{xss}<%= xss %>",
    "htmx": '<b hx-get="/xss" hx-trigger="load" data-hx-on:load="xss()">',
    "style": "<style>xss{}</style><b style='color:xss'>",
    "frame": "<iframe srcdoc='<script>xss()</script>'></iframe><base href=//xss.example>",
    "comment": "<!-- xss --><![CDATA[<script>xss()</script>]]>",
    "entities": "&lt;script&gt;xss()&lt;/script&gt;&#60;xss-element&#62;",
    "right to left": "\u202excs\u202c <script>xss()</script>",
    "zero width": "<scr\u200bipt>xss()</scr\u200bipt>\ufeff<xss\u200d>",
    "emoji": "👩‍👩‍👧‍👦<xss>🇰🇷</xss>",
    "long": "<xss>" * 1000,
}
URL_ATTRIBUTES = {"href", "src", "action", "formaction", "hx-get", "hx-post", "data", "poster"}


class Page(HTMLParser):
    """Notes whatever of a page could act."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[str] = []
        self.text: list[str] = []
        self.values: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        if len(found) < len(attributes):
            self.faults.append(f"<{tag}> has an attribute twice")
        if tag in ("style", "iframe", "object", "embed", "base") or MARK in tag:
            self.faults.append(f"<{tag}>")
        if tag == "script" and not (found.get("src") or "").startswith("/static/"):
            self.faults.append(f"script of {found.get('src')}")
        for name, value in found.items():
            self.values.append(value or "")
            if (
                name.startswith("on")
                or name in ("style", "srcdoc")
                or MARK in name
                or "hx-on" in name
            ):
                self.faults.append(f"<{tag} {name}={value!r}>")
            if name in URL_ATTRIBUTES and not self.is_ours(value or ""):
                self.faults.append(f"<{tag} {name}={value!r}>")

    @staticmethod
    def is_ours(address: str) -> bool:
        return address == "" or (address[0] in "/?#" and not address.startswith("//"))

    def handle_comment(self, data: str) -> None:
        self.faults.append(f"comment {data!r}")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def cut(attack: str, length: int) -> str:
    return attack[:length]


@pytest.fixture(params=CORPUS, ids=lambda name: name.replace(" ", "-"))
def attack(request) -> str:
    return CORPUS[request.param]


@pytest.fixture
def attacked(db, build, attack) -> dict[str, list[str]]:
    """People, data, models and talks that all bear the attack; addresses of the pages, by person."""
    from django.utils import timezone

    from studio import keys
    from studio.models import User
    from training.models import JobEvent

    User.objects.create_user(
        "first-admin", password=build.password, is_staff=True, name=cut(attack, 60)
    )
    person = User.objects.create_user(
        cut(attack, 150), password=build.password, name=cut(attack, 60)
    )
    version = build.version(person, cut(attack, 200), turns=(attack, attack), row=attack[:500])
    version.url, version.notes = f"https://example.org/{attack}"[:2000], [attack]
    version.encoding, version.format = cut(attack, 20), cut(attack, 40)
    version.save()
    broken = build.version(person, cut(attack, 200))
    broken.status, broken.error = "failed", {"code": "url_scheme", "params": {"scheme": attack}}
    broken.url = f"https://example.org/{attack}"[:2000]
    broken.save()
    name, now = cut(attack, 64), timezone.now()
    finished = build.job(
        person, version, "succeeded", name, started_at=now, finished_at=now, step=3, total_steps=3
    )
    tuned = build.tuned(finished)
    error = {"code": "disk_trouble", "params": {"reason": attack}}
    failed = build.job(person, version, "failed", name, error=error)
    JobEvent.objects.create(job=failed, attempt=1, kind="error", data=error)
    JobEvent.objects.create(job=failed, attempt=1, kind=cut(attack, 20), data={"a": attack})
    queued = build.job(person, version, "queued", name)
    said = [attack, attack + " " + attack, ""]
    for step, answers in enumerate((said, said[::-1])):
        JobEvent.objects.create(
            job=finished, attempt=1, kind="probe", step=step, data={"answers": answers}
        )
    asked = {"questions": said, "expected": said}
    JobEvent.objects.create(job=finished, attempt=1, kind="probes", data=asked)
    drafts = [build.job(person, one, "draft", name) for one in (version, broken)]
    missing = build.job(person, version, "draft", name, overflow="cut")
    missing.base = cut(attack, 100)
    missing.save()
    talk = Conversation.objects.create(
        owner=person, title=cut(attack, 200), model=f"tuned:{tuned.pk}", system_prompt=attack
    )
    asked = conversations.say(talk, attack)
    conversations.answer(talk, asked, attack, {"finish_reason": attack})
    batch = Batch.objects.create(
        owner=person, name=cut(attack, 200), model=f"tuned:{tuned.pk}", model_name=name,
        status="ready", total=1, done_count=1, expected_count=1, problem_count=1,
        order={"source": "file"},
        problems=[{"line": 1, "code": "prompt_empty", "params": {}, "row": attack}],
    )  # fmt: skip
    turns = [{"role": role, "content": attack} for role in ("system", "user")]
    batch.questions.create(
        position=1, messages=turns, expected=attack, answer=f"{attack}!", is_same=False,
        answered_at=now,
    )  # fmt: skip
    other = batches.again(batch, f"tuned:{tuned.pk}")
    compared = Comparison.objects.create(owner=person, title=cut(attack, 200), system_prompt=attack)
    asked = compared.rounds.create(number=1, question=attack, begun_at=now)
    for place, label in enumerate((cut(attack, 200), name)):
        contender = compared.contenders.create(model=f"tuned:{place}", label=label)
        asked.replies.create(contender=contender, place=place, content=attack, error=error)
    comparisons.vote(asked, "best:1")
    key, _secret = keys.create(person, cut(attack, 60))
    jobs = [job.pk for job in (finished, failed, queued)]
    steps = [f"/train/{draft.pk}" for draft in (*drafts, missing)]
    pages = [
        "/", "/live/", "/train/", "/models/", "/data/", "/keys/", f"/keys/{key.pk}/revoke/", "/password/",
        f"/data/{version.dataset.pk}/", f"/data/{broken.dataset.pk}/",
        f"/data/{broken.dataset.pk}/delete/", f"/playground/{talk.pk}/", "/playground/?new=1",
        "/playground/batch/", f"/playground/batch/{batch.pk}/?beside={other.pk}",
        f"/playground/batch/{batch.pk}/mend/?message=1", f"/playground/batch/{other.pk}/",
        f"/playground/batch/{batch.pk}/delete/",
        "/playground/compare/", f"/playground/compare/{compared.pk}/",
        *(f"/models/{pk}/" for pk in jobs),
        *(f"/models/{pk}/{part}/" for pk in jobs for part in ("rename", "cancel", "log", "table")),
        f"/models/compare/?job={finished.pk}&job={failed.pk}&all=1", f"/models/{finished.pk}/probes/",
        f"/models/{finished.pk}/delete/", f"/models/{queued.pk}/now/?was=queued",
        *(f"{step}/{part}/" for step in steps for part in ("method", "model", "data", "discard")),
        *(f"{step}/{part}/" for step in steps for part in ("reading", "summary")),
    ]  # fmt: skip
    person.base_downloads.create(repo=cut(attack, 100), status="failed", error=error)
    return {person.username: [*pages, "/bases/"], "first-admin": ["/people/", "/bases/"]}


def check(answer) -> Page:
    page = Page(answer.text)
    assert not page.faults, f"{answer.request['PATH_INFO']}: {page.faults[:5]}"
    return page


def test_what_people_files_and_models_wrote_stays_text(attacked, attack):
    from studio.models import User

    shown = 0
    for username, addresses in attacked.items():
        client = Client()
        client.force_login(User.objects.get(username=username))
        for address in addresses:
            answer = client.get(address)
            assert answer.status_code in (200, 204, 422), f"{address}: {answer.status_code}"
            if answer.status_code == 204:
                continue
            page = check(answer)
            shown += any(attack[:20] in text for text in ["".join(page.text), *page.values])
    assert shown >= 15  # as it was written, nothing taken away


def test_what_is_sent_back_in_a_form_stays_text(attacked, attack, user_of):
    """Forms that are refused show again what was typed; so do addresses and messages."""
    client, pages = user_of(attacked)
    draft = next(page for page in pages if page.startswith("/train/") and page != "/train/")
    draft = "/".join(draft.split("/")[:3])
    model = next(page for page in pages if page.startswith("/models/") and page.count("/") == 3)
    forms = [
        ("/keys/", {"name": attack}),
        ("/password/", {"old_password": attack}),
        (f"{draft}/model/", {"name": attack, "base": attack, "mode": "manual", "epochs": attack}),
        (f"{draft}/method/", {"method": attack}),
        (f"{draft}/url/", {"url": attack}),
        (f"{draft}/library/", {"version": attack}),
        (f"{draft}/start/", {"seen": attack}),
        (f"{draft}/probes/", {"probe_1": attack}),
        (f"{model}rename/", {"name": attack}),
        ("/playground/new/", {"model": attack, "next": attack}),
        (
            "/playground/compare/",
            {"model": [attack, attack + "2"], "text": attack, "top_p": attack},
        ),
        ("/theme/", {"theme": attack, "next": attack}),
    ]
    for address, form in forms:
        answer = client.post(address, form, follow=True)
        assert answer.status_code < 500
        check(answer)
        for step, _status in answer.redirect_chain:
            assert Page.is_ours(step), f"{address} leads to {step}"
    for address in ("/playground/", "/models/", "/data/", "/login/", "/nowhere/"):
        query = {"ask": attack, "model": attack, "new": "1", "page": attack, "next": attack}
        for visitor in (client, Client()):
            answer = visitor.get(address, query, follow=True)
            assert answer.status_code in (200, 400, 404)  # 400: an address of 16,384 letters
            check(answer)
    check(client.get("/" + attack.replace("/", "")[:300]))


@pytest.fixture
def user_of():
    from studio.models import User

    def sign_in(attacked: dict[str, list[str]]) -> tuple[Client, list[str]]:
        username = next(name for name in attacked if name != "first-admin")
        client = Client()
        client.force_login(User.objects.get(username=username))
        return client, attacked[username]

    return sign_in


def test_signing_in_shows_what_was_typed_as_text(attacked, attack):
    form = {"username": attack, "password": attack, "next": attack}
    answer = Client().post("/login/", form)
    assert answer.status_code == 422
    check(answer)


def test_the_parser_finds_what_it_is_there_to_find():
    for html in (
        "<script>x</script>", "<a href='javascript:x'>", "<img src=x onerror=x>", "<b style='x'>",
        "<a href='//evil'>", "<style></style>", "<!-- x -->", "<script src='//evil/x.js'></script>",
        "<input value='a' value='b'>",
    ):  # fmt: skip
        assert Page(html).faults, html
    assert not Page("<a href='/x/'>&lt;script&gt;</a><script src='/static/x.js'></script>").faults
