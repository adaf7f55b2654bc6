"""Editing a dataset: edits collect in an open version, and what a job has used stays as it was."""

import pytest

from training import drafts, jobs, tasks
from training.chat import Example, Message
from training.datasets import editing, holding, segments, store, versions
from training.errors import UserError
from training.models import Dataset, DatasetVersion, Job, TokenCount

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def data(settings, tmp_path, monkeypatch):
    settings.DATA = tmp_path
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path / "incoming"
    settings.FILE_UPLOAD_TEMP_DIR.mkdir()
    monkeypatch.setattr(tasks, "ring", lambda *what: None)
    return tmp_path


def example(text: str) -> Example:
    return Example((Message("user", text), Message("assistant", "답")))


def make(owner, name: str = "문의", count: int = 10) -> Dataset:
    dataset = Dataset.objects.create(owner=owner, name=name)
    version = DatasetVersion.objects.create(
        dataset=dataset, status="ready", example_count=count, format="jsonl-prompt"
    )
    with segments.Writer(versions.folder(version), segment_rows=4) as writer:
        for number in range(count):
            writer.add(example(f"{name} {number}"))
    return dataset


@pytest.fixture
def dataset(user) -> Dataset:
    return make(user)


def texts(version: DatasetVersion) -> list[str]:
    found = versions.examples(version, 0, 100)
    return [one.messages[0].content.split()[-1] for one in found]


def use(dataset: Dataset, status: str = "succeeded") -> DatasetVersion:
    version = editing.newest(dataset)
    Job.objects.create(owner=dataset.owner, version=version, status=status, base="tiny")
    return version


def test_edits_collect_in_one_open_version(dataset):
    first = editing.newest(dataset)
    editing.replace(dataset, 3, example("새 질문"))
    editing.add(dataset, [example("더한 질문")])
    second = editing.remove(dataset, [0, 1])
    assert texts(first) == [str(number) for number in range(10)]
    assert texts(second) == ["2", "질문", "4", "5", "6", "7", "8", "9", "질문"]
    second.refresh_from_db()
    assert (second.number, second.parent, second.is_open) == (2, first, True)
    assert second.example_count == 9 and second.fingerprint != first.fingerprint
    assert editing.restore(dataset, 0) == second and texts(second)[0] == "0"


def test_a_version_that_a_job_used_never_changes(dataset):
    editing.remove(dataset, [0])
    used = use(dataset)
    editing.remove(dataset, [1])
    assert texts(used)[0] == "1" and texts(editing.newest(dataset))[0] == "2"
    assert editing.newest(dataset).number == 3


def test_starting_a_job_closes_the_version_and_another_edit_opens_a_new_one(
    dataset, user, settings
):
    settings.MIN_EXAMPLES = 1
    version = editing.remove(dataset, [0])
    draft = drafts.create_draft(user)
    drafts.edit(draft, version=version)
    before = drafts.fingerprint(draft)
    editing.remove(dataset, [1])
    draft = Job.objects.get(pk=draft.pk)
    assert (
        drafts.fingerprint(draft) != before
    )  # what was seen on the page is no longer what would run
    versions.freeze(draft.version)
    assert editing.remove(dataset, [2]).number == 3


def test_a_draft_follows_to_the_version_with_the_edits(dataset, user):
    draft = drafts.create_draft(user)
    drafts.edit(draft, version=editing.newest(dataset))
    edited = editing.remove(dataset, [0])
    draft.refresh_from_db()
    assert draft.version == edited


def test_counts_of_tokens_are_forgotten_with_an_edit(dataset):
    version = editing.remove(dataset, [0])
    versions.token_count(version, "tiny")
    editing.remove(dataset, [1])
    assert not TokenCount.objects.exists()


def test_a_row_that_is_gone_is_said_to_be(dataset):
    editing.remove(dataset, [3])
    with pytest.raises(UserError) as refused:
        editing.replace(dataset, 3, example("x"))
    assert refused.value.code == "row_gone"


def test_data_that_is_being_read_or_could_not_be_read_takes_no_edits(dataset):
    for status, code in (("reading", "data_being_read"), ("failed", "data_not_readable")):
        DatasetVersion.objects.update(status=status)
        with pytest.raises(UserError) as refused:
            editing.remove(dataset, [0])
        assert refused.value.code == code


def test_a_set_for_validation_is_split_off_and_nothing_is_in_both(dataset):
    editing.remove(dataset, [0, 9])
    editing.restore(dataset, 9)
    apart = editing.split(dataset, "검증", 3)
    left, taken = texts(editing.newest(dataset)), texts(editing.newest(apart))
    assert len(taken) == 3 and len(left) == 6
    assert sorted(left + taken) == [str(number) for number in range(1, 10)]
    assert editing.newest(apart).example_count == 3 and apart.owner == dataset.owner
    with pytest.raises(UserError):
        editing.split(dataset, "검증", 6)


