"""The loop: plan, packs, loss, step; metrics on the way, a checkpoint now and then, a result."""

import math
import signal
import time

import numpy as np
import torch

from training.chat import Renderer
from training.errors import UserError
from training.lm import trainable as lm
from training.trainer import batch, checkpoint, result
from training.trainer.order import Order, say

GRADIENT_NORM = 1.0
CHART_POINTS = 2000
"""Points of the chart that are stored of a whole run, at most about twice as many."""
PROGRESS_SECONDS = 0.5
"""Between points only the latest figures are told."""
CHECKPOINT_SHARE = 20
"""A checkpoint is written at most every 20 times as long as the last one took."""


class Stopped(Exception):
    """The supervisor asked the run to end; a checkpoint is on disk."""


class Run:
    """One attempt of one job."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.is_stopping = False
        signal.signal(signal.SIGTERM, self._stop)
        self.step = 0
        self.tokens = 0
        """Tokens trained so far, over all attempts."""
        self.history: dict[str, float] = {}

    def _stop(self, number: int, frame: object) -> None:
        self.is_stopping = True

    def _stop_if_asked(self) -> None:
        if self.is_stopping:
            raise Stopped

    # --- before ---------------------------------------------------------------------------------
    def prepare(self) -> None:
        """Read the data, load the model, and go on from the last checkpoint if there is one."""
        order = self.order
        self._stop_if_asked()
        say("progress", phase="reading")
        self.renderer = Renderer(order.base)
        self.corpus = batch.read(order.examples, self.renderer, order.max_length, order.overflow)
        train, self.validation = batch.split(
            len(self.corpus), order.validation_examples, order.seed
        )
        if not len(train):
            raise UserError("no_example_left", max_length=order.max_length)
        self.plan = batch.Plan(train, order.epochs, order.batch_size, order.seed)
        self._stop_if_asked()
        say("progress", phase="loading", total_steps=self.plan.total_steps)
        self.trainable = lm.prepare(
            order.base, order.method, rank=order.lora_rank, alpha=order.lora_alpha, seed=order.seed
        )
        self.budget = order.row_tokens if self.trainable.is_packable else 1
        self.validation_packs = list(batch.packs(self.corpus, self.validation, self.budget))
        self.parameters = dict(self.trainable.parameters())
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(), lr=order.learning_rate, weight_decay=0.0, fused=True
        )
        self._stop_if_asked()
        self._resume()
        self._say_start(train)

    def _resume(self) -> None:
        folder = checkpoint.latest(self.order.run)
        if folder:
            facts = checkpoint.load(folder, self.parameters, self.optimizer)
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
            path="packed" if self.trainable.is_packable else "one by one",
            precision="bf16" if self.trainable.uses_bf16 else "fp32",
            device=str(self.trainable.device),
            threads=torch.get_num_threads(),
        )

    # --- the loop -------------------------------------------------------------------------------
    def train(self) -> None:
        """Run every step that is left.

        Raises: Stopped when asked to end, UserError `loss_not_a_number`.
        """
        every = max(1, math.ceil(self.plan.steps_per_epoch / 2))
        point_every = max(1, self.plan.total_steps // CHART_POINTS)
        saved_at, save_cost, said_at = time.monotonic(), 0.0, 0.0
        self._validate_if_due(every)
        while self.step < self.plan.total_steps:
            started = time.monotonic()
            loss, norm, tokens = self.one_step(self.plan.step(self.step))
            seconds = time.monotonic() - started
            self.step += 1
            self.tokens += tokens
            is_last = self.step == self.plan.total_steps
            self._remember_speed(tokens, seconds)
            if is_last or self.step % point_every == 0:
                self._say_metrics("metrics", loss, norm)
            elif time.monotonic() - said_at >= PROGRESS_SECONDS:
                said_at = time.monotonic()
                self._say_metrics("progress", loss, norm)
            self._validate_if_due(every)
            pause = max(self.order.checkpoint_seconds, CHECKPOINT_SHARE * save_cost)
            if self.is_stopping or (not is_last and time.monotonic() - saved_at >= pause):
                begun = time.monotonic()
                self.save_checkpoint()
                saved_at, save_cost = time.monotonic(), time.monotonic() - begun
            if self.is_stopping:
                raise Stopped

    def one_step(self, indices: np.ndarray) -> tuple[float, float, int]:
        """Take one optimiser step; return mean loss a label, gradient norm, tokens seen."""
        labels = batch.label_count(self.corpus, indices)
        total, tokens = 0.0, 0
        for pack in batch.packs(self.corpus, indices, self.budget):
            loss = self.trainable.loss_sum(pack) / labels
            loss.backward()
            total += float(loss.detach())
            tokens += pack.tokens
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters.values(), GRADIENT_NORM))
        if not (math.isfinite(total) and math.isfinite(norm)):
            raise UserError("loss_not_a_number", step=self.step + 1)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.step)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return total, norm, tokens

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
        is_due = self.step % every == 0 or self.step == self.plan.total_steps
        if is_due and self.history.get("validated_step") != self.step:
            self.validate()

    def validate(self) -> None:
        """Measure the loss on the held-back examples; not to its end when asked to stop."""
        if not len(self.validation):
            return
        labels = batch.label_count(self.corpus, self.validation)
        self.trainable.model.eval()
        loss = 0.0
        with torch.inference_mode():
            for pack in self.validation_packs:
                if self.is_stopping:
                    break
                loss += float(self.trainable.loss_sum(pack))
        self.trainable.model.train()
        if self.is_stopping:  # the steps before it must still be saved
            return
        self.history["validated_step"] = self.step
        value = loss / labels
        if not math.isfinite(value):
            raise UserError("loss_not_a_number", step=self.step)
        self.history["validation_loss"] = value
        self.history.setdefault("first_validation_loss", value)
        say("validation", step=self.step, epoch=self._epoch(), validation_loss=value)

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
        )

    def save_checkpoint(self) -> None:
        facts = {"tokens": self.tokens, "history": self.history}
        checkpoint.save(self.order.folder, self.step, self.parameters, self.optimizer, facts)
        say("checkpoint", step=self.step)

    def finish(self) -> None:
        """Write the result folder."""
        say("progress", phase="saving", step=self.step)
        told = {key: value for key, value in self.history.items() if key != "validated_step"}
        metrics = {key: round(value, 4) for key, value in told.items()} | {
            "trained_tokens": self.tokens,
            "steps": self.step,
        }
        result.save(self.trainable, self.order, self.renderer, metrics)
        say("done", step=self.step, **metrics)
