"""Every route × every method × everybody: what is not one's own is not there."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from django.db import transaction
from django.test import Client

from tests.locks import routes
from tests.locks.routes import ADMINISTRATOR, EVERYBODY, OPEN, OWNER, ROUTES, UNKNOWN, Route

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
NOBODYS_METHOD = "BREW"
NINJAS_OWN = ("/v1/", "/v1/openapi.json")
"""Views that are not ours and look at no method."""
LOGIN = "/login/"
OPEN_BEFORE_SETUP = (
    "health/live", "health/ready", "metrics", "theme/", "language/", "setup/<str:token>/",
)  # fmt: skip
OUTSIDERS = ("anonymous", "stopped", "revoked key", "stopped key", "cookie without key")
"""Who is let in nowhere."""
tried: list[tuple[str, str, str, int]] = []
"""Route, method, person and answer of everything that was asked."""


def is_api(route: str) -> bool:
    return route.startswith("v1/")


@pytest.fixture
def owner(db, build):
    """Somebody with one of everything, beside an administrator who has nothing."""
    from studio.models import User

    User.objects.create_user("first-admin", password=build.password, is_staff=True)
    person = User.objects.create_user("owner", password=build.password)
    return build.everything(person, build.canary)


@pytest.fixture
def stranger(owner, build):
    """Another person, who has one of everything too."""
    from studio.models import User

    person = User.objects.create_user("stranger", password=build.password)
    return build.everything(person, "눈에 띄게")


@pytest.fixture
def people(owner, stranger, build) -> dict[str, Client]:
    """Everybody who might ask, by browser; see `programs` for those who ask by key."""
    from studio.models import User

    administrator = User.objects.get(username="first-admin")
    browsers = {"anonymous": Client(), "administrator": browser(administrator)}
    browsers |= {"owner": browser(owner.person), "stranger": browser(stranger.person)}
    gone = User.objects.create_user("gone", password=build.password)
    browsers["stopped"] = browser(gone)
    User.objects.filter(pk=gone.pk).update(is_active=False)
    return browsers


@pytest.fixture
def programs(people, owner, stranger, build) -> dict[str, Client]:
    from studio import keys
    from studio.models import User

    revoked, revoked_secret = keys.create(owner.person, "폐기된 키")
    keys.revoke(revoked)
    secrets = {"owner": owner.secret, "stranger": stranger.secret, "revoked key": revoked_secret}
    administrator = User.objects.get(username="first-admin")
    secrets["administrator"] = keys.create(administrator, "관리자의 키")[1]
    secrets["stopped key"] = keys.create(User.objects.get(username="gone"), "멈춘 사람의 키")[1]
    clients = {person: program(secret) for person, secret in secrets.items()}
    return clients | {"anonymous": Client(), "cookie without key": people["owner"]}


def browser(person) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(person)
    return client


def program(secret: str) -> Client:
    headers = {"Authorization": f"Bearer {secret}"}
    return Client(raise_request_exception=False, enforce_csrf_checks=True, headers=headers)


def known(route: str) -> Route:
    assert route in ROUTES, UNKNOWN.format(route=route)
    return ROUTES[route]


@contextmanager
def undone() -> Iterator[None]:
    """Take back what a request wrote, so that the next finds all as it was."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def ask(client: Client, method: str, address: str, form: dict, is_json: bool = False, **headers):
    if method == "GET":
        return client.get(address, form, headers=headers)
    if is_json:
        return client.generic(
            method, address, json.dumps(form), content_type="application/json", headers=headers
        )
    return getattr(client, method.lower())(address, form, headers=headers)


def methods(client: Client, address: str) -> list[str]:
    """Return what a route allows, as it says itself to a method that nobody has."""
    if address in NINJAS_OWN:
        return ["GET"]
    answer = client.generic(NOBODYS_METHOD, address)
    assert answer.status_code == 405, (
        f"{address} answers {answer.status_code} to {NOBODYS_METHOD}: say which methods the view "
        "takes (require_GET, require_POST, require_form)."
    )
    return [one for one in METHODS if one in answer.headers["Allow"].replace(" ", "").split(",")]


def rows(mine) -> str:
    """Return everything that a person has, as one text to compare."""
    from playground.models import BatchQuestion, Message

    person = mine.person
    found = {
        "jobs": person.jobs, "datasets": person.datasets, "tuned": person.tuned_models,
        "talks": person.conversations, "said": Message.objects.filter(conversation__owner=person),
        "batches": person.batches, "asked": BatchQuestion.objects.filter(batch__owner=person),
        "keys": person.api_keys,
    }  # fmt: skip
    values = {name: list(rows.order_by("pk").values()) for name, rows in found.items()}
    for key in values["keys"]:
        del key["last_used_at"]
    return repr(values)


def cases(route: str, clients: dict[str, Client], owner) -> Iterator[tuple[str, str, str]]:
    """Yield (method, person, address), the owner last: what the owner may do may take files."""
    table = known(route)
    filled = routes.addresses(route, table, owner)
    in_order = sorted(clients, key=lambda person: person == "owner")
    for method in methods(clients["owner"], filled[0]):
        for person in in_order:
            for address in filled[:1] if person == "owner" else filled:
                yield method, person, address


def expected(route: str, method: str, person: str) -> int:
    """Return what a person is to be answered."""
    table = known(route)
    if is_api(route):
        if person in OUTSIDERS:
            return 401
    elif person in OUTSIDERS and table.whose != OPEN:
        return 302
    is_theirs = {OPEN: True, EVERYBODY: True, OWNER: person == "owner"}
    is_theirs[ADMINISTRATOR] = person == "administrator"
    if not is_theirs[table.whose]:
        return 404
    usual = 200 if method == "GET" or is_api(route) else 302
    return table.answers.get(method, usual)


