"""The head. The features of each modality are read and joined. Then follow fusion, context, feed-forward and logits.

Legend: b utterances, k features of a modality, d values of a feature, c classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from features.errors import ConfigError
from heads.config.experiment import Component, Experiment
from heads.config.registry import look_up
from heads.context import CONTEXTS
from heads.data.batch import Batch
from heads.data.data import FeatureShape
from heads.data.sequences import Sequences
from heads.dropout import Dropout
from heads.feedforward import feedforward
from heads.fusion import FUSIONS
from heads.fusion.inputs import Present, mask_of
from heads.readers import READERS
from heads.signals import Output


@dataclass(frozen=True)
class HeadShape:
    """inputs: modality -> shape of each feature; num_classes: c; num_speakers: how many it knows by name."""

    inputs: Mapping[str, Sequence[FeatureShape]]
    num_classes: int
    num_speakers: int = 0


class Join(nn.Module):
    """The features of one modality side by side. Each sequence or stack is first read to a vector. With several
    features, a learned vector takes the place of a missing one, and each feature has one bit, which is 1 if it is
    missing. A single feature is passed on as it is: what comes next then handles a missing one."""

    def __init__(self, readers: Sequence[nn.Module | int]) -> None:
        """readers: the reader of each feature; for a vector, its number of values."""
        super().__init__()
        self.readers = nn.ModuleList(nn.Identity() if isinstance(item, int) else item for item in readers)
        widths: list[int] = [item if isinstance(item, int) else item.width for item in readers]  # type: ignore[misc]
        several = len(widths) > 1
        self.missing = nn.ParameterList(nn.Parameter(torch.zeros(width)) for width in widths if several)
        self.num_bits = len(widths) if several else 0
        self.width = sum(widths) + self.num_bits

    def forward(self, values: Sequence[Tensor | Sequences], present: Tensor) -> Tensor:
        """values: k x float32 [b, d] or Sequences of b; present: bool [b, k]. Gives float32 [b, width]."""
        vectors: list[Tensor] = [reader(item) for reader, item in zip(self.readers, values, strict=True)]
        if not len(self.missing):
            return vectors[0]
        parts = [
            torch.where(present[:, index : index + 1], item, vector)
            for index, (item, vector) in enumerate(zip(vectors, self.missing, strict=True))
        ]
        return torch.cat([*parts, (~present).to(parts[0].dtype)], dim=1)


class ModalityContexts(nn.Module):
    """A context for each modality, before the fusion. A learned vector takes the place of a missing modality."""

    def __init__(self, contexts: Mapping[str, nn.Module], widths: Mapping[str, int]) -> None:
        super().__init__()
        self.contexts = nn.ModuleDict(contexts)
        self.missing = nn.ParameterDict({name: nn.Parameter(torch.zeros(width)) for name, width in widths.items()})
        self.widths: dict[str, int] = {name: context.width for name, context in contexts.items()}  # type: ignore[misc]

    def forward(self, values: Mapping[str, Tensor], present: Mapping[str, Present], batch: Batch) -> dict[str, Tensor]:
        """modality -> float32 [b, widths[modality]]"""
        layout = batch.layout()
        return {
            name: context(
                torch.where(mask_of(present[name], values[name]).unsqueeze(1), values[name], self.missing[name]), layout
            )
            for name, context in self.contexts.items()
        }


class SpeakerEmbedding(nn.Module):
    """A learned vector for each speaker whom the head knows by name, and one for all others (place 0)."""

    def __init__(self, num_speakers: int, *, dim: int, dropout: float) -> None:
        super().__init__()
        self.table = nn.Embedding(num_speakers + 1, dim)
        self.dropout = dropout
        self.width = dim

    def forward(self, speakers: Tensor) -> Tensor:
        """speakers: int64 [b]. Gives float32 [b, dim]."""
        if self.training and self.dropout:
            hidden = torch.rand(speakers.shape, device=speakers.device) < self.dropout
            speakers = speakers.masked_fill(hidden, 0)
        embedded: Tensor = self.table(speakers)
        return embedded


class Head(nn.Module):
    """inputs -> modality contexts -> fusion -> context -> feed-forward -> logits."""

    def __init__(
        self,
        *,
        inputs: nn.ModuleDict,
        modality_contexts: ModalityContexts | None,
        fusion: nn.Module,
        speakers: SpeakerEmbedding | None,
        context: nn.Module,
        hidden: nn.Module,
        hidden_width: int,
        num_classes: int,
        input_dropout: float = 0.0,
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.input_dropout = Dropout(input_dropout)
        self.modality_contexts = modality_contexts
        self.fusion = fusion
        self.speakers = speakers
        self.context = context
        self.hidden = hidden
        self.hidden_width = hidden_width
        self.classifier = nn.Linear(hidden_width, num_classes)
        self.modality_dropout = modality_dropout

    def forward(self, batch: Batch) -> Output:
        """The batch must hold whole dialogues if a part looks at them (`Experiment.sees_dialogues`)."""
        values = {
            modality: self._dropped(join(batch.values[modality], batch.present[modality]), join)
            for modality, join in self.inputs.items()
        }
        hides = self.training and bool(self.modality_dropout)
        present: dict[str, Present] = {
            modality: None if modality in batch.whole and not hides else _there(batch.present[modality])
            for modality in self.inputs
        }
        if hides:
            present = dict(hide_modalities(cast(dict[str, Tensor], present), self.modality_dropout))
        if self.modality_contexts is not None:
            values = self.modality_contexts(values, present, batch)
        fused = self.fusion(values, present, batch.layout() if self.fusion.over_dialogue else None)
        if self.speakers is not None:
            fused = torch.cat([fused, self.speakers(batch.speakers)], dim=1)
        if self.context.needs_dialogues:
            fused = self.context(fused, batch.layout())
        hidden = self.hidden(fused)
        return Output(self.classifier(hidden), hidden)

    def _dropped(self, values: Tensor, join: nn.Module) -> Tensor:
        """Dropout of an input's values; the bits that tell what is missing stay."""
        dropped: Tensor = self.input_dropout(values)
        bits: int = join.num_bits  # type: ignore[assignment]
        if not (bits and self.training and self.input_dropout.rate):
            return dropped
        return torch.cat([dropped[:, :-bits], values[:, -bits:]], dim=1)


