"""Every route of the URLconf, and a table that says whose each one is and how to fill it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import URLPattern, URLResolver, get_resolver

OPEN, EVERYBODY, OWNER, ADMINISTRATOR = "open", "everybody", "owner", "administrator"
"""Whose a route is: anybody's, of whoever signed in (or has a key), the owner's of the object that
it names, the administrators'."""
UNKNOWN = (
    "'{route}' is not in ROUTES of tests/locks/routes.py. Add it there: whose it is (OPEN, EVERYBODY, "
    "OWNER, ADMINISTRATOR), which belongings fill its address, and what a good POST sends."
)


@dataclass(frozen=True)
class Route:
    whose: str
    things: tuple[str, ...] = ()
    """Belongings (see conftest.py) whose id fills the address; the owner's own visit takes the
    first, strangers try them all."""
    form: Callable[..., dict] = field(default=lambda mine: {})
    """What a POST (or the query of a GET) sends, made from the belongings."""
    answers: dict[str, int] = field(default_factory=dict)
    """What who may have it is answered, by method, where that is not 200 (GET) or 302 (POST)."""
    json: bool = False


def _file(mine) -> dict:
    return {"file": SimpleUploadedFile("a.jsonl", b'{"prompt": "a", "completion": "b"}\n')}


def _recipe(mine) -> dict:
    said = b'{"dadeum_recipe": 1, "method": "lora", "settings": {"epochs": 2}}'
    return {"name": "b", "recipe": SimpleUploadedFile("a.json", said)}


def _model(mine) -> dict:
    return {"model": f"tuned:{mine.tuned.pk}"}


def _wrong(mine) -> dict:
    return {"username": "owner", "old_password": "wrong"}


def _url(mine) -> dict:
    return {"url": "https://example.org/a.jsonl"}


def _turns(mine) -> dict:
    return {"user": "질문", "assistant": "답변"}


def _repo(mine) -> dict:
    return {"repo": "mansae/tiny-ko"}


def _order(mine) -> dict:
    return {"base_model": "tiny", "suffix": "a", "training_file": "https://example.org/a.jsonl"}


def _mended(mine) -> dict:
    answer = mine.conversation.messages.get(role="assistant")
    return {"message": answer.pk, "rating": "1", "answer": "답", "dataset": mine.stored.pk}


def _asked(mine) -> dict:
    return {"model": "base:tiny", "temperature": "0", "language": "python"}


def _chat(mine) -> dict:
    return {"model": "tiny", "messages": [{"role": "user", "content": "a"}]}


def _questions(mine) -> dict:
    said = {"most": "5", "draw": "first", "temperature": "0", "max_tokens": "9", "source": "file"}
    return said | {"file": SimpleUploadedFile("a.txt", "질문\n".encode()), "model": "base:tiny"}


DRAFT = ("draft",)
DATA = ("stored",)
JOB = ("finished", "queued")
TALK = ("conversation",)
BATCH = ("batch",)
COMPARED = ("comparison",)
COMING, BRINGING = ("download",), ("bringing",)
WITHIN = {
    "position": "0", "number": "1", "ending": "jsonl", "form": "markdown", "table": "csv",
}  # fmt: skip
"""What stands for the parts of an address within a thing."""
AWAY = {"POST": 503}
"""No engine runs here, and that is said in its own words."""

