"""What can be done about examples longer than a draft's limit, and what the training then takes."""

import making
import pytest

from training import bases, drafts, jobs, limits, recipe, tasks
from training.errors import UserError
from training.models import Job, TokenCount

pytestmark = pytest.mark.django_db
LONG = making.lengths((230, 20, 16), (6, 400, 10), (4, 500, 300))


@pytest.fixture
def draft(user, version, models_folder, monkeypatch) -> Job:
    monkeypatch.setattr(tasks, "ring", lambda *what: None)
    job = drafts.create_draft(user)
    drafts.edit(
        job, name="날씨", base="tiny", version=version, knobs={"max_length": 256, "seed": 7}
    )
    TokenCount.objects.create(version=version, base="tiny", status="ready", result=LONG)
    return job


def ways(draft: Job) -> dict[str, limits.Way]:
    base = bases.find(draft.base)
    return {way.key: way for way in limits.ways(draft, base, TokenCount.objects.get())}


def choose(draft: Job, key: str) -> None:
    limits.choose(draft, bases.find(draft.base), TokenCount.objects.get(), key)
    draft.refresh_from_db()


def chosen(draft: Job) -> list[str]:
    return [key for key, way in ways(draft).items() if way.is_chosen]


def test_three_ways_are_offered_with_what_each_leaves(draft):
    found = ways(draft)
    assert list(found) == ["raise", "drop", "cut"] and chosen(draft) == ["cut"]
    assert (found["raise"].limit, found["raise"].kept.over, found["raise"].kept.used) == (
        500,
        0,
        240,
    )
    assert (found["drop"].limit, found["drop"].kept.used) == (256, 230)
    cut = found["cut"].kept
    assert (cut.over, cut.trimmed, cut.lost, cut.used) == (10, 6, 4, 236)


def test_leaving_out_is_what_the_training_then_does(draft):
    choose(draft, "drop")
    assert (draft.overflow, draft.knobs) == ("drop", {"max_length": 256, "seed": 7})
    assert chosen(draft) == ["drop"] and drafts.usable_examples(draft) == 230
    jobs.start(draft)
    assert draft.resolved["max_length"] == 256
    assert draft.total_steps == 5 * 26  # 207 of 230 examples are trained, 8 a step, 5 times


def test_raising_fits_the_longest_and_leaves_other_numbers_alone(draft):
    choose(draft, "raise")
    assert (draft.overflow, draft.knobs) == ("cut", {"max_length": 500, "seed": 7})
    assert drafts.resolved(draft)["max_length"] == 500 and drafts.kept(draft).over == 0


def test_a_limit_raised_over_our_own_can_be_taken_back(draft, monkeypatch):
    """The base reads more than the limit that we would take."""
    monkeypatch.setattr(recipe, "LONGEST", 256)
    drafts.edit(draft, knobs={"seed": 7})
    choose(draft, "raise")
    assert draft.knobs == {"max_length": 500, "seed": 7} and chosen(draft) == ["raise"]
    assert ways(draft)["drop"].limit == 256
    choose(draft, "drop")
    assert (draft.overflow, draft.knobs) == ("drop", {"seed": 7}) and chosen(draft) == ["drop"]
    choose(draft, "raise")
    choose(draft, "cut")
    assert (draft.overflow, draft.knobs) == ("cut", {"seed": 7}) and chosen(draft) == ["cut"]


def test_a_limit_goes_no_further_than_the_base_reads(draft):
    TokenCount.objects.update(result=making.lengths((230, 20, 16), (10, 9000, 600)))
    assert ways(draft)["raise"].limit == 512 and ways(draft)["raise"].kept.over == 10
    choose(draft, "raise")
    assert draft.knobs["max_length"] == 512 and chosen(draft) == ["cut"]
    assert not ways(draft)["raise"].is_possible
    drafts.edit(draft, knobs={})
    choose(draft, "raise")
    assert draft.knobs == {}


def test_raising_leaves_what_becomes_of_examples_that_are_longer_still(draft):
    TokenCount.objects.update(result=making.lengths((230, 20, 16), (10, 9000, 600)))
    choose(draft, "drop")
    choose(draft, "raise")
    assert (draft.overflow, draft.knobs["max_length"]) == ("drop", 512)
    assert ways(draft)["raise"].kept.used == 230


def test_nothing_is_to_be_chosen_where_no_example_is_too_long(draft):
    drafts.edit(draft, knobs={"max_length": 500})
    assert not ways(draft)
    choose(draft, "drop")
    assert draft.overflow == "cut"


def test_a_start_that_long_examples_forbid_is_cured_by_any_way(draft):
    drafts.edit(draft, overflow="fail")
    assert chosen(draft) == []
    assert [error.code for error in drafts.blockers(draft)] == ["examples_too_long"]
    for key in limits.WAYS:
        drafts.edit(draft, overflow="fail", knobs={"max_length": 256})
        choose(draft, key)
        assert not drafts.blockers(draft)


def test_a_draft_that_was_started_meanwhile_is_left_alone(draft):
    jobs.start(draft)
    with pytest.raises(UserError, match="job_not_draft"):
        limits.choose(draft, bases.find("tiny"), TokenCount.objects.get(), "drop")