@pytest.mark.parametrize("route", routes.every(), ids=lambda route: f"/{route}")
def test_whoever_asks_gets_their_own_or_nothing(route, people, programs, owner, build):
    table, clients = known(route), programs if is_api(route) else people
    before = rows(owner)
    for method, person, address in cases(route, clients, owner):
        said = f"{method} {address} by {person}"
        with undone():
            answer = ask(clients[person], method, address, table.form(owner), table.json)
            assert person == "owner" or rows(owner) == before, f"{said} changed the owner's rows"
        wanted = expected(route, method, person)
        if address == LOGIN and person not in OUTSIDERS:
            wanted = 302  # whoever is signed in goes on home
        assert answer.status_code == wanted, f"{said}: {answer.status_code}, not {wanted}"
        if wanted == 302 and person in OUTSIDERS and table.whose != OPEN:
            assert answer.url.startswith(f"{LOGIN}?next="), said
        if person != "owner":
            body = b"".join(answer) if answer.streaming else answer.content
            assert build.canary not in body.decode(), f"{said} shows what is the owner's"
        if is_api(route):
            assert answer.headers["Content-Type"].startswith("application/json"), said
        tried.append((route, method, person, answer.status_code))


@pytest.mark.parametrize("route", routes.of_objects(), ids=lambda route: f"/{route}")
def test_what_is_anothers_looks_like_what_never_was(route, people, programs, owner):
    """Nobody learns from an answer whether an id is somebody else's or nobody's."""
    table = known(route)
    client = (programs if is_api(route) else people)["stranger"]
    theirs = routes.addresses(route, table, owner)[0]
    number = next((part for part in theirs.split("/") if part.isdecimal()), "")
    identity = number or next(p for p in theirs.split("/") if len(p) >= 16)[-8:]
    nobodys = number * 9 or "z" * 8
    missing = theirs.replace(identity, nobodys)
    for method in methods(client, theirs):
        found = ask(client, method, theirs, table.form(owner), table.json)
        other = ask(client, method, missing, table.form(owner), table.json)
        assert found.status_code == other.status_code == 404
        same = found.text.replace(theirs, missing)
        if is_api(route):
            assert same.replace(identity, nobodys) == other.text
        assert len(same) == len(other.text)  # pages differ in their CSRF token, nothing else


@pytest.mark.parametrize("route", routes.every(), ids=lambda route: f"/{route}")
def test_before_there_is_an_administrator_nothing_is_served(route, db, build):
    table = known(route)
    client = Client(raise_request_exception=False)
    address = routes.addresses(route, replace(table, things=("wrong_token",)), None)[0]
    if "<int:" in route:
        address = address.replace("not-the-token", "1")
    for method in ("GET", "POST", "DELETE"):
        answer = ask(client, method, address, {})
        if is_api(route):
            assert answer.status_code == 401
        elif route in OPEN_BEFORE_SETUP:
            assert answer.status_code in (200, 302, 404, 405)
        else:
            assert answer.status_code == 503, f"{method} {address}: {answer.status_code}"


@pytest.mark.parametrize(
    "route", [one for one in routes.every() if not is_api(one)], ids=lambda route: f"/{route}"
)
def test_no_page_takes_a_form_of_another_site(route, owner):
    client = Client(raise_request_exception=False, enforce_csrf_checks=True)
    client.force_login(owner.person)
    table, before = known(route), rows(owner)
    address = routes.addresses(route, table, owner)[0]
    if "POST" in methods(browser(owner.person), address):
        assert ask(client, "POST", address, table.form(owner)).status_code == 403
        assert rows(owner) == before


def test_fragments_and_json_of_whoever_is_signed_out_say_so_their_own_way(people):
    answer = people["anonymous"].get("/queue/", headers={"HX-Request": "true"})
    assert answer.status_code == 204 and answer.headers["HX-Refresh"] == "true"
    assert (
        people["anonymous"].get("/models/", headers={"Accept": "application/json"}).status_code
        == 401
    )


def test_ids_of_others_within_a_form_are_as_unknown_as_in_an_address(
    people, programs, owner, stranger
):
    """The draft is the stranger's own; what it asks for is not."""
    client, draft = people["stranger"], stranger.draft
    form = {"version": owner.version.pk}
    assert client.post(f"/train/{draft.pk}/library/", form).status_code == 422
    draft.refresh_from_db()
    assert draft.version == stranger.version
    before = stranger.person.conversations.count()
    foreign = {"model": f"tuned:{owner.tuned.pk}"}
    json_only = {"Accept": "application/json"}
    assert client.post("/playground/new/", foreign, headers=json_only).status_code == 422
    assert client.post("/playground/new/", foreign).status_code == 302
    assert stranger.person.conversations.count() == before
    base = {"name": "b", "base": f"tuned:{owner.tuned.pk}"}
    assert client.post(f"/train/{draft.pk}/model/", base).status_code == 422
    after = {"after": f"ftjob-{owner.queued.pk}"}
    assert programs["stranger"].get("/v1/training/fine_tune", after).status_code == 404
    assert f"tuned:{owner.tuned.pk}" not in client.get("/playground/", foreign).text.replace(
        f"?model=tuned:{owner.tuned.pk}", ""
    )


def test_the_table_names_no_route_that_is_gone():
    assert not set(ROUTES) - set(routes.every())


def test_the_matrix_covers_every_route():
    """Runs last; says how large the matrix is (-s shows it)."""
    if not tried:
        pytest.skip("the matrix did not run in this process")
    asked = {route for route, *_rest in tried}
    print(f"\nmatrix: {len(asked)} routes, {len(set(tried))} cases, {len(tried)} requests")
    assert asked == set(routes.every()) or len(asked) < len(routes.every()) // 2
