"""A recipe as a file: what a job was trained with goes out as JSON, and comes in again for a draft.

Method, base, numbers and what happens to long examples; never data. Knows no browser.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from training import bases, recipe
from training.errors import UserError
from training.models import Job

KIND, FORM = "dadeum_recipe", 1
"""The key that marks a file of ours, and the number of its present form."""
EMPTY: dict = {"method": "", "base": "", "settings": {}, "overflow": recipe.CUT}
"""The other keys, and what a missing one means."""
MAX_BYTES = 64 * 1024


class Unusable(Exception):
    """A file that can't fill a draft. `errors` says all that is wrong with it."""

    def __init__(self, errors: list[UserError]) -> None:
        super().__init__(errors)
        self.errors = errors


@dataclass(frozen=True)
class Recipe:
    knobs: dict
    overflow: str
    base: str
    """Its slug; empty where the file names none."""

    @property
    def missing_base(self) -> UserError | None:
        """Say why the file's base can't be taken, if so."""
        try:
            if self.base:
                bases.find(self.base)
        except UserError as error:
            return error
        return None


def write(job: Job) -> str:
    """Return the file of a started job: the numbers as they ran (of one that never got in line,
    those that were chosen)."""
    said = {
        KIND: FORM,
        "method": job.method,
        "base": job.base,
        "settings": job.resolved or job.knobs,
        "overflow": job.overflow,
    }
    return json.dumps(said, ensure_ascii=False, indent=2) + "\n"


def read(raw: bytes, method: str) -> Recipe:
    """Return what a file holds for a draft of `method`.

    Raises: Unusable with every mistake that was found, by name.
    """
    said = _parse(raw)
    errors, knobs = list(_mistakes(said, method)), {}
    try:
        knobs = recipe.parse(said["method"], said["settings"])
    except recipe.Invalid as invalid:
        errors += [
            UserError("number_wrong", field=key, reason=str(reason))
            for key, reason in invalid.errors.items()
        ]
    if errors:
        raise Unusable(errors)
    return Recipe(knobs, said["overflow"], said["base"])


def _parse(raw: bytes) -> dict:
    """Return the file's object with every key, if it is one of ours."""
    try:
        found = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise Unusable([UserError("recipe_unreadable")]) from None
    if not isinstance(found, dict) or KIND not in found:
        raise Unusable([UserError("recipe_foreign")])
    if found[KIND] != FORM:
        raise Unusable([UserError("recipe_newer")])
    said = EMPTY | found
    for key, usual in EMPTY.items():
        if not isinstance(said[key], type(usual)):
            raise Unusable([UserError("recipe_shape", key=key)])
    if wrong := list(_unknown("method", said, recipe.METHODS)):
        raise Unusable(wrong)
    return said


def _mistakes(said: dict, method: str) -> Iterator[UserError]:
    """Yield what is wrong besides the numbers."""
    if said["method"] != method:
        labels = {"found": recipe.METHODS[said["method"]].label}
        yield UserError("recipe_other_method", **labels, chosen=recipe.METHODS[method].label)
    numbers = {knob.key for knob in recipe.knobs_of(said["method"])}
    for key in [*(said.keys() - {KIND, *EMPTY}), *(said["settings"].keys() - numbers)]:
        yield UserError("recipe_key", key=_short(key))
    yield from _unknown("overflow", said, recipe.OVERFLOWS)


def _unknown(key: str, said: dict, known: Mapping) -> Iterator[UserError]:
    if said[key] not in known:
        yield UserError("recipe_choice", key=key, value=_short(said[key]), known=", ".join(known))


def _short(text: str) -> str:
    return text[:60]
