"""Who is there: rows that workers renew, and lanes of which nobody is heard."""

import threading
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from training import heartbeats
from training.models import Heartbeat

pytestmark = pytest.mark.django_db
BOTH = ("heavy", "light")


def beat_of(lane: str, seconds_ago: float) -> Heartbeat:
    at = timezone.now() - timedelta(seconds=seconds_ago)
    return Heartbeat.objects.create(name=f"{lane}@elsewhere:{seconds_ago}", lane=lane, beat_at=at)


@pytest.fixture
def watching(monkeypatch, settings):
    """A web process that has listened for long enough."""
    settings.LEASE_SECONDS = 60
    heartbeats_began = heartbeats.time.monotonic() - 61
    monkeypatch.setattr(heartbeats, "_watched_from", heartbeats_began)


def test_a_worker_has_one_row_a_lane_however_often_it_beats():
    for _ in range(3):
        heartbeats.beat(BOTH)
    rows = Heartbeat.objects.order_by("lane")
    assert [row.lane for row in rows] == ["heavy", "light"]
    assert rows[0].name.startswith("heavy@") and ":" in rows[0].name
    assert heartbeats.is_lane_alive("heavy") and heartbeats.is_lane_alive("light")


def test_a_beat_is_one_write_a_lane(django_assert_num_queries):
    heartbeats.beat(["heavy"])
    with django_assert_num_queries(2):  # and one that looks for the dead
        heartbeats.beat(["heavy"])


def test_whoever_goes_home_is_not_waited_for():
    heartbeats.beat(BOTH)
    other = beat_of("light", 1)
    heartbeats.go_home(BOTH)
    assert list(Heartbeat.objects.all()) == [other]


def test_a_worker_is_gone_after_its_lease_and_never_before_fifteen_seconds(settings):
    settings.LEASE_SECONDS = 60
    beat_of("heavy", 59)
    beat_of("light", 61)
    assert heartbeats.is_lane_alive("heavy") and not heartbeats.is_lane_alive("light")
    settings.LEASE_SECONDS = 4
    beat_of("light", 14)
    assert heartbeats.is_lane_alive("light")


def test_rows_of_the_dead_go_after_a_while(settings):
    settings.LEASE_SECONDS = 60
    dead, frozen = beat_of("heavy", 601), beat_of("heavy", 590)
    heartbeats.beat(["light"])
    found = set(Heartbeat.objects.values_list("pk", flat=True))
    assert frozen.pk in found and dead.pk not in found


def test_a_row_that_was_taken_for_dead_comes_back_with_the_next_beat():
    heartbeats.beat(["heavy"])
    Heartbeat.objects.all().delete()
    heartbeats.beat(["heavy"])
    assert heartbeats.is_lane_alive("heavy")


def test_lanes_of_which_nobody_is_heard_are_named(watching):
    assert heartbeats.silent() == ["heavy", "light"]
    beat_of("heavy", 1)
    assert heartbeats.silent() == ["light"]


def test_a_web_process_that_has_just_begun_calls_nobody_silent(watching, monkeypatch):
    monkeypatch.setattr(heartbeats, "_watched_from", heartbeats.time.monotonic() - 50)
    assert heartbeats.silent() == []
    monkeypatch.setattr(heartbeats, "_watched_from", None)
    assert heartbeats.silent() == []


def test_a_database_that_is_away_does_not_end_the_beating(monkeypatch, settings):
    settings.LEASE_SECONDS = 1
    stopping, said, real = threading.Event(), [], heartbeats.beat

    def away_twice(lanes):
        said.append(lanes)
        if len(said) < 3:
            raise OperationalError("database is locked")
        real(lanes)
        assert heartbeats.is_lane_alive("heavy")
        stopping.set()

    monkeypatch.setattr(heartbeats, "beat", away_twice)
    monkeypatch.setattr(heartbeats.connections, "close_all", lambda: None)
    monkeypatch.setattr(heartbeats, "close_old_connections", lambda: None)
    heartbeats.beat_till(stopping, ["heavy"])
    assert len(said) == 3
    assert not Heartbeat.objects.exists()  # it went home
