"""Cross-entropy against torch's own and against its formula."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from heads.losses import WeightedSum
from heads.losses.cross_entropy import CrossEntropy

LOGITS = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
GOLD = torch.tensor([0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0])
COUNTS = torch.tensor([30, 10, 0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_unweighted_is_torchs(smoothing: float) -> None:
    expected = functional.cross_entropy(LOGITS, GOLD, label_smoothing=smoothing)
    assert torch.allclose(CrossEntropy(COUNTS, smoothing=smoothing)(LOGITS, GOLD), expected)


def test_class_weights_are_scikit_learns_and_an_absent_class_weighs_nothing() -> None:
    each = functional.cross_entropy(LOGITS, GOLD, reduction="none")
    balanced = torch.tensor([40 / (3 * 30), 40 / (3 * 10), 0.0])
    assert torch.allclose(CrossEntropy(COUNTS, weights="balanced")(LOGITS, GOLD), (each * balanced[GOLD]).mean())
    milder = CrossEntropy(COUNTS, weights="balanced", power=0.5)
    assert torch.allclose(milder(LOGITS, GOLD), (each * balanced[GOLD].sqrt()).mean())
    assert torch.allclose(CrossEntropy(COUNTS, weights="inverse")(LOGITS, GOLD), 3 * (each * balanced[GOLD]).mean())


def test_an_example_counts_the_same_whatever_its_batch_mates_are() -> None:
    loss = CrossEntropy(COUNTS, weights="balanced")
    one_by_one = torch.stack([loss(LOGITS[place : place + 1], GOLD[place : place + 1]) for place in range(12)])
    assert torch.allclose(loss(LOGITS, GOLD), one_by_one.mean())


def test_a_sum_of_losses_is_weighted() -> None:
    plain, smooth = CrossEntropy(COUNTS), CrossEntropy(COUNTS, smoothing=0.5)
    total = WeightedSum([(0.25, plain), (2.0, smooth)])(LOGITS, GOLD)
    assert torch.allclose(total, 0.25 * plain(LOGITS, GOLD) + 2 * smooth(LOGITS, GOLD))
