"""Readers: each against its equation one utterance at a time, empty sequences, padding, gradients."""

from __future__ import annotations

import math
from typing import Any

import pytest
import top_factory
import torch
from part_factory import Case, assert_gradients, case_id, make
from torch import Tensor
from torch.nn import functional

from features.errors import ConfigError
from features.top.elements import FLAGS
from heads.data.sequences import Sequences
from heads.readers import DEFAULT_READERS, READERS

WIDTH = 6
LAYERS = 4
LENGTHS = (5, 0, 1, 9, 3, 0, 7, 2)
WAVE_LENGTHS = (30, 0, 7, 20, 21, 64)
SAMPLES = {"seconds": 0.02, "rate_hz": 1000, "hidden": 8}  # 20 samples
SEQUENCE_CASES: list[Case] = [
    ("mean", {}),
    ("attention-pooling", {}),
    ("attention-pooling", {"heads": 3}),
    ("text-cnn", {"filters": 16, "size": 5, "length": 6}),
    ("text-cnn", {"filters": 16, "size": 5, "windows": [1]}),
    ("waveform-mlp", SAMPLES),
    ("waveform-mlp", SAMPLES | {"attention": "over-batch", "heads": 2}),
    ("waveform-mlp", SAMPLES | {"attention": "itself", "heads": 2}),
]
TOP_CASES: list[Case] = [
    ("encoder-top", {"pooling": pooling}) for pooling in ("mean", "max", "mean+max", "first", "last")
]
STACK_CASES: list[Case] = [("flat", {}), ("layer-weights", {}), ("layer-weights", {"normalise": True})]
CASES = SEQUENCE_CASES + STACK_CASES + TOP_CASES
every_case = pytest.mark.parametrize("case", CASES, ids=case_id)
every_sequence = pytest.mark.parametrize("case", SEQUENCE_CASES + TOP_CASES, ids=case_id)


def shape_of(case: Case) -> tuple[int, ...]:
    if case in TOP_CASES:
        return (top_factory.WIDTH + FLAGS,)
    if case[0] == "waveform-mlp":
        return ()
    return (LAYERS, WIDTH) if case in STACK_CASES else (WIDTH,)


def sequences(lengths: tuple[int, ...], element: tuple[int, ...], scale: float = 1.0) -> Sequences:
    if element == (top_factory.WIDTH + FLAGS,):
        return top_factory.elements(lengths)
    generator = torch.Generator().manual_seed(0)
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    return Sequences(torch.randn((sum(lengths), *element), generator=generator), offsets, scale)


def values_of(case: Case) -> Any:
    if case in STACK_CASES:
        return torch.randn(7, LAYERS * WIDTH, generator=torch.Generator().manual_seed(0))
    return sequences(WAVE_LENGTHS if case[0] == "waveform-mlp" else LENGTHS, shape_of(case))


def reader_of(case: Case) -> Any:
    """Learned weights that start at zero are drawn, lest a test of them be empty."""
    if case in TOP_CASES:
        return top_factory.reader_of(top_factory.small(), **case[1])
    reader = make(READERS, case, shape_of(case))
    torch.manual_seed(5)
    with torch.no_grad():
        for name, parameter in reader.named_parameters():
            if name in ("query", "weights", "scale"):
                parameter.normal_()
    return reader


def test_every_reader_is_tried() -> None:
    assert {name for name, _ in CASES} == set(READERS)
    for case in CASES:
        kind = "stack" if case in STACK_CASES else "top" if case in TOP_CASES else "sequence"
        assert READERS[case[0]].kinds == {kind}  # type: ignore[attr-defined]
    assert all(kind in READERS[name].kinds for kind, name in DEFAULT_READERS.items())  # type: ignore[attr-defined]


@every_case
def test_gradients_reach_every_parameter(case: Case) -> None:
    reader = reader_of(case)
    out = reader(values_of(case))
    assert out.shape == (len(values_of(case)), reader.width)
    if not list(reader.parameters()):
        assert case[0] in ("flat", "mean")
        return
    torch.manual_seed(1)
    (out * torch.randn(out.shape)).sum().backward()
    assert_gradients(reader)


