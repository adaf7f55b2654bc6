"""The data report on pages: in the wizard, on the dataset's page, by itself; and its buttons."""

import re

import pytest

from tests.datasets import planted
from training import drafts, runs
from training.chat import Example, Message
from training.datasets import editing, reports, segments, store, versions
from training.models import DataReport, Dataset, DatasetVersion, Job

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def dataset(user, make) -> Dataset:
    """Thirty clean rows, one of them twice, one with a telephone number, one that tries to be HTML."""
    version = make.version(user)
    rows = [(row["prompt"], row["completion"]) for row in planted.clean(30)]
    rows += [
        rows[4],
        ("연락처는요", "010-2345-6789로 전화하십시오."),
        ("<script>x()</script>", "null"),
    ]
    with segments.Writer(versions.folder(version)) as writer:
        for question, answer in rows:
            writer.add(Example((Message("user", question), Message("assistant", answer))))
    version.example_count = len(rows)
    version.fingerprint = store.fingerprint(versions.folder(version))
    version.save()
    return version.dataset


def check(dataset: Dataset) -> DataReport:
    made = reports.of(versions.newest(dataset))
    runs.check(str(made.pk))
    made.refresh_from_db()
    assert made.status == "ready", made.error
    return made


def cure(client, dataset: Dataset, key: str, how: str, **more):
    seen = versions.newest(dataset).fingerprint
    sent = {"key": key, "how": how, "seen": seen} | more
    return client.post(f"/data/{dataset.pk}/cure/", sent)


def mask(client, dataset: Dataset, key: str):
    """Mask, and write the version as a worker does."""
    answer = cure(client, dataset, key, "mask")
    runs.read(versions.newest(dataset).pk)
    return answer


def test_the_page_follows_the_check_and_then_shows_it(signed_in, dataset):
    url = f"/data/{dataset.pk}/"
    page = signed_in.get(url).text
    assert f'hx-get="{url}report/?version=1&amp;next=' in page and "살펴보고 있습니다" in page
    DataReport.objects.update(status="checking", done_rows=10, total_rows=33, token="t")
    polled = signed_in.get(f"{url}report/?next={url}", headers=HTMX).text
    assert "예제 33개 가운데 10개" in polled and "<h1" not in polled
    DataReport.objects.update(status="waiting", token="")
    check(dataset)
    page = signed_in.get(url).text
    assert "똑같은 예제가 되풀이됩니다: 1개." in page and "하나씩만 남기기" in page
    assert f'hx-get="{url}report/' not in page


def test_examples_of_a_finding_are_shown_escaped_and_personal_data_masked(signed_in, dataset):
    check(dataset)
    page = signed_in.get(f"/data/{dataset.pk}/report/").text
    assert "<script>x()" not in page and "&lt;script&gt;x()" in page
    assert "휴대전화 번호가 든 예제가 있습니다: 1개." in page
    assert "010-" in page and "2345" not in page


def test_a_cure_is_a_new_version_with_a_way_back(signed_in, dataset):
    check(dataset)
    answer = cure(signed_in, dataset, "duplicates", "keep_one")
    assert answer.status_code == 302 and answer.url == f"/data/{dataset.pk}/#report"
    page = signed_in.get(answer.url).text
    assert "고쳤습니다. 똑같은 예제: 1개 뺌. 2판, 예제 32개." in page
    assert f'action="/data/{dataset.pk}/versions/1/"' in page
    assert page.count("똑같은 예제: 1개 뺌") == 2  # in the list of versions too
    signed_in.post(f"/data/{dataset.pk}/versions/1/")
    assert (versions.newest(dataset).number, versions.newest(dataset).example_count) == (3, 33)
    page = signed_in.get(answer.url).text
    assert "고쳤습니다" not in page and "1판의 예제로 되돌림" in page


def test_masking_offers_to_purge_what_is_left_of_it(signed_in, dataset):
    check(dataset)
    answer = mask(signed_in, dataset, "personal_mobile")
    page = signed_in.get(answer.url).text
    assert f'href="/data/{dataset.pk}/purge/"' in page
    assert "이전 판에 남아 있을 수 있습니다" in page


def test_edits_by_hand_after_a_cure_are_a_version_of_their_own(signed_in, dataset):
    """Taking the cure back must not take them too."""
    check(dataset)
    cure(signed_in, dataset, "duplicates", "keep_one")
    editing.remove(dataset, [0])
    assert versions.newest(dataset).number == 3
    assert "고쳤습니다" not in signed_in.get(f"/data/{dataset.pk}/").text


