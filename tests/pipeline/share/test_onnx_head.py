"""head.onnx says what torch says, whatever a head is made of: every part that `erc heads` lists is tried."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from head_factory import LABELS, experiment
from torch import nn

from features.errors import ConfigError, RunError
from heads.context import CONTEXTS
from heads.data.data import FeatureShape
from heads.data.normalise import NORMALISERS, WAVEFORM, Normaliser
from heads.data.top import StoredTop
from heads.fusion import FUSIONS
from heads.graph.head import HeadGraph, check_traceable
from heads.graph.inputs import graph_inputs
from heads.losses import LOSSES
from heads.model import HeadShape, build_head
from heads.predict import Predictor
from heads.readers import READERS
from heads.signals import LossTask
from heads.training.checkpoint import InputFeature, TrainedHead
from heads.training.objective import build_objective
from pipeline.share.onnx_head import TOLERANCE, build_graph, check_parity, open_session, torch_logits
from pipeline.share.onnx_rows import CASES, Rows, drawn_rows

SHAPES = {
    "text": (FeatureShape("vector", (6,)), FeatureShape("sequence", (4,))),
    "audio": (FeatureShape("sequence", ()),),
    "visual": (FeatureShape("stack", (3, 4)),),
}
SMALL = {"dim": 8, "heads": 2, "layers": 2}
WAVE = {"name": "waveform-mlp", "seconds": 0.01, "hidden": 4, "heads": 2}
BCLSTM = {"name": "bclstm", "units": 3}
RNN = {"name": "dialogue-rnn", "state": 4, "emotion": 3, "hidden": 5}
ATTENTION = {"name": "transformer", "dim": 8, "heads": 2, "feedforward": 8, "blocks": 1}
PREVIOUS = {"name": "previous-turns", "same_speaker": True}
SPEAKERS = {"name": "speaker-attention", "dim": 8, "heads": 2}
SPCL = {"name": "spcl", "dim": 4, "items": 2, "queue": 4}
CNN = {"name": "text-cnn", "length": 5, "filters": 3, "size": 4, "windows": [2, 3]}
# name -> (what the experiment says beside its inputs, seeds)
HEADS: dict[str, tuple[dict[str, Any], int]] = {
    "plain": ({"normalise": "l2", "speakers": {"dim": 3, "min_rows": 1}}, 2),
    "bclstm": (
        {
            "fusion": {"name": "gated", "dim": 5, "gates": "sigmoid"},
            "context": {**BCLSTM, "causal": False, "activation": "relu"},
            "readers": {"text": {"name": "mean"}, "audio": {**WAVE, "attention": "itself"}},
        },
        1,
    ),
    "dialogue-rnn": (
        {
            "normalise": "l2+standardise",
            "fusion": {"name": "mean", "dim": 5},
            "context": {**RNN, "causal": False},
            "readers": {"text": CNN, "audio": WAVE, "visual": {"name": "layer-weights", "normalise": True}},
        },
        2,
    ),
    "causal": (
        {
            "fusion": {"name": "concat+norm", "dim": 5},
            "modality_context": {**BCLSTM, "layers": 1, "causal": True},
            "context": {**RNN, "causal": True},
        },
        1,
    ),
    "transformer": (
        {
            "normalise": "none",
            "fusion": {"name": "m2fnet", **SMALL, "causal": False},
            "modality_context": PREVIOUS,
            "context": {**ATTENTION, "causal": False},
            "speakers": {"dim": 3, "min_rows": 1},
            "loss": [SPCL],
        },
        2,
    ),
    "speaker-attention": (
        {"fusion": {"name": "attention", "dim": 8, "heads": 2}, "context": {**SPEAKERS, "causal": True}},
        1,
    ),
    "over-batch": (
        {
            "fusion": {"name": "attention-over-batch", "dim": 16, "heads": 2},
            "readers": {"audio": {**WAVE, "attention": "over-batch"}},
        },
        1,
    ),
    "over-batch-of-dialogues": (
        {
            "fusion": {"name": "attention-over-batch", "dim": 16, "heads": 2},
            "context": {**PREVIOUS, "same_speaker": False},
            "readers": {
                "text": {"name": "attention-pooling", "heads": 2},
                "audio": {**WAVE, "attention": "over-batch"},
                "visual": {"name": "flat"},
            },
        },
        1,
    ),
}


def trained(said: dict[str, Any], seed: int = 0, known: int = 2) -> TrainedHead:
    """A head whose weights are all drawn, the zeros that parts begin with among them."""
    inputs = said.get("inputs", {"text": ["sentence", "glove"], "audio": ["waveform"], "visual": ["frames"]})
    readers = said.get("readers", {}) if "inputs" in said else {"audio": WAVE} | said.get("readers", {})
    shapes = {modality: SHAPES[modality][: len(features)] for modality, features in inputs.items()}
    looks_around = {"context", "modality_context"} & set(said) or "m2fnet" in str(said)
    batch = {"unit": "dialogues", "size": 8} if looks_around else {"unit": "utterances", "size": 64}
    body = {"inputs": inputs, "feedforward": {"sizes": [6]}, "batch": batch}
    made = experiment(**(body | said | {"readers": readers}))
    torch.manual_seed(seed)
    head = build_head(made, HeadShape(shapes, len(LABELS), known if made.speakers else 0))
    decision = build_objective(made.loss, LossTask(torch.ones(3, dtype=torch.int64), head.hidden_width)).decision
    for module in (head, decision):
        if isinstance(module, nn.Module):
            for tensor in [*module.parameters(), *module.buffers()]:
                if tensor.is_floating_point():
                    nn.init.uniform_(tensor, -0.5, 0.5)
            module.eval()
    if decision is not None:
        decision.centres[1] = 0.0  # type: ignore[attr-defined]  # a class that train lacks
    generator = np.random.default_rng(seed)
    own = {
        modality: tuple(
            InputFeature(f"{modality}/{name}-00000000", name, normaliser(made.normalise, shape, generator), shape)
            for name, shape in zip(inputs[modality], items, strict=True)
        )
        for modality, items in shapes.items()
    }
    names = ("Ann", "Bob")[: known if made.speakers else 0]
    return TrainedHead(Predictor(made, head, decision), LABELS, own, names)


def normaliser(name: str, shape: FeatureShape, generator: np.random.Generator) -> Normaliser:
    if "standardise" not in NORMALISERS[name]:
        return Normaliser("none" if shape.shape == () else name)
    if shape.shape == ():
        return Normaliser(WAVEFORM, scale=np.array([0.2], np.float32))
    width = math.prod(shape.shape)
    mean, scale = generator.normal(size=width), generator.uniform(0.1, 0.5, size=width)
    return Normaliser(name, mean.astype(np.float32), scale.astype(np.float32))


def seeds_of(name: str) -> Sequence[TrainedHead]:
    said, count = HEADS[name]
    return [trained(said, seed) for seed in range(count)]


def test_every_part_is_tried() -> None:
    made = [trained(said).predictor.experiment for said, _ in HEADS.values()]
    assert {item.fusion.name for item in made} == set(FUSIONS)
    assert {part.name for item in made for part in (item.context, item.modality_context)} == set(CONTEXTS)
    assert {item.normalise for item in made} == set(NORMALISERS)
    read = {reader.name for item in made for reader in item.readers.values()}
    assert read == set(READERS) - {"encoder-top"}  # which is refused: see below
    deciding = {name for name, loss in LOSSES.items() if getattr(loss, "decides", False)}
    assert {term.name for item in made for term in item.loss} >= deciding == {"spcl"}


def asked(heads: Sequence[TrainedHead], case: int) -> tuple[Rows, np.ndarray]:
    """Drawn rows, and what torch says of them."""
    inputs = graph_inputs(heads[0])
    rows = drawn_rows(inputs, CASES[case], len(heads[0].speakers), case)
    return rows, torch_logits(heads, [rows.batch(head, inputs) for head in heads])


@pytest.mark.parametrize("name", HEADS)
def test_what_is_traced_says_what_the_head_says(name: str) -> None:
    """Before it is ONNX, which takes seconds each: dialogues and sequences of several lengths, what is missing or
    padding being NaN."""
    heads = seeds_of(name)
    graph = HeadGraph(heads, graph_inputs(heads[0]))
    for case in (1, 4):
        rows, expected = asked(heads, case)
        given = rows.feed(graph.inputs, graph.sees_dialogues)
        with torch.no_grad():
            found = graph({key: torch.from_numpy(given[key]) for key in graph.names}).numpy()
        if graph.sees_dialogues:
            assert (found[~rows.mask()] == 0).all()
            found = found[rows.mask()]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["plain", *(pytest.param(name, marks=pytest.mark.slow) for name in HEADS if name != "plain")]
)
def test_onnxruntime_says_what_torch_says(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    heads = seeds_of(name)
    inputs = graph_inputs(heads[0])
    told = build_graph(tmp_path / "head.onnx", heads, inputs, {})
    parity = check_parity(tmp_path / "head.onnx", heads, inputs)
    assert parity.drawn == sum(map(sum, CASES))
    assert parity.largest < TOLERANCE
    session = open_session(tmp_path / "head.onnx")
    assert [item.name for item in told] == [item.name for item in session.get_inputs()]
    assert [list(item.axes) for item in told] == [item.shape for item in session.get_inputs()]
    dialogues = heads[0].predictor.experiment.sees_dialogues
    assert {item.axes[0] for item in told} == {"dialogues" if dialogues else "utterances"}
    by_speaker = any(part in str(HEADS[name]) for part in ("dialogue-rnn", "speaker-attention", "'same_speaker': True"))
    assert ("speaker_slot" in [item.name for item in told]) == by_speaker  # and no input that nothing reads


def test_what_no_graph_can_hold_is_refused_by_name() -> None:
    """The states below an encoder's top, and dropout that is drawn when a head predicts."""
    made = trained(HEADS["plain"][0])
    with_dropout = replace(
        made,
        predictor=replace(
            made.predictor, experiment=experiment(inputs={"text": ["sentence"]}, evaluation={"dropout": True})
        ),
    )
    with pytest.raises(ConfigError, match=r"evaluation\.dropout: .* export without --onnx"):
        check_traceable(with_dropout)
    with pytest.raises(ConfigError, match=r"readers\.text: encoder-top cuts .* export without --onnx"):
        check_traceable(with_an_encoder_top(made))


