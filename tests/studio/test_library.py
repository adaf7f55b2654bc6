"""학습 데이터, one dataset: rows are found, mended, left out and brought back; parts and files."""

import csv
import io
import json
import re
from zipfile import ZipFile

import pytest
from asgiref.sync import async_to_sync

from training.chat import Example, Message
from training.datasets import editing, export, holding, segments, store, versions
from training.models import Dataset, DatasetVersion

pytestmark = pytest.mark.django_db


@pytest.fixture
def dataset(user, make) -> Dataset:
    return make.version(user).dataset


def whole(answer) -> bytes:
    async def read() -> bytes:
        return b"".join([piece async for piece in answer.streaming_content])

    return async_to_sync(read)()


def newest(dataset: Dataset) -> DatasetVersion:
    return editing.newest(dataset)


def questions(dataset: Dataset) -> list[str]:
    found = versions.examples(newest(dataset), 0, 100)
    return [example.messages[0].content for example in found]


def test_an_example_is_mended_on_a_page_of_its_own(signed_in, dataset):
    page = signed_in.get(f"/data/{dataset.pk}/rows/30/").text
    assert "예제 31 고치기" in page and "질문 30" in page and "답변 30" in page
    form = {"system": "", "user": ["새 질문", ""], "assistant": ["새 답변", ""]}
    answer = signed_in.post(f"/data/{dataset.pk}/rows/30/", form)
    assert answer.url == f"/data/{dataset.pk}/?page=2&saved=31#row-31"
    assert questions(dataset)[30] == "새 질문" and len(questions(dataset)) == 40
    assert newest(dataset).number == 2


def test_what_is_no_example_keeps_what_was_written_and_says_why(signed_in, dataset):
    form = {"system": "", "user": ["<b>질문</b>"], "assistant": [" "]}
    answer = signed_in.post(f"/data/{dataset.pk}/rows/3/", form)
    assert answer.status_code == 422 and "&lt;b&gt;질문" in answer.text
    assert 'class="notice bad"' in answer.text and newest(dataset).number == 1


def test_an_example_is_added_and_the_page_that_shows_it_opens(signed_in, dataset):
    answer = signed_in.post(f"/data/{dataset.pk}/rows/new/", {"user": "하나 더", "assistant": "네"})
    assert answer.url == f"/data/{dataset.pk}/?page=3&saved=41#row-41"
    assert "하나 더" in signed_in.get(answer.url).text


def test_an_example_that_was_left_out_can_be_brought_back(signed_in, dataset):
    answer = signed_in.post(f"/data/{dataset.pk}/rows/5/delete/", {"page": "1"})
    page = signed_in.get(answer.url).text
    assert "예제 하나를 뺐습니다" in page and "질문 5<" not in page
    signed_in.post(f"/data/{dataset.pk}/rows/5/restore/")
    assert questions(dataset)[5] == "질문 5"
    assert "예제 하나를 뺐습니다" not in signed_in.get(answer.url).text


@pytest.mark.parametrize("wrong", ["x", "-1", "999999999999", "77"])
def test_a_removed_row_that_never_was_is_not_offered(signed_in, dataset, wrong):
    assert "되돌리기" not in signed_in.get(f"/data/{dataset.pk}/?removed={wrong}").text


def test_words_are_searched_in_all_pages(signed_in, dataset):
    page = signed_in.get(f"/data/{dataset.pk}/?q=답변 3").text
    assert "찾은 예제 11개" in page and "질문 39" in page and "질문 20<" not in page
    page = signed_in.get(f"/data/{dataset.pk}/?q=질문&page=2").text
    assert "질문 39" in page and "q=%EC%A7%88%EB%AC%B8&amp;page=1" in page
    assert "찾은 예제 0개" in signed_in.get(f"/data/{dataset.pk}/?q=없는말&page=x").text


