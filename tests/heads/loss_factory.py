"""Batches for tests of losses, and every loss with every choice of its settings."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import nn

from heads.losses import LOSSES
from heads.signals import LossTask, Output, Targets

HIDDEN = 6
SENTIMENTS = 3

PARTS: list[tuple[str, dict[str, Any]]] = [
    ("cross-entropy", {}),
    ("cross-entropy", {"weights": "inverse"}),
    ("cross-entropy", {"weights": "balanced", "power": 0.5, "smoothing": 0.1}),
    ("cross-entropy-on-softmax", {}),
    ("focal", {}),
    ("focal", {"alpha": "inverse", "gamma": 0.5}),
    ("focal", {"alpha": "balanced", "gamma": 0.0}),
    ("dice", {}),
    ("dice", {"absent": "count"}),
    ("dice", {"denominator": "squares"}),
    ("triplet", {}),
    ("triplet", {"reduce": "sum", "projection": 4}),
    ("adaptive-triplet", {"projection": 4}),
    ("adaptive-triplet", {"projection": 4, "margin": "as-printed"}),
    ("adaptive-triplet", {"projection": 4, "margin": "fixed"}),
    ("supcon", {"projection": None}),
    ("supcon", {"projection": 4, "temperature": 0.07}),
    ("spcl", {"dim": 4}),
    ("spcl", {"dim": 4, "threshold": 0.0}),
    ("sentiment", {}),
]


def task(num_classes: int = 7, counts: list[int] | None = None) -> LossTask:
    made = torch.arange(num_classes) * 10 + 5 if counts is None else torch.tensor(counts)
    return LossTask(made, HIDDEN, SENTIMENTS)


def loss_of(name: str, settings: dict[str, Any], made_for: LossTask | None = None, seed: int = 0) -> nn.Module:
    """In evaluation mode, with its centres known if it has any."""
    torch.manual_seed(seed)
    made_for = made_for or task()
    loss = LOSSES[name](made_for, **settings)
    if loss.decides:
        labels = torch.arange(40) % len(made_for.counts)
        loss.refresh(torch.randn(40, HIDDEN), labels[made_for.counts[labels] > 0].repeat(40)[:40])
    return loss.eval()


def batch_of_labels(labels: list[int], num_classes: int = 7, seed: int = 0) -> tuple[Output, Targets]:
    """Random logits, hidden (after a ReLU) and sentiments; both with a gradient."""
    generator = torch.Generator().manual_seed(seed)
    count = len(labels)
    logits = torch.randn(count, num_classes, generator=generator) * 2
    hidden = torch.randn(count, HIDDEN, generator=generator).relu()
    sentiments = torch.randint(-1, SENTIMENTS, (count,), generator=generator)
    output = Output(logits.requires_grad_(), hidden.requires_grad_())
    return output, Targets(torch.tensor(labels, dtype=torch.int64), sentiments)


def drawn_labels(num_classes: int = 7) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, num_classes - 1), min_size=1, max_size=14)