ROUTES: dict[str, Route] = {
    "": Route(EVERYBODY),
    "live/": Route(EVERYBODY),
    "health/live": Route(OPEN),
    "health/ready": Route(OPEN),
    "metrics": Route(OPEN, answers={"GET": 404}),  # no token is set here
    "theme/": Route(OPEN),
    "language/": Route(OPEN),
    "queue/": Route(EVERYBODY),
    "help/": Route(EVERYBODY),
    "help/<slug:key>/": Route(EVERYBODY, ("help_page",)),
    "setup/<str:token>/": Route(OPEN, ("wrong_token",), answers={"GET": 404, "POST": 404}),
    "login/": Route(OPEN, form=_wrong, answers={"POST": 422}),
    "logout/": Route(OPEN),
    "password/": Route(EVERYBODY, form=_wrong, answers={"POST": 422}),
    "people/": Route(ADMINISTRATOR, form=_wrong, answers={"POST": 422}),
    "people/<int:pk>/active/": Route(ADMINISTRATOR, ("person",), lambda mine: {"active": "0"}),
    "people/<int:pk>/password/": Route(ADMINISTRATOR, ("person",), answers={"POST": 200}),
    "keys/": Route(EVERYBODY, form=lambda mine: {"name": "b"}, answers={"POST": 200}),
    "keys/openapi.json": Route(EVERYBODY),
    "keys/<int:pk>/revoke/": Route(OWNER, ("key",)),
    # wizard
    "train/": Route(EVERYBODY),
    "train/new/": Route(EVERYBODY),
    "train/sample/": Route(EVERYBODY, answers={"POST": 422}),  # no built-in model here
    "train/<str:pk>/method/": Route(OWNER, DRAFT, lambda mine: {"method": "full", "work": "draft"}),
    "train/<str:pk>/model/": Route(OWNER, DRAFT, lambda mine: {"name": "b", "base": "tiny"}),
    "train/<str:pk>/recipe/": Route(OWNER, DRAFT, _recipe),
    "train/<str:pk>/data/": Route(OWNER, DRAFT),
    "train/<str:pk>/upload/": Route(OWNER, DRAFT, _file),
    "train/<str:pk>/url/": Route(OWNER, DRAFT, _url),
    "train/<str:pk>/library/": Route(OWNER, DRAFT, lambda mine: {"version": mine.version.pk}),
    "train/<str:pk>/reading/": Route(OWNER, DRAFT),
    "train/<str:pk>/summary/": Route(OWNER, DRAFT),
    "train/<str:pk>/anew/": Route(OWNER, DRAFT),
    "train/<str:pk>/long/": Route(OWNER, DRAFT, lambda mine: {"way": "drop"}),
    "train/<str:pk>/comparison/": Route(OWNER, DRAFT),
    "train/<str:pk>/probes/": Route(OWNER, DRAFT, lambda mine: {"probe_1": "b"}),
    "train/<str:pk>/start/": Route(OWNER, DRAFT, answers={"POST": 422}),  # not counted yet
    "train/<str:pk>/taste/": Route(OWNER, DRAFT, answers={"POST": 422}),  # not counted yet
    "train/<str:pk>/discard/": Route(OWNER, DRAFT),
    "train/<str:pk>/when/": Route(OWNER, DRAFT, lambda mine: {"when": "night"}),
    # the line
    "waiting/": Route(EVERYBODY),
    "waiting/<str:pk>/move/": Route(OWNER, JOB[::-1], lambda mine: {"step": "1"}),
    "waiting/<str:pk>/priority/": Route(OWNER, JOB[::-1], lambda mine: {"priority": "-1"}),
    "waiting/<str:pk>/rank/": Route(ADMINISTRATOR, ("queued",), lambda mine: {"priority": "0"}),
    "waiting/<str:pk>/when/": Route(OWNER, JOB[::-1], lambda mine: {"when": "night"}),
    # models
    "models/": Route(EVERYBODY),
    "models/compare/": Route(EVERYBODY, answers={"GET": 302}),  # nothing is chosen
    "models/<str:pk>/": Route(OWNER, JOB),
    "models/<str:pk>/probes/": Route(OWNER, JOB),
    "models/<str:pk>/now/": Route(OWNER, JOB, lambda mine: {"was": "succeeded"}),
    "models/<str:pk>/points/": Route(OWNER, JOB),
    "models/<str:pk>/table/": Route(OWNER, JOB),
    "models/<str:pk>/log/": Route(OWNER, JOB),
    "models/<str:pk>/cancel/": Route(OWNER, JOB[::-1]),
    "models/<str:pk>/finish/": Route(OWNER, JOB[::-1]),
    "models/<str:pk>/further/": Route(OWNER, JOB),
    "models/<str:pk>/pause/": Route(OWNER, JOB[::-1]),
    "models/<str:pk>/resume/": Route(OWNER, JOB),
    "models/<str:pk>/rename/": Route(OWNER, JOB, lambda mine: {"name": "b"}),
    "models/<str:pk>/delete/": Route(OWNER, JOB),
    "models/<str:pk>/retry/": Route(OWNER, JOB),
    "models/<str:pk>/cure/": Route(OWNER, JOB, answers={"POST": 422}),  # none of them failed
    # base models
    "bases/": Route(EVERYBODY),
    "bases/fetch/": Route(ADMINISTRATOR, form=_repo),
    "bases/downloads/<str:pk>/cancel/": Route(ADMINISTRATOR, COMING),
    "bases/downloads/<str:pk>/retry/": Route(ADMINISTRATOR, COMING),
    "bases/downloads/<str:pk>/discard/": Route(ADMINISTRATOR, COMING),
    "bases/import/": Route(ADMINISTRATOR, answers={"POST": 422}),  # no file comes along
    "bases/import/<str:pk>/piece/": Route(ADMINISTRATOR, BRINGING, answers={"POST": 422}),
    "bases/import/<str:pk>/finish/": Route(ADMINISTRATOR, BRINGING, answers={"POST": 422}),
    "bases/import/<str:pk>/abandon/": Route(ADMINISTRATOR, BRINGING, answers={"POST": 200}),
    "bases/folders/<str:slug>/delete/": Route(
        ADMINISTRATOR,
        ("base_slug",),
        answers={"POST": 422},  # jobs need it
    ),
    "models/<str:pk>/recipe/": Route(OWNER, JOB),
    "models/<str:pk>/download/": Route(OWNER, JOB, answers={"GET": 422}),  # no files here
    # data
    "data/": Route(EVERYBODY),
    "data/templates/": Route(EVERYBODY),
    "data/templates/<str:key>.<str:ending>": Route(EVERYBODY, ("work",)),
    "data/unreadable/": Route(EVERYBODY),
    "data/<str:pk>/": Route(OWNER, ("dataset",)),
    "data/<str:pk>/delete/": Route(OWNER, ("dataset",)),
    "data/new/": Route(EVERYBODY, form=_file),
    "data/arrivals/": Route(
        EVERYBODY,
        form=lambda mine: {"name": "a.jsonl", "size": "7", "changed": "1"},
        answers={"POST": 200},
    ),
    "data/arrivals/<str:pk>/piece/": Route(OWNER, ("arriving",), answers={"POST": 422}),
    "data/arrivals/<str:pk>/abandon/": Route(OWNER, ("arriving",), answers={"POST": 200}),
    "data/<str:pk>/stop/": Route(OWNER, DATA),
    "data/merge/": Route(EVERYBODY, answers={"POST": 422}),  # nothing is chosen
    "data/<str:pk>/layout/": Route(OWNER, DATA),
    "data/<str:pk>/rename/": Route(OWNER, DATA, lambda mine: {"name": "b"}),
    "data/<str:pk>/rows/new/": Route(OWNER, DATA, _turns),
    "data/<str:pk>/rows/<int:position>/": Route(OWNER, DATA, _turns),
    "data/<str:pk>/rows/<int:position>/delete/": Route(OWNER, DATA),
    "data/<str:pk>/rows/<int:position>/restore/": Route(OWNER, DATA),
    "data/<str:pk>/split/": Route(OWNER, DATA, lambda mine: {"count": 3, "name": "b"}),
    "data/<str:pk>/refresh/": Route(OWNER, DATA, answers={"POST": 422}),  # it came as a file
    "data/<str:pk>/purge/": Route(OWNER, DATA),
    "data/<str:pk>/versions/<int:number>/": Route(OWNER, DATA),
    "data/<str:pk>/report/": Route(OWNER, DATA),
    "data/<str:pk>/check/": Route(OWNER, DATA),
    "data/<str:pk>/cure/": Route(OWNER, DATA, answers={"POST": 422}),  # nothing was checked
    "data/<str:pk>/problems/": Route(OWNER, DATA),
    "data/<str:pk>/problems.csv": Route(OWNER, DATA),
    "data/<str:pk>/download.<str:ending>": Route(OWNER, DATA),
    # playground
    "playground/": Route(EVERYBODY, form=lambda mine: {"new": "1"}),
    "playground/new/": Route(EVERYBODY, form=lambda mine: {"model": "base:tiny"}),
    "playground/load/": Route(OWNER, form=_model),
    "playground/unload/": Route(OWNER, form=_model),
    "playground/state/": Route(OWNER, form=_model),
    "playground/presets/": Route(EVERYBODY, form=lambda mine: {"name": "a"}, answers={"POST": 200}),
    "playground/presets/delete/": Route(
        EVERYBODY, form=lambda mine: {"preset": "7"}, answers={"POST": 404}
    ),
    "playground/batch/": Route(EVERYBODY, form=_questions),
    "playground/batch/<str:batch_id>/": Route(OWNER, BATCH),
    "playground/batch/<str:batch_id>/now/": Route(OWNER, BATCH, lambda mine: {"was": "ready"}),
    "playground/batch/<str:batch_id>/cancel/": Route(OWNER, BATCH),
    "playground/batch/<str:batch_id>/go-on/": Route(OWNER, BATCH),
    "playground/batch/<str:batch_id>/again/": Route(
        OWNER, BATCH, lambda mine: {"model": "base:tiny"}
    ),
    "playground/batch/<str:batch_id>/columns/": Route(
        OWNER, BATCH, lambda mine: {"prompt": "질문"}, {"POST": 422}
    ),  # its file is not here
    "playground/batch/<str:batch_id>/delete/": Route(OWNER, BATCH),
    "playground/batch/<str:batch_id>/mend/": Route(
        OWNER, BATCH, lambda mine: {"message": "1", "answer": "답", "dataset": mine.stored.pk}
    ),
    "playground/batch/<str:batch_id>/download.<str:table>": Route(OWNER, BATCH),
    "playground/<str:conversation_id>/": Route(OWNER, TALK),
    "playground/<str:conversation_id>/delete/": Route(OWNER, TALK),
    "playground/<str:conversation_id>/rename/": Route(OWNER, TALK, lambda mine: {"title": "b"}),
    "playground/<str:conversation_id>/go/": Route(OWNER, TALK, _mended, {"POST": 204}),
    "playground/<str:conversation_id>/rate/": Route(OWNER, TALK, _mended, {"POST": 204}),
    "playground/<str:conversation_id>/code/": Route(OWNER, TALK, _asked, {"POST": 200}),
    "playground/<str:conversation_id>/export/<str:form>/": Route(OWNER, TALK),
    "playground/<str:conversation_id>/mend/": Route(OWNER, TALK, _mended),
    "playground/compare/": Route(EVERYBODY, answers={"POST": 422}),  # nothing is chosen
    "playground/compare/export/": Route(EVERYBODY),
    "playground/compare/<str:pk>/": Route(OWNER, COMPARED),
    "playground/compare/<str:pk>/ask/": Route(OWNER, COMPARED, lambda mine: {"text": "질문"}),
    "playground/compare/<str:pk>/rounds/<int:number>/": Route(OWNER, COMPARED),
    "playground/compare/<str:pk>/rounds/<int:number>/vote/": Route(
        OWNER, COMPARED, lambda mine: {"vote": "tie"}
    ),
    "playground/compare/<str:pk>/delete/": Route(OWNER, COMPARED),
    "playground/compare/<str:pk>/export/": Route(OWNER, COMPARED),
    # programs
    "v1/": Route(EVERYBODY, answers={"GET": 404}),
    "v1/openapi.json": Route(EVERYBODY),
    "v1/chat/completions": Route(EVERYBODY, form=_chat, json=True, answers=AWAY),
    "v1/training/fine_tune": Route(EVERYBODY, form=_order, json=True, answers={"POST": 200}),
    "v1/training/fine_tune/<job_id>": Route(OWNER, ("public_queued", "public_finished")),
    "v1/training/fine_tune/<job_id>/finish": Route(
        OWNER,
        ("public_queued", "public_finished"),
        answers={"POST": 422},  # it has learnt nothing yet
    ),
    "v1/training/fine_tune/<job_id>/pause": Route(
        OWNER, ("public_queued", "public_finished"), answers={"POST": 200}
    ),
    "v1/training/fine_tune/<job_id>/resume": Route(
        OWNER,
        ("public_finished",),
        answers={"POST": 422},  # it is over
    ),
    "v1/training/fine_tune/<job_id>/cancel": Route(
        OWNER, ("public_queued", "public_finished"), answers={"POST": 200}
    ),
    "v1/files/<file_id>/report": Route(OWNER, ("public_file",)),
    "v1/models": Route(EVERYBODY),
    "v1/models/<model_id>": Route(OWNER, ("public_model",)),
    "v1/models/<model_id>/load": Route(OWNER, ("public_model",), answers=AWAY),
    "v1/models/<model_id>/unload": Route(OWNER, ("public_model",), answers=AWAY),
}