@pytest.mark.parametrize("position", [40, 10**12])
def test_a_row_that_never_was_is_not_found(signed_in, dataset, position):
    assert signed_in.get(f"/data/{dataset.pk}/rows/{position}/").status_code == 404
    assert signed_in.post(f"/data/{dataset.pk}/rows/{position}/delete/").status_code == 302
    assert len(questions(dataset)) == 40


def test_every_file_to_take_home_is_read_again_as_it_was(signed_in, dataset, tmp_path):
    from training.datasets.read import Reader

    editing.replace(
        dataset, 0,
        Example((Message("system", "짧게"), Message("user", "가\n나"), Message("assistant", '"다",'))),
    )  # fmt: skip
    wanted = list(store.iterate(versions.folder(newest(dataset))))
    for ending in ("jsonl", "csv"):
        answer = signed_in.get(f"/data/{dataset.pk}/download.{ending}")
        assert f".{ending}" in answer["Content-Disposition"]
        path = tmp_path / f"back.{ending}"
        path.write_bytes(whole(answer))
        if ending == "jsonl":
            assert list(Reader(path)) == wanted
    rows = list(csv.DictReader(io.StringIO((tmp_path / "back.csv").read_text("utf-8-sig"))))
    assert rows[0] == {
        "System_Prompt": "짧게", "C_ID": "0", "T_ID": "0", "Text": "가\n나", "Completion": '"다",',
    }  # fmt: skip
    assert len(rows) == 40


def hostile(user) -> Dataset:
    dataset = Dataset.objects.create(owner=user, name="수식")
    version = DatasetVersion.objects.create(dataset=dataset, status="ready", example_count=1)
    with segments.Writer(versions.folder(version)) as writer:
        turns = (Message("user", "=cmd|'/c calc'!A1"), Message("assistant", "@SUM(1)\x01"))
        writer.add(Example(turns))
    return dataset


def test_no_cell_of_a_table_can_run_as_a_formula(signed_in, user):
    dataset = hostile(user)
    text = whole(signed_in.get(f"/data/{dataset.pk}/download.csv")).decode()
    assert "'=cmd|" in text and "'@SUM" in text
    book = whole(signed_in.get(f"/data/{dataset.pk}/download.xlsx"))
    sheet = ZipFile(io.BytesIO(book)).read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet and "=cmd|" in sheet


def test_a_sheet_that_excel_cannot_hold_is_refused_before_its_first_byte(
    signed_in, dataset, monkeypatch
):
    monkeypatch.setattr(export, "XLSX_ROWS", 5)
    answer = signed_in.get(f"/data/{dataset.pk}/download.xlsx")
    assert answer.status_code == 422 and "CSV나 JSONL" in answer.text
    assert signed_in.get(f"/data/{dataset.pk}/download.exe").status_code == 404


def test_the_list_of_bad_rows_comes_as_a_table_in_the_readers_language(signed_in, dataset):
    text = whole(signed_in.get(f"/data/{dataset.pk}/problems.csv")).decode("utf-8-sig")
    ((line, what, cure, row),) = csv.reader(io.StringIO(text))
    assert line == "41" and what and cure and json.loads(row) == {"prompt": "<b>끝</b>"}


def test_a_validation_set_is_split_off(signed_in, dataset):
    page = signed_in.get(f"/data/{dataset.pk}/split/").text
    assert 'value="4"' in page and "(검증)" in page
    answer = signed_in.post(f"/data/{dataset.pk}/split/", {"count": 10, "name": "검증"})
    apart = Dataset.objects.get(name="검증")
    assert answer.url == f"/data/{apart.pk}/"
    assert len(questions(apart)) == 10 and len(questions(dataset)) == 30
    for wrong in ("0", "30", "x", ""):
        answer = signed_in.post(f"/data/{dataset.pk}/split/", {"count": wrong, "name": "b"})
        assert answer.status_code == 422


