"""A model that is being trained answers a few questions: its weights of now, copied for the while.

Prompts as ids go in, the likeliest continuations come out. Knows no chat template and no text.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch

from training.lm.decode.decoder import MOST, Decoder, Stream
from training.lm.decode.loops import PAGE
from training.lm.decode.weights import Adapter, Model, adapter_of


def greedy(
    causal: Any,
    lora: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_tokens: int,
    stop_ids: Collection[int],
    should_stop: Callable[[], bool],
    is_late: Callable[[], bool] = lambda: False,
) -> list[list[int]]:
    """Return the likeliest continuation of each prompt, without the stop id; as far as it came when
    asked to stop, or when it is late after a token. `causal` is a model of transformers, `lora` what PEFT
    has put around it, or None.

    Raises: Unknown where the loops do not know the model.
    """
    together = sorted(len(prompt) + max_tokens + PAGE for prompt in prompts)[-MOST:]
    decoder = Decoder(
        causal, is_int8=False, threads=torch.get_num_threads(), tokens=max(1, sum(together))
    )
    adapter = lora and _adapter(lora, decoder.model)
    found: list[list[int]] = [[] for _ in prompts]
    waiting = list(enumerate(prompts))[::-1]
    going: dict[int, tuple[Stream, int]] = {}
    """By place: stream, and the token that it takes next."""
    while (waiting or going) and not should_stop():
        while waiting and (stream := decoder.admit(waiting[-1][1], adapter, "", max_tokens)):
            going[waiting.pop()[0]] = stream, stream.last
        unread = [stream for stream, _ in going.values() if not stream.is_read]
        if unread:
            decoder.read(unread[0])
            continue
        logits_BV = decoder.step(*zip(*going.values(), strict=True))
        for place, token in zip(list(going), logits_BV.argmax(1).tolist(), strict=True):
            stream = going[place][0]
            if token not in stop_ids:
                found[place].append(token)
                going[place] = stream, token
            is_full = len(stream.ids) >= decoder.model.context_length
            if token in stop_ids or len(found[place]) == max_tokens or is_full:
                decoder.leave(stream)
                del going[place]
        if is_late():
            break
    return found


def _adapter(lora: Any, model: Model) -> Adapter:
    """Return the LoRA as it is now."""
    (name, told), *_ = lora.peft_config.items()
    found = {
        place.replace(f".{name}.", "."): parameter
        for place, parameter in lora.named_parameters()
        if ".lora_" in place
    }
    return adapter_of(found, told.to_dict(), model)
