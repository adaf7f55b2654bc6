"""`python -m training.datasets.check FOLDER`: the data report of one version.

FOLDER/check.json says what is to be known (minimum, validation_share, beside: folders). Out come
`report/` in the folder, with the rows of each finding and cure, and the report itself as JSON
lines. Knows no Django and no torch. A second run starts over, but for what segments keep.
"""

import json
import sys
from pathlib import Path

from training.datasets.check import report
from training.datasets.check.terms import ORDER
from training.datasets.child import Progress, main, say


def run(folder: Path) -> None:
    order = json.loads((folder / ORDER).read_text("utf-8"))
    beside = [Path(place) for place in order["beside"]]
    found = report.make(
        folder, Progress("check", unit="rows"), minimum=order["minimum"],
        validation_share=order["validation_share"], beside=beside,
    )  # fmt: skip
    say("report", report=found)


if __name__ == "__main__":
    sys.exit(main(run))