def with_an_encoder_top(made: TrainedHead) -> TrainedHead:
    shape = FeatureShape("sequence", (6,), StoredTop("{}", "utterance"))
    own = InputFeature("text/tokens-00000000", "0", Normaliser("none"), shape)
    return replace(made, inputs=made.inputs | {"text": (own,)})


def test_two_features_of_one_name_have_inputs_of_two_names() -> None:
    made = trained(HEADS["plain"][0])
    twice = [replace(made.inputs["text"][0], fingerprint=f"{place}" * 64) for place in range(2)]
    other = replace(twice[0], folder="audio/sentence-00000000", shape=made.inputs["text"][1].shape)
    found = graph_inputs(replace(made, inputs={"text": tuple(twice), "audio": (other,)}))
    assert [item.name for item in found] == ["sentence", "text_sentence", "audio_sentence"]
    assert found[2].names == ["audio_sentence", "audio_sentence_present", "audio_sentence_length"]


def test_a_graph_that_says_something_else_is_refused(tmp_path: Path) -> None:
    """Weights that moved after the graph was written: what a fault of an exporter looks like."""
    pytest.importorskip("onnxruntime")
    heads = [trained({"inputs": {"text": ["sentence"]}, "readers": {}})]
    inputs = graph_inputs(heads[0])
    build_graph(tmp_path / "head.onnx", heads, inputs, {})
    with torch.no_grad():
        heads[0].head.classifier.bias[0] += 3e-5
    with pytest.raises(RunError, match=r"the ONNX graph is 3e-05 off torch on \d+ drawn utterances, more than 1e-05"):
        check_parity(tmp_path / "head.onnx", heads, inputs)