def test_datasets_are_merged_by_the_light_lane(signed_in, user, make, monkeypatch):
    from training import tasks

    monkeypatch.setattr(tasks, "ring", lambda *what: None)
    first, second = (make.version(user, name=name, count=25).dataset for name in ("가", "나"))
    editing.remove(first, [0])
    form = {"parts": [first.pk, second.pk], "name": "모두"}
    assert signed_in.post("/data/merge/", form | {"parts": [first.pk]}).status_code == 422
    signed_in.post("/data/merge/", form)
    merged = Dataset.objects.get(name="모두")
    versions.read(newest(merged).pk)
    assert (newest(merged).status, newest(merged).example_count) == ("ready", 49)
    assert questions(merged)[0] == "질문 1" and questions(merged)[24] == "질문 0"


def test_other_peoples_data_cannot_be_merged(signed_in, user, stranger, make):
    own = make.version(user).dataset
    others = make.version(stranger).dataset
    answer = signed_in.post("/data/merge/", {"parts": [own.pk, others.pk], "name": "b"})
    assert answer.status_code == 422 and Dataset.objects.count() == 2


def test_a_file_becomes_data_without_a_training(signed_in, settings, monkeypatch):
    from django.core.files.uploadedfile import SimpleUploadedFile

    from training import tasks

    monkeypatch.setattr(tasks, "ring", lambda *what: None)
    assert signed_in.get("/data/new/").status_code == 200
    file = SimpleUploadedFile("민원.jsonl", b'{"prompt": "a", "completion": "b"}\n')
    answer = signed_in.post("/data/new/", {"file": file})
    dataset = Dataset.objects.get()
    assert answer.url == f"/data/{dataset.pk}/" and dataset.name == "민원.jsonl"
    assert signed_in.post("/data/new/", {}).status_code == 422
    refused = signed_in.post("/data/new/", {"url": "ftp://example.org/a"})
    assert refused.status_code == 422 and Dataset.objects.count() == 1


def test_versions_are_listed_and_an_earlier_one_can_come_back(signed_in, dataset):
    editing.remove(dataset, range(20))
    page = signed_in.get(f"/data/{dataset.pk}/").text
    assert "이 판으로 되돌리기" in page and "2판" in page
    signed_in.post(f"/data/{dataset.pk}/versions/1/")
    assert len(questions(dataset)) == 40 and newest(dataset).number == 3


def test_going_back_over_a_split_is_asked_for_first(signed_in, dataset):
    editing.split(dataset, "검증 <b>", 4)
    url = f"/data/{dataset.pk}/versions/1/"
    page = signed_in.post(url, follow=True).text
    assert "1판의 예제로 되돌릴까요?" in page and "«검증 &lt;b&gt;»의 예제 4개가" in page
    assert len(questions(dataset)) == 36 and newest(dataset).number == 2
    answer = signed_in.post(url, {"sure": "1"})
    assert answer.url == f"/data/{dataset.pk}/" and len(questions(dataset)) == 40
    assert "다시 들어옵니다" not in signed_in.get(f"/data/{dataset.pk}/versions/2/").text


def test_the_name_is_changed_and_the_original_purged(
    signed_in, dataset, django_capture_on_commit_callbacks
):
    signed_in.post(f"/data/{dataset.pk}/rename/", {"name": " 새 이름 "})
    assert Dataset.objects.get().name == "새 이름"
    (versions.folder(newest(dataset)) / "raw").write_text("비밀")
    assert "지울까요" in signed_in.get(f"/data/{dataset.pk}/purge/").text
    with django_capture_on_commit_callbacks(execute=True):
        signed_in.post(f"/data/{dataset.pk}/purge/")
    assert not (versions.folder(newest(dataset)) / "raw").exists()


def test_an_edit_that_was_undone_is_counted_when_the_page_is_opened(signed_in, dataset):
    """The row said 39 while the folder held 40: the last example was on no page."""
    editing.remove(dataset, [0])
    extra = Example((Message("user", "맨 끝 질문"), Message("assistant", "답")))
    store.add(versions.folder(newest(dataset)), [extra])  # and its transaction was undone
    page = signed_in.get(f"/data/{dataset.pk}/?page=2").text
    assert "맨 끝 질문" in page and newest(dataset).example_count == 40
    before = newest(dataset)
    signed_in.get(f"/data/{dataset.pk}/")
    assert newest(dataset).fingerprint == before.fingerprint


