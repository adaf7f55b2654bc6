"""The one renderer: what is trained is exactly what is talked."""

import json

import pytest

from training.chat import IGNORED, OWN_TEMPLATE, Example, Message, Renderer
from training.errors import UserError


def example(*contents: str, system: str = "") -> Example:
    roles = ("user", "assistant")
    messages = [Message(roles[i % 2], text) for i, text in enumerate(contents)]
    return Example(tuple([Message("system", system)] * bool(system) + messages))


@pytest.fixture
def renderer(tiny_base):
    return Renderer(tiny_base)


def trained_text(renderer, encoded) -> str:
    ids = [id for id, label in zip(encoded.ids, encoded.labels, strict=True) if label != IGNORED]
    return renderer.tokenizer.decode(ids, skip_special_tokens=False)


def test_only_answers_are_trained_and_each_ends_with_the_end_token(renderer):
    encoded = renderer.encode(example("오늘 날씨", "맑습니다", "내일은?", "비가 옵니다"))
    assert trained_text(renderer, encoded) == "맑습니다<|im_end|>비가 옵니다<|im_end|>"


@pytest.mark.parametrize("system", ["", "짧게 답하세요"])
@pytest.mark.parametrize("turns", [2, 4, 6])
def test_talking_sees_the_same_ids_as_training(renderer, turns, system):
    whole = example(*(f"질문 {i} 뷁 <b>&" for i in range(turns)), system=system)
    encoded = renderer.encode(whole)
    prompt = renderer.prompt(whole.messages[:-1])
    assert encoded.ids[: len(prompt)] == prompt
    assert all(label == IGNORED for label in encoded.labels[:1])
    assert encoded.labels[len(prompt)] == encoded.ids[len(prompt)] != IGNORED


def test_the_ids_agree_with_transformers(renderer, tiny_base):
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(tiny_base)
    messages = [{"role": "user", "content": "오늘 날씨 어때요"}]
    expected = theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert renderer.prompt([Message("user", "오늘 날씨 어때요")]) == expected


def test_many_at_once_are_the_same_as_one_by_one(renderer):
    examples = [example("가", "나"), example("다", "라", "마", "바")]
    assert renderer.encode_many(examples) == [renderer.encode(e) for e in examples]


def test_cutting_keeps_ids_and_labels_together(renderer):
    encoded = renderer.encode(example("오늘", "맑습니다")).cut(5)
    assert len(encoded.ids) == len(encoded.labels) == 5
    assert encoded.first_label is None and not list(encoded.answers())


def test_a_base_without_a_template_gets_ours(tiny_base, tmp_path):
    for name in ("tokenizer.json", "config.json"):
        (tmp_path / name).write_bytes((tiny_base / name).read_bytes())
    renderer = Renderer(tmp_path)
    assert renderer.template_source == OWN_TEMPLATE and not renderer.has_own_template
    encoded = renderer.encode(example("오늘 날씨", "맑습니다"))
    assert trained_text(renderer, encoded) == "맑습니다<|im_end|>"
    assert renderer.decode(renderer.prompt([Message("user", "q")])).endswith("### 답변\n")


def test_an_answer_without_an_end_token_gets_one(tiny_base, tmp_path):
    for name in ("tokenizer.json", "config.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tiny_base / name).read_bytes())
    (tmp_path / "chat_template.jinja").write_text(
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    encoded = Renderer(tmp_path).encode(example("가", "나"))
    assert encoded.labels[-1] == 2  # <|im_end|>


def test_a_template_that_rewrites_history_trains_the_last_answer(tiny_base, tmp_path):
    for name in ("tokenizer.json", "config.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tiny_base / name).read_bytes())
    (tmp_path / "chat_template.jinja").write_text(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{% if m.role == 'assistant' and not loop.last %}(생략){% else %}{{ m.content }}{% endif %}"
        "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    renderer = Renderer(tmp_path)
    encoded = renderer.encode(example("가", "나", "다", "라"))
    assert trained_text(renderer, encoded) == "라<|im_end|>"


@pytest.mark.parametrize(
    ("template", "code"),
    [
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "template_refused"),
        ("{{ messages[0].content.__init__.__globals__ }}", "template_refused"),
        ("{{ raise_exception('아니요') }}", "template_refused"),
        ("{{ messages[99].content.nothing }}", "template_refused"),
        ("{% for x in range(99999) %}{{ 'x' * 99 }}{% endfor %}", "template_too_costly"),
        ("{{ 'x' * 10 ** 9 }}", "template_too_costly"),
        ("{{ 'x'.zfill(10 ** 9) }}", "template_unsupported"),
    ],
)
def test_a_hostile_template_is_refused_with_a_reason(tiny_base, tmp_path, template, code):
    for name in ("tokenizer.json", "config.json"):
        (tmp_path / name).write_bytes((tiny_base / name).read_bytes())
    (tmp_path / "chat_template.jinja").write_text(template)
    with pytest.raises(UserError) as caught:
        Renderer(tmp_path).prompt([Message("user", "x")])
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("template", "code"),
    [
        ("{% for %}", "template_unreadable"),
        ("{{ " + "(" * 9999 + " }}", "template_unreadable"),
        ("{{ 'x' | center(10 ** 9) }}", "template_unsupported"),
        ("x" * 70_000, "template_too_costly"),
        ([{"name": "default", "template": "x" * 70_000}], "template_too_costly"),
        ([{"name": "default"}], "template_unreadable"),
        (["x"], "template_unreadable"),
        ({"a": 1}, "template_unreadable"),
        (7, "template_unreadable"),
    ],
)
def test_what_is_no_template_is_refused_wherever_it_stands(tiny_base, tmp_path, template, code):
    (tmp_path / "tokenizer.json").write_bytes((tiny_base / "tokenizer.json").read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    with pytest.raises(UserError) as caught:
        Renderer(tmp_path)
    assert caught.value.code == code


def test_context_length_comes_from_the_model_or_its_tokenizer(tiny_base, tmp_path):
    assert Renderer(tiny_base).context_length == 512
    (tmp_path / "tokenizer.json").write_bytes((tiny_base / "tokenizer.json").read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 777}))
    assert Renderer(tmp_path).context_length == 777
