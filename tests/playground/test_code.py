"""A conversation as code: what a shell and Python read is exactly what the page would send."""

import ast
import json
import shlex

import pytest
from django.urls import reverse

from playground import conversations, views
from playground.code import Call, curl, python
from playground.parameters import Parameters
from training.chat import Message

AWKWARD = "따옴표 ' \" ` $HOME $(id) \\ \\n !\n둘째 줄\t\u2028끝 </script> {{ 1 }} %s \x00"
MESSAGES = [Message("system", "'짧게' 답하세요"), Message("user", AWKWARD)]
FULL = Parameters(0.0, 0.9, 20, 1.1, ("끝'", "\n"), 7)


def call(parameters: Parameters = FULL, is_streamed: bool = False) -> Call:
    return Call("http://127.0.0.1:8000/v1", "ft:tiny:dadeum:문의:abcdefgh", MESSAGES, parameters,
                is_streamed)  # fmt: skip


def test_a_shell_reads_back_what_is_to_be_sent():
    command = curl(call())
    words = shlex.split(command.replace("\\\n", ""))
    assert words[:2] == ["curl", "http://127.0.0.1:8000/v1/chat/completions"]
    assert "Authorization: Bearer $DADEUM_API_KEY" in words
    assert json.loads(words[words.index("-d") + 1]) == {
        "model": "ft:tiny:dadeum:문의:abcdefgh",
        "messages": [
            {"role": "system", "content": "'짧게' 답하세요"}, {"role": "user", "content": AWKWARD},
        ],
        "temperature": 0.0, "top_p": 0.9, "max_tokens": 20, "repetition_penalty": 1.1,
        "stop": ["끝'", "\n"], "seed": 7,
    }  # fmt: skip


def test_python_reads_back_what_is_to_be_sent():
    tree = ast.parse(python(call()))
    made = next(
        node for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("completions.create")
    )  # fmt: skip
    sent = {word.arg: ast.literal_eval(word.value) for word in made.keywords}
    sent |= sent.pop("extra_body")
    assert sent == call().body()


def test_what_is_not_set_is_not_written():
    plain = call(Parameters())
    assert set(plain.body()) == {"model", "messages", "temperature", "top_p", "max_tokens"}
    assert "extra_body" not in python(plain) and "stream" not in python(plain)


def test_streams_are_asked_for_and_read():
    assert curl(call(is_streamed=True)).startswith("curl -N ")
    assert '"stream": true' in curl(call(is_streamed=True))
    program = python(call(is_streamed=True))
    compile(program, "program", "exec")
    assert "stream=True" in program and "for chunk in stream" in program


# --- the page -----------------------------------------------------------------------------------
@pytest.fixture
def talk(user, tiny_catalogue, client):
    client.force_login(user)
    made = conversations.create(user, "base:tiny", "옛 프롬프트")
    asked = conversations.say(made, "첫째")
    conversations.answer(made, asked, "하나", {})
    asked = conversations.say(made, "둘째 <b>")
    conversations.answer(made, asked, "둘", {})
    return made


PANEL = {
    "model": "base:tiny", "system_prompt": "새 프롬프트", "temperature": "0", "top_p": "0.9",
    "max_tokens": "20", "stops": "끝\n그만↵",
}  # fmt: skip


def written(client, talk, **form: str):
    return client.post(reverse("conversation-code", args=[talk.pk]), PANEL | form)


@pytest.mark.django_db
def test_the_page_writes_its_last_question_with_what_the_panel_says(client, talk, monkeypatch):
    calls: list[Call] = []
    monkeypatch.setitem(views.written.LANGUAGES, "curl", lambda one: calls.append(one) or "<code>")
    answer = written(client, talk, language="curl", streamed="1")
    assert "&lt;code&gt;" in answer.text
    assert calls == [Call(
        "http://testserver/v1", "tiny",
        [Message("system", "새 프롬프트"), Message("user", "첫째"), Message("assistant", "하나"),
         Message("user", "둘째 <b>")],
        Parameters(0.0, 0.9, 20, 1.0, ("끝", "그만\n")), True,
    )]  # fmt: skip
    talk.refresh_from_db()
    assert talk.system_prompt == "옛 프롬프트" and talk.parameters["temperature"] != 0


@pytest.mark.django_db
def test_tuned_models_are_named_as_programs_know_them(client, talk, tuned):
    from training import naming

    said = written(client, talk, language="python", model=f"tuned:{tuned.pk}").text
    assert naming.of(tuned) in said and "pip install openai" in said
    assert "옛" not in said and "DADEUM_API_KEY" in said


@pytest.mark.django_db
@pytest.mark.parametrize(
    "form", [{"temperature": "9"}, {"model": "tuned:gone"}, {"model": "base:nowhere"}]
)
def test_what_cannot_be_sent_is_said_instead(client, talk, form):
    answer = written(client, talk, **form)
    assert answer.status_code == 422 and 'role="alert"' in answer.text
    assert "code-text" not in answer.text


@pytest.mark.django_db
def test_a_conversation_without_a_question_has_no_code(client, user, talk):
    assert written(client, conversations.create(user, "base:tiny")).status_code == 422