@pytest.mark.parametrize("moment", [(holding, "mend"), (store, "view"), (segments, "problems")])
def test_a_dataset_that_is_deleted_while_its_page_is_made_is_said_to_be_gone(
    signed_in, dataset, monkeypatch, moment, django_capture_on_commit_callbacks
):
    room, verb = moment
    ours = getattr(room, verb)

    def delete_first(*given):
        monkeypatch.setattr(room, verb, ours)
        with django_capture_on_commit_callbacks(execute=True):
            versions.delete(dataset)
        store._kept_view.cache_clear()
        return ours(*given)

    monkeypatch.setattr(room, verb, delete_first)
    answer = signed_in.get(f"/data/{dataset.pk}/")
    assert answer.status_code == 422 and "학습 데이터가 삭제되었습니다" in answer.text


def test_a_row_that_changed_elsewhere_is_not_overwritten(signed_in, dataset):
    url = f"/data/{dataset.pk}/rows/5/"
    page = signed_in.get(url).text
    was = re.search(r'name="was" value="(\w+)"', page)[1]
    signed_in.post(url, {"user": "질문", "assistant": "다른 창에서", "was": was})
    answer = signed_in.post(url, {"user": "내 글", "assistant": "답", "was": was})
    assert answer.status_code == 422 and "다른 곳에서 바뀌었습니다" in answer.text
    assert "내 글" in answer.text
    gone = signed_in.post(f"{url}delete/", {"was": was})
    assert gone.status_code == 422
    (row,) = versions.examples(editing.newest(dataset), 5, 1)
    assert row.messages[1].content == "다른 창에서"


def test_a_failed_save_adds_no_empty_fields(signed_in, dataset):
    url = f"/data/{dataset.pk}/rows/new/"
    form = {"user": ["질문", "", ""], "assistant": ["", "", ""]}
    answer = signed_in.post(url, form)
    assert answer.status_code == 422 and answer.text.count('name="user"') == 2


def test_a_long_conversation_is_kept_whole_and_a_longer_one_is_not_opened(signed_in, dataset):
    turns = [Message("user" if n % 2 == 0 else "assistant", f"말 {n}") for n in range(120)]
    editing.add(dataset, [Example(tuple(turns)), Example(tuple(turns * 10))])
    url = f"/data/{dataset.pk}/rows/40/"
    page = signed_in.get(url).text
    assert "말 119" in page
    assert signed_in.get(f"/data/{dataset.pk}/rows/41/").status_code == 422


def test_a_first_line_break_survives_the_form(signed_in, dataset):
    editing.add(dataset, [Example((Message("user", "\n가"), Message("assistant", "나")))])
    page = signed_in.get(f"/data/{dataset.pk}/rows/40/").text
    assert 'rows="4">\n\n가</textarea>' in page


def test_nothing_is_sent_or_mended_while_it_is_read(signed_in, dataset):
    version = editing.newest(dataset)
    for status in ("reading", "failed"):
        DatasetVersion.objects.filter(pk=version.pk).update(status=status)
        for ending in export.FORMATS:
            url = f"/data/{dataset.pk}/download.{ending}"
            assert signed_in.get(url).status_code == 422
        assert signed_in.get(f"/data/{dataset.pk}/rows/1/").status_code == 422


def test_pairs_come_home_as_questions_and_answers(signed_in, dataset):
    said = whole(signed_in.get(f"/data/{dataset.pk}/download.csv")).decode("utf-8-sig")
    assert said.startswith('"질문","답변"')


def test_a_data_name_may_be_as_long_as_a_files(signed_in, dataset):
    assert "데이터 이름" in signed_in.get(f"/data/{dataset.pk}/rename/").text
    signed_in.post(f"/data/{dataset.pk}/rename/", {"name": "가" * 150})
    dataset.refresh_from_db()
    assert dataset.name == "가" * 150
