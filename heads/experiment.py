"""One experiment, resolved and checked: inputs -> normalise -> fusion -> context -> feed-forward -> logits, and how it
is trained. What a part takes is read from its signature (heads/registry.py)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from features.errors import ConfigError, nearest
from features.spec import MODALITIES
from heads.registry import Problems, Section, check, settings_of, unknown_key

Selector = str | dict[str, str]

Size = Annotated[int, Field(ge=1, le=1 << 20)]
Share = Annotated[float, Field(ge=0, lt=1)]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}")
# What an experiment that names no part gets.
DEFAULT_PARTS: dict[str, Any] = {
    "fusion": {"name": "concat"},
    "context": {"name": "none"},
    "loss": [{"name": "cross-entropy"}],
}
_KEYS = ("paper", "inputs", "normalise", "fusion", "context", "feedforward", "loss", "batch", "optim", "stop")


class Paper(Section):
    """Which published row an experiment re-states, and the score printed there (percent)."""

    exp: int | str
    reported: float | None = None


class FeedForward(Section):
    """Hidden layers between context and classifier, with dropout after each; `sizes: []` is a linear head."""

    sizes: tuple[Size, ...] = (512,)
    dropout: Share = 0.2
    activation: Literal["relu", "gelu", "tanh"] = "relu"


class Batch(Section):
    """unit: what a batch is made of; size: how many of them; sampler: in which order they come."""

    unit: Literal["utterances"] = "utterances"
    size: Size = 64
    sampler: str = "shuffle"


class Optim(Section):
    """AdamW.

    warmup: share of all steps during which the learning rate rises from 0
    clip:   largest norm of the gradient, or null
    """

    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup: Share = 0.05
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    clip: Annotated[float, Field(gt=0)] | None = 1.0


class Stop(Section):
    """epochs: at most; patience: epochs without a better dev weighted F1, counted after warm-up."""

    epochs: Size = 60
    patience: Size = 10


class FusionCommon(Section):
    """What every fusion takes.

    input_dropout:    share of an embedding's values dropped before they are fused
    modality_dropout: chance that a present modality is hidden from one training example
    """

    input_dropout: Share = 0.0
    modality_dropout: Share = 0.0


class LossCommon(Section):
    """What every loss takes: its weight in the sum."""

    weight: Annotated[float, Field(gt=0)] = 1.0


@dataclass(frozen=True)
class Component:
    """A part by its name in its table, with all its settings resolved; `common` is what the table's parts share."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    common: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name} | self.common | self.settings


