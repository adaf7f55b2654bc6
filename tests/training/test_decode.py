"""Streams of the engine's own decoder beside transformers: the same logits, whoever streams beside."""

import pytest
import torch

from tests.training.test_fast import adapted, build
from training.costs import FAST
from training.lm import generate
from training.lm.decode import answers
from training.lm.decode.decoder import MOST, PIECE, Decoder, Stream
from training.lm.decode.loops import PAGE
from training.lm.decode.weights import read_adapter

LENGTHS = (3, PAGE, 50, PIECE + 70)


def rounded(family: str):
    """Return a model whose matrices are bf16 in truth, in fp32."""
    model = build(family).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.copy_(parameter.bfloat16())
    return model


def ids(length: int, seed: int = 5) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, 380, (length,), generator=generator).tolist()


def read(decoder: Decoder, stream: Stream) -> torch.Tensor:
    while not stream.is_read:
        decoder.read(stream)
    return decoder.step([stream], [stream.last])[0]


def begin(decoder: Decoder, prompt, adapter=None, name="") -> Stream:
    stream = decoder.admit(prompt, adapter, name, 64)
    assert stream
    return stream


@torch.inference_mode()
def expected(model, prompt: list[int]) -> torch.Tensor:
    return model(input_ids=torch.tensor([prompt])).logits[0, -1].float()


def saved(model, folder):
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("family", sorted(FAST))
def test_exact_logits_are_those_of_transformers(family, lanes, monkeypatch):
    monkeypatch.setattr("training.lm.decode.decoder.WIDENED", 1000 * lanes)
    model = rounded(family)
    decoder = Decoder(model, is_int8=False, threads=lanes)
    prompts = [ids(length, seed) for seed, length in enumerate(LENGTHS)]
    streams = [begin(decoder, prompt) for prompt in prompts]
    for stream, prompt in zip(streams, prompts, strict=True):
        torch.testing.assert_close(
            read(decoder, stream), expected(model, prompt), rtol=1e-3, atol=1e-3
        )
    for step in range(20):
        tokens = [7 + step + place for place in range(len(streams))]
        logits = decoder.step(streams, tokens)
        for prompt, token in zip(prompts, tokens, strict=True):
            prompt.append(token)
    for row, prompt in zip(logits, prompts, strict=True):
        torch.testing.assert_close(row, expected(model, prompt), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_streams_of_several_adapters_share_the_base(family, tmp_path):
    plain = rounded(family)
    decoder = Decoder(plain, is_int8=False, threads=2)
    tuned = adapted(rounded(family)).eval()
    adapter = read_adapter(saved(tuned, tmp_path), decoder.model)
    prompt = ids(50)
    streams = [begin(decoder, prompt), begin(decoder, prompt, adapter, "tuned")]
    for stream, model in zip(streams, (plain, tuned), strict=True):
        torch.testing.assert_close(
            read(decoder, stream), expected(model, prompt), rtol=1e-3, atol=1e-3
        )
    logits = decoder.step(streams, [9, 9])
    assert (logits[0] - logits[1]).abs().max() > 1e-2
    for row, model in zip(logits, (plain, tuned), strict=True):
        torch.testing.assert_close(row, expected(model, [*prompt, 9]), rtol=1e-3, atol=1e-3)


def test_the_next_turn_does_not_pay_for_the_history(tmp_path):
    model = rounded("llama")
    decoder = Decoder(model, is_int8=False, threads=1)
    first = begin(decoder, ids(3 * PAGE + 5))
    read(decoder, first)
    for token in range(PAGE):
        decoder.step([first], [token + 10])
    history = list(first.ids)
    decoder.leave(first)
    second = begin(decoder, [*history, 20, 21])
    assert second.reused == 4 * PAGE
    torch.testing.assert_close(
        read(decoder, second), expected(model, [*history, 20, 21]), rtol=1e-3, atol=1e-3
    )
    other = begin(decoder, [*history, 20, 21], None, "tuned")
    assert other.reused == 0  # went through other weights


def test_a_stream_waits_until_there_is_room():
    model = rounded("llama")
    most = model.config.max_position_embeddings
    decoder = Decoder(model, is_int8=False, threads=1, tokens=most)
    pages = decoder.cache.count
    first = decoder.admit(ids(pages * PAGE - 200), None, "", 64)
    assert first
    assert decoder.admit(ids(300, 9), None, "", 64) is None
    decoder.leave(first)
    assert decoder.admit(ids(300, 9), None, "", 64)


def test_int8_is_near(monkeypatch):
    monkeypatch.setattr("training.lm.decode.decoder.WIDENED", 1000)
    model = rounded("llama")
    decoder = Decoder(model, is_int8=True, threads=2)
    stream, prompt = begin(decoder, ids(90)), ids(90)
    exact = expected(model, prompt).log_softmax(-1)
    assert (read(decoder, stream).log_softmax(-1) - exact).abs().max() < 0.1
    logits = decoder.step([stream], [9])[0].log_softmax(-1)
    assert (logits - expected(model, [*prompt, 9]).log_softmax(-1)).abs().max() < 0.1


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("family", sorted(FAST))
def test_a_model_that_is_trained_answers_as_transformers_would(family, method):
    """More questions than go through at once; in full, so that rounding decides nothing."""
    model = rounded(family)
    lora = adapted(model) if method == "lora" else None
    prompts = [ids(length, seed=length) for length in range(3, 3 + MOST + 3)]
    asked = {"max_tokens": 12, "stop_ids": {2}, "should_stop": lambda: False}
    with torch.inference_mode():
        expected = generate.greedy(lora or model, prompts, **asked, together=False)
    assert answers.greedy(model, lora, prompts, **asked) == expected
    asked["stop_ids"] = {2, expected[0][4]}
    found = answers.greedy(model, lora, prompts[:2], **asked)
    assert found[0] == expected[0][: expected[0].index(expected[0][4])]


def test_answers_that_take_too_long_end_where_they_are_but_not_before_a_token():
    model, prompts = rounded("llama"), [ids(5), ids(9, 2)]
    asked = {"max_tokens": 12, "stop_ids": (), "should_stop": lambda: False}
    late = iter([False, False, True])
    found = answers.greedy(model, None, prompts, **asked, is_late=lambda: next(late))
    assert [len(one) for one in found] == [3, 3]
    assert answers.greedy(model, None, prompts, **asked | {"should_stop": lambda: True}) == [[], []]
