"""An answer that was mended while talking becomes an example, and the data tells where it came from."""

import pytest

from playground import conversations
from training.chat import Example, Message
from training.datasets import store, versions
from training.datasets.holding import newest

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("base")]


@pytest.fixture
def talk(user):
    made = conversations.create(user, "base:tiny", "짧게 답하세요.")
    for number in (1, 2):
        asked = conversations.say(made, f"물음 {number}")
        conversations.answer(made, asked, f"틀린 답 {number}", {})
    return made


def answer_of(talk, place: int):
    return conversations.turns(talk)[place].message.pk


def test_a_mended_answer_is_a_row_with_the_talk_before_it(signed_in, user, make, talk):
    dataset = make.version(user, name="안내.jsonl").dataset
    place = f"/playground/{talk.pk}/mend/"
    page = signed_in.get(place, {"message": answer_of(talk, 3)}).text
    assert "틀린 답 2" in page and "안내.jsonl" in page and "물음 1" in page
    form = {"message": answer_of(talk, 3), "answer": "바른 답", "dataset": dataset.pk}
    assert signed_in.post(place, form).url == f"/playground/{talk.pk}/"
    version = newest(dataset)
    assert version.is_open and version.example_count == 41
    *_, last = store.examples(versions.folder(version), 0, 41)
    assert last == Example((
        Message("system", "짧게 답하세요."), Message("user", "물음 1"),
        Message("assistant", "틀린 답 1"), Message("user", "물음 2"), Message("assistant", "바른 답"),
    ))  # fmt: skip
    shown = signed_in.get(f"/data/{dataset.pk}/?page=3").text
    assert shown.count("대화에서 고친 답변") == 1
    assert f'href="/playground/{talk.pk}/"' in shown


def test_an_empty_answer_is_refused_and_stays_written(signed_in, user, make, talk):
    dataset = make.version(user).dataset
    form = {"message": answer_of(talk, 1), "answer": " ", "dataset": dataset.pk}
    answer = signed_in.post(f"/playground/{talk.pk}/mend/", form)
    assert answer.status_code == 422
    assert not newest(dataset).is_open


def test_nobody_elses_data_and_no_question_is_mended(signed_in, user, stranger, make, talk):
    place, theirs = f"/playground/{talk.pk}/mend/", make.version(stranger).dataset
    form = {"message": answer_of(talk, 1), "answer": "답", "dataset": theirs.pk}
    assert signed_in.post(place, form).status_code == 404
    assert signed_in.get(place, {"message": answer_of(talk, 0)}).status_code == 404


def test_without_data_the_page_leads_to_the_upload(signed_in, talk):
    page = signed_in.get(f"/playground/{talk.pk}/mend/", {"message": answer_of(talk, 1)}).text
    assert 'href="/data/new/"' in page
