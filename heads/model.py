"""The head: features of each modality joined, modalities fused, context, feed-forward, logits.

Legend: b utterances, k features of a modality, d values of a feature, c classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from heads.batch import Batch
from heads.context import CONTEXTS
from heads.dropout import Dropout
from heads.experiment import Experiment
from heads.feedforward import feedforward
from heads.fusion import FUSIONS
from heads.registry import look_up


class Join(nn.Module):
    """The features of one modality side by side. Of several, a missing one is a learned vector, with one bit a feature
    that is 1 where it is missing; a single one is passed on, since the fusion minds what is missing then."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        several = len(widths) > 1
        self.missing = nn.ParameterList(nn.Parameter(torch.zeros(width)) for width in widths if several)
        self.width = sum(widths) + (len(widths) if several else 0)

    def forward(self, values: Sequence[Tensor], present: Tensor) -> Tensor:
        """values: k x float32 [b, d]; present: bool [b, k]. Gives float32 [b, width]."""
        if not len(self.missing):
            return values[0]
        parts = [
            torch.where(present[:, index : index + 1], item, vector)
            for index, (item, vector) in enumerate(zip(values, self.missing, strict=True))
        ]
        return torch.cat([*parts, (~present).to(parts[0].dtype)], dim=1)


class Head(nn.Module):
    """inputs -> fusion -> context -> feed-forward -> logits."""

    def __init__(
        self,
        *,
        inputs: nn.ModuleDict,
        fusion: nn.Module,
        context: nn.Module,
        hidden: nn.Module,
        classifier: nn.Linear,
        input_dropout: float = 0.0,
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.input_dropout = Dropout(input_dropout)
        self.fusion = fusion
        self.context = context
        self.hidden = hidden
        self.classifier = classifier
        self.modality_dropout = modality_dropout

    def forward(self, batch: Batch) -> Tensor:
        """Logits, float32 [b, c]."""
        values = {
            modality: self.input_dropout(join(batch.values[modality], batch.present[modality]))
            for modality, join in self.inputs.items()
        }
        present = {modality: batch.present[modality].any(dim=1) for modality in self.inputs}
        if self.training and self.modality_dropout:
            present = hide_modalities(present, self.modality_dropout)
        logits: Tensor = self.classifier(self.hidden(self.context(self.fusion(values, present))))
        return logits


def hide_modalities(present: Mapping[str, Tensor], chance: float) -> dict[str, Tensor]:
    """Each modality of each utterance hidden with that chance; an utterance that would lose all keeps all.

    present: modality -> bool [b], True where the modality is there. Draws from torch's own generator.
    """
    before = torch.stack(list(present.values()), dim=1)  # [b, modalities]
    kept = before & (torch.rand(before.shape, device=before.device) >= chance)
    kept = torch.where(kept.any(dim=1, keepdim=True), kept, before)
    return dict(zip(present, kept.unbind(dim=1), strict=True))


def build_head(experiment: Experiment, widths: Mapping[str, Sequence[int]], num_classes: int) -> Head:
    """A new head, initialised from torch's generator. widths: modality -> values of each feature."""
    inputs = nn.ModuleDict({modality: Join(widths[modality]) for modality in experiment.inputs})
    joined = {modality: join.width for modality, join in inputs.items()}
    fusion: Any = look_up(FUSIONS, experiment.fusion.name, "fusion")(joined, **experiment.fusion.settings)
    context: Any = look_up(CONTEXTS, experiment.context.name, "context")(fusion.width, **experiment.context.settings)
    layers = experiment.feedforward
    hidden = feedforward(context.width, **layers.model_dump())
    classifier = nn.Linear(layers.sizes[-1] if layers.sizes else context.width, num_classes)
    return Head(
        inputs=inputs,
        fusion=fusion,
        context=context,
        hidden=hidden,
        classifier=classifier,
        **experiment.fusion.common,
    )


def num_parameters(head: nn.Module) -> int:
    return sum(parameter.numel() for parameter in head.parameters())
