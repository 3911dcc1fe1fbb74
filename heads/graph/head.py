"""HeadGraph: raw stored embeddings -> logits, as one function of named tensors.

Legend: b utterances (d * t where a head sees dialogues), n elements of the longest sequence, c classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from features.errors import ConfigError
from heads.data.normalise import NORMALISERS, Normaliser
from heads.data.sequences import Sequences
from heads.graph.forms import traceable
from heads.graph.inputs import SPEAKER, SPEAKER_SLOT, TURN_MASK, GraphInput
from heads.graph.padded import GraphBatch, PaddedLayout, PaddedSequences
from heads.model import Head
from heads.training.checkpoint import TrainedHead


def check_traceable(trained: TrainedHead) -> None:
    """Raises ConfigError that says which part of a head no graph can hold, and why."""
    experiment = trained.predictor.experiment
    for modality, features in trained.inputs.items():
        if any(feature.shape.top is not None for feature in features):
            raise ConfigError(
                f"readers.{modality}: encoder-top cuts what is stored into windows of an encoder's layers, and how many"
                " there are depends on the values: no ONNX graph holds that; export without --onnx"
            )
    if experiment.evaluation.dropout:
        raise ConfigError(
            "evaluation.dropout: the head draws dropout when it predicts, which no ONNX graph repeats: export without"
            " --onnx, or train it with evaluation: {dropout: false}"
        )


class HeadGraph(nn.Module):
    """One seed's head with its normalisation, or an ensemble.

    Of several the logits are the logarithm of the mean of their probabilities, so that the softmax of the logits is
    what the ensemble says. Where a loss decides, logits are its scores.
    """

    def __init__(self, seeds: Sequence[TrainedHead], inputs: Sequence[GraphInput]) -> None:
        """Raises ConfigError for a head that no graph can hold."""
        super().__init__()
        for trained in seeds:
            check_traceable(trained)
        experiment = seeds[0].predictor.experiment
        self.inputs = list(inputs)
        self.sees_dialogues = experiment.sees_dialogues
        self.knows_speakers = experiment.speakers is not None
        self.seeds = nn.ModuleList(_Seed(trained, inputs) for trained in seeds)

    @property
    def names(self) -> list[str]:
        """Of the inputs, in their order."""
        names = [name for item in self.inputs for name in item.names]
        names += [TURN_MASK, SPEAKER_SLOT] if self.sees_dialogues else []
        return names + ([SPEAKER] if self.knows_speakers else [])

    def forward(self, given: dict[str, Tensor]) -> Tensor:
        """given: see heads/graph/inputs.py. Gives float32 [b, c], or [d, t, c] with zeros where no turn is."""
        first = given[self.inputs[0].present]
        if self.sees_dialogues:
            mask = given[TURN_MASK]
            turns = PaddedLayout.of_mask(mask, given[SPEAKER_SLOT])
            given = {name: item.flatten(0, 1) for name, item in given.items()}
        else:
            mask = None
            together = torch.ones_like(first).unsqueeze(0)
            turns = PaddedLayout.of_mask(together, torch.zeros_like(together, dtype=torch.int64))
        scores = [seed(given, turns, None if mask is None else mask.flatten()) for seed in self.seeds]
        joined = scores[0]
        if len(scores) > 1:
            joined = torch.stack([item.log_softmax(dim=1) for item in scores]).logsumexp(dim=0) - math.log(len(scores))
        if mask is None:
            return joined
        return torch.where(mask.unsqueeze(2), joined.unflatten(0, mask.shape), 0.0)


class _Seed(nn.Module):
    def __init__(self, trained: TrainedHead, inputs: Sequence[GraphInput]) -> None:
        super().__init__()
        self.head = cast(Head, traceable(trained.head))
        decision = trained.predictor.decision
        self.decision = None if decision is None else traceable(cast(nn.Module, decision))
        own = [trained.inputs[item.modality][item.index] for item in inputs]
        self.normalise = nn.ModuleList(_Normalise(feature.normaliser) for feature in own)
        self.inputs = list(inputs)

    def forward(self, given: Mapping[str, Tensor], turns: PaddedLayout, real: Tensor | None) -> Tensor:
        """given: as HeadGraph's, of [b]; real: bool [b], None where no turn is padding. Gives float32 [b, c]."""
        values: dict[str, tuple[Tensor | Sequences, ...]] = {}
        present: dict[str, Tensor] = {}
        for modality in self.head.inputs:
            chosen = [place for place, item in enumerate(self.inputs) if item.modality == modality]
            there = {place: given[self.inputs[place].present] for place in chosen}
            there = {place: mask if real is None else mask & real for place, mask in there.items()}
            values[modality] = tuple(self._values(place, given, there[place], real) for place in chosen)
            present[modality] = torch.stack([there[place] for place in chosen], dim=1)
        rows = turns.rows
        speakers = given.get(SPEAKER, rows)
        output = self.head(GraphBatch(values, present, rows, rows, speakers, turns=turns))
        if self.decision is None:
            logits: Tensor = output.logits
            return logits
        scores: Tensor = self.decision.scores(output.hidden)  # type: ignore[operator]
        return scores

    def _values(
        self, place: int, given: Mapping[str, Tensor], there: Tensor, real: Tensor | None
    ) -> Tensor | Sequences:
        item, normalise = self.inputs[place], self.normalise[place]
        raw = given[item.name]
        if not item.is_sequence:
            return torch.where(there.unsqueeze(1), normalise(raw.flatten(1)), 0.0)
        lengths = torch.where(there, given[item.length], 0)
        mask = torch.arange(raw.shape[1]) < lengths.unsqueeze(1)
        shown = torch.where(mask.reshape(*mask.shape, *[1] * (raw.dim() - 2)), normalise(raw), 0.0)
        return cast(Sequences, PaddedSequences(shown, mask, real))


class _Normalise(nn.Module):
    """`Normaliser.apply` over the last dimension; a waveform is divided by one number."""

    mean: Tensor | None
    scale: Tensor | None

    def __init__(self, normaliser: Normaliser) -> None:
        super().__init__()
        self.to_length_one = "l2" in NORMALISERS.get(normaliser.name, ())
        for name in ("mean", "scale"):
            array = getattr(normaliser, name)
            self.register_buffer(name, None if array is None else torch.tensor(array))

    def forward(self, values: Tensor) -> Tensor:
        if self.to_length_one:
            norm = values.norm(dim=-1, keepdim=True)
            values = values / torch.where(norm > 0, norm, 1.0)
        if self.mean is not None:
            values = values - self.mean
        return values if self.scale is None else values / self.scale
