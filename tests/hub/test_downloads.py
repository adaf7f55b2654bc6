"""A download from its order to its place in the library: the real child, a stand-in of the hub."""

import contextlib
import json
from datetime import timedelta

import pytest
from django.utils import timezone

from tests.hub.conftest import REPO
from training import bases, tasks
from training.errors import UserError
from training.hub import downloads, library, origin
from training.leases import Order
from training.models import BaseDownload, DatasetVersion

pytestmark = pytest.mark.django_db
SLUG = "mansae--tiny-ko"


@pytest.fixture
def ordered(user, repo) -> BaseDownload:
    return downloads.order(user, REPO)


def fetched(row: BaseDownload) -> BaseDownload:
    downloads.fetch(row.pk)
    row.refresh_from_db()
    return row


def refusal(call, *arguments) -> UserError:
    with pytest.raises(UserError) as caught:
        call(*arguments)
    return caught.value


def when_some_is_here(monkeypatch, act) -> None:
    """Call `act` with the row at the first beat that tells of fetched weights."""
    beat = downloads.DESK.beat
    left = [act]

    def watching(row, events) -> Order:
        order = beat(row, events)
        if left and any(event.get("done_bytes", 0) > 1_500_000 for event in events):
            left.pop()(row)
        return order

    monkeypatch.setattr(downloads.DESK, "beat", watching)


def test_a_model_is_fetched_checked_and_put_in_place(ordered, hub, library_folder, tiny_base):
    row = fetched(ordered)
    assert row.status == "ready" and row.error is None and row.commit.startswith("c0ffee")
    assert row.done_bytes == row.size_bytes > 5_000_000
    names = {path.name for path in (library_folder / SLUG).iterdir()}
    wanted = {path.name for path in tiny_base.iterdir()} | {"README.md", "origin.json"}
    assert names == wanted  # no pickle, nothing nested, no dot file
    told = origin.read(library_folder / SLUG)
    assert (told.repo, told.licence, told.commit) == (REPO, "apache-2.0", row.commit)
    assert not library.incoming(row.pk).exists()
    base = bases.find(REPO)
    assert base == bases.find(SLUG) and base.name == "tiny-ko" and base.licence == "apache-2.0"
    assert {path.split("/")[1] for path, _, _ in hub.asked} == {"api", "mansae"}  # nothing else
    assert hub.asked[1][0].endswith("config.json") and not any(token for _, _, token in hub.asked)


def test_progress_stands_in_the_row_and_a_stop_keeps_what_is_here(
    ordered, hub, monkeypatch, library_folder
):
    hub.pause_seconds = 0.02
    when_some_is_here(monkeypatch, downloads.cancel)
    row = fetched(ordered)
    assert row.status == "cancelled" and 1_500_000 < row.done_bytes < row.size_bytes
    assert 0 < row.percent < 99 and row.seconds_left is not None
    assert not (library_folder / SLUG).exists()
    kept = (library.incoming(row.pk) / SLUG / "model.safetensors.part").stat().st_size
    assert kept > 1_000_000
    hub.pause_seconds, hub.sent, hub.asked = 0, {}, []
    assert fetched(downloads.retry(row)).status == "ready"
    whole = (library_folder / SLUG / "model.safetensors").stat().st_size
    assert hub.sent == {"model.safetensors": whole - kept}  # nothing is fetched twice
    assert f"bytes={kept}-" in {wanted for _, wanted, _ in hub.asked}


def test_a_dropped_connection_goes_on_by_itself(ordered, hub):
    hub.drop_after, hub.drops = 2_200_000, 1
    assert fetched(ordered).status == "ready"
    assert any(wanted not in ("", "bytes=0-") for _, wanted, _ in hub.asked)


def test_a_killed_child_is_taken_back_and_goes_on(ordered, hub, monkeypatch):
    import psutil

    hub.pause_seconds = 0.02

    def kill(row) -> None:
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if "training.hub.child" in child.cmdline():
                    child.kill()

    when_some_is_here(monkeypatch, kill)
    row = fetched(ordered)
    assert row.status == "waiting" and not row.error
    hub.pause_seconds, hub.sent = 0, {}
    assert fetched(row).status == "ready"
    assert hub.sent["model.safetensors"] < 4_100_000


