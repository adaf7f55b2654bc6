"""What a report and those who read it agree on: names of levels and cures, files of row numbers, and
when two texts count as the same. Knows neither numpy nor Django."""

from array import array
from pathlib import Path

BAD, WARN, INFO = "bad", "warn", "info"
LEVELS = (BAD, WARN, INFO)
KEEP_ONE, LEAVE_OUT, BALANCE = "keep_one", "leave_out", "balance"
NORMALISE, MASK = "normalise", "mask"
REWRITES = (NORMALISE, MASK)
"""Cures that write rows anew; the others take rows out."""
PERSONAL, PERSONAL_MARK = "personal", "personal_"
"""All personal data together, and what a finding of one kind of it begins with."""
SURELY_PERSONAL = ("resident", "mobile", "card", "account", "passport", "driver")
"""Kinds that belong to one person; the others may be an office's, which is public."""

ORDER, PLACE = "check.json", "report"
"""In a version's folder: what the child must know, and where the rows of findings lie."""
ROWS = "rows"
"""File of the positions that a rewriting cure is to write anew."""
BACK = "back"
"""What a version's `cure` says of rows that are an earlier version's again."""
END_SIGNS = " \t\n.?!~…。？！"


def plain_text(text: str) -> str:
    """Return a text without what does not tell two apart: blanks, case, signs at the end."""
    return " ".join(text.casefold().split()).rstrip(END_SIGNS)


def file_name(key: str, cure: str = "") -> str:
    return f"{key}.{cure}" if cure else key


def positions(folder: Path, key: str, cure: str = "") -> array:
    """Return the positions that a finding concerns, or that a cure of it takes, rising.

    Raises: FileNotFoundError when the report has no such finding or cure.
    """
    found = array("I")
    found.frombytes((folder / PLACE / file_name(key, cure)).read_bytes())
    return found
