"""One experiment, with a value for every key: inputs -> normalise -> readers -> fusion -> context -> feed-forward ->
logits, and how it is trained."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from features.spec import Selector
from heads.config.sections import Batch, Evaluation, FeedForward, Optim, Paper, Speakers, Stop, Tuned


@dataclass(frozen=True)
class Component:
    """A part by its name in its table, with a value for each of its settings. `common` are the settings that all parts
    of the table share."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    common: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name} | self.common | self.settings


@dataclass(frozen=True)
class Experiment:
    """One experiment, with defaults filled in: every key has a value."""

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
        """Whether some part looks at other turns of the dialogue. Batches must then hold whole dialogues."""
        from heads.context import CONTEXTS
        from heads.fusion import FUSIONS

        contexts = (self.modality_context.name, self.context.name)
        by_context = any(CONTEXTS[name].needs_dialogues for name in contexts)
        return FUSIONS[self.fusion.name].over_dialogue or by_context or bool(self.readers_over_dialogue)

    def reader_of(self, modality: str, kind: str, kinds: Collection[str]) -> Component:
        """The reader of one of a modality's features: the one that is named for the modality where it reads such a
        feature, and the default elsewhere. Where it reads none of them it is still the named one: a head refuses that.

        kind: of this feature, as readers see it; kinds: of all of the modality's
        """
        from heads.readers import DEFAULT_READERS, READERS

        named = self.readers.get(modality)
        if named is None or (kind not in (able := READERS[named.name].kinds) and able & set(kinds)):
            return Component(DEFAULT_READERS[kind])
        return named

    @property
    def readers_over_dialogue(self) -> list[str]:
        """The modalities whose reader looks at whole dialogues."""
        return [modality for modality, reader in self.readers.items() if reader.settings.get("over") == "dialogue"]

    @property
    def sees_batch(self) -> bool:
        """Whether some part looks at the other utterances of the batch. Only parts that repeat a slip do."""
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
        """JSON-ready: everything that decides the numbers, except the features themselves. Names are left out."""
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
