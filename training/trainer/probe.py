"""A few questions that the model answers again and again while it learns, so that one sees it change.

They are the user's, or the first held-back examples'. Answering takes a small share of the time.
"""

import time

import numpy as np

from training.chat import Example, Message, Renderer
from training.datasets import store
from training.lm.trainable import Trainable
from training.trainer.batch import Corpus
from training.trainer.order import Order, say

QUESTIONS = 3
MAX_TOKENS = 64
SECONDS = 8
"""After the first token, after which answers end where they are: on a busy or slow machine words take long."""
LETTERS = 2000
"""Of a question and of an expected answer, as they are told."""
COST_SHARE = 20
"""Between two rounds passes at least 20 times as long as a round takes,"""
ELAPSED_SHARE = 20
"""and a twentieth of the time so far, so that a long run has no more than about a hundred."""


class Probe:
    def __init__(
        self, order: Order, renderer: Renderer, corpus: Corpus, held_back: np.ndarray,
        trainable: Trainable,
    ) -> None:  # fmt: skip
        self.renderer, self.trainable = renderer, trainable
        shown = _examples(order, corpus, held_back)
        prompts = [Example(_question(example)) for example in shown]
        expected = [_answer(example) for example in shown]
        if order.probes:
            before = [m for m in prompts[0].messages if m.role == "system"] if prompts else []
            prompts = [Example((*before, Message("user", text))) for text in order.probes]
            expected = [""] * len(prompts)
        self.questions = [prompt.messages[-1].content for prompt in prompts]
        self.expected = expected
        room = renderer.context_length - MAX_TOKENS
        self.prompts = [renderer.prompt(prompt.messages)[-room:] for prompt in prompts]
        self.begun_at = self.answered_at = time.monotonic()
        self.cost_seconds = 0.0

    def tell_questions(self) -> None:
        say(
            "probes",
            questions=[text[:LETTERS] for text in self.questions],
            expected=[text[:LETTERS] for text in self.expected],
        )

    @property
    def is_due(self) -> bool:
        now = time.monotonic()
        pause = max(COST_SHARE * self.cost_seconds, (now - self.begun_at) / ELAPSED_SHARE)
        return now - self.answered_at >= pause

    def answer(self, step: int, epoch: float, should_stop) -> None:
        """Answer all questions and tell the answers; none when asked to stop meanwhile."""
        if not self.prompts:
            return
        begun, spoken_at = time.monotonic(), 0.0

        def is_late() -> bool:
            nonlocal spoken_at
            spoken_at = spoken_at or time.monotonic()
            return time.monotonic() - spoken_at > SECONDS

        found = self.trainable.answers(
            self.prompts, max_tokens=MAX_TOKENS, stop_ids=self.renderer.stop_ids,
            should_stop=should_stop, is_late=is_late,
        )  # fmt: skip
        self.answered_at = time.monotonic()
        self.cost_seconds = self.answered_at - begun
        if not should_stop():
            answers = [self.renderer.decode(ids) for ids in found]
            say("probe", step=step, epoch=epoch, answers=answers)


def _examples(order: Order, corpus: Corpus, held_back: np.ndarray) -> list[Example]:
    """Return a few examples from all over the held-back ones: neighbours are often alike."""
    chosen = held_back if len(held_back) else np.arange(len(corpus))
    few = np.unique(np.linspace(0, len(chosen) - 1, QUESTIONS).round().astype(int))
    view = store.view(order.examples)
    places = [view.position(int(corpus.rows[chosen[place]])) for place in few]
    return [example for _, example in view.at(places)]


def _question(example: Example) -> tuple[Message, ...]:
    """Return the messages before the first answer."""
    first = next(i for i, message in enumerate(example.messages) if message.role == "assistant")
    return tuple(example.messages[:first])


def _answer(example: Example) -> str:
    return next(m.content for m in example.messages if m.role == "assistant")
