"""playground/engine/shelf.py: what is in memory together, and who makes room for whom."""

import asyncio
import shutil

import pytest

from playground.client import POLL_SECONDS
from playground.engine import wire
from playground.engine.shelf import Reading, Shelf
from training.errors import UserError
from training.lm import load


@pytest.fixture
def bases(tiny_base, tmp_path):
    return {name: shutil.copytree(tiny_base, tmp_path / name) for name in ("a", "b", "c")}


def shelf_for(folder, times: float, more: int = 0) -> Shelf:
    """A shelf with room for so many times the weights of a folder."""
    return Shelf(threads=1, budget=int(times * load.memory_bytes(folder)) + more)


async def bring(shelf: Shelf, name: str, folder, base=None) -> str:
    """Load, wait, and return the state."""
    wanted = wire.Load(name, folder, *(("base:a", base) if base else ()))
    entry = shelf.load(wanted)
    await asyncio.wrap_future(shelf.sweep())
    return entry.state


async def test_who_was_not_talked_to_for_the_longest_time_makes_room(bases):
    shelf = shelf_for(bases["a"], 2.5)
    for name in ("a", "b"):
        assert await bring(shelf, f"base:{name}", bases[name]) == "ready"
    shelf.give_back(shelf.acquire("base:a"))
    assert await bring(shelf, "base:c", bases["c"]) == "ready"
    assert sorted(shelf.entries) == ["base:a", "base:c"]
    assert sorted(shelf._weights) == ["base:a", "base:c"]


async def test_nobody_who_is_talking_is_interrupted(bases):
    shelf = shelf_for(bases["a"], 2.5)
    talking = []
    for name in ("a", "b"):
        await bring(shelf, f"base:{name}", bases[name])
        talking.append(shelf.acquire(f"base:{name}"))
    assert await bring(shelf, "base:c", bases["c"]) == "failed"
    error = shelf.entries["base:c"].error
    assert error.code == "engine_memory_short"
    assert not any(entry.is_gone for entry in talking)
    shelf.give_back(talking[0])
    assert await bring(shelf, "base:c", bases["c"]) == "ready"
    assert "base:a" not in shelf.entries


async def test_adapters_make_room_for_each_other_on_a_base_that_stays(bases, adapter):
    shelf = shelf_for(bases["a"], 1, more=int(2.5 * load.size_bytes(adapter)))
    names = ["tuned:one", "tuned:two", "tuned:three"]
    for name in names:
        assert await bring(shelf, name, adapter, bases["a"]) == "ready"
    assert sorted(shelf.entries) == ["tuned:three", "tuned:two"]
    assert sorted(shelf._weights["base:a"].adapters) == ["tuned:three", "tuned:two"]


async def test_a_model_larger_than_all_the_room_is_refused_with_the_figures(bases):
    shelf = shelf_for(bases["a"], 0.5)
    assert await bring(shelf, "base:a", bases["a"]) == "failed"
    with pytest.raises(UserError) as caught:
        shelf.acquire("base:a")
    assert caught.value.params["needed_mb"] >= 1


async def test_a_model_that_others_wait_for_is_not_unloaded_in_vain(bases, adapter):
    """Its weights would stay in memory for them all the same."""
    shelf = shelf_for(bases["a"], 1.5)
    await bring(shelf, "base:a", bases["a"])
    newcomer = shelf.load(wire.Load("base:b", bases["b"]))
    shelf.load(wire.Load("tuned:one", adapter, "base:a", bases["a"]))
    await asyncio.wrap_future(shelf.sweep())
    assert newcomer.error.code == "engine_memory_short"
    states = {entry.name: entry.state for entry in shelf.entries.values()}
    assert (states["base:a"], states["tuned:one"]) == ("ready", "ready")


async def test_a_model_that_has_come_waits_for_its_first_question(bases):
    """Two people whose models do not fit together do not unload each other's for ever."""
    shelf = shelf_for(bases["a"], 1.5)
    first, second = (shelf.load(wire.Load(f"base:{name}", bases[name])) for name in "ab")
    while first.state == "loading":
        await asyncio.sleep(0.05)
    await asyncio.sleep(POLL_SECONDS)
    assert shelf.acquire("base:a") is first
    await asyncio.wrap_future(shelf.sweep())
    assert second.error.code == "engine_memory_short" and not first.is_gone


async def test_an_adapter_that_failed_leaves_no_base_in_memory(bases, tmp_path):
    (tmp_path / "none").mkdir()
    shelf = shelf_for(bases["a"], 2.5)
    assert await bring(shelf, "tuned:none", tmp_path / "none", bases["a"]) == "failed"
    assert not shelf._weights


def test_notes_that_were_cut_off_keep_no_engine_from_starting(tmp_path):
    notes = tmp_path / "loaded"
    for text in ('[["base:a", "/a"', '[["base:a"]]', "7"):
        notes.write_text(text)
        assert not Shelf(threads=1, notes=notes).entries and not notes.exists()


def test_progress_is_what_the_process_has_grown_by():
    reading = Reading(needed=400 * 2**20)
    assert reading.share() < 0.1
    grown = bytearray(b"x") * (200 * 2**20)
    assert 0.4 < reading.share() < 0.7
    del grown
