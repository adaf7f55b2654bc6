"""What a page shows of a data report: cards with words, examples and buttons; and the notice of a cure."""

from dataclasses import dataclass

from training import report_words
from training.chat import Example
from training.datasets import personal, reports, store, versions
from training.datasets.check import terms
from training.datasets.versions import newest
from training.models import DataReport, DatasetVersion

SNIPPET = 240
"""Code points of a question or an answer that are shown of an example."""
SHOWN_GROUPS = 3


@dataclass(frozen=True)
class Shown:
    """One row of a finding, shortened."""

    number: int
    question: str
    answer: str


@dataclass(frozen=True)
class Card:
    """One finding as a page shows it."""

    finding: dict
    words: report_words.Said
    groups: list[list[Shown]]
    examples: int
    """How many the version has."""

    @property
    def buttons(self) -> list[tuple[str, str, int, int | None]]:
        """How, what the button says, how many rows it takes, and how many examples it would leave
        where these are too few to train; the gentlest one first."""
        return [
            (how, self.words.cures[how], count, reports.too_few_left(self.examples, how, count))
            for how, count in self.finding["cures"].items()
            if count and how in self.words.cures
        ]


def found(version: DatasetVersion | None) -> dict:
    """Return a version's report as far as it is made: `report`, `cards`, `tally` by level; and whether
    the version `is_newest`, since only then can it be cured."""
    if version is None:
        return {"report": None}
    made = reports.of(version)
    if made is None:
        return {"report": None, **history_of(version)}
    cards = cards_of(version, made) if made.status == DataReport.Status.READY else []
    levels = [card.finding["level"] for card in cards]
    return {
        "report": made,
        "cards": cards,
        "tally": {level: levels.count(level) for level in terms.LEVELS},
        "is_newest": newest(version.dataset).pk == version.pk,
        **history_of(version),
    }


def cards_of(version: DatasetVersion, made: DataReport) -> list[Card]:
    found = made.result["findings"]
    rows = rows_of(store.view(versions.folder(version)), found)
    return [
        Card(one, report_words.say(one), groups_of(rows, one), version.example_count)
        for one in found
    ]


def rows_of(view: store.View, found: list[dict]) -> dict[int, Shown]:
    """Return the first examples of all findings by their positions, as far as they are still there."""
    groups = [group for one in found for group in one["shown"][:SHOWN_GROUPS]]
    live = sorted({position for group in groups for position in group if view.is_live(position)})
    return {position: shown(view.number(position) + 1, one) for position, one in view.at(live)}


def groups_of(rows: dict[int, Shown], finding: dict) -> list[list[Shown]]:
    groups = (
        [rows[position] for position in sorted(group) if position in rows]
        for group in finding["shown"][:SHOWN_GROUPS]
    )
    return [group for group in groups if group]


def shown(number: int, example: Example) -> Shown:
    """Return a row in short; what is personal in it is hidden, and stands in what is shown."""
    texts = [said.content for said in example.messages]
    both = zip(texts, personal.across(texts, personal.masked), strict=True)
    question, answer = [shortened(text, masked) for text, masked in both][-2:]
    return Shown(number, question, answer)


def shortened(text: str, masked: str) -> str:
    """Return a piece of a masked text around the first thing that is hidden, or its beginning."""
    both = zip(text, masked, strict=True)
    hidden = next((place for place, (one, other) in enumerate(both) if one != other), 0)
    start = max(0, hidden - SNIPPET // 3)
    part = masked[start : start + SNIPPET]
    return "…" * (start > 0) + part + "…" * (start + SNIPPET < len(text))


def words_of(version: DatasetVersion, key: str) -> report_words.Said | None:
    """Return what a finding of a version's present report says; None where there is no such one."""
    finding = reports.finding_of(version, key)
    return report_words.say(finding) if finding else None


def history_of(version: DatasetVersion) -> dict:
    """Return what was done to the data: `history`, the numbers of versions and words; and the last
    thing where it can be taken back: `cured`, the version before, `did`, `masked`."""
    cures = version.dataset.versions.filter(number__lte=version.number).exclude(cure={})
    history = [(one.number, report_words.did(one.cure)) for one in cures.order_by("number")]
    if not version.cure or version.cure["how"] == terms.BACK or version.parent is None:
        return {"history": history}
    is_masked = version.cure["how"] == terms.MASK
    did = report_words.did(version.cure)
    return {"history": history, "cured": version.parent, "did": did, "masked": is_masked}