def _there(present: Tensor) -> Tensor:
    """bool [b, k] -> [b]: True where one of the features is there."""
    return present.squeeze(1) if present.shape[1] == 1 else present.any(dim=1)


def hide_modalities(present: Mapping[str, Tensor], chance: float) -> dict[str, Tensor]:
    """Hides each modality of each utterance with this probability. An utterance that would lose all modalities keeps
    all.

    present: modality -> bool [b], True where the modality is there. Draws from torch's own generator.
    """
    before = torch.stack(list(present.values()), dim=1)  # [b, modalities]
    kept = before & (torch.rand(before.shape, device=before.device) >= chance)
    kept = torch.where(kept.any(dim=1, keepdim=True), kept, before)
    return dict(zip(present, kept.unbind(dim=1), strict=True))


def build_head(experiment: Experiment, shape: HeadShape) -> Head:
    """A new head. Its weights are drawn from torch's generator, except for the top of an encoder, which has its own.
    Raises ConfigError if a part does not fit the features."""
    inputs = nn.ModuleDict()
    optim, has_top = experiment.optim, any(item.top for items in shape.inputs.values() for item in items)
    if not has_top and (optim.lr_top is not None or optim.top_decay != 1.0):
        key = "top_decay" if optim.lr_top is None else "lr_top"
        raise ConfigError(
            f"optim.{key} is for the layers of an encoder-top, and no input has any: leave it out, or name a feature"
            " that was extracted with `--set from_top=3`"
        )
    for modality in experiment.inputs:
        features = shape.inputs[modality]
        kinds = {item.read_as for item in features}
        inputs[modality] = Join([_reader(experiment, item, kinds, modality) for item in features])
    widths: dict[str, int] = {modality: join.width for modality, join in inputs.items()}  # type: ignore[misc]
    contexts = _modality_contexts(experiment.modality_context, widths)
    fusion = _build(FUSIONS, experiment.fusion, "fusion", contexts.widths if contexts else widths)
    speakers = None
    if experiment.speakers is not None:
        settings = experiment.speakers
        speakers = SpeakerEmbedding(shape.num_speakers, dim=settings.dim, dropout=settings.dropout)
    context = _build(CONTEXTS, experiment.context, "context", fusion.width + (speakers.width if speakers else 0))
    layers = experiment.feedforward
    return Head(
        inputs=inputs,
        modality_contexts=contexts,
        fusion=fusion,
        speakers=speakers,
        context=context,
        hidden=feedforward(context.width, **layers.model_dump()),
        hidden_width=layers.sizes[-1] if layers.sizes else context.width,
        num_classes=shape.num_classes,
        **experiment.fusion.common,
    )


def _build(table: Mapping[str, Any], part: Component, what: str, *arguments: Any) -> Any:
    return look_up(table, part.name, what)(*arguments, **part.settings)


def _modality_contexts(part: Component, widths: Mapping[str, int]) -> ModalityContexts | None:
    if part.name == "none":
        return None
    return ModalityContexts({name: _build(CONTEXTS, part, "context", width) for name, width in widths.items()}, widths)


def _reader(experiment: Experiment, item: FeatureShape, kinds: set[str], modality: str) -> nn.Module | int:
    """The reader of one feature, or the number of values of a vector."""
    if item.kind == "vector":
        return item.shape[0]
    part = experiment.reader_of(modality, item.read_as, kinds)
    reader = look_up(READERS, part.name, "reader")
    if item.read_as not in reader.kinds:
        raise ConfigError(f"readers.{modality}: {_misread(part.name, item.read_as)}")
    made_with = item.shape if item.top is None else item.top
    return cast(nn.Module, cast(Any, reader)(made_with, **part.settings))


def _misread(reader: str, kind: str) -> str:
    able = ", ".join(name for name, other in READERS.items() if kind in other.kinds)
    if kind == "top":
        return (
            f"{reader!r} does not read states below an encoder's top: write {able}, or leave the reader out; or extract"
            " the feature without from_top"
        )
    if "top" in READERS[reader].kinds:
        return (
            f"{reader!r} reads states below an encoder's top, and this {kind} feature has none: extract it with"
            f" `--set from_top=3`, or choose one of {able}"
        )
    return f"{reader!r} does not read a {kind} feature: choose one of {able}"


def num_parameters(head: nn.Module) -> int:
    return sum(parameter.numel() for parameter in head.parameters())
