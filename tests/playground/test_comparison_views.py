"""The pages of comparisons, without an engine."""

import pytest
from django.urls import reverse

from playground import comparisons
from playground.comparisons import Question
from playground.models import Comparison
from playground.parameters import Parameters
from training.errors import UserError

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("tiny_catalogue")]
HTMX = {"hx-request": "true"}


@pytest.fixture
def mine(client, user):
    client.force_login(user)
    return client


@pytest.fixture
def names(tuned) -> list[str]:
    return ["base:tiny", f"tuned:{tuned.pk}"]


@pytest.fixture
def begin(user, names):
    def begin(is_blind: bool = False, *texts: str, text: str = "<b>날씨</b>는?") -> Comparison:
        made = comparisons.create(user, names, Question(text, "", Parameters(), is_blind))
        comparisons.begin(made, 1)
        replies = made.rounds.get().replies.all()
        for reply, said in zip(replies, texts or ("<i>비</i>", "눈"), strict=True):
            usage = {"completion_tokens": 5, "seconds": 2.0}
            comparisons.keep(reply, said, usage, None)
        return made

    return begin


def address(name: str, made: Comparison, *more: object) -> str:
    return reverse(f"playground-{name}", args=[made.pk, *more])


def test_the_form_begins_with_a_model_and_its_base(mine, names):
    page = mine.get(reverse("playground-compare"), {"model": names[1]}).content.decode()
    assert page.count("selected>") == 2
    assert f'value="{names[0]}" selected' in page and f'value="{names[1]}" selected' in page
    assert "쓰지 않음" in page


def test_a_comparison_begins_and_waits_for_a_listener(mine, names):
    form = {"model": [*names, "", ""], "text": "날씨는?", "blind": "1", "temperature": "0"}
    answer = mine.post(reverse("playground-compare"), form)
    made = Comparison.objects.get()
    assert answer.url == address("comparison", made)
    assert made.parameters["temperature"] == 0
    page = mine.get(answer.url).content.decode()
    assert "data-waits" in page and "날씨는?" in page


def test_what_was_filled_in_is_still_there_when_it_is_refused(mine, names):
    form = {"model": [names[0], names[0], "", ""], "text": "날씨는?", "top_p": "0.5", "blind": "1"}
    answer = mine.post(reverse("playground-compare"), form)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "같은 모델을 두 번 골랐습니다" in page
    assert (
        "날씨는?" in page
        and 'value="0.5"' in page
        and 'value="1" aria-describedby="blind-help" checked' in page
    )
    assert not Comparison.objects.exists()


def test_an_earlier_comparison_is_where_another_begins(mine, begin, names):
    made = begin(True)
    page = mine.get(reverse("playground-compare"), {"from": made.pk}).content.decode()
    assert page.index(names[0] + '" selected') < page.index(names[1] + '" selected')


def test_the_page_shows_all_replies_as_text(mine, begin):
    page = mine.get(address("comparison", begin())).content.decode()
    assert "&lt;b&gt;날씨&lt;/b&gt;" in page and "&lt;i&gt;비&lt;/i&gt;" in page
    assert "상담" in page and "초당 2.5토큰" in page and "AI가 생성한 답변" in page
    assert "<style" not in page and " style=" not in page and " onclick=" not in page


def test_names_are_nowhere_before_the_vote_and_there_after(mine, begin, names):
    made = begin(True)
    comparisons.keep(
        made.rounds.get().replies.first(), "", {}, UserError("base_missing", slug="tiny")
    )
    ways = (
        address("comparison", made), address("comparison-round", made, 1),
        address("comparison-export", made), reverse("playground-compare-export"),
    )  # fmt: skip
    secrets = ("상담", "tiny", *names)
    for way in ways:
        page = mine.get(way).content.decode()
        assert not [secret for secret in secrets if secret in page], way
        assert "가" in page
    voted = mine.post(
        address("comparison-vote", made, 1), {"vote": "best:1"}, headers=HTMX
    ).content.decode()
    assert "상담" in voted and "tiny" in voted and 'id="standings"' in voted
    for way in ways:
        assert "상담" in mine.get(way).content.decode()


