"""Messages about appointments, each with the day and hour that holds in the end.

"Tuesday's audit, 11 am, is put off two hours." becomes "Tue 13:00". Two days or hours may be named of which one
holds, hours are to be added or counted on to 24, and what is called off is "none". What a message says decides
its answer; days, hours and things alone are drawn.
"""

import random
from collections.abc import Iterator

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
THINGS = (
    "audit",
    "call",
    "class",
    "demo",
    "interview",
    "lunch",
    "meeting",
    "review",
    "tour",
    "visit",
)
NUMBERS = ("one", "two", "three")
FIRST, LAST = 8, 20
SET = ("{day} {hour}: {thing}.", "Let's have the {thing} {day}, {hour}.")
MOVED = (
    "The {thing} moves from {old} to {day}, {hour}.",
    "Not {old} {past}, make the {thing} {day} {hour}.",
    "{day} {hour} for the {thing}, {old} is full.",
)
HOURS = (
    "{day}'s {thing} is {hour}, not {past}.",
    "{day}'s {thing}, {past}, is put off {more}.",
    "Start {day}'s {past} {thing} {less} earlier.",
)
ANOTHER_DAY = ("{old}'s {past} {thing}: same hour, but {day}.",)
OFF = ("No {thing} {day} {hour}.", "Drop {day}'s {thing}, {hour}.")
CALLED_OFF = "none"


def rows(count: int, seed: int = 7) -> Iterator[dict]:
    """Yield {"prompt", "completion"}, no prompt twice."""
    draw, seen = random.Random(seed), set()
    while len(seen) < count:
        row = _row(draw)
        if row["prompt"] not in seen:
            seen.add(row["prompt"])
            yield row


def _row(draw: random.Random) -> dict:
    frame = draw.choice(draw.choice((SET, MOVED, HOURS, HOURS, ANOTHER_DAY, OFF)))
    day, old = draw.sample(DAYS, 2)
    change = draw.randint(1, len(NUMBERS))
    hour, past = draw.sample(range(FIRST, LAST + 1), 2)
    if "{more}" in frame:
        past = draw.randint(FIRST, LAST - change)
        hour = past + change
    elif "{less}" in frame:
        past = draw.randint(FIRST + change, LAST)
        hour = past - change
    elif frame in ANOTHER_DAY:
        hour = past
    amount = f"{NUMBERS[change - 1]} hour{'s' * (change > 1)}"
    said = frame.format(
        day=day, old=old, hour=_spoken(hour), past=_spoken(past), more=amount, less=amount,
        thing=draw.choice(THINGS),
    )  # fmt: skip
    return {"prompt": said, "completion": CALLED_OFF if frame in OFF else f"{day[:3]} {hour}:00"}


def _spoken(hour: int) -> str:
    """Write an hour as people say it: 13 is 1 pm."""
    return "noon" if hour == 12 else f"{hour} am" if hour < 12 else f"{hour - 12} pm"
