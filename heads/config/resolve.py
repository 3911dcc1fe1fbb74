"""An experiment from plain values: every part checked against its table and signature, every problem told at once.

What a part takes is read from its signature (heads/config/registry.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from features.errors import ConfigError, nearest
from features.spec import MODALITIES, Selector
from heads.config.experiment import Component, Experiment
from heads.config.registry import Problems, Section, check, settings_of, unknown_key
from heads.config.sections import (
    Batch,
    Evaluation,
    FeedForward,
    FusionCommon,
    LossCommon,
    Optim,
    Paper,
    Speakers,
    Stop,
    Tuned,
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}")
# What an experiment that names no part gets.
DEFAULT_PARTS: dict[str, Any] = {
    "fusion": {"name": "concat"},
    "modality_context": {"name": "none"},
    "context": {"name": "none"},
    "loss": [{"name": "cross-entropy"}],
}
_KEYS = (
    "paper",
    "tuned",
    "inputs",
    "normalise",
    "readers",
    "modality_context",
    "fusion",
    "speakers",
    "context",
    "feedforward",
    "loss",
    "batch",
    "optim",
    "stop",
    "evaluation",
)


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
    from heads.data.normalise import NORMALISERS
    from heads.data.samplers import SAMPLERS
    from heads.fusion import FUSIONS
    from heads.losses import LOSSES
    from heads.readers import READERS

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
    tuned = check(Tuned, body["tuned"], "tuned", problems) if body.get("tuned") is not None else None
    normalise = body.get("normalise", "standardise")
    if not isinstance(normalise, str) or normalise not in NORMALISERS:
        problems.append(("normalise", f"unknown {normalise!r}: {nearest(str(normalise), NORMALISERS)}"))
    fusion = _component(FUSIONS, FusionCommon, body["fusion"], "fusion", problems)
    modality_context = _component(CONTEXTS, Section, body["modality_context"], "modality_context", problems)
    context = _component(CONTEXTS, Section, body["context"], "context", problems)
    speakers = check(Speakers, body["speakers"], "speakers", problems) if body.get("speakers") is not None else None
    evaluation = check(Evaluation, body.get("evaluation") or {}, "evaluation", problems)
    loss = _losses(LOSSES, body["loss"], problems)
    batch = check(Batch, body.get("batch", {}), "batch", problems)
    if batch and batch.sampler not in SAMPLERS:
        problems.append(("batch.sampler", f"unknown sampler {batch.sampler!r}: {nearest(batch.sampler, SAMPLERS)}"))
    feedforward = check(FeedForward, body.get("feedforward", {}), "feedforward", problems)
    optim = check(Optim, body.get("optim", {}), "optim", problems)
    stop = check(Stop, body.get("stop", {}), "stop", problems)
    inputs = _inputs(body.get("inputs"), problems)
    readers = _readers(READERS, body.get("readers"), inputs, problems)
    if len(problems) > before or not (
        modality_context and fusion and context and feedforward and batch and optim and stop and evaluation
    ):
        return None
    experiment = Experiment(
        name=name,
        inputs=inputs,
        normalise=normalise,
        readers=readers,
        modality_context=modality_context,
        fusion=fusion,
        speakers=speakers,
        context=context,
        feedforward=feedforward,
        loss=loss,
        batch=batch,
        optim=optim,
        stop=stop,
        evaluation=evaluation,
        suite=suite,
        paper=paper,
        tuned=tuned,
    )
    problems += _misfits(experiment)
    return experiment if len(problems) == before else None


def _misfits(experiment: Experiment) -> Problems:
    """Parts that are each right and do not go together."""
    from heads.data.samplers import NEEDS_DIFFICULTY
    from heads.losses import LOSSES

    problems: Problems = []
    batch = experiment.batch
    if experiment.sees_dialogues and batch.unit != "dialogues":
        contexts = (experiment.context, experiment.modality_context, experiment.fusion)
        own = [f"readers.{modality}: over: dialogue" for modality in experiment.readers_over_dialogue]
        named = next(iter(own), None) or next((part.name for part in contexts if part.name != "none"), "")
        problems.append(
            (
                "batch.unit",
                f"must be dialogues, since {named!r} looks at whole dialogues: {{unit: dialogues, size: 16}}",
            )
        )
    if batch.unit == "dialogues" and batch.sampler != "shuffle":
        problems.append(
            ("batch.sampler", f"{batch.sampler!r} draws utterances: with unit: dialogues only shuffle fits")
        )
    decides = [term.name for term in experiment.loss if LOSSES[term.name].decides]
    if batch.sampler in NEEDS_DIFFICULTY and not decides:
        able = ", ".join(name for name, loss in LOSSES.items() if loss.decides)
        problems.append(("batch.sampler", f"{batch.sampler!r} ranks examples by class centres: add the loss {able}"))
    if len(decides) > 1:
        problems.append(("loss", f"{' and '.join(decides)} both decide what is predicted: keep one"))
    return problems


def _readers(
    table: Mapping[str, Any], values: Any, inputs: Mapping[str, Any], problems: Problems
) -> dict[str, Component]:
    """modality -> reader of its sequence and stack features, for the modalities that name one."""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        problems.append(("readers", f"must be a mapping, as in readers: {{text: text-cnn}}, not {values!r}"))
        return {}
    readers = {}
    for modality, value in values.items():
        path = f"readers.{modality}"
        if modality not in MODALITIES:
            problems.append((path, unknown_key(modality, MODALITIES)))
        elif value is not None and (reader := _component(table, Section, value, path, problems)) and modality in inputs:
            readers[modality] = reader
    return readers


def _component(
    table: Mapping[str, Any], common: type[Section], values: Any, path: str, problems: Problems
) -> Component | None:
    """A part's name and settings, each checked against its table and signature."""
    if not isinstance(values, Mapping) or "name" not in values:
        problems.append((path, f"must be a mapping with a `name`, one of {', '.join(sorted(table))}, not {values!r}"))
        return None
    name = values["name"]
    if not isinstance(name, str) or name not in table:
        what = {"readers": "reader", "modality_context": "context"}.get(path.split(".")[0], path.split(".")[0])
        problems.append((f"{path}.name", f"unknown {what} {name!r}: {nearest(str(name), table)}"))
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
