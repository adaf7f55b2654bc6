"""The playground's pages, with and without an engine."""

import json

import pytest
from django.urls import reverse

from playground import conversations, homes, presets
from playground.models import Conversation
from playground.parameters import Parameters

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("tiny_catalogue")]


@pytest.fixture
def mine(client, user):
    client.force_login(user)
    return client


@pytest.fixture
def conversation(user):
    made = conversations.create(user, "base:tiny")
    asked = conversations.say(made, "<b>안녕</b>")
    conversations.answer(made, asked, "반갑습니다", {"completion_tokens": 5, "seconds": 2.0})
    return made


def test_the_empty_page_offers_a_first_question(mine, user):
    page = mine.get(reverse("playground")).content.decode()
    assert "첫 질문을 보내 보세요" in page
    assert f'value="{homes.choices(user).first}" selected' in page


def test_the_newest_conversation_opens(mine, conversation):
    answer = mine.get(reverse("playground"))
    assert answer.url == reverse("conversation", args=[conversation.pk])
    page = mine.get(answer.url).content.decode()
    assert "&lt;b&gt;안녕&lt;/b&gt;" in page
    assert "AI가 생성한 답변" in page
    assert "초당 2.5토큰" in page


def test_a_model_in_the_address_begins_a_new_conversation_with_it(mine, conversation, tuned):
    page = mine.get(reverse("playground"), {"model": f"tuned:{tuned.pk}"}).content.decode()
    assert f'value="tuned:{tuned.pk}" selected' in page
    assert "첫 질문을 보내 보세요" in page


def test_a_model_that_is_gone_is_said_and_replaced(mine, user):
    made = conversations.create(user, "tuned:gone")
    page = mine.get(reverse("conversation", args=[made.pk])).content.decode()
    assert "다른 모델을 골라 두었습니다" in page


def test_a_page_without_inline_script_or_style(mine, conversation):
    page = mine.get(reverse("conversation", args=[conversation.pk])).content.decode()
    assert "<style" not in page and " style=" not in page and " onclick=" not in page
    assert "<script>" not in page


def test_strangers_get_404(client, conversation):
    from studio.models import User

    client.force_login(User.objects.create_user("stranger"))
    for name in ("conversation", "conversation-delete", "conversation-rename"):
        url = reverse(name, args=[conversation.pk])
        answer = client.get(url) if name == "conversation" else client.post(url, {"title": "x"})
        assert answer.status_code == 404
    conversation.refresh_from_db()
    assert conversation.title == "<b>안녕</b>"


def test_new_answers_the_chat_page_with_an_address(mine):
    answer = mine.post(
        reverse("conversation-new"), {"model": "base:tiny"}, headers={"accept": "application/json"}
    )
    assert answer.status_code == 201
    assert Conversation.objects.get().pk == answer.json()["id"]


def test_new_refuses_a_model_that_is_not_there(mine):
    answer = mine.post(
        reverse("conversation-new"), {"model": "tuned:x"}, headers={"accept": "application/json"}
    )
    assert answer.status_code == 422
    assert not Conversation.objects.exists()


def test_delete_and_rename(mine, conversation):
    mine.post(reverse("conversation-rename", args=[conversation.pk]), {"title": "인사"})
    conversation.refresh_from_db()
    assert conversation.title == "인사"
    mine.post(reverse("conversation-delete", args=[conversation.pk]))
    assert not Conversation.objects.exists()


def test_without_an_engine_the_page_says_so_and_stands(mine, settings):
    settings.ENGINE_SOCKET = ""
    page = mine.get(reverse("playground")).content.decode()
    assert "엔진" in page


@pytest.mark.django_db(transaction=True)
def test_load_and_unload_by_fragment(mine, engine):
    fragment = mine.post(
        reverse("playground-load"), {"model": "base:tiny"}, headers={"hx-request": "true"}
    ).content.decode()
    assert "load-state" in fragment
    engine.settled("base:tiny")
    fragment = mine.get(reverse("playground-state"), {"model": "base:tiny"}).content.decode()
    assert "로드됨" in fragment and "every 1s" not in fragment
    goal = reverse("models")
    answer = mine.post(reverse("playground-unload"), {"model": "base:tiny", "next": goal})
    assert answer.url == goal
    assert engine.models() == {}


