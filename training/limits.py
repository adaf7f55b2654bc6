"""What can be done about examples longer than a draft's limit: raise it, leave them out, cut them.

In: a draft and the count of its data. Out: the three ways with what each leaves, and the verb that
takes one. Knows neither pages nor words.
"""

from dataclasses import dataclass

from training import drafts, recipe
from training.bases import Base
from training.datasets import lengths
from training.datasets.lengths import Kept
from training.models import Job, TokenCount

RAISE = "raise"
WAYS = (RAISE, recipe.DROP, recipe.CUT)


@dataclass(frozen=True)
class Way:
    key: str
    """One of WAYS."""
    limit: int
    """Tokens of an example."""
    kept: Kept
    is_chosen: bool
    is_possible: bool = True


def ways(job: Job, base: Base, count: TokenCount) -> list[Way]:
    """Return the three ways of a draft whose data is counted; none where no example is longer than
    its limit, nor than the one that we would take."""
    result = count.result
    limit, below = drafts.resolved(job)["max_length"], _below(job, result)
    if result["longest"] <= below:
        return []
    reach = min(result["longest"], base.context_length, int(recipe.BY_KEY["max_length"].high))
    is_raised = limit > below
    chosen = RAISE if is_raised else job.overflow
    drops = job.overflow == recipe.DROP
    raised = lengths.kept(result, reach, drops=drops)
    return [
        Way(RAISE, reach, raised, chosen == RAISE, is_possible=reach > below),
        Way(recipe.DROP, below, lengths.kept(result, below, drops=True), chosen == recipe.DROP),
        Way(recipe.CUT, below, lengths.kept(result, below), chosen == recipe.CUT),
    ]


def _below(job: Job, result: dict) -> int:
    """Return the limit that examples are longer than: the draft's, or where that was raised over
    all of them the one that we would take."""
    limit = drafts.resolved(job)["max_length"]
    if result["longest"] > limit:
        return limit
    return min(limit, drafts.resolved(job, without="max_length")["max_length"])


def choose(job: Job, base: Base, count: TokenCount, key: str) -> None:
    """Take one of the ways for a draft; one that is not there, or not possible, changes nothing.

    Raises: UserError `job_not_draft`.
    """
    way = next((one for one in ways(job, base, count) if one.key == key), None)
    if way is None or not way.is_possible:
        return
    if key == RAISE:
        drafts.edit(job, knobs=job.knobs | {"max_length": way.limit})
        return
    knobs = dict(job.knobs)
    if drafts.resolved(job)["max_length"] > way.limit:
        knobs.pop("max_length", None)
    drafts.edit(job, overflow=key, knobs=knobs)