def test_going_back_to_an_earlier_version_loses_nothing(dataset):
    first = editing.newest(dataset)
    second = editing.remove(dataset, [0, 1, 2])
    third = editing.go_back(dataset, first)
    assert len(texts(third)) == 10 and len(texts(second)) == 7
    assert editing.newest(dataset) == third


def test_going_back_before_a_split_is_known_to_bring_its_rows_in_again(dataset):
    """The rows that were split off for validation came back into the training data unsaid."""
    editing.remove(dataset, [0])
    apart = editing.split(dataset, "검증", 3)
    first, before, after = dataset.versions.order_by("number")
    assert editing.doubled(dataset, after) == []
    assert editing.doubled(dataset, before) == editing.doubled(dataset, first) == [(apart, 3)]
    position = next(store.view(versions.folder(editing.newest(apart))).positions())
    editing.remove(apart, [position])
    assert editing.doubled(dataset, first) == [(apart, 2)]
    editing.go_back(dataset, before)
    assert editing.doubled(dataset, first) == []  # they are here already


def test_a_part_is_known_when_the_version_it_was_split_off_from_is_purged(dataset):
    use(dataset)
    editing.remove(dataset, [0])
    apart = editing.split(dataset, "검증", 3)
    editing.purge(dataset)
    assert editing.doubled(dataset, dataset.versions.get(number=1)) == [(apart, 3)]
    versions.delete(apart)
    assert editing.doubled(dataset, dataset.versions.get(number=1)) == []


def test_other_data_of_the_same_length_is_not_taken_for_a_part(dataset, user):
    other = make(user, "다른 문의")
    editing.split(other, "검증", 3)
    editing.remove(dataset, range(9))
    assert editing.doubled(dataset, dataset.versions.get(number=1)) == []


def test_going_back_from_a_reading_that_failed_asks_too(dataset):
    apart = editing.split(dataset, "검증", 3)
    DatasetVersion.objects.create(dataset=dataset, number=3, status="failed")
    first, after = dataset.versions.filter(number__lt=3).order_by("number")
    assert editing.doubled(dataset, first) == [(apart, 3)] and not editing.doubled(dataset, after)
    with pytest.raises(UserError) as refused:
        editing.doubled(dataset, editing.newest(dataset))
    assert refused.value.code == "data_not_readable"


def test_purging_takes_raw_files_and_unused_versions_and_leaves_what_jobs_used(
    dataset, django_capture_on_commit_callbacks
):
    use(dataset)
    editing.remove(dataset, [0])
    versions.freeze(editing.newest(dataset))
    unused = editing.newest(dataset)
    last = editing.remove(dataset, [1])
    for version in dataset.versions.all():
        (versions.folder(version) / "raw").write_text("비밀")
    with django_capture_on_commit_callbacks(execute=True):
        assert editing.purge(dataset) == 1
    assert not versions.folder(unused).exists()
    assert [version.number for version in dataset.versions.order_by("number")] == [1, 3]
    assert texts(last) == [str(number) for number in range(2, 10)]
    assert not any((versions.folder(one) / "raw").exists() for one in dataset.versions.all())


@pytest.mark.parametrize(
    ("turns", "code"),
    [
        ([("user", "질문"), ("assistant", " ")], "answer_empty"),
        ([("assistant", "답")], "first_not_user"),
        ([], "assistant_missing"),
    ],
)
def test_what_is_no_example_is_refused_as_the_reader_would(turns, code):
    with pytest.raises(UserError) as refused:
        editing.example_of(turns)
    assert refused.value.code == code


def test_line_ends_of_a_form_are_made_plain_and_an_empty_system_prompt_is_left_out():
    made = editing.example_of([("system", " "), ("user", "가\r\n나"), ("assistant", "다")])
    assert made == Example((Message("user", "가\n나"), Message("assistant", "다")))


def test_giving_up_a_first_reading_takes_its_dataset_along(user):
    dataset = Dataset.objects.create(owner=user, name="하나")
    version = DatasetVersion.objects.create(dataset=dataset, status="reading")
    draft = drafts.create_draft(user)
    drafts.edit(draft, version=version)
    assert editing.stop(dataset) is False
    draft.refresh_from_db()
    assert draft.version is None and not Dataset.objects.exists()


def test_giving_up_another_reading_leaves_what_was_read_before(dataset, user):
    read = editing.newest(dataset)
    assert editing.stop(dataset) is True and editing.newest(dataset) == read  # nothing to stop
    busy = DatasetVersion.objects.create(dataset=dataset, number=2, status="reading", parent=read)
    draft = drafts.create_draft(user)
    drafts.edit(draft, version=busy)
    assert editing.stop(dataset) is True
    draft.refresh_from_db()
    assert draft.version == read and list(dataset.versions.all()) == [read]


