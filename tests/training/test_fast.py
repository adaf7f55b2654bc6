"""The fast decoder beside transformers' own eager attention in fp32: logits, loss and gradients."""

import itertools

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.attention import varlen
from transformers import AutoConfig, AutoModelForCausalLM

from training.lm import attention
from training.lm.attention import Segments, within
from training.lm.fast import backend, kernels, operations
from training.lm.fast.attention import Attend, Span, plan
from training.lm.fast.decoder import KINDS, Decoder, Row
from training.lm.fast.lanes import Lane, Lanes
from training.lm.fast.linear import Group

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
SIZES = {
    "vocab_size": 384, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 2048,
}  # fmt: skip
FAMILIES = {
    "llama": {},
    "mistral": {"sliding_window": 8},
    "qwen2": {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    "qwen3": {"head_dim": 8},
    "gemma3_text": {
        "head_dim": 8, "sliding_window": 8, "query_pre_attn_scalar": 8,
        "layer_types": ["sliding_attention", "full_attention"],
    },
}  # fmt: skip
LENGTHS = (5, 40, 17, 300)


def build(family: str, **changes):
    torch.manual_seed(3)
    config = AutoConfig.for_model(family, **SIZES | FAMILIES[family] | changes)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float()
    with torch.no_grad():  # fresh models have norms and biases that hide mistakes
        for name, parameter in model.named_parameters():
            if "norm" in name or "bias" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def adapted(model):
    torch.manual_seed(4)
    model = get_peft_model(
        model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02)
    return model


def rows(lengths=LENGTHS) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randint(3, 380, (n,), generator=generator) for n in lengths]


def expected_loss(model, found) -> torch.Tensor:
    """Sum the cross entropy over all tokens but the first two of each row, by transformers."""
    total = torch.zeros(())
    for row in found:
        logits = model(input_ids=row[None]).logits[0, 1:-1].float()
        total = total + torch.nn.functional.cross_entropy(logits, row[2:], reduction="sum")
    return total


def fast_loss(decoder: Decoder, found, scale: float | None = None) -> float:
    starts = [0]
    for row in found:
        starts.append(starts[-1] + len(row))
    where = decoder.place
    row = Row(
        torch.cat(found).to(where),
        torch.cat([torch.arange(len(row)) for row in found]).to(where),
        [Span(a, b) for a, b in itertools.pairwise(starts)],
        torch.cat([torch.arange(a + 1, b - 1) for a, b in itertools.pairwise(starts)]).to(where),
        torch.cat([row[2:] for row in found]).to(where),
    )
    return decoder.loss(row, scale)


def gradients(model) -> dict[str, torch.Tensor]:
    return {n: p.grad.cpu().clone() for n, p in model.named_parameters() if p.grad is not None}


PROCESSOR, AS_GPU, GPU, REMADE = "processor", "as on a GPU", "GPU", ", layers remade"
WAYS = [PROCESSOR, AS_GPU, pytest.param(GPU, marks=needs_gpu)]
"""On a processor as on a GPU: by operations of PyTorch, in one lane, with attention by segments."""


def decoder_of(model, kind: torch.dtype, way: str, monkeypatch) -> Decoder:
    if way.startswith(GPU):
        model.to("cuda")
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    decoder = Decoder(causal, kind, remakes=REMADE in way)
    if way.startswith(AS_GPU):
        monkeypatch.setattr(backend, "steps_for", lambda x: operations)
        decoder.has_lanes, decoder.lanes = False, Lanes(1)
    return decoder


@pytest.mark.parametrize(
    "way", [*WAYS, AS_GPU + REMADE, pytest.param(GPU + REMADE, marks=needs_gpu)]
)
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("family", sorted(KINDS))
def test_loss_and_gradients_are_those_of_transformers(family, method, way, monkeypatch):
    found = rows()
    reference, model = build(family), build(family)
    if method == "lora":
        reference, model = adapted(reference), adapted(model)
    expected = expected_loss(reference, found)
    expected.backward()
    loss = fast_loss(decoder_of(model, torch.float32, way, monkeypatch), found, 1.0)
    assert loss == pytest.approx(float(expected), rel=1e-5)
    wanted, got = gradients(reference), gradients(model)
    assert wanted.keys() == got.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(got[name], gradient, rtol=2e-3, atol=2e-4, msg=name)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", sorted(KINDS))
def test_bfloat16_stays_near_float32(family, way, monkeypatch):
    found = rows((30, 60))
    reference, model = adapted(build(family)), adapted(build(family))
    labels = sum(len(row) - 2 for row in found)
    expected = expected_loss(reference, found)
    loss = fast_loss(decoder_of(model, torch.bfloat16, way, monkeypatch), found, 1.0)
    assert abs(loss - float(expected)) / labels < 0.02
    expected.backward()
    wanted, got = gradients(reference), gradients(model)
    one = torch.cat([wanted[name].flatten() for name in wanted])
    other = torch.cat([got[name].flatten() for name in wanted])
    assert torch.nn.functional.cosine_similarity(one, other, dim=0) > 0.995


