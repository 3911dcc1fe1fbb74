"""Predicting with a head: dropout off, no gradients, in blocks of rows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from heads.batch import Batch, batch_of
from heads.data import HeadData

_ROWS = 1024


def predict(head: nn.Module, batch: Batch) -> Tensor:
    """Logits, float32 [b, c], on the batch's device. The head is left in eval mode."""
    head.eval()
    device = next(iter(batch.present.values())).device
    with torch.inference_mode():
        blocks = torch.arange(len(batch), device=device).split(_ROWS)
        return torch.cat([head(batch.select(block)) for block in blocks])


def probabilities(head: nn.Module, data: HeadData, rows: np.ndarray) -> np.ndarray:
    """float32 [m, c] of the utterances at `rows`, int64 [m], on the CPU."""
    logits = predict(head, batch_of(data).select(torch.from_numpy(rows)))
    array: np.ndarray = logits.softmax(dim=1).numpy()
    return array
