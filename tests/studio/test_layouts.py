"""How a file is read can be changed: columns, sheet, encoding; what was read before gives way."""

import io
import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from training import drafts, tasks
from training.datasets import editing, versions
from training.models import Dataset, DatasetVersion

pytestmark = pytest.mark.django_db
FOREIGN = "번호,고객 말씀,처리\n" + "".join(f"{n},질문 {n},답변 {n}\n" for n in range(30))


@pytest.fixture(autouse=True)
def silent(monkeypatch):
    monkeypatch.setattr(tasks, "ring", lambda *what: None)


def take(client, content: bytes, name: str = "a.csv") -> Dataset:
    client.post("/data/new/", {"file": SimpleUploadedFile(name, content)})
    dataset = Dataset.objects.latest("created_at")
    return read(dataset)


def read(dataset: Dataset) -> Dataset:
    versions.read(editing.newest(dataset).pk)
    return dataset


def first(dataset: Dataset) -> list[str]:
    (example,) = versions.examples(editing.newest(dataset), 0, 1)
    return [message.content for message in example.messages]


def test_columns_of_any_name_are_chosen_on_the_page_and_read(
    signed_in, django_capture_on_commit_callbacks
):
    dataset = take(signed_in, FOREIGN.encode("cp949"))
    failed = editing.newest(dataset)
    assert failed.status == "failed" and failed.layout["columns"] == ["번호", "고객 말씀", "처리"]
    page = signed_in.get(f"/data/{dataset.pk}/").text
    assert "읽는 방법 고르기" in page and "질문 0</td>" in page
    form = {"prompt": "고객 말씀", "answer": "처리"}
    with django_capture_on_commit_callbacks(execute=True):
        answer = signed_in.post(f"/data/{dataset.pk}/layout/", form)
        read(dataset)
    assert answer.url == f"/data/{dataset.pk}/"
    version = editing.newest(dataset)
    assert (version.status, version.number, version.example_count) == ("ready", 1, 30)
    assert first(dataset) == ["질문 0", "답변 0"]
    assert DatasetVersion.objects.count() == 1 and not versions.folder(failed).exists()
    page = signed_in.get(f"/data/{dataset.pk}/").text
    assert '<option value="고객 말씀" selected>' in page


def test_the_two_columns_of_longest_text_are_proposed_and_no_more_than_that(signed_in):
    dataset = take(
        signed_in,
        "번호,고객 말씀,상담원,처리\n".encode() + "1,가로등이요,갑,고쳤어요\n".encode() * 9,
    )
    page = signed_in.get(f"/data/{dataset.pk}/").text
    assert '"고객 말씀" selected' in page and '"처리" selected' in page
    form = {
        "prompt": "고객 말씀",
        "answer": "처리",
        "has_header": "no",
    }  # proposed for other columns
    signed_in.post(f"/data/{dataset.pk}/layout/", form)
    assert editing.newest(dataset).choices == {"has_header": False}
    read(dataset)
    signed_in.post(
        f"/data/{dataset.pk}/layout/", {"prompt": "2열", "answer": "4열", "has_header": "no"}
    )
    assert first(read(dataset)) == ["고객 말씀", "처리"]


def test_columns_proposed_for_pairs_do_not_mix_with_turns(signed_in):
    rows = "".join(f"{n},손님,질문 {n} 길게\n{n},직원,답변 {n}\n" for n in range(5))
    dataset = take(signed_in, ("묶음,누구,말씀들\n" + rows).encode())
    guessed = {"prompt": "누구", "answer": "말씀들"}
    form = {"conversation": "묶음", "role": "누구", "content": "말씀들"}
    signed_in.post(f"/data/{dataset.pk}/layout/", guessed | form)
    assert editing.newest(dataset).choices == {"mapping": form}


def test_a_question_is_made_of_several_columns(signed_in):
    dataset = take(signed_in, FOREIGN.encode())
    form = {"prompt_template": "{번호}번: {고객 말씀}", "answer": "처리"}
    signed_in.post(f"/data/{dataset.pk}/layout/", form)
    assert first(read(dataset)) == ["0번: 질문 0", "답변 0"]
    assert "{번호}번: {고객 말씀}" in signed_in.get(f"/data/{dataset.pk}/").text


@pytest.mark.parametrize("form", [{"prompt": "없는 열"}, {"encoding": "utf-7"}, {"sheet": "a"}])
def test_what_is_not_on_offer_changes_nothing(signed_in, form):
    dataset = take(signed_in, FOREIGN.encode())
    before = editing.newest(dataset).pk
    answer = signed_in.post(f"/data/{dataset.pk}/layout/", form)
    assert answer.status_code == (302 if "sheet" in form else 422)  # a CSV has no sheets to ask for
    assert editing.newest(dataset).pk == before or "sheet" in form


def test_a_template_that_cannot_be_read_is_shown_again_with_the_reason(signed_in):
    dataset = take(signed_in, FOREIGN.encode())
    form = {"prompt_template": "{번호", "answer": "처리"}
    signed_in.post(f"/data/{dataset.pk}/layout/", form)
    assert editing.newest(read(dataset)).error["code"] == "template_braces"
    page = signed_in.get(f"/data/{dataset.pk}/").text
    assert "{번호</textarea>" in page and "읽는 방법 고르기" in page