@dataclass(frozen=True)
class Experiment:
    """One resolved experiment: every key has its value."""

    name: str
    inputs: dict[str, tuple[Selector, ...]]
    normalise: str
    fusion: Component
    context: Component
    feedforward: FeedForward
    loss: tuple[Component, ...]
    batch: Batch
    optim: Optim
    stop: Stop
    suite: str | None = None
    paper: Paper | None = None

    def settings(self) -> dict[str, Any]:
        """JSON-ready: what decides the numbers, apart from the features themselves. Names are left out."""
        return {
            "normalise": self.normalise,
            "fusion": self.fusion.to_dict(),
            "context": self.context.to_dict(),
            "feedforward": self.feedforward.model_dump(mode="json"),
            "loss": [term.to_dict() for term in self.loss],
            "batch": self.batch.model_dump(),
            "optim": self.optim.model_dump(),
            "stop": self.stop.model_dump(),
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, as written to config.yaml; `experiment_from_dict` reads it back."""
        return {
            "name": self.name,
            "suite": self.suite,
            "paper": self.paper.model_dump() if self.paper else None,
            "inputs": {modality: list(selectors) for modality, selectors in self.inputs.items()},
            **self.settings(),
        }


def experiment_from_dict(values: Any, where: str) -> Experiment:
    """Read back what `Experiment.to_dict` gave. Raises ConfigError that lists every problem."""
    problems: Problems = []
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: must be a mapping, not {type(values).__name__}")
    body = {key: value for key, value in values.items() if key not in ("name", "suite")}
    experiment = resolve(str(values.get("name", "")), values.get("suite"), body, problems)
    if experiment is None or problems:
        raise ConfigError(f"{where}: {'; '.join(f'{path}: {problem}' for path, problem in problems)}")
    return experiment


def resolve(name: str, suite: str | None, body: Mapping[str, Any], problems: Problems) -> Experiment | None:
    """Check one merged experiment; None if there is any problem, all of which are appended."""
    from heads.context import CONTEXTS
    from heads.fusion import FUSIONS
    from heads.losses import LOSSES
    from heads.normalise import NORMALISERS
    from heads.samplers import SAMPLERS

    before = len(problems)
    body = DEFAULT_PARTS | dict(body)
    if not _NAME.fullmatch(name):
        problems.append(
            ("", f"experiment name {name!r} is not usable: letters, digits, '.', '_', '+', '-', at most 80")
        )
    for key in body:
        if key not in _KEYS:
            problems.append((str(key), unknown_key(key, _KEYS)))
    paper = check(Paper, body["paper"], "paper", problems) if body.get("paper") is not None else None
    normalise = body.get("normalise", "standardise")
    if not isinstance(normalise, str) or normalise not in NORMALISERS:
        problems.append(("normalise", f"unknown {normalise!r}: {nearest(str(normalise), NORMALISERS)}"))
    fusion = _component(FUSIONS, FusionCommon, body["fusion"], "fusion", problems)
    context = _component(CONTEXTS, Section, body["context"], "context", problems)
    loss = _losses(LOSSES, body["loss"], problems)
    batch = check(Batch, body.get("batch", {}), "batch", problems)
    if batch and batch.sampler not in SAMPLERS:
        problems.append(("batch.sampler", f"unknown sampler {batch.sampler!r}: {nearest(batch.sampler, SAMPLERS)}"))
    feedforward = check(FeedForward, body.get("feedforward", {}), "feedforward", problems)
    optim = check(Optim, body.get("optim", {}), "optim", problems)
    stop = check(Stop, body.get("stop", {}), "stop", problems)
    inputs = _inputs(body.get("inputs"), problems)
    if len(problems) > before or not (fusion and context and feedforward and batch and optim and stop):
        return None
    return Experiment(
        name, inputs, normalise, fusion, context, feedforward, loss, batch, optim, stop, suite=suite, paper=paper
    )


def _component(
    table: Mapping[str, Any], common: type[Section], values: Any, path: str, problems: Problems
) -> Component | None:
    """A part's name and settings, each checked against its table and signature."""
    if not isinstance(values, Mapping) or "name" not in values:
        problems.append((path, f"must be a mapping with a `name`, one of {', '.join(sorted(table))}, not {values!r}"))
        return None
    name = values["name"]
    if not isinstance(name, str) or name not in table:
        problems.append((f"{path}.name", f"unknown {path.split('.')[0]} {name!r}: {nearest(str(name), table)}"))
        return None
    model = settings_of(table[name])
    known = [*common.model_fields, *model.model_fields]
    rest = {key: value for key, value in values.items() if key != "name"}
    for key in rest:
        if key not in known:
            problems.append((f"{path}.{key}", unknown_key(key, known)))
    shared = check(common, {key: rest[key] for key in rest if key in common.model_fields}, path, problems)
    own = check(model, {key: rest[key] for key in rest if key in model.model_fields}, path, problems)
    if shared is None or own is None:
        return None
    return Component(name, own.model_dump(mode="json"), shared.model_dump(mode="json"))


def _losses(table: Mapping[str, Any], values: Any, problems: Problems) -> tuple[Component, ...]:
    if not isinstance(values, list) or not values:
        problems.append(("loss", f"must be a list of losses, not {values!r}"))
        return ()
    terms = [_component(table, LossCommon, value, f"loss.{index}", problems) for index, value in enumerate(values)]
    return tuple(term for term in terms if term)


def _inputs(values: Any, problems: Problems) -> dict[str, tuple[Selector, ...]]:
    """modality -> selectors, in the fixed order of the modalities; null or an empty list leaves a modality out."""
    if not isinstance(values, Mapping):
        problems.append(("inputs", "is missing: name the stored features, as in inputs: {text: [sentence]}"))
        return {}
    for modality, chosen in values.items():
        path = f"inputs.{modality}"
        if modality not in MODALITIES:
            problems.append((path, unknown_key(modality, MODALITIES)))
        elif chosen is not None and not isinstance(chosen, list):
            problems.append((path, f"must be a list of feature names, not {chosen!r}"))
        else:
            problems += [
                (f"{path}.{index}", problem)
                for index, item in enumerate(chosen or [])
                if (problem := _selector_problem(item, chosen or []))
            ]
    inputs: dict[str, tuple[Selector, ...]] = {
        key: tuple(values[key]) for key in MODALITIES if isinstance(values.get(key), list) and values[key]
    }
    if not inputs and not any(path.startswith("inputs") for path, _ in problems):
        problems.append(("inputs", "is empty: name at least one stored feature, as in inputs: {text: [sentence]}"))
    return inputs


def _selector_problem(item: Any, among: Sequence[Any]) -> str | None:
    if among.count(item) > 1:
        return f"{item!r} is named more than once"
    if isinstance(item, str):
        return None if item.strip() else "is blank"
    if not isinstance(item, Mapping):
        return f"must be a name, or a mapping with encoder and model, not {item!r}"
    for key, value in item.items():
        if key not in ("encoder", "model"):
            return f"{key}: {unknown_key(key, ('encoder', 'model'))}"
        if not isinstance(value, str):
            return f"{key}: must be text, not {value!r}"
    return None if item else "is an empty mapping: give encoder, model or both"
