"""One experiment, resolved and checked: inputs -> normalise -> readers -> fusion -> context -> feed-forward -> logits,
and how it is trained. What a part takes is read from its signature (heads/registry.py)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from features.errors import ConfigError, nearest
from features.spec import MODALITIES
from heads.config.registry import Problems, Section, check, settings_of, unknown_key

Selector = str | dict[str, str]

Size = Annotated[int, Field(ge=1, le=1 << 20)]
Share = Annotated[float, Field(ge=0, lt=1)]

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


class Paper(Section):
    """Which published row an experiment re-states, and the score printed there (percent)."""

    exp: int | str
    reported: float | None = None


class Tuned(Section):
    """That a search found an experiment: the best of so many different configurations by this score. It changes no
    number of a run, and reports can tell it."""

    configurations_tried: Annotated[int, Field(ge=1)]
    selected_by: str


class FeedForward(Section):
    """Hidden layers between context and classifier, with dropout after each; `sizes: []` is a linear head."""

    sizes: tuple[Size, ...] = (512,)
    dropout: Share = 0.2
    activation: Literal["relu", "gelu", "tanh"] = "relu"


class Batch(Section):
    """unit: what a batch is made of; size: how many of them; sampler: in which order they come."""

    unit: Literal["utterances", "dialogues"] = "utterances"
    size: Size = 64
    sampler: str = "shuffle"


class Optim(Section):
    """AdamW.

    warmup: share of all steps during which the learning rate rises from 0
    clip:   largest norm of the gradient, or null
    ema:    decay of an exponential moving average of the weights, which is then what is scored and kept; or null
    precision: of the head's matrix products in training: fp32, bf16 (mixed precision: weights, losses, AdamW and all
            scoring stay fp32), or auto: bf16 where the device has units for it, else fp32
    """

    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup: Share = 0.05
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    precision: Literal["fp32", "bf16", "auto"] = "fp32"


class Stop(Section):
    """epochs: at most; patience: epochs without a better dev weighted F1, counted after warm-up."""

    epochs: Size = 60
    patience: Size = 10


class Speakers(Section):
    """An embedding of the speaker's name beside the fused vector. Reports then say "uses speaker names".

    dim:      values of an embedding
    min_rows: speakers with fewer train utterances share one embedding, `other`, with those that are not in train
    dropout:  chance that a training example's speaker is taken for `other`
    """

    dim: Size = 16
    min_rows: Size = 50
    dropout: Share = 0.2


class Evaluation(Section):
    """dropout: leave it on while scoring, a slip of the HLM12ERC code that is only wanted to measure what it costs."""

    dropout: bool = False


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
    readers: dict[str, Component]
    modality_context: Component
    fusion: Component
    speakers: Speakers | None
    context: Component
    feedforward: FeedForward
    loss: tuple[Component, ...]
    batch: Batch
    optim: Optim
    stop: Stop
    evaluation: Evaluation
    suite: str | None = None
    paper: Paper | None = None
    tuned: Tuned | None = None

    @property
    def sees_dialogues(self) -> bool:
        """Whether some part looks at the other turns of an utterance's dialogue, so that these must come whole."""
        from heads.context import CONTEXTS
        from heads.fusion import FUSIONS

        contexts = (self.modality_context.name, self.context.name)
        return FUSIONS[self.fusion.name].over_dialogue or any(CONTEXTS[name].needs_dialogues for name in contexts)

    @property
    def sees_batch(self) -> bool:
        """Whether some part looks at whatever else is in the batch: only those that re-state a slip do."""
        from heads.fusion import FUSIONS

        readers = any(reader.settings.get("attention") == "over-batch" for reader in self.readers.values())
        return FUSIONS[self.fusion.name].over_batch or readers

    @property
    def is_causal(self) -> bool:
        """Whether no later turn of the dialogue can change a prediction."""
        from heads.context import CONTEXTS

        contexts = [part for part in (self.modality_context, self.context) if not CONTEXTS[part.name].always_causal]
        looks_ahead = any(part.settings.get("causal") is False for part in [self.fusion, *contexts])
        return not self.sees_batch and not looks_ahead

    def settings(self) -> dict[str, Any]:
        """JSON-ready: what decides the numbers, apart from the features themselves. Names are left out."""
        return {
            "normalise": self.normalise,
            "readers": {modality: reader.to_dict() for modality, reader in self.readers.items()},
            "modality_context": self.modality_context.to_dict(),
            "fusion": self.fusion.to_dict(),
            "speakers": self.speakers.model_dump() if self.speakers else None,
            "context": self.context.to_dict(),
            "feedforward": self.feedforward.model_dump(mode="json"),
            "loss": [term.to_dict() for term in self.loss],
            "batch": self.batch.model_dump(),
            "optim": self.optim.model_dump(exclude={"precision"} if self.optim.precision == "fp32" else None),
            "stop": self.stop.model_dump(),
            "evaluation": self.evaluation.model_dump(),
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, as written to config.yaml; `experiment_from_dict` reads it back."""
        return {
            "name": self.name,
            "suite": self.suite,
            "paper": self.paper.model_dump() if self.paper else None,
            "tuned": self.tuned.model_dump() if self.tuned else None,
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
        named = next((part.name for part in contexts if part.name != "none"), "")
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
