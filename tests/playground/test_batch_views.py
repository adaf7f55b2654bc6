"""The pages of questions asked all at once: the form, the table, files to take home."""

import csv
import io

import making
import openpyxl
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from playground import batches
from playground.models import Batch
from training import tasks
from training.datasets import store, versions
from training.models import Dataset, DatasetVersion

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("tiny_catalogue")]
FORM = {
    "source": "file", "model": "base:tiny", "most": "500", "draw": "first", "temperature": "0",
    "max_tokens": "20", "top_p": "0.95", "repetition_penalty": "1", "system_prompt": "짧게",
}  # fmt: skip


@pytest.fixture(autouse=True)
def own_data(settings, tmp_path, monkeypatch):
    settings.DATA = tmp_path / "data"
    settings.FILE_UPLOAD_TEMP_DIR = settings.DATA / "incoming"
    settings.FILE_UPLOAD_TEMP_DIR.mkdir(parents=True)
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = settings.STORAGES | {"staticfiles": plain}
    monkeypatch.setattr(tasks, "ring", lambda name, identity: None)


@pytest.fixture
def mine(client, user):
    client.force_login(user)
    return client


@pytest.fixture
def batch(user) -> Batch:
    """Thirty questions that were answered: every third one right, the last with an error."""
    made = Batch.objects.create(
        owner=user, name="민원.xlsx", model="base:tiny", model_name="tiny", status="ready",
        total=30, found_count=30, parameters={"temperature": 0, "max_tokens": 20, "top_p": 1},
    )  # fmt: skip
    for number in range(1, 31):
        is_right, is_last = number % 3 == 0, number == 30
        made.questions.create(
            position=number, messages=[{"role": "user", "content": f"<b>질문</b> {number}"}],
            expected="=1+1", answer="" if is_last else "=1+1" if is_right else "'모름",
            is_same=None if is_last else is_right, answered_at=timezone.now(),
            usage={} if is_last else {"completion_tokens": 5, "seconds": 0.5},
            error={"code": "generation_failed", "params": {}} if is_last else None,
        )  # fmt: skip
    Batch.objects.filter(pk=made.pk).update(**batches.counts(made))
    made.refresh_from_db()
    return made


def page(client, name: str, *arguments: str, **query: str) -> str:
    answer = client.get(reverse(name, args=arguments), query)
    assert answer.status_code == 200
    return answer.content.decode()


def file(content: str = "질문\n네?\n", name: str = "a.csv") -> dict:
    return {"file": SimpleUploadedFile(name, content.encode())}


# --- the form -----------------------------------------------------------------------------------
def test_a_file_is_put_in_line_with_its_settings(mine):
    answer = mine.post(reverse("batches"), FORM | file())
    made = Batch.objects.get()
    assert answer.url == reverse("batch", args=[made.pk])
    assert made.name == "a.csv" and made.system_prompt == "짧게"
    assert made.parameters["temperature"] == 0 and made.parameters["max_tokens"] == 20
    assert (batches.folder(made) / "raw").read_text() == "질문\n네?\n"
    assert "곧 시작합니다" in page(mine, "batch", made.pk)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"file": ""}, "고르지 않았습니다"),
        ({"most": "501"}, "500개까지"),
        ({"most": "x"}, "500개까지"),
        ({"temperature": "3"}, "범위를 벗어났습니다"),
        ({"model": "tuned:nobodys"}, "찾을 수 없습니다"),
        ({"source": "held", "held": "nobodys"}, "고르지 않았습니다"),
        ({"source": "data", "dataset": "nobodys"}, "고르지 않았습니다"),
    ],
)
def test_what_is_wrong_is_said_and_the_rest_is_kept(mine, change, said):
    answer = mine.post(reverse("batches"), FORM | file() | change)
    assert answer.status_code == 422 and not Batch.objects.exists()
    shown = answer.content.decode()
    assert said in shown and ">짧게</textarea>" in shown


