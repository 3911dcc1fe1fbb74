"""One experiment, every key with its value: inputs -> normalise -> readers -> fusion -> context -> feed-forward ->
logits, and how it is trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from features.spec import Selector
from heads.config.registry import Section

Size = Annotated[int, Field(ge=1, le=1 << 20)]
Share = Annotated[float, Field(ge=0, lt=1)]


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
    """Hidden layers between context and classifier.

    sizes:      values of each layer; `[]` is a linear head
    dropout:    after each layer
    activation: of each layer
    """

    sizes: tuple[Size, ...] = (512,)
    dropout: Share = 0.2
    activation: Literal["relu", "gelu", "tanh"] = "relu"


class Batch(Section):
    """What is learned from in one step.

    unit:    what a batch is made of: utterances, or whole dialogues
    size:    how many of them
    sampler: which examples come, and in which order: one of the samplers
    """

    unit: Literal["utterances", "dialogues"] = "utterances"
    size: Size = 64
    sampler: str = "shuffle"


class Optim(Section):
    """AdamW, the optimiser, with its learning rate, its schedule and its precision.

    lr:       the highest learning rate
    weight_decay: of weights that multiply an input; biases, norms and embeddings have none
              (heads/training/weight_decay.py)
    warmup:   share of all steps during which the learning rate rises from 0
    schedule: what the learning rate does after the warm-up: linear and cosine go down to 0, constant stays
    clip:   largest norm of the gradient; null: any
    ema:    decay of an exponential moving average of the weights, which is then scored and kept; null: no average
    lr_top: learning rate of an encoder's layers (the reader encoder-top); null: as lr
    top_decay: what lr_top is multiplied by for each layer below the last
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
    lr_top: Annotated[float, Field(gt=0)] | None = None
    top_decay: Annotated[float, Field(gt=0, le=1)] = 1.0

    def top_rate(self, depth: int) -> float:
        """The learning rate of an encoder's layer, `depth` layers below its last."""
        return (self.lr if self.lr_top is None else self.lr_top) * self.top_decay**depth

    def stated(self) -> dict[str, Any]:
        """JSON-ready; keys that came later are left out where they change nothing, so that keys of older runs stay."""
        later = {"precision": "fp32", "lr_top": None, "top_decay": 1.0}
        return {key: value for key, value in self.model_dump().items() if key not in later or value != later[key]}


class Stop(Section):
    """When training ends.

    epochs:   the largest number of epochs; learning rates and curricula are spread over so many
    patience: training stops after so many epochs without a better score on dev, counted after the warm-up. With the
              sampler spcl-curriculum it goes on to the last epoch
    """

    epochs: Size = 60
    patience: Size = 10


class Speakers(Section):
    """An embedding of the speaker's name beside the fused vector. Reports then say "uses speaker names".

    dim:      values of an embedding
    min_rows: speakers with fewer utterances in train share one embedding, `other`; so do speakers that are not in train
    dropout:  chance that the speaker of a training example is taken for `other`
    """

    dim: Size = 16
    min_rows: Size = 50
    dropout: Share = 0.2


class Evaluation(Section):
    """How the head is scored.

    dropout: true leaves dropout on while scoring. That is a slip of the HLM12ERC code, and serves to measure its cost
    """

    dropout: bool = False


class FusionCommon(Section):
    """What every fusion takes.

    input_dropout:    share of an embedding's values that training drops before they are fused
    modality_dropout: chance that a modality that is there is hidden from one training example
    """

    input_dropout: Share = 0.0
    modality_dropout: Share = 0.0


class LossCommon(Section):
    """What every loss takes.

    weight: what the loss is multiplied by before the losses are summed
    """

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
        by_context = any(CONTEXTS[name].needs_dialogues for name in contexts)
        return FUSIONS[self.fusion.name].over_dialogue or by_context or bool(self.readers_over_dialogue)

    @property
    def readers_over_dialogue(self) -> list[str]:
        """The modalities whose reader looks at whole dialogues."""
        return [modality for modality, reader in self.readers.items() if reader.settings.get("over") == "dialogue"]

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
            "optim": self.optim.stated(),
            "stop": self.stop.model_dump(),
            "evaluation": self.evaluation.model_dump(),
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, as written to config.yaml; `resolve.experiment_from_dict` reads it back."""
        return {
            "name": self.name,
            "suite": self.suite,
            "paper": self.paper.model_dump() if self.paper else None,
            "tuned": self.tuned.model_dump() if self.tuned else None,
            "inputs": {modality: list(selectors) for modality, selectors in self.inputs.items()},
            **self.settings(),
        }