@every_case
def test_gradients_reach_the_values(case: Case) -> None:
    """Encoders are not trained here, but a reader that loses an element would show."""
    reader = reader_of(case)
    values = values_of(case)
    tensor = values if isinstance(values, Tensor) else values.values
    tensor.requires_grad_()
    result = reader(values)  # some readers give vectors of length 1, whose plain sum of squares has no gradient
    (result * torch.randn(result.shape[1], generator=torch.Generator().manual_seed(1))).square().sum().backward()
    assert tensor.grad is not None
    assert torch.isfinite(tensor.grad).all()
    assert (tensor.grad != 0).float().mean() > 0.3


@every_case
def test_a_vector_depends_neither_on_batch_mates_nor_on_padding(case: Case) -> None:
    reader = reader_of(case)
    values = values_of(case)
    whole = reader(values)
    over_batch = case[1].get("attention") == "over-batch"
    assert reader.over_batch == over_batch
    changed = 0
    for row in range(len(values)):
        one = reader(values.index_select(0, torch.tensor([row])))[0]
        changed += not torch.allclose(one, whole[row], atol=1e-5)
    assert changed == (len(values) if over_batch else 0)
    if not over_batch:
        order = torch.arange(len(values)).flip(0)
        assert torch.allclose(reader(values.index_select(0, order)), whole[order], atol=1e-5)


@every_sequence
def test_batches_without_any_element_give_finite_vectors_and_gradients(case: Case) -> None:
    reader = reader_of(case)
    out = reader(sequences((0, 0, 0), shape_of(case)))
    assert out.shape == (3, reader.width)
    assert torch.isfinite(out).all()
    if out.requires_grad:
        out.square().sum().backward()
    assert all(torch.isfinite(item.grad).all() for item in reader.parameters() if item.grad is not None)


@every_sequence
def test_the_scale_of_stored_values_is_applied(case: Case) -> None:
    reader = reader_of(case)
    values = values_of(case)
    scaled = Sequences(values.values * 4.0, values.offsets, 0.25)
    assert torch.allclose(reader(scaled), reader(values), atol=1e-6)


@pytest.mark.parametrize("heads", [1, 2, 3, 6])
def test_attention_pooling_is_its_equation(heads: int) -> None:
    reader = reader_of(("attention-pooling", {"heads": heads}))
    values = sequences(LENGTHS, (WIDTH,))
    out = reader(values)
    size = WIDTH // heads
    for row, length in enumerate(LENGTHS):
        elements = values.values[values.offsets[row] : values.offsets[row + 1]]
        expected = torch.zeros(WIDTH)
        for head in range(heads if length else 0):
            part = elements[:, head * size : (head + 1) * size]
            weights = (part @ reader.query[head] / math.sqrt(size)).softmax(dim=0)
            expected[head * size : (head + 1) * size] = weights @ part
        assert torch.allclose(out[row], expected, atol=1e-5)


def test_attention_pooling_starts_as_the_mean() -> None:
    values = sequences(LENGTHS, (WIDTH,))
    mean = make(READERS, ("mean", {}), (WIDTH,))(values)
    pooled = make(READERS, ("attention-pooling", {"heads": 2}), (WIDTH,))(values)
    assert torch.allclose(pooled, mean, atol=1e-6)
    for row, length in enumerate(LENGTHS):
        elements = values.values[values.offsets[row] : values.offsets[row + 1]]
        assert torch.allclose(mean[row], elements.mean(dim=0) if length else torch.zeros(WIDTH), atol=1e-6)


@pytest.mark.parametrize("length", [6, 50])
def test_text_cnn_is_its_equation_window_by_window(length: int) -> None:
    reader = reader_of(("text-cnn", {"filters": 7, "size": 5, "length": length}))
    values = sequences(LENGTHS, (WIDTH,))
    out = reader(values)
    for row in range(len(LENGTHS)):
        tokens = values.values[values.offsets[row] : values.offsets[row + 1]][:length]
        padded = torch.cat([tokens, torch.zeros(4, WIDTH)])
        maxima = []
        for convolution in reader.convolutions:
            window = convolution.kernel_size[0]
            best = torch.zeros(7)
            for start in range(len(tokens)):
                answer = (convolution.weight * padded[start : start + window].T).sum(dim=(1, 2)) + convolution.bias
                best = torch.maximum(best, answer.relu())
            maxima.append(best)
        assert torch.allclose(out[row], reader.dense(torch.cat(maxima)).tanh(), atol=1e-5)


