"""The notice that a worker is gone: there for whoever waits for it, and away again by itself."""

from datetime import timedelta

import pytest
from django.utils import timezone

from training import heartbeats
from training.models import DatasetVersion, Heartbeat, Job

HTMX = {"HX-Request": "true"}
HEAVY, LIGHT = (
    "학습을 맡은 프로그램이 응답하지 않습니다.",
    "데이터를 맡은 프로그램이 응답하지 않습니다.",
)


@pytest.fixture(autouse=True)
def watching(monkeypatch, settings):
    """A web process that has listened for long enough."""
    settings.LEASE_SECONDS = 60
    monkeypatch.setattr(heartbeats, "_watched_from", heartbeats.time.monotonic() - 61)


@pytest.fixture
def running(user, make) -> Job:
    return make.job(user, make.version(user), status="running", started_at=timezone.now())


def heard(lane: str, seconds_ago: float = 0) -> None:
    at = timezone.now() - timedelta(seconds=seconds_ago)
    Heartbeat.objects.update_or_create(name=f"{lane}@a:1", defaults={"lane": lane, "beat_at": at})


def test_pages_tell_whoever_waits_that_nobody_trains(signed_in, running, make, user):
    heard("heavy", 61)
    draft = Job.objects.create(owner=user, base="tiny")
    for url in ("/", "/models/", f"/models/{running.pk}/", f"/train/{draft.pk}/data/", "/data/"):
        page = signed_in.get(url).text
        assert HEAVY in page and LIGHT not in page, url
        assert '<div id="silent" class="silent" role="status">' in page
    heard("heavy")
    assert HEAVY not in signed_in.get("/").text


def test_nobody_who_waits_for_nothing_is_told(signed_in, user, make, django_assert_num_queries):
    make.version(user)
    page = signed_in.get("/").text
    assert HEAVY not in page and LIGHT not in page
    assert "hx-trigger" not in signed_in.get("/queue/").text


def test_the_first_seconds_after_a_start_are_silent_rightly(signed_in, running, monkeypatch):
    monkeypatch.setattr(heartbeats, "_watched_from", heartbeats.time.monotonic() - 55)
    assert HEAVY not in signed_in.get("/").text


def test_an_administrator_learns_where_to_look_and_a_member_whom_to_ask(
    signed_in, admin_client, running, user
):
    from django.test import Client

    page = admin_client.get("/").text
    assert "logs/worker-heavy.log" in page and "관리자에게 알리세요" not in page
    member = Client()
    member.force_login(user)
    page = member.get("/").text
    assert "logs/worker" not in page and "관리자에게 알리세요" in page


class TestPoll:
    def poll(self, client, told: str) -> str:
        return client.get(f"/queue/?silent={told}", headers=HTMX).text

    def test_the_page_asks_with_what_it_was_told(self, signed_in, running):
        heard("heavy")
        assert 'hx-get="/queue/?silent="' in signed_in.get("/").text
        heard("heavy", 61)
        assert 'hx-get="/queue/?silent=heavy"' in signed_in.get("/").text

    def test_news_comes_once_when_it_falls_silent_and_once_when_it_is_back(
        self, signed_in, running
    ):
        heard("heavy", 61)
        news = self.poll(signed_in, "")
        assert 'hx-swap-oob="innerHTML"' in news and HEAVY in news
        assert 'hx-get="/queue/?silent=heavy"' in news
        assert "hx-swap-oob" not in self.poll(signed_in, "heavy")
        heard("heavy")
        news = self.poll(signed_in, "heavy")
        assert 'id="silent" hx-swap-oob="innerHTML"' in news and HEAVY not in news
        assert "hx-swap-oob" not in self.poll(signed_in, "")

    def test_it_goes_when_nothing_waits_any_more(self, signed_in, running):
        assert HEAVY in self.poll(signed_in, "")
        Job.objects.update(status="cancelled")
        last = self.poll(signed_in, "heavy")
        assert "hx-swap-oob" in last and HEAVY not in last and "hx-trigger" not in last


class TestData:
    @pytest.fixture
    def reading(self, user, make) -> DatasetVersion:
        version = make.version(user)
        DatasetVersion.objects.filter(pk=version.pk).update(status="reading", example_count=0)
        return version

    def test_whose_data_is_read_is_told_that_nobody_reads(self, signed_in, reading):
        heard("heavy")
        page = signed_in.get(f"/data/{reading.dataset_id}/").text
        assert LIGHT in page and HEAVY not in page
        heard("light")
        page = signed_in.get(f"/data/{reading.dataset_id}/").text
        assert LIGHT not in page
        assert 'hx-get="/queue/?silent="' in page  # it may fall silent yet
        assert "학습 없음" in page

    def test_others_are_not_told_but_administrators_are(
        self, client, stranger, reading, admin_client
    ):
        from django.test import Client

        other = Client()
        other.force_login(stranger)
        assert LIGHT not in other.get("/data/").text
        assert LIGHT in admin_client.get("/data/").text


def test_pages_of_nobody_say_nothing(client, user, running):
    for url in ("/login/", "/no/such/page"):
        assert HEAVY not in client.get(url).text