def test_a_vote_by_a_plain_form_leads_back(mine, begin):
    made = begin()
    answer = mine.post(address("comparison-vote", made, 1), {"vote": "tie"})
    assert answer.url == address("comparison", made)
    assert "투표했습니다: 비슷해요" in mine.get(answer.url).content.decode()


def test_a_second_vote_on_hidden_names_is_refused_in_words(mine, begin):
    made = begin(True)
    for status in (200, 422):
        answer = mine.post(address("comparison-vote", made, 1), {"vote": "tie"}, headers=HTMX)
        assert answer.status_code == status
    assert "한 번만" in answer.content.decode()


def test_asking_on_brings_the_new_round_alone(mine, begin):
    made = begin()
    answer = mine.post(address("comparison-ask", made), {"text": "내일은?"}, headers=HTMX)
    page = answer.content.decode()
    assert 'id="round-2"' in page and "data-waits" in page and "round-1" not in page
    assert mine.post(address("comparison-ask", made), {"text": "모레는?"}).status_code == 302


def test_asking_again_sets_the_round_aside(mine, begin):
    made = begin(text="날씨는?")
    answer = mine.post(address("comparison-ask", made), {"again": "1", "text": ""}, headers=HTMX)
    page = answer.content.decode()
    assert page.index('id="round-2"') < page.index('id="round-1"')
    assert 'hx-swap-oob="true"' in page and "아래에서 다시 물었습니다" in page
    assert made.rounds.get(number=2).question == "날씨는?"


def test_a_question_that_is_refused_is_told_where_it_was_typed(mine, begin):
    made = begin()
    answer = mine.post(address("comparison-ask", made), {"text": " "}, headers=HTMX)
    assert (answer.status_code, answer["HX-Retarget"]) == (422, "#compare-problem")
    assert mine.post(address("comparison-ask", made), {"again": "9"}).status_code == 404


def test_past_comparisons_are_listed_with_their_questions(
    mine, begin, django_assert_max_num_queries
):
    for number in range(5):
        comparisons.ask(begin(text=f"질문 {number}"), Question("또?", "", Parameters(), False))
    with django_assert_max_num_queries(14):
        page = mine.get(reverse("playground-compare")).content.decode()
    assert all(f"질문 {number}" in page for number in range(5))
    assert page.count("또?") == 5


def test_a_table_for_excel_in_which_nothing_runs(mine, begin):
    made = begin(False, "=1+1", "눈")
    answer = mine.get(address("comparison-export", made))
    text = answer.content.decode()
    assert text.startswith("\ufeff질문,모델,") and "'=1+1" in text
    assert answer["Content-Type"].startswith("text/csv")
    assert ".csv" in answer["Content-Disposition"]


def test_delete(mine, begin):
    mine.post(address("comparison-delete", begin()))
    assert not Comparison.objects.exists()


def test_strangers_get_404_and_see_nothing(client, begin):
    from studio.models import User

    made = begin()
    client.force_login(User.objects.create_user("stranger"))
    assert client.get(address("comparison", made)).status_code == 404
    assert client.get(address("comparison-round", made, 1)).status_code == 404
    assert client.get(address("comparison-export", made)).status_code == 404
    for name in ("ask", "delete"):
        assert client.post(address(f"comparison-{name}", made), {"text": "x"}).status_code == 404
    assert client.post(address("comparison-vote", made, 1), {"vote": "tie"}).status_code == 404
    assert "날씨" not in client.get(reverse("playground-compare")).content.decode()
    assert "날씨" not in client.get(reverse("playground-compare-export")).content.decode()
    foreign = client.get(reverse("playground-compare"), {"from": made.pk}).content.decode()
    assert "상담" not in foreign
    assert made.rounds.get().vote == ""


def test_the_page_of_a_tuned_model_leads_here(mine, tuned):
    page = mine.get(reverse("model", args=[tuned.job_id])).content.decode()
    assert f"{reverse('playground-compare')}?model=tuned:{tuned.pk}" in page