def test_next_never_leads_away(mine, engine):
    answer = mine.post(
        reverse("playground-unload"), {"model": "base:tiny", "next": "https://evil.example/"}
    )
    assert answer.url == reverse("playground")


def test_another_users_model_can_be_neither_loaded_nor_seen(client, tuned, engine):
    from studio.models import User

    client.force_login(User.objects.create_user("stranger"))
    name = f"tuned:{tuned.pk}"
    for verb in ("playground-load", "playground-unload"):
        assert client.post(reverse(verb), {"model": name}).status_code == 404
    assert client.get(reverse("playground-state"), {"model": name}).status_code == 404
    assert engine.models() == {}


def test_a_new_conversation_begins_as_the_models_kind_of_work_asks(mine, tuned):
    from training.models import Job

    name = f"tuned:{tuned.pk}"
    plain = mine.get(reverse("playground"), {"model": name}).content.decode()
    assert (
        'name="temperature" type="number" min="0" max="2" step="0.1" inputmode="decimal" value="0.7"'
        in plain
    )
    Job.objects.update(work="classify")
    page = mine.get(reverse("playground"), {"model": name}).content.decode()
    assert 'step="0.1" inputmode="decimal" value="0"' in page
    assert 'inputmode="numeric" value="64"' in page and "하는 일(분류)에 맞추어" in page
    mine.post(reverse("conversation-new"), {"model": name})
    begun = Conversation.objects.get()
    assert begun.parameters == Parameters(0, 1, 64).as_dict()


def test_what_was_used_last_stays_in_a_conversation_that_was_begun(mine, tuned, user):
    from training.models import Job

    Job.objects.update(work="classify")
    begun = conversations.create(user, f"tuned:{tuned.pk}")
    conversations.settle(begun, begun.model, Parameters(temperature=1.5), "")
    page = mine.get(reverse("conversation", args=[begun.pk])).content.decode()
    assert 'inputmode="decimal" value="1.5"' in page and "하는 일(분류)" not in page


def test_settings_are_kept_under_a_name_and_given_back(mine, user):
    values = {
        "name": "상담 말투", "system_prompt": "짧게 답해", "temperature": "0.2", "top_p": "0.9",
        "max_tokens": "64", "repetition_penalty": "1.1", "stops": "끝\n↵↵", "seed": "7",
    }  # fmt: skip
    page = mine.post(reverse("preset-keep"), values).text
    assert "상담 말투" in page and "selected" in page
    kept = user.presets.get()
    expected = Parameters(0.2, 0.9, 64, 1.1, ("끝", "\n\n"), 7)
    assert Parameters.parse(kept.parameters) == expected
    [choice] = presets.kept(user)
    assert json.loads(choice.json)["stops"] == "끝\n↵↵"
    mine.post(reverse("preset-keep"), values | {"temperature": "0"})
    assert user.presets.get().parameters["temperature"] == 0
    assert "상담 말투" in mine.get(reverse("playground")).text
    assert "상담 말투" not in mine.post(reverse("preset-delete"), {"preset": kept.pk}).text


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": " "}, "이름이 비어"),
        ({"name": "a", "temperature": "9"}, "범위를 벗어"),
        ({"name": "a", "stops": "1\n2\n3\n4\n5"}, "멈출 말"),
        ({"name": "a", "system_prompt": "x" * 20_001}, "시스템 프롬프트가"),
    ],
)
def test_a_preset_that_cannot_be_kept_says_why(mine, user, values, said):
    answer = mine.post(reverse("preset-keep"), values)
    assert answer.status_code == 422 and said in answer.text
    assert not user.presets.exists()


