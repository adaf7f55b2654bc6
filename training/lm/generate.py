"""Token ids in, token ids and text out, one at a time, as they are generated.

A plain loop over a KV cache; temperature, top-p and the repetition penalty mean what they mean in
transformers. Knows no chat template, no request and no other stream.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

PREFILL = 512
"""Prompt tokens of one forward pass: between two passes a stream can be stopped."""
UNFINISHED = "\N{REPLACEMENT CHARACTER}"


def context_length(model: nn.Module) -> int:
    """Return how many positions the model has been trained for."""
    config = model.config.get_text_config()
    return int(getattr(config, "max_position_embeddings", None) or 2**31)


@dataclass(frozen=True)
class Sampling:
    """How the next id is chosen."""

    temperature: float = 0.0
    """0: always the likeliest."""
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    """Over 1: ids of prompt and answer become less likely."""
    seed: int | None = None


class Sampler:
    """Logits of one stream in, ids out."""

    def __init__(
        self, sampling: Sampling, prompt_ids: Sequence[int], place: torch.device | None = None
    ) -> None:
        self.sampling = sampling
        self.generator = torch.Generator(place or "cpu")
        if sampling.seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(sampling.seed)
        self.seen = set(prompt_ids) if sampling.repetition_penalty != 1 else None

    def pick(self, logits_V: torch.Tensor) -> int:
        """Choose the next id from float32 logits, and remember it."""
        if self.seen is not None:
            logits_V = penalised(logits_V, self.seen, self.sampling.repetition_penalty)
        token = self._choose(logits_V)
        if self.seen is not None:
            self.seen.add(token)
        return token

    def _choose(self, logits_V: torch.Tensor) -> int:
        if self.sampling.temperature == 0:
            return int(logits_V.argmax())
        warped_V = warp(logits_V / self.sampling.temperature, self.sampling.top_p)
        return int(torch.multinomial(warped_V.softmax(-1), 1, generator=self.generator))


def penalised(logits_V: torch.Tensor, ids: Collection[int], penalty: float) -> torch.Tensor:
    """Return logits with those of `ids` divided by the penalty, or multiplied where they are negative
    (transformers' RepetitionPenaltyLogitsProcessor; Keskar et al., CTRL, 2019)."""
    ids_S = torch.tensor(sorted(ids), device=logits_V.device)
    score_S = logits_V[ids_S]
    score_S = torch.where(score_S < 0, score_S * penalty, score_S / penalty)
    return logits_V.scatter(0, ids_S, score_S)


def warp(logits_V: torch.Tensor, top_p: float) -> torch.Tensor:
    """Keep the smallest set of likeliest tokens whose probabilities reach top_p, at least one.

    The same sums in the same order as transformers' TopPLogitsWarper, so that ties and rounding
    fall alike.
    """
    if top_p >= 1:
        return logits_V
    sorted_V, order_V = torch.sort(logits_V, descending=False)
    drop_V = sorted_V.softmax(-1).cumsum(-1) <= 1 - top_p
    drop_V[-1] = False
    return logits_V.masked_fill(torch.zeros_like(drop_V).scatter(0, order_V, drop_V), -torch.inf)


def stream(
    model: nn.Module,
    prompt_ids: Sequence[int],
    *,
    max_tokens: int,
    sampling: Sampling = Sampling(),
    stop_ids: Collection[int] = (),
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[int]:
    """Yield generated ids until a stop id (yielded last), max_tokens, the context limit, or
    should_stop().

    Raises: ValueError when the prompt is empty or leaves no place in the context.
    """
    room = context_length(model) - len(prompt_ids)
    if not prompt_ids or room < 1:
        raise ValueError(f"a prompt of {len(prompt_ids)} tokens leaves {room} in the context")
    place = next(model.parameters()).device
    sampler = Sampler(sampling, prompt_ids, place)
    step = _Step(model, place)
    fresh = list(prompt_ids)
    for _ in range(min(max_tokens, room)):
        logits_V = step.forward(fresh, should_stop)
        if logits_V is None:
            return
        token = sampler.pick(logits_V)
        yield token
        if token in stop_ids:
            return
        fresh = [token]


def greedy(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    *,
    max_tokens: int,
    stop_ids: Collection[int],
    should_stop: Callable[[], bool] = lambda: False,
    together: bool = True,
) -> list[list[int]]:
    """Return the likeliest continuation of each prompt, `together` in one batch (padded at the left) or
    one after the other, for models in whose states padding would leave traces."""
    groups = [list(prompts)] if together else [[prompt] for prompt in prompts]
    options = {"max_tokens": max_tokens, "stop_ids": stop_ids, "should_stop": should_stop}
    return [ids for group in groups for ids in _greedy(model, group, **options)]


def _greedy(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    *,
    max_tokens: int,
    stop_ids: Collection[int],
    should_stop: Callable[[], bool],
) -> list[list[int]]:
    from transformers import GenerationConfig, StoppingCriteriaList

    place = next(model.parameters()).device
    longest = max(map(len, prompts))
    padding = min(stop_ids, default=0)
    rows = [[padding] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    seen = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    out_BT = model.generate(
        input_ids=torch.tensor(rows, device=place),
        attention_mask=torch.tensor(seen, device=place),
        generation_config=GenerationConfig(
            max_new_tokens=max_tokens, do_sample=False, use_cache=True,
            eos_token_id=sorted(stop_ids) or None, pad_token_id=padding,
        ),
        stopping_criteria=StoppingCriteriaList(
            [lambda ids, scores, **_: torch.full((len(ids),), should_stop(), device=ids.device)]
        ),
    )  # fmt: skip
    return [_before_stop(row[longest:].tolist(), stop_ids) for row in out_BT]


def _before_stop(ids: list[int], stop_ids: Collection[int]) -> list[int]:
    end = next((place for place, token in enumerate(ids) if token in stop_ids), len(ids))
    return ids[:end]


class _Step:
    """Forward passes over one growing cache."""

    def __init__(self, model: nn.Module, place: torch.device) -> None:
        from transformers import DynamicCache

        self.model = model
        self.place = place
        self.cache = DynamicCache(config=model.config)

    @torch.inference_mode()
    def forward(self, ids: list[int], should_stop: Callable[[], bool]) -> torch.Tensor | None:
        """Return the float32 logits after the last id, or None when stopped on the way."""
        logits_BTV = None
        for start in range(0, len(ids), PREFILL):
            if should_stop():
                return None
            ids_BT = torch.tensor([ids[start : start + PREFILL]], device=self.place)
            logits_BTV = self.model(
                input_ids=ids_BT, past_key_values=self.cache, use_cache=True, logits_to_keep=1
            ).logits
        return None if logits_BTV is None else logits_BTV[0, -1].float()


class TextStream:
    """Ids in, text out, never half a character: a tail that decodes to U+FFFD waits for more."""

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self.decode = decode
        self.ids: list[int] = []
        self.start = 0
        """Where decoding begins: a little before what was emitted, since some tokenizers write a
        word differently at the start of a text."""
        self.emitted = 0
        """How many ids have been turned into text."""

    def push(self, token: int) -> str:
        """Take one id; return the text that became certain, which may be empty."""
        self.ids.append(token)
        fresh = self._fresh()
        if not fresh or fresh.endswith(UNFINISHED):
            return ""
        self.start, self.emitted = self.emitted, len(self.ids)
        return fresh

    def finish(self) -> str:
        """Return what was held back; bytes that never became a character are left out."""
        fresh = self._fresh().rstrip(UNFINISHED)
        self.start = self.emitted = len(self.ids)
        return fresh

    def _fresh(self) -> str:
        before = self.decode(self.ids[self.start : self.emitted])
        return self.decode(self.ids[self.start :])[len(before) :]


class Ending:
    """Text of an answer in, the text before the first stop string out. What may be the beginning of one is
    held back until more is known."""

    def __init__(self, stops: Sequence[str]) -> None:
        self.stops = stops
        self.held = ""
        self.is_reached = False

    def push(self, text: str) -> str:
        """Take a piece; return what is certain not to belong to a stop string."""
        if not self.stops or self.is_reached:
            return "" if self.is_reached else text
        self.held += text
        places = [place for stop in self.stops if (place := self.held.find(stop)) >= 0]
        if places:
            self.is_reached = True
            return self._take(min(places))
        open_ends = (
            length
            for stop in self.stops
            for length in range(min(len(stop) - 1, len(self.held)), 0, -1)
            if self.held.endswith(stop[:length])
        )
        return self._take(len(self.held) - max(open_ends, default=0))

    def finish(self) -> str:
        """Return what was held back; nothing once a stop string was met."""
        return "" if self.is_reached else self._take(len(self.held))

    def _take(self, count: int) -> str:
        taken, self.held = self.held[:count], self.held[count:]
        return taken
