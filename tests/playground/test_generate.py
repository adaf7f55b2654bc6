"""training/lm/generate.py: the loop against transformers' own, and text without half syllables."""

import pytest

torch = pytest.importorskip("torch")

from training.chat import Message, Renderer  # noqa: E402
from training.lm import generate, load  # noqa: E402
from training.lm.generate import Sampling  # noqa: E402


@pytest.fixture(scope="module")
def model(tiny_base):
    return load.model(tiny_base, dtype=torch.float32)


@pytest.fixture(scope="module")
def renderer(tiny_base):
    return Renderer(tiny_base)


@pytest.fixture(scope="module")
def prompt(renderer):
    return renderer.prompt([Message("user", "오늘 날씨 어때요?")])


def reference(model, prompt, **options):
    ids = torch.tensor([prompt])
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=options.pop("max_new_tokens", 48),
        eos_token_id=None,
        pad_token_id=0,
        top_k=0,
        **options,
    )
    return out[0, len(prompt) :].tolist()


def test_greedy_ids_are_those_of_transformers(model, prompt):
    ours = list(generate.stream(model, prompt, max_tokens=48))
    assert ours == reference(model, prompt, do_sample=False)


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 0.9), (1.8, 0.5)])
def test_sampled_ids_are_those_of_transformers_for_the_same_seed(model, prompt, temperature, top_p):
    ours = list(
        generate.stream(
            model, prompt, max_tokens=48, sampling=Sampling(temperature, top_p, seed=11)
        )
    )
    torch.manual_seed(11)
    theirs = reference(model, prompt, do_sample=True, temperature=temperature, top_p=top_p)
    assert ours == theirs


@pytest.mark.parametrize(("temperature", "penalty"), [(0, 1.3), (0, 2.0), (0.8, 1.1)])
def test_a_repetition_penalty_is_that_of_transformers(model, prompt, temperature, penalty):
    sampling = Sampling(temperature, repetition_penalty=penalty, seed=5)
    ours = list(generate.stream(model, prompt, max_tokens=48, sampling=sampling))
    torch.manual_seed(5)
    options = {"do_sample": True, "temperature": temperature} if temperature else {}
    assert ours == reference(model, prompt, repetition_penalty=penalty, **options)
    if penalty == 2:
        assert ours != list(generate.stream(model, prompt, max_tokens=48))


@pytest.mark.parametrize(
    ("stops", "pieces", "said"),
    [
        (["끝"], ["오늘은", " 끝", "이다"], "오늘은 "),
        (["###", "\n\n"], ["하나\n", "\n둘"], "하나"),
        (["###"], ["a#", "#b", "##", "#c"], "a##b"),
        (["###"], ["a##"], "a##"),
        (["abab"], ["aba", "abab"], "aba"),
        (["없다"], ["있", "다"], "있다"),
        ([], ["그", "대로"], "그대로"),
    ],
)
def test_text_ends_before_the_first_stop_string_wherever_it_was_cut(stops, pieces, said):
    ending = generate.Ending(stops)
    shown = [ending.push(piece) for piece in pieces] + [ending.finish()]
    assert "".join(shown) == said
    assert ending.is_reached == any(stop in "".join(pieces) for stop in stops)


def test_nothing_is_held_back_that_cannot_be_a_stop_string():
    ending = generate.Ending(["###"])
    assert [ending.push(piece) for piece in ("ab", "c#", "d")] == ["ab", "c", "#d"]


@pytest.mark.parametrize("top_p", [0.01, 0.3, 0.9, 0.999])
def test_top_p_keeps_what_transformers_keeps(top_p):
    from transformers import TopPLogitsWarper

    logits = torch.randn(500, generator=torch.Generator().manual_seed(3)) * 4
    theirs = TopPLogitsWarper(top_p)(None, logits[None].clone())[0]
    assert torch.equal(generate.warp(logits, top_p), theirs)


def test_top_p_keeps_one_token_at_least():
    kept = generate.warp(torch.tensor([1.0, 9.0, 2.0]), 0.01)
    assert kept.isfinite().tolist() == [False, True, False]


def test_a_long_prompt_in_several_passes_gives_the_same_ids(model, prompt, monkeypatch):
    long = prompt * 3
    whole = list(generate.stream(model, long, max_tokens=12))
    monkeypatch.setattr(generate, "PREFILL", 7)
    assert list(generate.stream(model, long, max_tokens=12)) == whole


def test_it_ends_with_the_stop_id(model, prompt):
    free = list(generate.stream(model, prompt, max_tokens=20))
    stopped = generate.stream(model, prompt, max_tokens=20, stop_ids={free[3]})
    assert list(stopped) == free[: free.index(free[3]) + 1]


def test_it_ends_at_the_context_limit(model):
    limit = generate.context_length(model)
    ids = list(generate.stream(model, [5] * (limit - 3), max_tokens=50))
    assert len(ids) == 3


def test_a_prompt_that_fills_the_context_is_refused(model):
    with pytest.raises(ValueError, match="leaves 0"):
        next(generate.stream(model, [5] * generate.context_length(model), max_tokens=1))


def test_it_stops_when_asked(model, prompt):
    ids = []
    for token in generate.stream(model, prompt, max_tokens=40, should_stop=lambda: len(ids) == 4):
        ids.append(token)
    assert len(ids) == 4


def test_a_syllable_of_three_byte_tokens_comes_whole(renderer):
    ids = renderer.tokenizer.encode("뷁!", add_special_tokens=False).ids
    assert len(ids) >= 4
    stream = generate.TextStream(renderer.decode)
    assert [stream.push(token) for token in ids] == [""] * (len(ids) - 2) + ["뷁", "!"]
    assert stream.finish() == ""


@pytest.mark.parametrize(
    "text", ["오늘 날씨는 꿻뷁 좋아요. 👩‍👩‍👧 끝", "hello yes 네\n\n  아니요", "값: 3.5%"]
)
def test_the_pieces_join_to_the_whole_text(renderer, text):
    stream = generate.TextStream(renderer.decode)
    pieces = [stream.push(i) for i in renderer.tokenizer.encode(text).ids]
    assert "".join(pieces) + stream.finish() == text
    assert not any("�" in piece for piece in pieces)


def test_half_a_syllable_at_the_end_is_left_out(renderer):
    ids = renderer.tokenizer.encode("네뷁", add_special_tokens=False).ids
    stream = generate.TextStream(renderer.decode)
    said = "".join(stream.push(i) for i in ids[:-1]) + stream.finish()
    assert said == "네"


def test_words_keep_their_spaces_where_the_tokenizer_drops_a_leading_one():
    words = {1: "▁나는", 2: "▁간다", 3: "▁집에"}

    def decode(ids):
        return "".join(words[i] for i in ids).replace("▁", " ").removeprefix(" ")

    stream = generate.TextStream(decode)
    assert [stream.push(i) for i in (1, 3, 2)] == ["나는", " 집에", " 간다"]
