"""An auxiliary loss: the sentiment, predicted from the input of the emotion classifier."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from features.errors import ConfigError
from heads.signals import LossTask, Output, Targets

_UNKNOWN = -1  # see heads.signals.Targets


class Sentiment(nn.Module):
    """Mean cross-entropy of a linear layer on hidden, over the rows that have a sentiment. 0 if no row has one.

    It only shapes hidden: no emotion is predicted with it. Raises ConfigError if the manifest has no sentiments.
    """

    decides: ClassVar[bool] = False

    def __init__(self, task: LossTask) -> None:
        super().__init__()
        if not task.num_sentiments:
            raise ConfigError(
                "the loss sentiment needs sentiments, of which the manifest has 0: add the column or drop the loss"
            )
        self.classifier = nn.Linear(task.hidden_width, task.num_sentiments)

    def forward(self, output: Output, targets: Targets) -> Tensor:
        logits = self.classifier(output.hidden)
        known = targets.sentiments >= 0
        total = functional.cross_entropy(logits, targets.sentiments, ignore_index=_UNKNOWN, reduction="sum")
        return total / known.sum().clamp(min=1)
