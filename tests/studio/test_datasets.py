"""학습 데이터: list, preview in pages, problems, deleting."""

import pytest

from training.datasets import segments, versions
from training.datasets.shapes import Mistake, problem
from training.models import Dataset, DatasetVersion, Job

HTMX = {"HX-Request": "true"}


def test_an_empty_list_says_what_to_do(signed_in):
    assert "아직 올린 데이터가 없습니다" in signed_in.get("/data/").text


def test_the_list_shows_format_and_counts(signed_in, user, make):
    make.version(user)
    page = signed_in.get("/data/").text
    assert "JSONL · 질문과 답변" in page and "준비됨" in page and ">40<" in page


def test_the_list_needs_the_same_few_queries_for_many(
    signed_in, user, make, django_assert_max_num_queries
):
    for number in range(20):
        make.version(user, name=f"{number}.jsonl", count=1)
    with django_assert_max_num_queries(8):
        signed_in.get("/data/")


def test_the_list_polls_only_while_a_file_is_read(signed_in, user, make):
    version = make.version(user)
    assert "every 2s" not in signed_in.get("/data/").text
    version.status = "reading"
    version.save()
    assert "every 2s" in signed_in.get("/data/").text


def test_examples_come_twenty_a_page(signed_in, user, make):
    url = f"/data/{make.version(user).dataset_id}/"
    first, second = signed_in.get(url).text, signed_in.get(f"{url}?page=2").text
    assert first.count('class="turn user"') == 20
    assert "질문 19<" in first and "질문 20<" not in first and "질문 39<" in second
    assert "2쪽 가운데 2쪽" in second


def test_a_problem_names_its_line_and_shows_the_row_as_text(signed_in, user, make):
    page = signed_in.get(f"/data/{make.version(user).dataset_id}/").text
    assert "41번째 줄" in page and "&lt;b&gt;끝" in page


def test_a_file_that_could_not_be_read_says_why(signed_in, user, make):
    version = make.version(user, count=0)
    version.status, version.error = "failed", {"code": "file_is_page", "params": {}}
    version.save()
    assert "웹 페이지" in signed_in.get(f"/data/{version.dataset_id}/").text


def test_the_page_follows_the_reading_and_loads_anew_at_its_end(signed_in, user, make):
    version = make.version(user)
    url = f"/data/{version.dataset_id}/"
    DatasetVersion.objects.update(status="reading", done_bytes=617)
    page = signed_in.get(url).text
    assert "every 1s" in page and "617 B / 1 KB" in page
    polled = signed_in.get(url, headers=HTMX)
    assert "617 B / 1 KB" in polled.text and "<h1" not in polled.text
    DatasetVersion.objects.update(status="ready")
    assert signed_in.get(url, headers=HTMX).headers["HX-Refresh"] == "true"
    assert f'hx-get="{url}"' not in signed_in.get(url).text


def test_a_dataset_leads_to_a_draft_that_has_it(signed_in, user, make, base):
    version = make.version(user)
    assert (
        f'name="version" value="{version.pk}"' in signed_in.get(f"/data/{version.dataset_id}/").text
    )
    signed_in.post("/train/new/", {"version": version.pk})
    assert Job.objects.get().version == version


def test_a_draft_takes_nobody_elses_data(signed_in, stranger, make, base):
    signed_in.post("/train/new/", {"version": make.version(stranger).pk})
    assert Job.objects.get().version is None


def test_only_the_first_bad_rows_stand_in_the_way_of_the_examples(signed_in, user, make):
    version = make.version(user)
    with segments.Writer(versions.folder(version)) as writer:
        for number in range(25):
            writer.add_problem(problem(number + 1, Mistake("answer_empty"), f"줄 {number}"))
    DatasetVersion.objects.update(problem_count=25)
    url = f"/data/{version.dataset_id}/"
    page = signed_in.get(url).text
    assert "3번째 줄" in page and "4번째 줄" not in page and f"{url}problems/" in page
    second = signed_in.get(f"{url}problems/?page=2").text
    assert "21번째 줄" in second and "25번째 줄" in second and "20번째 줄" not in second


