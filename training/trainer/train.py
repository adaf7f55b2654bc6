"""The loop: plan, packs, loss, step; metrics on the way, a checkpoint now and then, a result."""

import math
import resource
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import psutil
import torch

from training.chat import Renderer
from training.costs import checkpoint_pause
from training.errors import UserError
from training.lm import tight
from training.lm import trainable as lm
from training.trainer import batch, checkpoint, result
from training.trainer.best import Best
from training.trainer.order import Order, say
from training.trainer.probe import Probe
from training.trainer.world import World

GRADIENT_NORM = 1.0
CHART_POINTS = 2000
"""Points of the chart that are stored of a whole run, at most about twice as many."""
PROGRESS_SECONDS = 0.5
"""Between points only the latest figures are told."""


TOLD = (
    "loss", "validation_loss", "first_validation_loss", "tokens_per_second", "best_step", "ended",
    "seconds",
)  # fmt: skip
"""What of a run's history is told of its result."""


def _rounded(value):
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return round(value, 4) if isinstance(value, float) else value


class Stopped(Exception):
    """The supervisor asked the run to end; a checkpoint is on disk."""


class Run:
    """One attempt of one job, or this process's part of it where several train together."""

    def __init__(self, order: Order, world: World | None = None) -> None:
        self.order = order
        self.world = world or World()
        self.is_asked_to_stop = False
        """This process, at any moment."""
        self.is_stopping = self.is_finishing = False
        """The run: known to all its processes at the same step."""
        self.memory_bytes = 0.0
        """What all its processes hold."""
        signal.signal(signal.SIGTERM, self._stop)
        self.step = 0
        self.tokens = 0
        """Tokens trained so far, over all attempts."""
        self.history: dict = {}

    def _stop(self, number: int, frame: object) -> None:
        self.is_asked_to_stop = True

    def _stop_if_asked(self) -> None:
        if self.is_asked_to_stop:
            raise Stopped

    def _hear(self, is_due: bool = False) -> bool:
        """Learn what is wanted of the run; return whether a checkpoint `is_due` to who writes it."""
        memory = psutil.Process().memory_info().rss
        stop, finish, due, self.memory_bytes = self.world.sum(
            self.is_asked_to_stop, self.order.is_to_finish, self.world.leads and is_due, memory
        )
        self.is_stopping, self.is_finishing = bool(stop), bool(finish)
        return bool(due)

    @contextmanager
    def _clock(self, part: str) -> Iterator[None]:
        """Add the seconds that something takes to those of a part of the run, over all attempts."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self._took(part, time.monotonic() - begun)

    def _took(self, part: str, seconds: float) -> None:
        known = self.history.setdefault("seconds", {})
        known[part] = known.get(part, 0.0) + seconds

    # --- before ---------------------------------------------------------------------------------
    def prepare(self) -> None:
        """Read the data, load the model, and go on from the last checkpoint if there is one."""
        order = self.order
        self._stop_if_asked()
        say("progress", phase="reading")
        self.renderer = Renderer(order.weights)
        self.corpus = batch.read(
            order.examples, self.renderer, order.max_length, order.overflow, order.most_examples
        )
        train = self.split()
        self._stop_if_asked()
        say("progress", phase="loading", total_steps=self.plan.total_steps)
        self.load()
        self._stop_if_asked()
        self._resume()
        self.best = Best(order, self.parameters, self.history, self.world.leads)
        self.probe = Probe(order, self.renderer, self.corpus, self.validation, self.trainable)
        self._say_start(train)
        self._took("start", time.time() - psutil.Process().create_time())

    def split(self) -> np.ndarray:
        """Part the corpus and plan the steps; return the examples to train.

        Raises: UserError `no_example_left`.
        """
        order = self.order
        train, self.validation = batch.split(
            len(self.corpus), order.validation_examples, order.seed
        )
        if not len(train):
            raise UserError("no_example_left", max_length=order.max_length)
        self.plan = batch.Plan(train, order.epochs, order.batch_size, order.seed)
        return train

    def load(self) -> None:
        """Make the model, its optimiser and what is checked on the way ready."""
        order = self.order
        dtype = self.world.choice((torch.float32, torch.bfloat16), lm.training_dtype)
        way = tight.WAYS[
            self.world.most(tight.WAYS.index(tight.savings(order.weights, self._work(dtype))))
        ]
        self.trainable = lm.prepare(
            order.weights, order.method, rank=order.lora_rank, alpha=order.lora_alpha, seed=order.seed,
            adapter=order.foundation, dtype=dtype, way=way,
        )  # fmt: skip
        self.budget = order.row_tokens if self.trainable.is_packable else 1
        self.shares = self.trainable.decoder is not None
        self.validation_packs = list(self._packs(self.validation))
        self.parameters = dict(self.trainable.parameters())
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(), lr=order.learning_rate, weight_decay=0.0, fused=True
        )

    def _work(self, dtype: torch.dtype) -> tight.Load:
        """Say what this process trains at once."""
        order, longest = self.order, int(np.diff(self.corpus.starts).max())
        share = math.ceil(order.batch_size / self.world.size)
        rank = order.lora_rank if order.method == lm.LORA else 0
        return tight.Load(longest, min(order.row_tokens, share * longest), rank, dtype)

    def _packs(self, indices: np.ndarray) -> Iterator[batch.Pack]:
        """Yield this process's part of some examples."""
        mine = self.world.share(indices, self.corpus.length)
        return batch.packs(self.corpus, mine, self.budget, self.shares)

    def _resume(self) -> None:
        folder = checkpoint.latest(self.order.run)
        if folder:
            facts = checkpoint.load(folder, self.parameters, self.optimizer)
            self.trainable.refresh()
            self.step, self.tokens = facts["step"], facts["tokens"]
            self.history = facts["history"]
            say("resumed", step=self.step)

    def _say_start(self, train: np.ndarray) -> None:
        self.epoch_tokens = int(sum(self.corpus.length(i) for i in train))
        say(
            "start",
            step=self.step,
            total_steps=self.plan.total_steps,
            train_examples=len(train),
            validation_examples=len(self.validation),
            epoch_tokens=self.epoch_tokens,
            cut=self.corpus.cut,
            lost=self.corpus.lost,
            trained_parameters=sum(p.numel() for p in self.parameters.values()),
            path=self.trainable.path,
            precision="bf16" if self.trainable.uses_bf16 else "fp32",
            device=str(self.trainable.device),
            remakes=self.trainable.way.remakes,
            is_4bit=self.trainable.way.is_4bit,
            threads=torch.get_num_threads(),
            processes=self.world.size,
        )

    # --- the loop -------------------------------------------------------------------------------
    def train(self) -> None:
        """Run every step that is left.

        Raises: Stopped when asked to end, UserError `loss_not_a_number`.
        """
        every = max(1, math.ceil(self.plan.steps_per_epoch / 2))
        point_every = max(1, self.plan.total_steps // CHART_POINTS)
        saved_at, save_cost, said_at = time.monotonic(), 0.0, 0.0
        if not self.step:
            self.probe.tell_questions()
            self._probe()
        self._validate_if_due(every)
        self._hear()
        while not self._is_over():
            started = time.monotonic()
            loss, norm, tokens = self.one_step(self.plan.step(self.step))
            seconds = time.monotonic() - started
            self._took("steps", seconds)
            self.step += 1
            self.tokens += tokens
            is_last = self._is_at_the_end
            self._remember_speed(tokens, seconds)
            if is_last or self.step % point_every == 0:
                self._say_metrics("metrics", loss, norm)
            elif time.monotonic() - said_at >= PROGRESS_SECONDS:
                said_at = time.monotonic()
                self._say_metrics("progress", loss, norm)
            self._validate_if_due(every)
            pause = checkpoint_pause(self.order.checkpoint_seconds, save_cost)
            is_due = self._hear(not is_last and time.monotonic() - saved_at >= pause)
            if self.is_stopping or is_due:
                begun = time.monotonic()
                with self._clock("saving"):
                    self.save_checkpoint()
                saved_at, save_cost = time.monotonic(), time.monotonic() - begun
                self._probe_if_due()
                self._hear()
            if self.is_stopping:
                raise Stopped

    @property
    def _is_at_the_end(self) -> bool:
        return self.step == self.plan.total_steps

    def _is_over(self) -> bool:
        """Say whether no step is left: all are taken, none was better for long, or the user wants what
        there is (of a run that has learnt something)."""
        if self._is_at_the_end:
            return True
        if self.best.is_over:
            say("early_stop", step=self.step, best_step=self.history["best_step"],
                validation_loss=self.history["best_loss"])  # fmt: skip
            self.history["ended"] = "early"
            return True
        if self.step and self.is_finishing:
            self.history["ended"] = "asked"
            return True
        return False

    def one_step(self, indices: np.ndarray) -> tuple[float, float, int]:
        """Take one optimiser step; return mean loss a label, gradient norm, tokens seen."""
        labels = batch.label_count(self.corpus, indices)
        total, tokens = 0.0, 0
        for pack in self._packs(indices):
            total += self.trainable.learn(pack, 1 / labels) / labels
            tokens += pack.tokens
        self.world.sum_gradients(self.parameters.values())
        total, tokens = self.world.sum(total, tokens)
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters.values(), GRADIENT_NORM))
        if not (math.isfinite(total) and math.isfinite(norm)):
            raise UserError("loss_not_a_number", step=self.step + 1)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.step)
        self.optimizer.step()
        self.trainable.refresh()
        self.optimizer.zero_grad(set_to_none=True)
        return total, norm, int(tokens)

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then half a cosine down to zero; `step` counts from 0."""
        total = self.plan.total_steps
        warmup = math.ceil(total * self.order.warmup_ratio)
        if step < warmup:
            return self.order.learning_rate * (step + 1) / warmup
        progress = (step - warmup) / max(1, total - warmup)
        return self.order.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))

    def _validate_if_due(self, every: int) -> None:
        """Validate at the start, every so many steps, and at the end; what was asked to stop meanwhile
        does so when it goes on."""
        is_due = self.step % every == 0 or self._is_at_the_end
        if is_due and self.history.get("validated_step") != self.step:
            self.validate()
            if self.step and not self._is_at_the_end:
                self._probe_if_due()

    def _probe_if_due(self) -> None:
        if self.probe.is_due and self.history.get("probed_step") != self.step:
            self._probe(lambda: self.is_asked_to_stop or self.order.is_to_finish)

    def _probe(self, should_stop: Callable[[], bool] | None = None) -> None:
        if self.world.leads:
            with self._clock("answers"):
                self.probe.answer(
                    self.step, self._epoch(), should_stop or (lambda: self.is_asked_to_stop)
                )
        self.history["probed_step"] = self.step

    def validate(self) -> None:
        """Measure the loss on the held-back examples; not to its end when asked to stop."""
        if not len(self.validation):
            return
        labels = batch.label_count(self.corpus, self.validation)
        with self._clock("validation"):
            loss = self.forward(self.validation_packs)
        loss, broken_off = self.world.sum(loss, self.is_asked_to_stop)
        if broken_off:  # the steps before it must still be saved
            return
        self.history["validated_step"] = self.step
        value = loss / labels
        if not math.isfinite(value):
            raise UserError("loss_not_a_number", step=self.step)
        self.history["validation_loss"] = value
        self.history.setdefault("first_validation_loss", value)
        say("validation", step=self.step, epoch=self._epoch(), validation_loss=value)
        self.best.see(self.step, value, is_last=self._is_at_the_end)

    def forward(self, packs: Iterable[batch.Pack]) -> float:
        """Return the summed loss of packs, without training on them; of fewer when asked to stop."""
        loss = 0.0
        self.trainable.model.eval()
        for pack in packs:
            if self.is_asked_to_stop:
                break
            loss += self.trainable.loss(pack)
        self.trainable.model.train()
        return loss

    # --- what it says ---------------------------------------------------------------------------
    def _remember_speed(self, tokens: int, seconds: float) -> None:
        """Keep a moving average of tokens a second; the very first step warms up and is left out."""
        speed = tokens / max(seconds, 1e-9)
        old = self.history.get("tokens_per_second")
        if self.step > 1:
            self.history["tokens_per_second"] = speed if old is None else 0.9 * old + 0.1 * speed

    def _epoch(self) -> float:
        return round(self.step / self.plan.steps_per_epoch, 3)

    def _say_metrics(self, kind: str, loss: float, norm: float) -> None:
        self.history["loss"] = loss
        speed = self.history.get("tokens_per_second")
        steps_left = self.plan.total_steps - self.step
        tokens_left = self.epoch_tokens * steps_left / self.plan.steps_per_epoch
        say(
            kind,
            phase="training",
            step=self.step,
            epoch=self._epoch(),
            loss=loss,
            learning_rate=self.learning_rate(max(0, self.step - 1)),
            gradient_norm=norm,
            tokens_per_second=round(speed, 1) if speed else None,
            seconds_left=round(tokens_left / speed) if speed else None,
            trained_tokens=self.tokens,
            memory_bytes=int(self.memory_bytes),
        )

    def save_checkpoint(self) -> None:
        if not self.world.leads:
            return
        facts = {"tokens": self.tokens, "history": self.history}
        checkpoint.save(self.order.folder, self.step, self.parameters, self.optimizer, facts)
        say("checkpoint", step=self.step)

    def finish(self) -> None:
        """Write the result folder: of the best step, where one is waited for, else of the last.

        Raises: Stopped when asked to end.
        """
        say("progress", phase="saving", step=self.step)
        if self.history.get("validated_step") != self.step:  # ended in between, at the user's wish
            self.validate()
        self._hear()
        if self.is_stopping:
            self.save_checkpoint()
            raise Stopped
        if not self.world.leads:
            return
        self.best.take(self.step)
        self.trainable.refresh()
        if (
            self.history.get("probed_step") != self.step
            or self.history.get("best_step") != self.step
        ):
            self._probe()
        metrics = {key: _rounded(self.history[key]) for key in TOLD if key in self.history} | {
            "trained_tokens": self.tokens,
            "steps": self.step,
            "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        }
        result.save(self.trainable, self.order, self.renderer, metrics)
        say("done", step=self.step, **metrics)
