"""Names and folders in, models in memory out.

One base carries many LoRA adapters; full models stand beside. What would not fit makes room for itself:
the model that was not talked to for the longest time goes. All changes run one after the other
in one background thread, so that a request never waits for torch. Knows no request and no line.
"""

import contextlib
import ctypes
import gc
import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from playground.engine.wire import Load
from training.errors import UserError

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import nn

    from training.lm.decode.decoder import Decoder
    from training.lm.decode.weights import Adapter

log = logging.getLogger("engine")
HEADROOM = 1.3
"""Memory that must be available, in sizes of the weights, before they are loaded."""
GRACE_SECONDS = 2.0
"""How long a model that has come waits for its first question before it may have to go: else models that
do not fit together, asked for at the same time, would unload each other for ever."""
SHARE = 0.6
"""Of the machine's memory that all weights may take together, unless told."""


@dataclass
class Weights:
    """A base or full model in memory, with the adapters that sit on it: as streams of a decoder of our
    own, or else as transformers and PEFT hold it, with one adapter active at a time."""

    context_length: int
    vocabulary: int
    size_bytes: int = 0
    """In memory, without adapters."""
    decoder: "Decoder | None" = None
    module: "nn.Module | None" = None
    peft: "PeftModel | None" = None
    adapters: "dict[str, Adapter | None]" = field(default_factory=dict)
    active: str | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _changes: int = 0

    @contextlib.contextmanager
    def step(self, adapter: str | None) -> Iterator[None]:
        """Hold the weights for one token, computed with this adapter (None: the base alone)."""
        while self._changes:
            time.sleep(0.001)
        with self._lock:
            self._use(adapter)
            yield

    @contextlib.contextmanager
    def change(self) -> Iterator[None]:
        """Hold the weights between two tokens of whoever generates."""
        self._changes += 1
        try:
            with self._lock:
                yield
        finally:
            self._changes -= 1

    def _use(self, adapter: str | None) -> None:
        if self.peft is None or adapter == self.active or adapter not in (None, *self.adapters):
            return  # an adapter that was just taken away: its stream ends at its next look
        if adapter is None:
            self.peft.base_model.disable_adapter_layers()
        else:
            self.peft.base_model.enable_adapter_layers()
            self.peft.set_adapter(adapter, inference_mode=True)
        self.active = adapter


@dataclass(eq=False)
class Entry:
    """A model under its name."""

    name: str
    path: Path
    base: str | None
    base_path: Path | None
    state: str = "loading"
    """loading, ready or failed."""
    phase: str = "waiting"
    """While loading: waiting, reading."""
    reading: "Reading | None" = None
    """How far it is."""
    error: UserError | None = None
    size_bytes: int = 0
    used_at: float = field(default_factory=time.time)
    fresh_till: float = 0.0
    """Until when its first question is waited for, on the monotonic clock."""
    streams: int = 0
    """Streams that wait for it or run on it."""
    is_gone: bool = False
    is_apart: bool = False
    """Whether it is an adapter that needs a copy of its base to itself (and its like)."""
    weights: Weights | None = None

    @property
    def root(self) -> str:
        """Name of the weights that it needs: its base's, or its own."""
        return f"{self.base} apart" if self.is_apart else self.base or self.name

    @property
    def adapter(self) -> str | None:
        return self.name if self.base else None

    def as_dict(self) -> dict:
        return {
            "id": self.name,
            "object": "model",
            "state": self.state,
            "phase": self.phase,
            "progress": self.reading.share() if self.reading else None,
            "error": self.error.as_dict() if self.error else None,
            "bytes": self.size_bytes,
            "base": self.base,
            "used_at": int(self.used_at),
            "streams": self.streams,
        }


@dataclass(frozen=True)
class Reading:
    """Weights on their way into memory, measured by how much the process has grown."""

    needed: int
    """Bytes."""
    before: int = field(default_factory=lambda: _resident())

    def share(self) -> float:
        """Return how much of it is there, from 0 to 0.99."""
        return round(min(0.99, max(0, _resident() - self.before) / max(self.needed, 1)), 2)


def _noted(name: str, path: str, base: str | None, base_path: str | None) -> Load:
    return Load(name, Path(path), base, Path(base_path) if base_path else None)


def _resident() -> int:
    return psutil.Process().memory_info().rss