def test_a_bad_row_is_mended_and_added(signed_in, user, make):
    version = make.version(user)
    url = f"/data/{version.dataset_id}/rows/new/"
    assert f"{url}?problem=0" in signed_in.get(f"/data/{version.dataset_id}/").text
    assert "&lt;b&gt;끝" in signed_in.get(f"{url}?problem=0").text
    assert "prompt" not in signed_in.get(f"{url}?problem=0").text  # the question alone
    for nonsense in ("7", "-1", "x", "9" * 30):
        assert signed_in.get(f"{url}?problem={nonsense}").status_code == 200


def test_a_far_page_is_reached_by_its_number(signed_in, user, make):
    version = make.version(user, count=130)
    page = signed_in.get(f"/data/{version.dataset_id}/?page=4").text
    assert 'max="7"' in page and 'value="4"' in page


def test_deleting_asks_first(signed_in, user, make):
    url = f"/data/{make.version(user).dataset_id}/delete/"
    assert "되돌릴 수 없습니다" in signed_in.get(url).text
    assert Dataset.objects.exists()
    assert signed_in.post(url).url == "/data/"
    assert not Dataset.objects.exists()


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled"])
def test_data_that_a_job_used_stays_and_the_job_is_named(signed_in, user, make, status):
    version = make.version(user)
    job = make.job(user, version, status=status)
    url = f"/data/{version.dataset_id}/delete/"
    for page in (signed_in.get(url).text, signed_in.get(f"/data/{version.dataset_id}/").text):
        assert "지금은 삭제할 수 없습니다" in page and "취소되었거나 실패한 학습도" in page
        assert f'href="/models/{job.pk}/"' in page and "그대로 두기" not in page
    assert signed_in.post(url).status_code == 422
    assert Dataset.objects.exists()


@pytest.mark.parametrize("part", ["", "delete/"])
def test_other_peoples_data_is_not_there(signed_in, stranger, make, part):
    url = f"/data/{make.version(stranger).dataset_id}/{part}"
    assert signed_in.get(url).status_code == 404
    assert signed_in.post(f"{url}").status_code in (404, 405)
    assert Dataset.objects.exists()


def unread(make, owner, name: str) -> DatasetVersion:
    version = make.version(owner, name=name, count=0)
    version.status, version.error = "failed", {"code": "file_is_page", "params": {}}
    version.save()
    return version


@pytest.fixture
def failed(user, stranger, make) -> list[DatasetVersion]:
    """Two that could not be read, and beside them all that must stay."""
    make.job(user, unread(make, user, "시작한.jsonl"), status="failed")
    half = unread(make, user, "다시 읽은.jsonl")
    DatasetVersion.objects.create(dataset=half.dataset, number=2, status="ready")
    make.version(user, name="좋은.jsonl")
    unread(make, stranger, "남의.jsonl")
    return [unread(make, user, "가.html"), unread(make, user, "나.html")]


def test_what_could_not_be_read_is_deleted_at_once_after_a_question(
    signed_in, failed, django_capture_on_commit_callbacks
):
    assert "읽지 못한 데이터 지우기 (2)" in signed_in.get("/data/").text
    page = signed_in.get("/data/unreadable/").text
    assert "가.html" in page and "나.html" in page and "되돌릴 수 없습니다" in page
    for name in ("시작한", "다시 읽은", "좋은", "남의"):
        assert f"{name}.jsonl" not in page
    assert Dataset.objects.count() == 6
    with django_capture_on_commit_callbacks(execute=True):
        assert signed_in.post("/data/unreadable/").url == "/data/"
    kept = set(Dataset.objects.values_list("name", flat=True))
    assert kept == {"시작한.jsonl", "다시 읽은.jsonl", "좋은.jsonl", "남의.jsonl"}
    assert not any(versions.folder(version).exists() for version in failed)


def test_a_draft_that_chose_unreadable_data_loses_only_the_data(signed_in, user, failed, make):
    draft = make.job(user, failed[0], status="draft")
    signed_in.post("/data/unreadable/")
    draft.refresh_from_db()
    assert draft.version is None


def test_one_that_could_not_be_read_needs_no_button_of_its_own(signed_in, user, make):
    unread(make, user, "가.html")
    assert "읽지 못한 데이터 지우기" not in signed_in.get("/data/").text