def test_text_cnn_reads_no_further_than_its_length() -> None:
    reader = reader_of(("text-cnn", {"filters": 16, "size": 5, "length": 3}))
    values = sequences((6, 2), (WIDTH,))
    changed = Sequences(values.values.clone(), values.offsets)
    changed.values[3:6] = 9.0
    assert torch.equal(reader(changed), reader(values))
    changed.values[2] = 9.0
    assert not torch.allclose(reader(changed)[0], reader(values)[0])


def test_layer_weights_are_a_softmax_and_a_scale() -> None:
    reader = reader_of(("layer-weights", {}))
    values = values_of(("layer-weights", {}))
    weights = reader.weights.exp() / reader.weights.exp().sum()
    expected = sum(weights[layer] * values[:, layer * WIDTH : (layer + 1) * WIDTH] for layer in range(LAYERS))
    assert torch.allclose(reader(values), reader.scale * expected, atol=1e-6)
    fresh = make(READERS, ("layer-weights", {"normalise": True}), (LAYERS, WIDTH))
    normed = functional.layer_norm(values.view(-1, LAYERS, WIDTH), (WIDTH,))
    assert torch.allclose(fresh(values), normed.mean(dim=1), atol=1e-6)


def test_flat_passes_a_stack_on() -> None:
    values = values_of(("flat", {}))
    assert torch.equal(reader_of(("flat", {}))(values), values)


@pytest.mark.parametrize("attention", ["none", "over-batch", "itself"])
def test_waveform_mlp_is_three_layers_then_length_one(attention: str) -> None:
    reader = reader_of(("waveform-mlp", SAMPLES | {"attention": attention, "heads": 2}))
    values = sequences(WAVE_LENGTHS, ())
    padded = torch.zeros(len(WAVE_LENGTHS), 20)
    for row, length in enumerate(WAVE_LENGTHS):
        start = int(values.offsets[row])
        padded[row, : min(length, 20)] = values.values[start : start + min(length, 20)]
    states = padded
    for linear, width in zip(
        (reader.layers.linear0, reader.layers.linear1, reader.layers.linear2), (24, 16, 8), strict=True
    ):
        assert linear.out_features == width
        states = linear(states).relu()
    if attention == "over-batch":
        query, key, value = functional.linear(
            states, reader.attention.in_proj_weight, reader.attention.in_proj_bias
        ).split(8, dim=1)
        heads = [
            (query[:, part] @ key[:, part].T / 2.0).softmax(dim=1) @ value[:, part]
            for part in (slice(0, 4), slice(4, 8))
        ]
        states = functional.layer_norm(states + reader.attention.out_proj(torch.cat(heads, dim=1)), (8,))
    if attention == "itself":  # the softmax over one is 1
        value = functional.linear(states, reader.attention.in_proj_weight[16:], reader.attention.in_proj_bias[16:])
        states = functional.layer_norm(states + reader.attention.out_proj(value), (8,))
    expected = states / states.norm(dim=1, keepdim=True)
    assert torch.allclose(reader(values), expected, atol=1e-5)
    assert torch.allclose(reader(values).norm(dim=1), torch.ones(len(WAVE_LENGTHS)), atol=1e-5)


@pytest.mark.parametrize(
    ("case", "shape", "message"),
    [
        (("attention-pooling", {"heads": 4}), (6,), r"reader\.heads \(4\) must divide dim \(6\): try 3"),
        (
            ("waveform-mlp", {"hidden": 10, "attention": "over-batch"}),
            (),
            r"reader\.heads \(4\) must divide dim \(10\)",
        ),
        (("waveform-mlp", {}), (384,), r"waveform-mlp reads samples, and this feature's elements have shape \(384,\)"),
        (("mean", {}), (), "mean reads sequences of vectors, .* samples of a waveform: try waveform-mlp"),
        (("text-cnn", {}), (2, 3), r"text-cnn reads sequences of vectors, .* arrays of shape \(2, 3\)"),
        (("attention-pooling", {}), (), "attention-pooling reads sequences of vectors"),
        (("flat", {}), (6,), r"flat reads stacks of shape \(layers, width\), not \(6,\)"),
        (("layer-weights", {}), (6,), "layer-weights reads stacks"),
    ],
)
def test_what_does_not_fit_is_refused(case: Case, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(READERS, case, shape)