def test_a_reading_that_a_job_waits_for_is_not_given_up(dataset):
    use(dataset, "validating_files")
    editing.newest(dataset)
    dataset.versions.update(status="reading")
    with pytest.raises(UserError) as raised:
        editing.stop(dataset)
    assert raised.value.code == "data_in_use"


# --- nothing is lost --------------------------------------------------------------------------
class PowerCut(Exception):
    """What ends a transaction after its files were written."""


@pytest.fixture
def undone(monkeypatch):
    """Return a verb's runner whose transaction is undone at its very end."""
    from django.db import transaction

    def run(verb) -> None:
        with pytest.raises(PowerCut), transaction.atomic():
            verb()
            raise PowerCut

    return run


def test_a_split_that_is_undone_loses_no_rows(dataset, undone):
    """The rows that were to go stood already in `gone` of the open version, and nowhere else."""
    opened = editing.remove(dataset, [0])
    undone(lambda: editing.split(dataset, "검증", 4))
    assert editing.newest(dataset) == opened and Dataset.objects.count() == 1
    assert texts(opened) == [str(number) for number in range(1, 10)]


def test_a_split_leaves_the_rows_as_they_were_in_an_earlier_version(dataset, user):
    opened = editing.remove(dataset, [0])
    draft = drafts.create_draft(user)
    drafts.edit(draft, version=opened)
    editing.split(dataset, "검증", 4)
    left = editing.newest(dataset)
    opened.refresh_from_db()
    draft.refresh_from_db()
    assert (left.number, left.example_count, len(texts(left))) == (3, 5, 5)
    assert len(texts(opened)) == 9 and not opened.is_open
    assert draft.version == left
    assert left.fingerprint == store.fingerprint(versions.folder(left))


def test_a_part_split_off_has_its_share_of_the_size_and_no_address(dataset):
    dataset.versions.update(url="https://example.org/a", size_bytes=1000)
    part = editing.newest(editing.split(dataset, "검증", 3))
    assert (part.url, part.size_bytes, part.problem_count) == ("", 300, 0)
    with pytest.raises(UserError) as refused:
        editing.refresh(part.dataset)
    assert refused.value.code == "data_without_url"


def test_an_edit_that_is_undone_is_written_down_before_a_job_starts(dataset, user, undone):
    """The row said 9 examples of one fingerprint, the folder held 10 of another."""
    opened = editing.remove(dataset, [0])
    undone(lambda: editing.add(dataset, [example("더한 질문")]))
    opened.refresh_from_db()
    assert opened.example_count == 9 and len(texts(opened)) == 10
    draft = drafts.create_draft(user)
    drafts.edit(draft, version=opened)
    seen = drafts.fingerprint(draft)
    versions.token_count(opened, "tiny")
    with pytest.raises(UserError) as refused:
        jobs.start(draft, seen)
    assert refused.value.code == "draft_changed" and draft.version.example_count == 10
    opened.refresh_from_db()
    assert opened.example_count == 10 and not TokenCount.objects.exists()
    assert holding.is_true(opened)


def test_a_version_that_a_job_froze_meanwhile_takes_no_edit(dataset, monkeypatch):
    """The newest version was looked at, then a job froze it, then the edit went into it."""
    opened = editing.remove(dataset, [0])
    locks = holding.lock

    def lock_after_a_job_began(one: Dataset) -> None:
        locks(one)
        use(one, "queued")
        versions.freeze(opened)

    monkeypatch.setattr(holding, "lock", lock_after_a_job_began)
    assert editing.remove(dataset, [1]).number == 3
    assert texts(opened)[0] == "1"


def test_what_changes_nothing_makes_no_version(dataset):
    first = editing.newest(dataset)
    assert editing.restore(dataset, 3) == first  # it is there already
    for unknown in (-1, 10):
        with pytest.raises(UserError) as refused:
            editing.restore(dataset, unknown)
        assert refused.value.code == "row_gone"
    with pytest.raises(UserError):
        editing.replace(dataset, 10, example("x"))
    assert editing.remove(dataset, [10, -1]) == first
    assert list(dataset.versions.all()) == [first]
    opened = editing.remove(dataset, [3, 3, 77])
    before = (versions.folder(opened) / store.CHANGES).read_bytes()
    assert before.count(b"\n") == 1 and editing.remove(dataset, [3]) == opened
    assert (versions.folder(opened) / store.CHANGES).read_bytes() == before


def test_a_job_that_starts_while_a_reading_is_stopped_keeps_it(dataset, monkeypatch):
    busy = DatasetVersion.objects.create(dataset=dataset, number=2, status="reading")

    def nobody_yet(version):
        use(dataset, "validating_files")
        return Job.objects.none()

    monkeypatch.setattr(editing, "used_by", nobody_yet)
    with pytest.raises(UserError) as refused:
        editing.stop(dataset)
    assert refused.value.code == "data_in_use"
    assert busy in dataset.versions.all() and dataset.versions.count() == 2