def test_all_personal_data_is_masked_with_one_press(signed_in, dataset):
    editing.add(dataset, [Example((Message("user", "메일"), Message("assistant", "mina@example.com으로 보내세요. 010-1234-5678")))])  # fmt: skip
    check(dataset)
    assert "한꺼번에 가리기" in signed_in.get(f"/data/{dataset.pk}/").text
    mask(signed_in, dataset, "personal")
    said = [one.messages[1].content for one in versions.examples(versions.newest(dataset), 0, 99)]
    assert not any("010-" in text or "@" in text for text in said)
    check(dataset)
    assert "개인정보: 2개 고침" in signed_in.get(f"/data/{dataset.pk}/").text


def test_a_cure_that_leaves_too_few_says_so_before(signed_in, dataset, settings):
    settings.MIN_EXAMPLES = 33
    check(dataset)
    page = signed_in.get(f"/data/{dataset.pk}/").text
    assert "예제가 32개 남아 학습을 시작할 수 없게 됩니다" in page


def test_a_purge_takes_the_lines_that_could_not_be_used(
    signed_in, dataset, django_capture_on_commit_callbacks
):
    version = versions.newest(dataset)
    place = versions.folder(version) / "problems.jsonl"
    place.write_text('{"line": 1, "code": "answer_empty", "params": {}, "row": "010-2345-6789"}\n')
    DatasetVersion.objects.update(problem_count=1)
    with django_capture_on_commit_callbacks(execute=True):
        signed_in.post(f"/data/{dataset.pk}/purge/")
    assert not place.exists()
    assert "쓰지 못한 줄 1개" not in signed_in.get(f"/data/{dataset.pk}/").text


def test_a_cure_of_what_changed_meanwhile_is_refused_in_words(signed_in, dataset):
    check(dataset)
    seen = versions.newest(dataset).fingerprint
    editing.remove(dataset, [0])
    answer = cure(signed_in, dataset, "duplicates", "keep_one", seen=seen)
    assert answer.status_code == 422 and "점검한 뒤로 데이터가 바뀌었습니다" in answer.text
    assert versions.newest(dataset).example_count == 32


def test_the_rows_of_a_finding_are_shown_by_themselves(signed_in, dataset):
    check(dataset)
    page = signed_in.get(f"/data/{dataset.pk}/?finding=broken").text
    assert re.findall(r'id="row-(\d+)"', page) == ["33"]
    assert "비었거나 부호뿐인 답변이 있습니다: 1개." in page
    everything = signed_in.get(f"/data/{dataset.pk}/?finding=nonsense").text
    assert len(re.findall(r'id="row-(\d+)"', everything)) == 20


def test_rows_of_a_finding_that_were_removed_meanwhile_are_not_shown(signed_in, dataset):
    check(dataset)
    editing.remove(dataset, [32])
    page = signed_in.get(f"/data/{dataset.pk}/?finding=broken")
    assert page.status_code == 200 and len(re.findall(r'id="row-(\d+)"', page.text)) == 20


def test_a_check_that_failed_is_said_and_can_be_ordered_again(signed_in, dataset):
    made = reports.of(versions.newest(dataset))
    DataReport.objects.update(status="failed", error={"code": "check_crashed", "params": {}})
    page = signed_in.get(f"/data/{dataset.pk}/").text
    assert "여러 번 멈췄습니다" in page
    assert signed_in.post(f"/data/{dataset.pk}/check/").status_code == 302
    made.refresh_from_db()
    assert made.status == "waiting"


def test_data_that_can_not_be_read_has_no_report(signed_in, dataset):
    DatasetVersion.objects.update(status="failed", error={"code": "file_empty", "params": {}})
    assert signed_in.get(f"/data/{dataset.pk}/report/").status_code == 200
    assert not DataReport.objects.exists()


def test_the_rows_of_a_finding_are_still_there_while_they_are_checked_anew(signed_in, dataset):
    """The second edit of an open version left the old findings beside the new fingerprint: the page
    took them for true and could not be shown."""
    editing.remove(dataset, [0])
    check(dataset)
    editing.remove(dataset, [1])
    page = signed_in.get(f"/data/{dataset.pk}/?finding=broken")
    assert page.status_code == 200 and "살펴보고 있습니다" in page.text


def test_what_is_shown_of_a_row_hides_a_number_that_its_question_names(signed_in, dataset):
    said = ("제 계좌번호가 뭐예요?", "110-123-456789입니다.")
    editing.add(dataset, [Example((Message("user", said[0]), Message("assistant", said[1])))])
    check(dataset)
    page = signed_in.get(f"/data/{dataset.pk}/report/").text
    assert "계좌번호가 든 예제가 있습니다" in page and "456789" not in page


# --- the wizard -----------------------------------------------------------------------------------
def test_step_three_shows_the_report_and_goes_on_with_the_cured_version(
    signed_in, user, dataset, base
):
    check(dataset)
    signed_in.post("/train/new/", {"version": versions.newest(dataset).pk})
    here = f"/train/{Job.objects.get().pk}/data/"
    assert "똑같은 예제가 되풀이됩니다: 1개." in signed_in.get(here).text
    answer = cure(signed_in, dataset, "duplicates", "keep_one", next=here)
    assert answer.url == f"{here}#report"
    assert Job.objects.get().version == versions.newest(dataset)
    assert "고쳤습니다. 똑같은 예제: 1개 뺌. 2판" in signed_in.get(answer.url).text