def test_a_draft_follows_and_the_form_goes_back_to_the_wizard(signed_in, user, base):
    dataset = take(signed_in, FOREIGN.encode())
    draft = drafts.create_draft(user)
    drafts.edit(draft, version=editing.newest(dataset))
    page = signed_in.get(f"/train/{draft.pk}/data/").text
    here = f"/train/{draft.pk}/data/"
    assert "읽는 방법 고르기" in page and f'name="next" value="{here}"' in page
    form = {"prompt": "고객 말씀", "answer": "처리", "next": here}
    assert signed_in.post(f"/data/{dataset.pk}/layout/", form).url == here
    draft.refresh_from_db()
    assert draft.version == editing.newest(dataset)
    form["next"] = "//evil.example"
    assert signed_in.post(f"/data/{dataset.pk}/layout/", form).status_code == 422  # being read
    read(dataset)
    assert signed_in.post(f"/data/{dataset.pk}/layout/", form).url == f"/data/{dataset.pk}/"


def test_a_reading_that_a_job_used_stays_beside_the_new_one(signed_in, user, make):
    dataset = take(signed_in, "질문,답변,비고\n".encode() + "가,나,다\n".encode() * 5)
    used = editing.newest(dataset)
    make.job(user, used)
    signed_in.post(f"/data/{dataset.pk}/layout/", {"prompt": "비고", "answer": "답변"})
    read(dataset)
    assert editing.newest(dataset).number == 2 and first(dataset) == ["다", "나"]
    assert versions.examples(used, 0, 1)[0].messages[0].content == "가"


def test_a_workbook_offers_its_sheets(signed_in):
    from openpyxl import Workbook

    book = Workbook()
    book.active.title = "안내"
    book.active.append(["이 파일은 상담 기록입니다."])
    for name in ("서울", "부산"):
        sheet = book.create_sheet(name)
        sheet.append(["질문", "답변"])
        for number in range(3):
            sheet.append([f"{name} {number}", number])
    out = io.BytesIO()
    book.save(out)
    dataset = take(signed_in, out.getvalue(), "상담.xlsx")
    signed_in.post(f"/data/{dataset.pk}/layout/", {"sheet": "부산"})
    assert first(read(dataset)) == ["부산 0", "0"]
    assert "엑셀 · 질문과 답변" in signed_in.get(f"/data/{dataset.pk}/").text


def test_without_the_original_nothing_can_be_read_again(
    signed_in, django_capture_on_commit_callbacks
):
    dataset = take(signed_in, FOREIGN.encode())
    with django_capture_on_commit_callbacks(execute=True):
        editing.purge(dataset)
    assert "읽는 방법" not in signed_in.get(f"/data/{dataset.pk}/").text
    answer = signed_in.post(f"/data/{dataset.pk}/layout/", {"prompt": "번호", "answer": "처리"})
    assert answer.status_code == 422 and "원본 파일을 지운" in answer.text


def test_reading_again_without_a_change_changes_no_example(signed_in):
    """Alpaca's template of two columns and a history have no plain field of their own."""
    rows = [{"instruction": f"요약 {n}", "input": "본문", "output": "답"} for n in range(5)]
    dataset = take(signed_in, json.dumps(rows, ensure_ascii=False).encode(), "a.json")
    assert first(dataset) == ["요약 0\n\n본문", "답"]
    form = {"prompt_template": "{instruction}\r\n\r\n{input}", "answer": "output"}
    signed_in.post(f"/data/{dataset.pk}/layout/", form | {"encoding": "utf-8"})
    assert editing.newest(dataset).choices == {"encoding": "utf-8"}
    assert first(read(dataset)) == ["요약 0\n\n본문", "답"]


def test_a_title_above_an_excel_table_hides_no_column(signed_in):
    from openpyxl import Workbook

    book = Workbook()
    for row in (
        ["2026년 민원 처리 대장"],
        [],
        ["번호", "들어온 말", "처리한 말"],
        [1, "가로등", "고침"],
    ):
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    dataset = take(signed_in, out.getvalue(), "대장.xlsx")
    assert editing.newest(dataset).layout["columns"] == ["번호", "들어온 말", "처리한 말"]
    form = {"prompt": "들어온 말", "answer": "처리한 말"}
    signed_in.post(f"/data/{dataset.pk}/layout/", form)
    assert first(read(dataset)) == ["가로등", "고침"]


def test_columns_with_long_names_can_be_chosen(signed_in):
    names = [
        f"{n}번 문항: 시청 민원실을 이용하면서 겪은 일을 모두 적어 주십시오({n})" for n in range(30)
    ]
    content = "\n".join([",".join(names), *[",".join(f"답{n}" for n in range(30))] * 4])
    dataset = take(signed_in, content.encode())
    signed_in.post(f"/data/{dataset.pk}/layout/", {"prompt": names[3], "answer": names[29]})
    assert first(read(dataset)) == ["답3", "답29"]
