"""What decides instead of the logits, with what it learnt held fast."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from heads.losses.embeddings import similarities
from heads.losses.spcl import UNKNOWN, Spcl


class Centres(nn.Module):
    """The scores of `spcl`. Which classes have a centre is known, so that nothing is looked up."""

    unknown: Tensor

    def __init__(self, loss: Spcl) -> None:
        """Raises TrainingError where no centre is known."""
        super().__init__()
        self.loss = loss
        self.register_buffer("unknown", ~loss._refreshed(), persistent=False)

    def scores(self, hidden: Tensor) -> Tensor:
        """As `Spcl.scores`."""
        similarity = similarities(self.loss.projection(hidden), self.loss.centres) / self.loss.temperature
        return torch.where(self.unknown, UNKNOWN, similarity).log_softmax(dim=1)