def test_a_lost_worker_is_reaped_and_cannot_write_any_more(ordered):
    held = downloads.DESK.claim(ordered.pk)
    past = timezone.now() - timedelta(seconds=1)
    BaseDownload.objects.update(lease_expires_at=past)
    assert downloads.DESK.reap() == 1
    assert downloads.DESK.beat(held, []) is Order.FENCED
    assert downloads.DESK.claim(ordered.pk).token != held.token


def test_a_worker_that_died_after_the_renaming_left_nothing_to_do(ordered, hub, library_folder):
    fetched(ordered)
    BaseDownload.objects.update(status="waiting")
    hub.asked.clear()
    assert fetched(ordered).status == "ready" and not hub.asked


def test_one_model_is_fetched_at_a_time_and_the_next_is_rung(user, hub, repo, monkeypatch):
    rung = []
    hub.repos["mansae/other"] = repo
    monkeypatch.setattr(tasks, "ring", lambda *what: rung.append(what))
    first, second = downloads.order(user, REPO), downloads.order(user, "mansae/other")
    assert downloads.DESK.claim(first.pk) and downloads.DESK.claim(second.pk) is None
    assert not downloads.unheard().exists()
    downloads.cancel(first)
    downloads.DESK.put_back(downloads.DESK.held(BaseDownload.objects.get(pk=first.pk)), first)
    BaseDownload.objects.filter(pk=first.pk).update(status="cancelled")
    rung.clear()
    downloads.ring_next()
    assert rung == [("fetch", second.pk)]


def test_a_long_download_does_not_deafen_its_lane(ordered, monkeypatch, user):
    from training.models import Dataset

    heard = []
    monkeypatch.setattr(tasks, "ring", lambda *what: heard.append(what))
    dataset = Dataset.objects.create(owner=user, name="a")
    waiting = DatasetVersion.objects.create(dataset=dataset)
    kind = tasks.KINDS["fetch"]
    assert kind.is_long and kind.lane == tasks.LIGHT
    monkeypatch.setitem(
        tasks.KINDS, "fetch", tasks.Kind("fetch", tasks.LIGHT, lambda _: tasks.reap((tasks.LIGHT,)),
                                         kind.reap, kind.unheard, is_long=True),
    )  # fmt: skip
    tasks.light("fetch", ordered.pk)
    assert ("read", waiting.pk) in heard


def test_three_crashes_without_a_byte_end_it_with_a_reason(ordered):
    for _ in range(3):
        row = downloads.DESK.claim(ordered.pk)
        downloads.DESK.put_back(downloads.DESK.held(row), row)
    ordered.refresh_from_db()
    assert ordered.status == "failed" and ordered.error["code"] == "hub_crashed"


def test_bytes_that_come_make_good_for_crashes(ordered):
    BaseDownload.objects.update(attempt=2)
    row = downloads.DESK.claim(ordered.pk)
    events = [{"kind": "progress", "done_bytes": 9, "total_bytes": 99, "seconds_left": None}]
    assert downloads.DESK.beat(row, events) is Order.GO_ON
    ordered.refresh_from_db()
    assert (ordered.attempt, ordered.done_bytes, ordered.size_bytes) == (1, 9, 99)


# --- before it begins ---------------------------------------------------------------------------
def test_what_is_here_or_under_way_or_switched_off_is_refused(user, repo, settings):
    row = downloads.order(user, f"https://hub.example/{REPO}/tree/main")
    assert row.repo == REPO
    assert refusal(downloads.order, user, REPO).code == "download_under_way"
    assert refusal(downloads.discard, row).code == "download_under_way"
    fetched(row)
    assert refusal(downloads.order, user, REPO).code == "base_here_already"
    settings.HUB = False
    assert refusal(downloads.order, user, "mansae/other").code == "hub_off"