def test_reading_again_keeps_the_column_of_system_prompts(mine):
    mine.post(reverse("batches"), FORM | file("시스템,질문\n짧게,네?\n"))
    known = {"columns": ["시스템", "질문"], "mapping": {"system": "시스템", "prompt": "질문"}}
    made, sent = Batch.objects.get(), {"prompt": "질문", "answer": "", "system": "시스템"}

    def read_from(**columns: str) -> dict:
        Batch.objects.update(status="ready", layout=known)
        assert 'name="system" value="시스템"' in page(mine, "batch", made.pk)
        mine.post(reverse("batch-columns", args=[made.pk]), sent | columns)
        made.refresh_from_db()
        return made.order["choices"]["mapping"]

    assert read_from() == {"prompt": "질문", "system": "시스템"}
    assert read_from(prompt="시스템") == {"prompt": "시스템"}


def test_a_file_of_questions_has_its_limit(mine, monkeypatch):
    monkeypatch.setattr("training.datasets.questions.LIMIT_BYTES", 10)
    answer = mine.post(reverse("batches"), FORM | file())
    assert answer.status_code == 422 and "너무 큽니다" in answer.content.decode()


def test_a_tuned_model_begins_with_what_its_training_held_back(mine, tuned):
    job = tuned.job
    DatasetVersion.objects.filter(pk=job.version_id).update(example_count=40)
    job.resolved = {"seed": 7, "max_length": 256, "validation_share": 0.2}
    job.save()
    making.write_unlike_examples(versions.folder(job.version), 40)
    shown = page(mine, "batches", model=f"tuned:{tuned.pk}")
    assert 'id="source-held" checked' in shown and "예제 8개" in shown
    assert f'value="tuned:{tuned.pk}" selected' in shown
    assert (
        'name="temperature" type="number" min="0" max="2" step="0.1" inputmode="decimal" value="0'
        in shown
    )
    mine.post(reverse("batches"), FORM | {"source": "held", "held": tuned.pk})
    assert Batch.objects.get().order["validation_examples"] == 8


def test_without_a_model_in_the_address_a_file_is_asked_for(mine, tuned):
    """The newest own model is chosen, but what its training held back is not."""
    job = tuned.job
    DatasetVersion.objects.filter(pk=job.version_id).update(example_count=40)
    job.resolved = {"seed": 7, "max_length": 256, "validation_share": 0.2}
    job.save()
    assert 'id="source-file" checked' in page(mine, "batches")


def test_a_stranger_sees_and_does_nothing(client, batch):
    from studio.models import User

    client.force_login(User.objects.create_user("stranger"))
    for name in ("cancel", "go-on", "again", "columns", "delete"):
        assert client.post(reverse(f"batch-{name}", args=[batch.pk])).status_code == 404
    for name in ("batch", "batch-now", "batch-mend"):
        assert client.get(reverse(name, args=[batch.pk])).status_code == 404
    assert client.get(reverse("batch-download", args=[batch.pk, "csv"])).status_code == 404
    assert "민원.xlsx" not in page(client, "batches")
    assert Batch.objects.filter(pk=batch.pk, status="ready").exists()


# --- the table ----------------------------------------------------------------------------------
def test_the_page_counts_and_shows_what_is_the_same(mine, batch):
    shown = page(mine, "batch", batch.pk)
    assert "&lt;b&gt;질문&lt;/b&gt; 1" in shown and "<b>질문" not in shown
    assert "9<span" in shown and "/ 29 (31.0%)" in shown
    assert "AI가 생성한 답변" in shown and "같음" in shown and "다름" in shown
    assert "question-20" in shown and "question-21" not in shown
    assert "question-21" in page(mine, "batch", batch.pk, page="2")


def test_only_the_different_ones(mine, batch):
    shown = page(mine, "batch", batch.pk, only="different", page="2")
    assert 'id="question-30"' in shown and 'id="question-27"' not in shown
    assert "only=different&amp;page=1" in shown


def test_another_model_s_answers_beside(mine, batch):
    other = batches.again(batch, "base:tiny")
    other.questions.filter(position=1).update(answer="다른 모델의 말", answered_at=timezone.now())
    shown = page(mine, "batch", batch.pk, beside=other.pk)
    assert "다른 모델의 말" in shown
    assert "나란히 보기" in shown


