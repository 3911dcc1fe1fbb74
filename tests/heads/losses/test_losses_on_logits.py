"""Cross-entropy, focal and dice against plain loops over their equations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_factory import batch_of_labels, drawn_labels, loss_of, task
from torch.nn import functional

from heads.losses import LOSSES
from heads.signals import Output, Targets

COUNTS = [30, 10, 0, 4, 1, 100, 7]
LABELS = [0, 1, 1, 4, 0, 6, 4, 4, 3, 6]
drawn = given(labels=drawn_labels(), seed=st.integers(0, 99))
quick = settings(max_examples=25, deadline=None)


def _chances(output: Output) -> np.ndarray:
    logits = output.logits.detach().double().numpy()
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _weight(label: int, kind: str) -> float:
    if kind == "none":
        return 1.0
    inverse = sum(COUNTS) / COUNTS[label] if COUNTS[label] else 0.0
    return inverse / len(COUNTS) if kind == "balanced" else inverse


@pytest.mark.parametrize("weights", ["none", "inverse", "balanced"])
@pytest.mark.parametrize(("power", "smoothing"), [(1.0, 0.0), (0.5, 0.1)])
@quick
@drawn
def test_cross_entropy_is_its_equation(
    weights: str, power: float, smoothing: float, labels: list[int], seed: int
) -> None:
    output, targets = batch_of_labels(labels, seed=seed)
    chances, total = _chances(output), 0.0
    for row, label in enumerate(labels):
        for place in range(7):
            share = smoothing / 7 + (1 - smoothing) * (place == label)
            total -= _weight(label, weights) ** power * share * math.log(chances[row, place])
    loss = LOSSES["cross-entropy"](task(counts=COUNTS), weights=weights, power=power, smoothing=smoothing)
    assert loss(output, targets).item() == pytest.approx(total / len(labels), rel=1e-5, abs=1e-6)


def test_class_weights_are_scikit_learns_and_an_absent_class_weighs_nothing() -> None:
    output, targets = batch_of_labels([0, 1, 1, 2], num_classes=3)
    balanced = torch.tensor([40 / (3 * 30), 40 / (3 * 10), 0.0])
    each = functional.cross_entropy(output.logits, targets.labels, reduction="none")
    loss = LOSSES["cross-entropy"](task(counts=[30, 10, 0]), weights="balanced")
    assert torch.allclose(loss(output, targets), (each * balanced[targets.labels]).mean())


@pytest.mark.parametrize(
    ("name", "values"),
    [("cross-entropy", {"weights": "balanced"}), ("focal", {"alpha": "inverse"}), ("cross-entropy-on-softmax", {})],
)
def test_an_example_counts_the_same_whatever_its_batch_mates_are(name: str, values: dict[str, Any]) -> None:
    loss = LOSSES[name](task(counts=COUNTS), **values)
    output, targets = batch_of_labels(LABELS)
    rows = torch.arange(len(LABELS)).split(1)
    one_by_one = torch.stack([loss(output.select(row), targets.select(row)) for row in rows])
    assert torch.allclose(loss(output, targets), one_by_one.mean())


@pytest.mark.parametrize("alpha", ["none", "inverse", "balanced"])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@quick
@drawn
def test_focal_is_its_equation(alpha: str, gamma: float, labels: list[int], seed: int) -> None:
    output, targets = batch_of_labels(labels, seed=seed)
    chances, total = _chances(output), 0.0
    for row, label in enumerate(labels):
        chance = chances[row, label]
        total -= _weight(label, alpha) * (1 - chance) ** gamma * math.log(chance)
    loss = LOSSES["focal"](task(counts=COUNTS), alpha=alpha, gamma=gamma)
    assert loss(output, targets).item() == pytest.approx(total / len(labels), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 10.0])
def test_the_gradient_of_focal_is_finite_where_the_head_is_sure(gamma: float) -> None:
    for sure in (0.0, 10.0, 16.0, 17.0, 20.0, 1e4):
        logits = torch.zeros(1, 7)
        logits[0, 3] = sure
        logits.requires_grad_()
        output = Output(logits, torch.zeros(1, 6))
        loss_of("focal", {"gamma": gamma})(output, Targets(torch.tensor([3]), torch.tensor([-1]))).backward()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()


@pytest.mark.parametrize("absent", ["ignore", "count"])
@pytest.mark.parametrize("denominator", ["sums", "squares"])
@quick
@drawn
def test_dice_is_its_equation(absent: str, denominator: str, labels: list[int], seed: int) -> None:
    output, targets = batch_of_labels(labels, seed=seed)
    chances, each = _chances(output), []
    for place in range(7):
        own = [float(label == place) for label in labels]
        if not any(own) and absent == "ignore":
            continue
        overlap = sum(chances[row, place] * gold for row, gold in enumerate(own))
        mass = sum(chance if denominator == "sums" else chance**2 for chance in chances[:, place])
        each.append(2 * overlap / (mass + sum(own)))
    loss = loss_of("dice", {"absent": absent, "denominator": denominator})
    assert loss(output, targets).item() == pytest.approx(1 - sum(each) / len(each), rel=1e-5, abs=1e-6)


def test_dice_by_sums_is_one_minus_the_f1_of_sure_predictions() -> None:
    from sklearn.metrics import f1_score

    predicted = torch.tensor([0, 1, 4, 4, 0, 6, 6, 4, 3, 2])
    output = Output(functional.one_hot(predicted, 7) * 1e4, torch.zeros(10, 6))
    targets = Targets(torch.tensor(LABELS), torch.full((10,), -1))
    present = sorted(set(LABELS))
    expected = 1 - f1_score(LABELS, predicted.numpy(), labels=present, average="macro")
    assert loss_of("dice", {})(output, targets).item() == pytest.approx(expected, abs=1e-6)


def test_classes_that_count_while_absent_only_dilute_the_gradient() -> None:
    gradients = []
    for absent in ("ignore", "count"):
        output, targets = batch_of_labels([0, 1, 1])
        loss_of("dice", {"absent": absent})(output, targets).backward()
        assert output.logits.grad is not None
        gradients.append(output.logits.grad)
    assert torch.allclose(gradients[1], gradients[0] * 2 / 7, atol=1e-7)


def test_softmax_twice_has_the_reports_range() -> None:
    loss = loss_of("cross-entropy-on-softmax", {})
    rows = torch.eye(7) * 1e4
    right = Output(rows, torch.zeros(7, 6))
    wrong = Output(rows.roll(1, dims=1), torch.zeros(7, 6))
    targets = Targets(torch.arange(7), torch.full((7,), -1))
    assert loss(right, targets).item() == pytest.approx(1.1654, abs=1e-4)
    assert loss(wrong, targets).item() == pytest.approx(2.1654, abs=1e-4)


@quick
@drawn
def test_softmax_twice_stays_in_its_range_and_is_its_equation(labels: list[int], seed: int) -> None:
    output, targets = batch_of_labels(labels, seed=seed)
    value = loss_of("cross-entropy-on-softmax", {})(output, targets).item()
    chances = _chances(output)
    expected = np.mean([np.log(np.exp(row).sum()) - row[label] for row, label in zip(chances, labels, strict=True)])
    assert value == pytest.approx(expected, rel=1e-5)
    assert 1.1653 < value < 2.1655


def test_always_neutral_gives_the_plateau_that_the_report_saw() -> None:
    """1.7417 on MELD's dev split: 470 of 1109 utterances are neutral."""
    labels = torch.tensor([4] * 470 + [0] * 639)
    output = Output(functional.one_hot(torch.full((1109,), 4), 7) * 1e4, torch.zeros(1109, 6))
    value = loss_of("cross-entropy-on-softmax", {})(output, Targets(labels, torch.full((1109,), -1)))
    assert value.item() == pytest.approx(1.7417, abs=1e-4)
