"""Dropout that draws 16 bits a value. torch's own draws a double a value on the CPU, and on wide embeddings that is two
fifths of a training step: 10.0 ms against 2.3 ms for 256 x 2,304 values on one core."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_STEPS = 1 << 16


class Dropout(nn.Module):
    """While training, each value is 0 with the chance `rate` (to 1/65,536), else scaled to keep the expectation."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.dropped = min(round(rate * _STEPS), _STEPS - 1)  # of 65,536 equally likely draws

    def forward(self, values: Tensor) -> Tensor:
        """Any shape; draws from torch's own generator."""
        if not self.training or not self.dropped:
            return values
        if values.device.type != "cpu":
            return functional.dropout(values, self.rate)
        words = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(-(1 << 63), None)
        draws = words.view(torch.int16)[: values.numel()].view(values.shape)
        kept = (draws >= self.dropped - _STEPS // 2).to(values.dtype)
        return values * kept.mul_(_STEPS / (_STEPS - self.dropped))

    def extra_repr(self) -> str:
        return f"rate={self.rate}"
