"""Predicting with a trained head: no gradients, in blocks that hold all that an utterance may look at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from heads.config.experiment import Experiment
from heads.data.batch import Batch
from heads.data.sequences import Sequences
from heads.losses.decision import Decision
from heads.model import Head
from heads.signals import Output

_ROWS = 1024
_LEAST_ROWS = 16
_ROWS_OF_SEQUENCES = 128  # padded to the longest of them


@dataclass(frozen=True)
class Predictor:
    """A head and how it predicts. decision: the loss whose class centres decide, else the logits do."""

    experiment: Experiment
    head: Head
    decision: Decision | None = None

    def outputs(self, table: Batch, rows: Tensor | None = None, *, dropout: bool = False) -> Output:
        """Of every utterance of `table`, or of those at `rows`, int64 [m], which are read a block at a time: whole
        dialogues in the manifest's order. dropout: as in training, the same at every call. Leaves eval mode on."""
        if rows is None:
            rows = torch.arange(len(table))
        rows = rows.to(table.device)
        self.head.eval()
        with torch.inference_mode(), self._dropout_left_on() if dropout else nullcontext():
            outputs = [self._output(table.select(block)) for block in self._blocks(table, rows)]
        return Output(torch.cat([item.logits for item in outputs]), torch.cat([item.hidden for item in outputs]))

    def _output(self, block: Batch) -> Output:
        """Of one block. A few utterances come with copies of themselves: products of fewer than 16 rows are summed in
        another order, and what is said of an utterance would differ in its last bits from what is said among many."""
        if self.experiment.sees_batch or len(block) >= _LEAST_ROWS:
            output: Output = self.head(block)
            return output
        copies = -(-_LEAST_ROWS // len(block))
        places = torch.arange(len(block), device=block.device).repeat(copies)
        apart = int(block.dialogues.max()) + 1
        copied = block.select(places)
        dialogues = copied.dialogues + apart * torch.arange(copies, device=block.device).repeat_interleave(len(block))
        output = self.head(replace(copied, dialogues=dialogues))
        return Output(output.logits[: len(block)], output.hidden[: len(block)])

    def scores(self, table: Batch, rows: Tensor | None = None, *, final: bool = True) -> Tensor:
        """float32 [m, c] whose largest is what is predicted and whose softmax are the probabilities. See `outputs`.

        final: whether these are the scores that are told: an experiment that leaves dropout on does so in them alone.
               What chooses an epoch is read with dropout off, as in the report's code.
        """
        return self.decide(self.outputs(table, rows, dropout=final and self.experiment.evaluation.dropout))

    def decide(self, output: Output) -> Tensor:
        if self.decision is None:
            return output.logits
        with torch.inference_mode():
            return self.decision.scores(output.hidden)

    def _blocks(self, table: Batch, rows: Tensor) -> Iterator[Tensor]:
        """Those of the rows that are to be scored together, int64: whole dialogues where they see each other; where
        utterances see their batch, what training would put together, be it so many utterances or dialogues."""
        ragged = any(isinstance(item, Sequences) for items in table.values.values() for item in items)
        most = _ROWS_OF_SEQUENCES if ragged else _ROWS
        batching = self.experiment.batch
        as_trained = self.experiment.sees_batch
        whole = self.experiment.sees_dialogues or (as_trained and batching.unit == "dialogues")
        if not whole:
            yield from rows.split(batching.size if as_trained else most)
            return
        lengths = torch.unique_consecutive(table.dialogues[rows], return_counts=True)[1].tolist()
        start, stop, held = 0, 0, 0
        for length in lengths:
            full = held == batching.size if as_trained else stop - start + length > most
            if held and full:
                yield rows[start:stop]
                start, held = stop, 0
            stop, held = stop + length, held + 1
        if held:
            yield rows[start:stop]

    @contextmanager
    def _dropout_left_on(self) -> Iterator[None]:
        """Dropout as in training, the same at every call."""
        devices = [next(self.head.parameters()).device] if next(self.head.parameters()).is_cuda else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(0)
            self.head.train()
            try:
                yield
            finally:
                self.head.eval()