def test_presets_have_a_limit_and_an_owner(mine, user, monkeypatch):
    from studio.models import User

    monkeypatch.setattr(presets, "MOST", 1)
    other = presets.keep(User.objects.create_user("other"), "남의 것", "", Parameters())
    presets.keep(user, "내 것", "", Parameters())
    assert "1개까지" in mine.post(reverse("preset-keep"), {"name": "또"}).text
    assert mine.post(reverse("preset-delete"), {"preset": other.pk}).status_code == 404
    assert "남의 것" not in mine.get(reverse("playground")).text


def test_an_administrator_without_a_model_is_led_to_the_base_models(mine, user, settings):
    settings.MODELS = settings.BUILTIN_MODEL = settings.DATA / "none"
    assert "관리자에게 기본 모델을" in mine.get(reverse("playground")).text
    user.is_staff = True
    user.save()
    page = mine.get(reverse("playground")).text
    assert "관리자에게 기본 모델을" not in page and "먼저 «기본 모델»에서" in page


class TestEngineAway:
    @pytest.fixture
    def away(self, settings, tmp_path):
        settings.ENGINE_SOCKET = str(tmp_path / "nobody.sock")

    def test_the_page_looks_for_it_again_by_itself(self, mine, away):
        page = mine.get(reverse("playground-state"), {"model": "base:tiny"}).text
        assert "엔진" in page and "away=1" in page and "every 5s" in page

    def test_nothing_is_said_twice_while_it_stays_away(self, mine, away):
        answer = mine.get(reverse("playground-state"), {"model": "base:tiny", "away": "1"})
        assert answer.status_code == 204

    def test_its_return_is_shown(self, mine, engine):
        page = mine.get(reverse("playground-state"), {"model": "base:tiny", "away": "1"}).text
        assert "load-state" in page and "every 5s" not in page


def test_a_branch_is_shown_where_one_goes_back_to_it(mine, conversation):
    question = conversations.turns(conversation)[0].message
    conversations.answer(conversation, question, "또 다른 답", {})
    page = mine.get(f"/playground/{conversation.pk}/").content.decode()
    assert "또 다른 답" in page and "반갑습니다" not in page and "2/2" in page
    first = conversations.turns(conversation)[1].before
    assert mine.post(f"/playground/{conversation.pk}/go/", {"message": first}).status_code == 204
    assert "반갑습니다" in mine.get(f"/playground/{conversation.pk}/").content.decode()
    for nonsense in ("", "x", "-1", "9" * 30):
        answer = mine.post(f"/playground/{conversation.pk}/go/", {"message": nonsense})
        assert answer.status_code == 422


def test_an_answer_is_rated(mine, conversation):
    answer = conversations.turns(conversation)[1].message
    form = {"message": answer.pk, "rating": "-1"}
    assert mine.post(f"/playground/{conversation.pk}/rate/", form).status_code == 204
    page = mine.get(f"/playground/{conversation.pk}/").content.decode()
    assert 'value="-1" aria-pressed="true"' in page


def test_a_conversation_is_exported_to_read_and_to_train(mine, conversation):
    conversations.settle(conversation, "base:tiny", Parameters(), "짧게")
    there = f"/playground/{conversation.pk}/export/"
    told = mine.get(there + "markdown/")
    assert told.content.decode().startswith("# <b>안녕</b>\n")
    assert "AI가 생성한 답변" in told.content.decode()
    assert "attachment" in told["Content-Disposition"]
    line = json.loads(mine.get(there + "jsonl/").content)
    assert [one["role"] for one in line["messages"]] == ["system", "user", "assistant"]
    assert mine.get(there + "exe/").status_code == 404


def test_conversations_are_found_by_what_was_said(mine, conversation):
    assert "반갑" in mine.get("/playground/?q=반갑").content.decode()
    assert str(conversation.pk) in mine.get("/playground/?q=반갑").content.decode()
    assert str(conversation.pk) not in mine.get("/playground/?q=없는말").content.decode()
