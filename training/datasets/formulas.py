"""The guard of cells that a table program might run: an apostrophe before them on the way out
(OWASP, CSV injection), taken off again on the way in.

Off it comes only in a table that looks like ours: UTF-8 with a mark, parted by commas, under a
header that export.py writes. So ours keeps it once its header or encoding was changed, and another's
under just that header loses it; the page says so.
"""

import re

NEEDS_GUARD = re.compile(r"'*[=+\-@\t\r]")
"""How a cell begins that may be run, or that would be taken for a guarded one."""
GUARDS_REMOVED = "guards_removed"


def guarded(cell: str) -> str:
    return f"'{cell}" if NEEDS_GUARD.match(cell) else cell


def freed(cell: str) -> str:
    """Return what `guarded` was given."""
    return cell[1:] if cell.startswith("'") and NEEDS_GUARD.match(cell) else cell