def test_what_a_step_changed_is_taken_over():
    model = adapted(build("llama"))
    decoder = Decoder(model.get_base_model(), torch.float32)
    found = rows((20, 9))
    before = fast_loss(decoder, found)
    with torch.no_grad():
        for _, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.add_(0.01)
    assert fast_loss(decoder, found) == before
    decoder.refresh()
    assert fast_loss(decoder, found) == pytest.approx(float(expected_loss(model, found)), rel=1e-5)


def plain_varlen(
    q, k, v, starts, key_starts, longest, most_keys, *, scale, window_size, enable_gqa
):
    """What varlen_attn documents, computed plainly: the last query of each sequence sees its last key."""
    assert enable_gqa and window_size[1] == 0 and starts.dtype == key_starts.dtype == torch.int32
    found = []
    pairs = zip(
        itertools.pairwise(starts.tolist()), itertools.pairwise(key_starts.tolist()), strict=True
    )
    for (a, b), (c, d) in pairs:
        assert b - a <= longest and d - c <= most_keys
        keys, values = (x[c:d].repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
        scores = torch.einsum("qhd,khd->hqk", q[a:b], keys) * scale
        distance = torch.arange(d - c - (b - a), d - c)[:, None] - torch.arange(d - c)[None]
        hidden = distance < 0
        if window_size[0] >= 0:
            hidden |= distance > window_size[0]
        chances = scores.masked_fill(hidden, float("-inf")).softmax(-1)
        found.append(torch.einsum("hqk,khd->qhd", chances, values))
    return torch.cat(found)


@pytest.mark.parametrize(
    "way", ["blocks", "segments", "flash as told", pytest.param("flash", marks=needs_gpu)]
)
@pytest.mark.parametrize("window", [None, 8, 300])
@pytest.mark.parametrize("shared", [0, 13])
def test_attention_is_plain_attention(window, shared, way, monkeypatch):
    torch.manual_seed(1)
    heads, key_heads, size = 4, 2, 8
    lengths = (3, 700, 260) if not shared else (5, 600)
    total = shared + sum(lengths)
    q = torch.randn(total, heads, size, requires_grad=True)
    k = torch.randn(total, key_heads, size, requires_grad=True)
    v = torch.randn(total, key_heads, size, requires_grad=True)
    spans, start = ([Span(0, shared)] if shared else []), shared
    for length in lengths:
        spans.append(Span(start, start + length, 0, shared))
        start += length
    if way == "blocks":
        by_head = [x.transpose(0, 1).contiguous() for x in (q, k, v)]
        blocks = plan(spans, 0, total, window)
        out = Attend.apply(*by_head, blocks, 0.3, 5, Lane(0, total)).unflatten(1, (heads, size))
    else:
        device, kind = ("cuda", torch.bfloat16) if way == "flash" else ("cpu", torch.float32)
        moved = [x.to(device, kind) for x in (q, k, v)]
        if way == "flash as told":
            monkeypatch.setattr(attention, "has_flash", lambda q: True)
            monkeypatch.setattr(varlen, "varlen_attn", plain_varlen)
        assert "flash" not in way or attention.has_flash(moved[0])
        out = within(*moved, Segments.of(spans, torch.device(device)), 0.3, window).cpu().float()
    weight = torch.randn_like(out)
    (out * weight).sum().backward()
    got = [x.grad.clone() for x in (q, k, v)]
    for x in (q, k, v):
        x.grad = None
    parts = []
    for span in spans:
        seen = [*range(span.shared_start, span.shared_end), *range(span.start, span.end)]
        place = torch.arange(len(seen))
        hidden = place[None] > place[:, None]
        if window:
            hidden |= place[:, None] - place[None] >= window
        keys = k[seen].repeat_interleave(heads // key_heads, 1)
        values = v[seen].repeat_interleave(heads // key_heads, 1)
        queries = q[span.start : span.end]
        scores = torch.einsum("qhd,khd->hqk", queries, keys) * 0.3
        scores = scores.masked_fill(hidden[span.shared :], float("-inf"))
        parts.append(torch.einsum("hqk,khd->qhd", scores.softmax(-1), values))
    expected = torch.cat(parts)
    loose = 0.02 if way == "flash" else 1e-5
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=loose)
    (expected * weight).sum().backward()
    for one, x in zip(got, (q, k, v), strict=True):
        error = (one - x.grad).norm() / x.grad.norm()
        assert error < loose, error


@pytest.mark.parametrize("remakes", [False, True])
@pytest.mark.parametrize("family", sorted(KINDS))
def test_shared_beginnings_are_seen_on_a_gpu_too(family, remakes, monkeypatch):
    """Four examples begin with the same 12 tokens; one has a single token of its own."""
    beginning, *own = rows((12, 7, 1, 30, 4))
    found, spans, first = [beginning], [Span(0, 12)], 12
    for row in own:
        spans.append(Span(first, first + len(row), 0, 12))
        found.append(row)
        first += len(row)
    positions = torch.cat([torch.arange(12), *(torch.arange(12, 12 + len(row)) for row in own)])
    places = torch.arange(12, first)
    row = Row(torch.cat(found), positions, spans, places, torch.cat(found)[places] % 7 + 3)

    def learnt(way: str) -> tuple[float, dict[str, torch.Tensor]]:
        model = adapted(build(family))
        with monkeypatch.context() as patch:
            decoder = decoder_of(model, torch.float32, way, patch)
            return decoder.loss(row, 1.0), gradients(model)

    (expected, wanted), (loss, got) = learnt(PROCESSOR), learnt(AS_GPU + REMADE * remakes)
    assert loss == pytest.approx(expected, rel=1e-5)
    for name, gradient in wanted.items():
        torch.testing.assert_close(got[name], gradient, rtol=2e-3, atol=2e-4, msg=name)


@pytest.mark.parametrize("remakes", [False, True])
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("family", sorted(KINDS))
def test_nothing_that_lies_here_meets_what_lies_on_a_gpu(family, method, remakes, monkeypatch):
    """A row on PyTorch's meta device, which calculates nothing and, like a GPU, refuses tensors from here in
    most operations."""
    monkeypatch.setattr(backend, "steps_for", lambda x: operations)
    model = adapted(build(family)) if method == "lora" else build(family)
    causal = model.to("meta").get_base_model() if method == "lora" else model.to("meta")
    decoder = Decoder(causal, torch.bfloat16, remakes=remakes)
    spans = [Span(0, 12), Span(12, 19, 0, 12), Span(19, 20, 0, 12)]
    numbers = (torch.arange(n, device="meta") for n in (20, 20, 8, 8))
    ids, positions, places, labels = numbers
    decoder._loss(Row(ids, positions, spans, places, labels), Lane(0, 20)).backward()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert all(parameter.grad.is_meta for parameter in trained)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_weights_are_held_once_when_they_are_released(kind, monkeypatch):
    """On a GPU there may be no room for both, and the training would be lost at its very end."""
    model = build("llama")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    decoder = Decoder(model, kind)
    groups = [group for layer in decoder.layers for group in layer.groups]
    held, release = [], Group.release

    def counted(group: Group) -> None:
        held.append(sum(bool(one.joined_NK.numel()) for one in groups))
        release(group)

    monkeypatch.setattr(Group, "release", counted)
    decoder.release()
    assert held == list(range(len(groups), 0, -1))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(value.is_contiguous() for value in model.state_dict().values())


def learnt(family: str, method: str, threads: int) -> tuple[float, dict[str, torch.Tensor]]:
    model = build(family)
    if method == "lora":
        model = adapted(model)
    decoder = Decoder(model.get_base_model() if method == "lora" else model, torch.float32)
    decoder.lanes = Lanes(threads)
    loss = fast_loss(decoder, rows(), 1.0) + fast_loss(decoder, rows((90, 9, 200)), 1.0)
    return loss, gradients(model)


@pytest.mark.parametrize("threads", [2, 3, 8])
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("family", ["mistral", "gemma3_text"])
def test_lanes_change_neither_loss_nor_gradients(family, method, threads):
    expected, wanted = learnt(family, method, 1)
    loss, got = learnt(family, method, threads)
    assert loss == pytest.approx(expected, rel=1e-6)
    assert wanted.keys() == got.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(got[name], gradient, rtol=2e-3, atol=2e-4, msg=name)
    again, same = learnt(family, method, threads)
    assert again == loss
    for name, gradient in got.items():  # products may differ by how memory is aligned, in last bits
        torch.testing.assert_close(same[name], gradient, rtol=1e-4, atol=1e-5, msg=name)


def test_what_fails_in_a_lane_ends_all_of_them():
    lanes = Lanes(2)

    def work(lane: Lane) -> float:
        if lane.index == 1:
            raise MemoryError("no room")
        lane.meet("here")
        return 1.0

    with pytest.raises(MemoryError, match="no room"):
        lanes.run(work, torch.ones(500))
    assert lanes.run(lambda lane: float(lane.end - lane.begin), torch.ones(500)) == 500


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_one_logit_that_is_no_number_is_seen_in_the_loss(wrong, kind):
    logits, labels, losses = torch.randn(2, 100).to(kind), torch.tensor([3, 3]), torch.empty(2)
    logits[0, 40] = wrong
    kernels.cross_entropy(*map(kernels.numbers, (logits, labels, losses)))
    assert losses[0].isnan() and losses[1].isfinite()
