"""What a trained head is made of, read from its config and features: the boxes of the architecture figure.

The head is built once more, on torch's `meta` device, where weights take neither memory nor time, so that every number
of values and of parameters is the one that was trained.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from features.digests import canonical_json
from features.errors import ConfigError
from features.spec import MODALITIES
from pipeline.pages.words import count, magnitude
from pipeline.report.snapshot import RunSnapshot
from pipeline.runs.features_file import FeatureUse

if TYPE_CHECKING:
    from torch import nn

    from heads.config.experiment import Component, Experiment
    from heads.data.data import FeatureShape
    from heads.model import Head

_LINE = 22  # characters of a line within a box
MARKS = {"pretrained": "frozen", "random": "random weights", "none": "no weights", "foreign": "imported"}

_NO_EFFECT = {"dropout": 0, "smoothing": 0, "power": 1}  # values at which a setting changes nothing


@dataclass(frozen=True)
class Part:
    """One box. values: what it gives, as it is written on its arrow; trained: whether training changes it."""

    title: str
    lines: tuple[str, ...]
    values: str
    trained: bool


@dataclass(frozen=True)
class Source:
    """One stored feature and what normalises and reads it (None: nothing does)."""

    feature: Part
    reading: Part | None


@dataclass(frozen=True)
class Branch:
    """One modality. join: of several features; context: of the modality alone, before it is fused."""

    modality: str
    sources: tuple[Source, ...]
    join: Part | None
    context: Part | None


@dataclass(frozen=True)
class Architecture:
    """branches -> fusion (beside it speakers) -> trunk: context, feed-forward, logits, loss, each with its heading."""

    branches: tuple[Branch, ...]
    fusion: Part
    speakers: Part | None
    trunk: tuple[tuple[str, Part], ...]
    parameters: int


def architecture_of(run: RunSnapshot) -> Architecture:
    """Raises ConfigError where the config is not one that today's parts can be built from."""
    from heads.config.resolve import experiment_from_dict

    experiment = experiment_from_dict(run.config, f"{run.folder}/config.yaml")
    features: dict[str, list[FeatureUse]] = {}
    for modality in MODALITIES:
        found = [feature for feature in run.features if feature.modality == modality]
        if found:
            features[modality] = found
    if set(features) != set(experiment.inputs):
        raise ConfigError(
            f"{run.folder}: config.yaml reads {', '.join(experiment.inputs)},"
            f" and features.json has {', '.join(features) or 'nothing'}"
        )
    return _described(experiment, features, len(run.manifest.labels), run.parameters)


def _described(
    experiment: Experiment, features: Mapping[str, list[FeatureUse]], num_classes: int, parameters: int | None
) -> Architecture:
    from heads.model import num_parameters

    shapes = {modality: [_shape(item) for item in found] for modality, found in features.items()}
    head = _built(experiment, shapes, num_classes)
    branches = tuple(_branch(experiment, head, modality, found) for modality, found in features.items())
    fusion: Any = head.fusion
    shares = [f"{key.replace('_', ' ')} {value:g}" for key, value in experiment.fusion.common.items() if value]
    fused = Part(
        experiment.fusion.name,
        (*_wrapped(_settings(experiment.fusion), *shares), *_parameters(fusion)),
        count(fusion.width),
        num_parameters(fusion) > 0,
    )
    trunk = []
    context: Any = head.context
    if experiment.context.name != "none":
        trunk.append(("context", _part(experiment.context, context)))
    layers = experiment.feedforward
    if layers.sizes:
        sizes = " → ".join(count(size) for size in layers.sizes)
        lines = _wrapped([layers.activation], *([f"dropout {layers.dropout:g}"] if layers.dropout else []))
        lines = (*lines, *_parameters(head.hidden))
        trunk.append(("feed-forward", Part(sizes, lines, count(head.hidden_width), True)))
    logits = ("linear", *_parameters(head.classifier))
    trunk.append(("logits", Part(f"{num_classes} labels", logits, count(num_classes), True)))
    trunk.append(("loss", _loss(experiment.loss)))
    built = num_parameters(head)
    speakers = None
    if experiment.speakers is not None and head.speakers is not None:
        # The number of names is in the recorded count of weights; built here was the one row that all others share.
        names = ((parameters or built) - built) // experiment.speakers.dim
        known = [f"{count(names)} known names", "all others share one"] if names > 0 else []
        known += [f"dropout {experiment.speakers.dropout:g}"] if experiment.speakers.dropout else []
        rows = experiment.speakers.dim * (1 + max(names, 0))
        lines = (*(line[:_LINE] for line in known), f"{magnitude(rows)} weights")
        speakers = Part("embedding", lines, count(experiment.speakers.dim), True)
    return Architecture(branches, fused, speakers, tuple(trunk), built if parameters is None else parameters)


def _built(experiment: Experiment, shapes: Mapping[str, list[FeatureShape]], num_classes: int) -> Head:
    import torch

    from heads.model import HeadShape, build_head

    with torch.device("meta"):
        return build_head(experiment, HeadShape(shapes, num_classes))


