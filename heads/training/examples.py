"""The training examples of a head and the batches of an epoch: utterances, or whole dialogues."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from features.errors import ManifestError
from heads.config.experiment import Experiment
from heads.config.registry import look_up
from heads.data.batch import Batch, batch_of
from heads.data.data import HeadData
from heads.data.samplers import SAMPLERS
from heads.data.sequences import Sequences
from heads.data.utterances import UNLABELLED
from heads.predict import Predictor
from heads.signals import Draw, Targets

# Features above this are read in blocks of neighbouring examples, so that memory need not hold them. Fixed, not this
# machine's memory: the order of the examples decides the numbers.
BLOCK_BYTES = 4 << 30
_BLOCK_BYTES_EACH = 4 << 20


@dataclass(frozen=True)
class Examples:
    """What a head is trained on and selected by.

    table:     every utterance of train and dev; features may be memory maps
    targets:   of each, on the table's device
    train:     int64, places of the train utterances that have a label and an input, ascending
    train_all: int64, places of all train utterances: what dialogues are made of
    dev:       int64, places of all dev utterances; scored are those of them with a label
    there:     modality -> bool over the table, on the CPU, True where at least one feature of it is there
    """

    table: Batch
    targets: Targets
    train: Tensor
    train_all: Tensor
    dev: Tensor
    there: Mapping[str, np.ndarray] = field(kw_only=True)

    @classmethod
    def of(cls, data: HeadData, vocabulary: tuple[str, ...], device: str) -> Examples:
        """Raises ManifestError where train has nothing to learn from, or dev nothing to select by."""
        utterances = data.utterances
        labelled = utterances.labels != UNLABELLED
        train, dev = utterances.rows("train"), utterances.rows("dev")
        learnt = train[labelled[train] & data.has_input()[train]]
        for split, rows in (("train", learnt), ("dev", dev[labelled[dev]])):
            if not len(rows):
                raise ManifestError(
                    f"split {split!r} has no labelled utterance with an input: a head needs train and dev"
                )
        targets = Targets(
            torch.from_numpy(utterances.labels).to(device), torch.from_numpy(utterances.sentiments).to(device)
        )
        table = batch_of(data, vocabulary)
        if device != "cpu":
            table = table.to(device)
        places = (torch.from_numpy(rows) for rows in (learnt, train, dev))
        return cls(table, targets, *places, there=data.modalities_there())

    @property
    def labels(self) -> Tensor:
        """int64 [n] of the training examples, on the CPU."""
        return self.targets.labels.cpu()[self.train]

    def batches(
        self,
        experiment: Experiment,
        epoch: int,
        generator: torch.Generator,
        difficulty: Callable[[], Tensor] | None = None,
    ) -> list[Tensor]:
        """One epoch: places in the table of each batch's utterances, int64.

        Of whole dialogues, some may have no label or input: they are context, and `trainable` tells them apart.
        """
        units = self.train if experiment.batch.unit == "utterances" else None
        spans = self._dialogues() if units is None else []
        number = len(spans) if units is None else len(units)
        draw = Draw(
            labels=torch.zeros(number, dtype=torch.int64) if units is None else self.labels,
            size=experiment.batch.size,
            epoch=epoch,
            epochs=experiment.stop.epochs,
            generator=generator,
            difficulty=difficulty,
            block=self._block(number),
            lengths=None if units is None else self._lengths(units),
        )
        sampled = look_up(SAMPLERS, experiment.batch.sampler, "sampler")(draw)
        if units is not None:
            return [units[positions] for positions in sampled]
        return [torch.cat([spans[position] for position in positions.tolist()]) for positions in sampled]

    def hidden(self, predictor: Predictor) -> Tensor:
        """float32 [n, h]: the last hidden layer of the training examples, each computed in its whole dialogue where the
        head sees dialogues: turns without a label or an input are context, as in training."""
        if not predictor.experiment.sees_dialogues:
            return predictor.outputs(self.table, self.train).hidden
        learnt = self.trainable()[self.train_all]
        return predictor.outputs(self.table, self.train_all).hidden[learnt.to(self.table.device)]

    def trainable(self) -> Tensor:
        """bool over the table: utterances that the loss sees."""
        mask = torch.zeros(len(self.table), dtype=torch.bool)
        mask[self.train] = True
        return mask

    def _dialogues(self) -> list[Tensor]:
        """Places of each train dialogue's utterances."""
        numbers = self.table.dialogues.cpu()[self.train_all]
        lengths: list[int] = torch.unique_consecutive(numbers, return_counts=True)[1].tolist()
        return list(self.train_all.split(lengths))

    def _lengths(self, units: Tensor) -> Tensor | None:
        """int64: elements of each example's first sequence, or None where no input is one."""
        inputs = [item for items in self.table.values.values() for item in items]
        return next((item.lengths[units] for item in inputs if isinstance(item, Sequences)), None)

    def _block(self, number: int) -> int | None:
        nbytes = self.table.nbytes
        return max(1, _BLOCK_BYTES_EACH * number // nbytes) if nbytes > BLOCK_BYTES else None