def test_whoever_watches_is_sent_on_when_it_ends(mine, batch):
    Batch.objects.filter(pk=batch.pk).update(status="running", waits_for="engine_away")
    address = reverse("batch-now", args=[batch.pk])
    shown = mine.get(address, {"was": "running"}).content.decode()
    assert "엔진" in shown and "30개 가운데 30개" in shown
    assert mine.get(address, {"was": "waiting"}).headers["HX-Refresh"] == "true"
    read = mine.get(address, {"was": "running", "unread": "1"})
    assert read.headers["HX-Refresh"] == "true"


def test_bad_rows_and_what_was_left_out_are_named(mine, batch):
    bad = {"line": 7, "code": "prompt_empty", "params": {}, "row": "<i>,답"}
    Batch.objects.filter(pk=batch.pk).update(problems=[bad], problem_count=1, found_count=999)
    shown = page(mine, "batch", batch.pk)
    assert "질문 999개 가운데 앞의 30개만" in shown
    assert "7번째 줄" in shown and "&lt;i&gt;,답" in shown


def test_deleting(mine, batch):
    batches.folder(batch).mkdir(parents=True)
    assert "삭제할까요" in page(mine, "batch-delete", batch.pk)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.db.transaction.on_commit", lambda verb: verb())
        mine.post(reverse("batch-delete", args=[batch.pk]))
    assert not Batch.objects.exists() and not batches.folder(batch).exists()


def test_a_wrong_answer_becomes_an_example_with_the_wanted_one(mine, batch, user):
    dataset = Dataset.objects.create(owner=user, name="날씨")
    version = DatasetVersion.objects.create(dataset=dataset, status="ready", example_count=3)
    making.write_unlike_examples(versions.folder(version), 3)
    shown = page(mine, "batch-mend", batch.pk, message="1")
    assert "=1+1</textarea>" in shown and "모름" in shown
    sent = {"message": "1", "answer": "둘입니다.", "dataset": dataset.pk}
    answer = mine.post(reverse("batch-mend", args=[batch.pk]), sent)
    assert answer.url == reverse("batch", args=[batch.pk])
    newest = versions.newest(dataset)
    last = store.examples(versions.folder(newest), 3, 1)[0]
    assert [one.content for one in last.messages] == ["<b>질문</b> 1", "둘입니다."]


# --- files to take home -------------------------------------------------------------------------
def test_the_csv_opens_in_excel_and_runs_nothing(mine, batch):
    answer = mine.get(reverse("batch-download", args=[batch.pk, "csv"]))
    raw = answer.content
    assert raw.startswith(b"\xef\xbb\xbf") and "attachment" in answer["Content-Disposition"]
    rows = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"))))
    assert rows[0][:5] == ["번호", "질문", "바라는 답변", "AI가 생성한 답변", "글자까지 같음"]
    assert rows[1][:6] == ["1", "<b>질문</b> 1", "'=1+1", "'모름", "아니요", "5"]
    assert rows[3][2:5] == ["'=1+1", "'=1+1", "예"]
    assert "문제가 생겼습니다" in rows[30][7] and len(rows) == 31


def test_the_workbook_reads_back_and_says_where_its_answers_come_from(mine, batch):
    answer = mine.get(reverse("batch-download", args=[batch.pk, "xlsx"]))
    book = openpyxl.load_workbook(io.BytesIO(answer.content))
    rows = list(book["답변"].iter_rows())
    assert [cell.value for cell in rows[3]][:5] == [3, "<b>질문</b> 3", "=1+1", "=1+1", "예"]
    assert rows[3][3].data_type == "s"  # a text, no formula
    told = {row[0]: row[1] for row in book["설명"].iter_rows(values_only=True)}
    assert told["모델"] == "tiny" and told["글자까지 같은 답변"] == 9
    assert any("AI가 생성했습니다" in line for line in told)


def test_no_other_file_is_made(mine, batch):
    assert mine.get(reverse("batch-download", args=[batch.pk, "exe"])).status_code == 404