class Shelf:
    def __init__(
        self,
        threads: int = 0,
        is_int8: bool = False,
        budget: int = 0,
        notes: Path | None = None,
    ) -> None:
        """`budget`: bytes that all weights may take together; 0: SHARE of the machine's. `notes`: a file
        that tells what is loaded, so that the next engine begins with it when this one dies."""
        self.threads = threads
        self.notes = notes
        self.is_int8 = is_int8
        self.budget = budget or int(SHARE * psutil.virtual_memory().total)
        self.entries: dict[str, Entry] = {}
        self._weights: dict[str, Weights] = {}
        self._lock = threading.Lock()
        """Guards `entries`; `_weights` is touched by the background thread only."""
        self._background = ThreadPoolExecutor(1, "shelf")
        self._background.submit(self._warm_up)
        self._bring_back()

    def _warm_up(self) -> None:
        """Import what loading needs, so that the first model does not wait for it."""
        import torch

        # Reading prompts is the line's: where a second thread has helpers of OpenMP too, there are more of
        # them than cores, and none waits awake between two products.
        torch.set_num_threads(1)
        import transformers

        from training.lm.decode import decoder  # noqa: F401

        transformers.utils.logging.disable_progress_bar()

    def _bring_back(self) -> None:
        """Load what the notes tell. Each model is noted again once it is there: one that kills the engine
        is not brought back a second time."""
        if self.notes and self.notes.exists():
            text = self.notes.read_text(errors="replace")
            self.notes.unlink()
            with contextlib.suppress(ValueError, TypeError):  # cut off when the machine went down
                for wanted in [_noted(*one) for one in json.loads(text)]:
                    self.load(wanted)

    def _note(self) -> None:
        """Write down what is loaded; the caller holds the lock."""
        if self.notes:
            ready = [entry for entry in self.entries.values() if entry.state == "ready"]
            told = [[e.name, str(e.path), e.base, e.base_path and str(e.base_path)] for e in ready]
            beside = self.notes.with_suffix(".part")
            with contextlib.suppress(OSError):  # a full disk
                beside.write_text(json.dumps(told))
                beside.replace(self.notes)

    def load(self, wanted: Load) -> Entry:
        """Begin to load; a model that is there or on its way stays as it is."""
        with self._lock:
            entry = self.entries.get(wanted.model)
            if entry and entry.path == wanted.path and entry.state != "failed":
                return entry
            if entry:
                self._drop(entry.name)
            entry = Entry(wanted.model, wanted.path, wanted.base, wanted.base_path)
            self.entries[entry.name] = entry
        self._background.submit(self._bring, entry)
        return entry

    def unload(self, *names: str) -> "Future[None]":
        """Take models off the shelf at once; the future ends when their memory is given back.

        Raises: UserError("model_not_loaded").
        """
        with self._lock:
            for name in names:
                if name not in self.entries:
                    raise UserError("model_not_loaded", model=name)
            for name in names:
                self._drop(name)
        return self.sweep()

    def release(self) -> tuple[list[str], "Future[None]"]:
        """Unload every loaded model that nobody is talking to."""
        with self._lock:
            idle = [e.name for e in self.entries.values() if e.weights and not e.streams]
            for name in idle:
                self._drop(name)
        return idle, self.sweep()

    def _drop(self, name: str) -> None:
        """Take an entry away; the last stream on it, or else this, lets go of the weights."""
        entry = self.entries.pop(name)
        entry.is_gone = True
        self._note()
        if not entry.streams:
            entry.weights = None

    def sweep(self) -> "Future[None]":
        return self._background.submit(self._sweep)

    def acquire(self, name: str) -> Entry:
        """Return a loaded model and count a stream on it (give_back ends it).

        Raises: UserError("model_not_loaded"), UserError("model_loading"), or why it failed.
        """
        with self._lock:
            entry = self.entries.get(name)
            if entry is None:
                raise UserError("model_not_loaded", model=name)
            if entry.error:
                raise UserError(entry.error.code, **entry.error.params)
            if entry.weights is None:
                raise UserError("model_loading", model=name)
            entry.streams += 1
            entry.used_at, entry.fresh_till = time.time(), 0.0
            return entry

    def give_back(self, entry: Entry) -> None:
        with self._lock:
            entry.streams -= 1
            entry.used_at = time.time()
        if entry.is_gone and not entry.streams:
            entry.weights = None
            self.sweep()

    def listing(self) -> list[dict]:
        with self._lock:
            return [entry.as_dict() for entry in self.entries.values()]

    # --- the background thread ----------------------------------------------------------------

    def _bring(self, entry: Entry) -> None:
        if entry.is_gone:
            return
        entry.phase = "reading"
        try:
            weights = self._root(entry)
            if entry.base:
                weights = self._attach(entry, weights)
        except UserError as error:
            self._settle(entry, error=error)
        except MemoryError:
            self._settle(entry, error=UserError("engine_memory", model=entry.name))
        except Exception:
            log.exception("loading %s failed", entry.name)
            self._settle(entry, error=UserError("model_load_failed", model=entry.name))
        else:
            self._settle(entry, weights=weights)
        if entry.is_gone or entry.error:
            self._sweep()

    def _settle(
        self, entry: Entry, *, weights: Weights | None = None, error: UserError | None = None
    ) -> None:
        with self._lock:
            entry.weights, entry.error, entry.reading = weights, error, None
            entry.state = entry.phase = "failed" if error else "ready"
            if not error:
                entry.used_at, entry.fresh_till = time.time(), time.monotonic() + GRACE_SECONDS
            self._note()

    def _root(self, entry: Entry) -> Weights:
        from training.lm import load

        folder = entry.base_path or entry.path
        entry.size_bytes = load.size_bytes(entry.path)
        if entry.root not in self._weights:
            self._read(entry, folder)
        return self._weights[entry.root]

    def _read(self, entry: Entry, folder: Path, *, is_plain: bool = False) -> Weights:
        """Load the weights that an entry needs: as a decoder of our own where it knows them."""
        from training.lm import generate, load
        from training.lm.decode.decoder import Decoder
        from training.lm.fast.decoder import Unknown

        needed = load.memory_bytes(folder)
        self._make_room(entry, needed)
        entry.reading = Reading(needed)
        module = load.model(folder)
        vocabulary = module.get_input_embeddings().num_embeddings
        weights = Weights(generate.context_length(module), vocabulary, needed, module=module)
        if not is_plain and load.device().type == "cpu":
            with contextlib.suppress(Unknown):
                weights.decoder = Decoder(module, is_int8=self.is_int8, threads=self.threads or 1)
                weights.module = None
                weights.size_bytes //= 2 if self.is_int8 else 1
        self._weights[entry.root] = weights
        return weights

    def _attach(self, entry: Entry, weights: Weights) -> Weights:
        """Put an adapter on its base; return the weights that it is on: of what a decoder does not know,
        a second copy of the base carries it."""
        from training import gate
        from training.lm import load
        from training.lm.decode.weights import read_adapter
        from training.lm.fast.decoder import Unknown

        self._make_room(entry, load.size_bytes(entry.path))
        if weights.decoder:
            gate.check(entry.path)
            with contextlib.suppress(Unknown):
                weights.adapters[entry.name] = read_adapter(entry.path, weights.decoder.model)
                return weights
            assert entry.base_path
            entry.is_apart = True
            if entry.root not in self._weights:
                self._read(entry, entry.base_path, is_plain=True)
            weights = self._weights[entry.root]
        if entry.name in weights.adapters:
            self._detach(entry.name, weights)
        with weights.change():
            weights.peft = load.attach(weights.peft or weights.module, entry.path, entry.name)
            weights.adapters[entry.name] = None
            weights.active = ""
        return weights

    def _detach(self, name: str, weights: Weights) -> None:
        if weights.decoder:
            del weights.adapters[name]
            return
        with weights.change():
            del weights.adapters[name]
            if weights.adapters:
                weights.peft.delete_adapter(name)
            else:
                weights.module, weights.peft = weights.peft.unload(), None
            weights.active = ""

    def _make_room(self, entry: Entry, needed: int) -> None:
        """Unload what was not talked to for the longest time, until `needed` bytes fit.

        Raises: UserError("engine_memory_short") when what is left is in use.
        """
        while (room := self._room()) < needed:
            self._let_newcomers_begin()
            gone = self._drop_longest_idle(entry)
            if not gone:
                raise UserError(
                    "engine_memory_short",
                    model=entry.name,
                    needed_mb=needed // 2**20 + 1,
                    available_mb=max(0, room) // 2**20,
                )
            log.info("unloaded %s to make room for %s", ", ".join(gone), entry.name)
            self._sweep()

    def _let_newcomers_begin(self) -> None:
        """Wait while models that have just come may still get their first question."""
        while any(entry.fresh_till > time.monotonic() for entry in list(self.entries.values())):
            time.sleep(0.05)

    def _room(self) -> int:
        """Return the bytes that may still be loaded."""
        with self._lock:
            adapters = sum(e.size_bytes for e in self.entries.values() if e.base and e.weights)
        taken = adapters + sum(weights.size_bytes for weights in self._weights.values())
        return min(self.budget - taken, int(psutil.virtual_memory().available / HEADROOM))

    def _drop_longest_idle(self, newcomer: Entry) -> list[str]:
        """Drop weights with all that sit on them, or one adapter of the newcomer's own base; return the
        names, none when everything is in use."""
        with self._lock:
            groups: dict[str, list[Entry]] = {}
            for entry in self.entries.values():
                if entry is not newcomer and entry.state != "failed":
                    is_beside = entry.root == newcomer.root
                    if not is_beside or entry.base:
                        groups.setdefault(entry.name if is_beside else entry.root, []).append(entry)
            idle = [
                group
                for group in groups.values()
                if all(e.state == "ready" and not e.streams for e in group)
            ]  # a group that somebody waits for would stay in memory all the same
            oldest = min(idle, key=lambda group: max(e.used_at for e in group), default=[])
            names = [entry.name for entry in oldest]
            for name in names:
                self._drop(name)
            return names

    def _sweep(self) -> None:
        """Drop weights and adapters that no entry needs any more; one that failed needs none."""
        with self._lock:
            entries = [entry for entry in self.entries.values() if entry.state != "failed"]
        wanted = {entry.root for entry in entries}
        names = {entry.name for entry in entries}
        for root in [root for root in self._weights if root not in wanted]:
            del self._weights[root]
        for weights in self._weights.values():
            for name in weights.adapters.keys() - names:
                self._detach(name, weights)
        _give_memory_back()


def _give_memory_back() -> None:
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
    if (torch := sys.modules.get("torch")) and torch.cuda.is_available():
        torch.cuda.empty_cache()