def _shape(feature: FeatureUse) -> FeatureShape:
    from heads.data.data import feature_shape
    from heads.data.top import StoredTop

    top = None
    if feature.top is not None:
        top = StoredTop(canonical_json(feature.top), feature.settings.get("windows", "utterance"))
    shape = feature_shape(feature.kind, feature.shape, top)  # type: ignore[arg-type]
    lengths = {"vector": (1,), "stack": (2,), "sequence": (0, 1, 2)}.get(shape.kind, ())
    if len(shape.shape) not in lengths or any(size < 1 for size in shape.shape):
        raise ConfigError(f"{feature.folder}: no feature has kind {feature.kind!r} and shape {feature.shape}")
    return shape


def _branch(experiment: Experiment, head: Head, modality: str, found: list[FeatureUse]) -> Branch:
    join: Any = head.inputs[modality]
    kinds = {item.read_as for item in found}
    sources = tuple(
        Source(_feature(item), _reading(experiment, item, kinds, reader))
        for item, reader in zip(found, join.readers, strict=True)
    )
    joined = None
    if len(found) > 1:
        weights = sum(vector.numel() for vector in join.missing)
        lines = ("side by side,", "1 bit a feature:", "is it missing?", f"{magnitude(weights)} weights")
        joined = Part(f"{len(found)} features", lines, count(join.width), True)
    own = None
    if head.modality_contexts is not None:
        context: Any = head.modality_contexts.contexts[modality]
        own = _part(experiment.modality_context, context)
    return Branch(modality, sources, joined, own)


def _feature(item: FeatureUse) -> Part:
    name = [] if item.encoder == item.name else [item.encoder]
    model = [item.model] if item.model and item.model not in (item.encoder, item.name) else []
    lines = [line for text in name + model for line in textwrap.wrap(text, _LINE, max_lines=2, placeholder="…")]
    lines += [f"below its last {item.top['from_top']}"] if item.top else []
    mark = MARKS.get(item.weights, item.weights)
    return Part(item.name, (*lines, _form(item), mark), _values(item), False)


def _form(item: FeatureUse) -> str:
    if item.kind == "sequence":
        return "samples" if item.shape in ((), (1,)) else f"sequence of {' × '.join(map(count, item.shape))}"
    return f"{count(item.shape[0])} layers of {count(item.shape[1])}" if item.kind == "stack" else "one vector"


def _values(item: FeatureUse) -> str:
    sizes = [count(size) for size in item.shape if item.shape != (1,) or item.kind != "sequence"]
    return " × ".join((["n"] if item.kind == "sequence" else []) + sizes)


def _reading(experiment: Experiment, item: FeatureUse, kinds: set[str], reader: nn.Module) -> Part | None:
    is_waveform = item.kind == "sequence" and item.shape in ((), (1,))
    as_stored = experiment.normalise == "none" or item.top is not None
    steps = [] if as_stored else ["rms" if is_waveform else experiment.normalise]
    if item.kind == "vector":
        return Part(steps[0], ("by train statistics",), _values(item), False) if steps else None
    part = experiment.reader_of(item.modality, item.read_as, kinds)
    weights = _parameters(reader)
    lines = (*(f"normalise: {step}" for step in steps), *_wrapped(_settings(part)), *weights)
    width: Any = reader.width
    return Part(part.name, lines, count(width), bool(weights))


def _part(component: Component, module: Any) -> Part:
    weights = _parameters(module)
    return Part(component.name, (*_wrapped(_settings(component)), *weights), count(module.width), bool(weights))


def _loss(terms: tuple[Component, ...]) -> Part:
    def named(term: Component) -> str:
        weight = term.common.get("weight", 1)
        return term.name if weight == 1 else f"{weight:g} × {term.name}"

    first, *others = terms
    lines = list(_wrapped(_settings(first)))
    for term in others:
        lines += [*textwrap.wrap(f"+ {named(term)}", _LINE), *_wrapped(_settings(term))]
    return Part(named(first), tuple(lines), "", False)


def _settings(component: Component) -> list[str]:
    """`heads 4`, `not causal`; what is not set or changes nothing is left out."""
    texts = []
    for key, value in component.settings.items():
        name = key.replace("_", " ")
        if value in (None, "none") or value == _NO_EFFECT.get(key):
            continue
        if isinstance(value, bool):
            texts.append(name if value else f"not {name}")
        elif isinstance(value, list | tuple):
            texts.append(f"{name} {', '.join(map(str, value))}")
        else:
            texts.append(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}")
    return texts


def _parameters(module: nn.Module) -> tuple[str, ...]:
    from heads.model import num_parameters

    number = num_parameters(module)
    return (f"{magnitude(number)} weights",) if number else ()


def _wrapped(settings: list[str], *more: str) -> tuple[str, ...]:
    """Lines of settings, broken between them rather than within one."""
    unbroken = ", ".join([*settings, *more]).replace(" ", "\N{NO-BREAK SPACE}").replace(",\N{NO-BREAK SPACE}", ", ")
    return tuple(line.replace("\N{NO-BREAK SPACE}", " ") for line in textwrap.wrap(unbroken, _LINE))