@pytest.mark.parametrize(
    "text",
    ["", "tiny", "a/b/c", "../../etc", "a/../b", "a--b/c", "/etc/passwd", "a b/c", "가/나", "a/b\n",
     "x" * 60 + "/" + "y" * 60, "-a/b", "a/.b", "http://127.0.0.1"],
)  # fmt: skip
def test_what_is_no_id_of_the_hub_is_refused(text, user):
    if text == "a/b\n":
        assert downloads.order(user, text).repo == "a/b"
    else:
        assert refusal(downloads.order, user, text).code == "hub_id_wrong"


@pytest.mark.parametrize("revision", ["../main", "a b", "-x", "x" * 101, "가"])
def test_a_revision_that_is_none_is_refused(revision, user):
    assert refusal(downloads.order, user, REPO, revision).code == "hub_revision_wrong"


def test_ordering_again_what_failed_goes_on_with_it(ordered, user):
    BaseDownload.objects.update(status="failed", error={"code": "hub_offline", "params": {}})
    again = downloads.order(user, REPO)
    assert (again.pk, again.status, again.error) == (ordered.pk, "waiting", None)


def test_a_waiting_one_is_cancelled_at_once_and_discarding_takes_its_bytes(ordered):
    folder = library.make_incoming(ordered.pk)
    (folder / "x").write_text("x")
    assert downloads.cancel(ordered) and ordered.status == "cancelled"
    assert not downloads.cancel(ordered)
    downloads.discard(ordered)
    assert not folder.exists() and not BaseDownload.objects.exists()


def test_the_hub_that_is_away_is_said_before_any_training(user, settings):
    settings.HUB_URL = "http://127.0.0.1:9"
    row = fetched(downloads.order(user, REPO))
    assert row.status == "failed" and row.error["code"] == "hub_offline"


def test_a_broken_model_does_not_come_into_the_library(ordered, repo, library_folder):
    del repo.files["tokenizer.json"]
    row = fetched(ordered)
    assert row.status == "failed" and row.error["code"] == "hub_file_missing"
    assert not (library_folder / SLUG).exists()
    assert bases.catalogue() == []  # what is half here is not shown


# --- the token ------------------------------------------------------------------------------------
SECRET = "hf_sea-salt-and-seven-secrets"


def test_the_token_goes_to_the_hubs_child_alone(user, hub, repo, settings, tmp_path, monkeypatch):
    from studio import supervisor
    from training import supervise

    settings.HF_TOKEN, repo.gated, repo.token = SECRET, True, SECRET
    monkeypatch.setenv("HF_TOKEN", SECRET)
    environments = []
    spawn = supervise.Lifeline.spawn

    def noting(self, command, environment, **options):
        environments.append((command[2], environment))
        return spawn(self, command, environment, **options)

    monkeypatch.setattr(supervise.Lifeline, "spawn", noting)
    row = fetched(downloads.order(user, REPO))
    assert row.status == "ready" and f"Bearer {SECRET}" in {token for _, _, token in hub.asked}
    go_on = {"beat": lambda _: Order.GO_ON, "log": tmp_path / "log.txt"}
    supervise.supervise("training.datasets.child", [str(tmp_path)], **go_on)
    known = {module: SECRET in str(environment) for module, environment in environments}
    assert known == {"training.hub.child": True, "training.datasets.child": False}
    assert environments[0][1]["HF_HUB_OFFLINE"] == "0"
    assert environments[1][1]["HF_HUB_OFFLINE"] == "1"
    told = {child.name: SECRET in str(supervisor.environment(child))
            for child in supervisor.children("s")}  # fmt: skip
    assert told == {"web": False, "engine": False, "worker-heavy": False, "worker-light": True}
    assert SECRET not in json.dumps(list(BaseDownload.objects.values()), default=str)
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


def test_the_token_stands_on_no_page(admin_client, hub, repo, settings):
    settings.HF_TOKEN, repo.token = SECRET, "another"
    admin_client.post("/bases/fetch/", {"repo": REPO})
    row = fetched(BaseDownload.objects.get())
    assert row.error["code"] == "hub_gated_for_token"
    page = admin_client.get("/bases/").text
    assert "약관에 동의한 계정만" in page and SECRET not in page