def test_where_personal_data_is_forbidden_the_start_waits_for_the_check(
    signed_in, user, dataset, base, settings
):
    settings.PERSONAL_DATA, settings.MIN_EXAMPLES = "block", 5
    signed_in.post("/train/new/", {"version": versions.newest(dataset).pk})
    job = Job.objects.get()
    Job.objects.update(name="이름")
    here = f"/train/{job.pk}/summary/?start=1"
    page = signed_in.get(here, headers=HTMX).text
    assert (
        "개인정보가 있는지 점검하고 있습니다" in page
        and f'hx-get="/train/{job.pk}/summary/' in page
    )
    check(dataset)
    page = signed_in.get(here, headers=HTMX).text
    assert "개인정보가 든 예제가 1개 있습니다" in page
    assert signed_in.post(f"/train/{job.pk}/start/").status_code == 422
    mask(signed_in, dataset, "personal_mobile")
    check(dataset)
    assert "개인정보" not in signed_in.get(here, headers=HTMX).text


def test_the_summary_tells_of_faults_before_the_start(signed_in, user, dataset, base):
    check(dataset)
    signed_in.post("/train/new/", {"version": versions.newest(dataset).pk})
    page = signed_in.get(f"/train/{Job.objects.get().pk}/data/").text
    assert "데이터 점검에서 고칠 점 2가지를 찾았습니다" in page


def test_a_cure_leads_to_no_other_site(signed_in, dataset):
    check(dataset)
    answer = cure(signed_in, dataset, "duplicates", "keep_one", next="https://example.org/")
    assert answer.url.startswith(f"/data/{dataset.pk}/")


def test_english_has_the_report_too(signed_in, dataset):
    check(dataset)
    page = signed_in.get(f"/data/{dataset.pk}/report/", headers={"Accept-Language": "en"}).text
    assert "Copies of other examples: 1." in page


def test_a_cure_that_a_worker_writes_ends_with_its_way_back(signed_in, dataset, base):
    check(dataset)
    signed_in.post("/train/new/", {"version": versions.newest(dataset).pk})
    here = f"/train/{Job.objects.get().pk}/"
    answer = cure(signed_in, dataset, "personal_mobile", "mask", next=f"{here}data/")
    page = signed_in.get(answer.url).text
    polled = re.search(f'hx-get="({here}[^"]*)"', page)
    assert polled and "고친 예제를 2판으로 쓰고 있습니다." in page
    assert "쓰고 있습니다" in signed_in.get(polled[1], headers=HTMX).text
    runs.read(versions.newest(dataset).pk)
    for page in (signed_in.get(polled[1], headers=HTMX), signed_in.get(answer.url)):
        assert "고쳤습니다. 휴대전화 번호: 1개 고침. 2판" in page.text
        assert "원본과 이전 판 지우기" in page.text


def test_a_cure_that_could_not_be_written_is_said_and_can_be_taken_back(signed_in, dataset):
    """The disk was full: the page said that all was mended, with no examples."""
    check(dataset)
    answer = cure(signed_in, dataset, "personal_mobile", "mask")
    failed = {"status": "failed", "error": {"code": "disk_full", "params": {}}}
    DatasetVersion.objects.filter(pk=versions.newest(dataset).pk).update(**failed)
    page = signed_in.get(answer.url).text
    assert "고친 예제를 쓰지 못했습니다" in page
    assert "고쳤습니다" not in page and "남아 있습니다" not in page
    signed_in.post(f"/data/{dataset.pk}/versions/1/")
    latest = versions.newest(dataset)
    assert (latest.status, latest.example_count) == ("ready", 33)


def test_a_draft_with_an_earlier_version_shows_its_own_report_and_no_cures(
    signed_in, dataset, make, base
):
    """A job that is repeated keeps the version that it was trained with."""
    first = versions.newest(dataset)
    check(dataset)
    started = make.job(dataset.owner, first)
    editing.remove(dataset, [30])
    draft = drafts.retry(started)
    page = signed_in.get(f"/train/{draft.pk}/data/").text
    assert "똑같은 예제가 되풀이됩니다: 1개." in page
    assert f"/data/{dataset.pk}/cure/" not in page and "더 새로운 판이 있어서" in page
    check(dataset)
    asked = {
        number: signed_in.get(f"/data/{dataset.pk}/report/?version={number}", headers=HTMX).text
        for number in (1, 2)
    }
    assert "되풀이됩니다: 1개." in asked[1] and "되풀이됩니다" not in asked[2]
