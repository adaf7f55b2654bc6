"""The same questions to any engine: how long to the first token, how many tokens a second, together too.

An engine is a function that takes token ids and a number of tokens, and yields as text comes; what it
yields last is how many tokens it made.
"""

import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator

Ask = Callable[[list[int], int], Iterator[int]]
PROMPT, ANSWER, HISTORY, VOCABULARY = 100, 128, 2000, 40_000


def ids(count: int, seed: int) -> list[int]:
    """Return token ids that no other seed begins with, none of them special."""
    return [random.Random(seed).randint(1000, VOCABULARY) for _ in range(count)]


def one(ask: Ask, prompt: list[int], tokens: int) -> tuple[float, float, int]:
    """Return the seconds to the first text, those from there to the end, and the tokens made."""
    begun = time.perf_counter()
    first, made = 0.0, 0
    for made in ask(prompt, tokens):  # noqa: B007 (the last one counts)
        first = first or time.perf_counter() - begun
    return first, time.perf_counter() - begun - first, made


def together(ask: Ask, streams: int, seed: int) -> float:
    """Return the tokens a second of all streams, prompts included."""
    made: list[int] = []

    def talk(number: int) -> None:
        made.append(one(ask, ids(PROMPT, seed + number), ANSWER)[2])

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(streams)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(made) / (time.perf_counter() - begun)


def measure(ask: Ask, most: int = 16) -> dict[str, float]:
    """Ask everything; `most` streams at once at most."""
    one(ask, ids(PROMPT, 1), 16)  # whatever is made ready at first
    alone = [one(ask, ids(PROMPT, 10 + round_), ANSWER) for round_ in range(5)]
    found = {
        "first_ms": 1000 * statistics.median(first for first, _, _ in alone),
        "speed_1": statistics.median((made - 1) / rest for _, rest, made in alone),
    }
    for streams in (4, 16):
        if streams <= most:
            found[f"speed_{streams}"] = together(ask, streams, 100 * streams)
    turns = []
    for round_ in range(3):
        history = ids(HISTORY, 1000 + round_)
        one(ask, history, 8)
        turns.append(one(ask, history + ids(30, 2000 + round_), 8)[0])
    return found | {"second_turn_ms": 1000 * statistics.median(turns)}