def walk(resolver: URLResolver | None = None, before: str = "") -> Iterator[str]:
    """Yield the address of every route, as the URLconf writes it."""
    for found in (resolver or get_resolver()).url_patterns:
        address = before + str(found.pattern)
        if isinstance(found, URLPattern):
            yield address
        else:
            yield from walk(found, address)


def every() -> list[str]:
    """Return each address once (ninja has one pattern a method)."""
    return list(dict.fromkeys(walk()))


def of_objects() -> list[str]:
    """Return the addresses that name an object of somebody's."""
    return [one for one, route in ROUTES.items() if route.whose == OWNER and route.things]


def thing(mine, name: str) -> str:
    """Return what fills an address: an id, as the address's own door writes it."""
    from training import naming, wire

    if name == "wrong_token":
        return "not-the-token"
    if name in ("bringing", "arriving"):
        return getattr(mine, name)
    if name == "base_slug":
        return mine.queued.base
    if name == "help_page":
        return "start"
    if name == "work":
        return "classify"
    if name == "public_model":
        return naming.of(mine.tuned)
    if name == "public_file":
        return wire.FILE_MARK + mine.version.pk
    if name.startswith("public_"):
        return wire.JOB_MARK + getattr(mine, name.removeprefix("public_")).pk
    return str(getattr(mine, name).pk)


def addresses(route: str, known: Route, mine) -> list[str]:
    """Return the route's address for each thing of the table's that may fill it."""
    head, bracket, rest = route.partition("<")
    if not bracket:
        return [f"/{route}"]
    tail = re.sub(r"<\w+:(\w+)>", lambda found: WITHIN[found[1]], rest.partition(">")[2])
    return [f"/{head}{thing(mine, name)}{tail}" for name in known.things]
