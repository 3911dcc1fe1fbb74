"""Triplets, contrasts and sentiment against plain loops over their equations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_factory import HIDDEN, batch_of_labels, drawn_labels, loss_of
from torch import nn

from features.errors import ConfigError
from heads.losses import LOSSES
from heads.losses.adaptive_triplet import AdaptiveTriplet, covariance, variance
from heads.losses.embeddings import unit
from heads.signals import LossTask, Output, Targets

LABELS = [0, 1, 1, 4, 0, 6, 4, 4, 3, 6]
drawn = given(labels=drawn_labels(3), seed=st.integers(0, 99))
quick = settings(max_examples=25, deadline=None)


def _embeddings(loss: nn.Module, output: Output) -> np.ndarray:
    projection: nn.Module = loss.projection
    values: np.ndarray = projection(output.hidden).detach().double().numpy()
    return values


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    size = math.sqrt(one @ one) * math.sqrt(other @ other)
    return float(one @ other) / size if size else 0.0


@pytest.mark.parametrize("reduce", ["mean", "sum"])
@pytest.mark.parametrize("projection", [None, 4])
@quick
@drawn
def test_triplet_is_its_equation(reduce: str, projection: int | None, labels: list[int], seed: int) -> None:
    loss = loss_of("triplet", {"reduce": reduce, "projection": projection})
    output, targets = batch_of_labels(labels, seed=seed)
    rows, terms = _embeddings(loss, output), []
    for label in set(labels):
        own = [place for place, other in enumerate(labels) if other == label]
        far = [place for place, other in enumerate(labels) if other != label]
        if len(own) < 2 or not far:
            continue
        near = [(1 + _cosine(rows[own[0]], rows[place])) / 2 for place in own[1:]]
        away = [(1 + _cosine(rows[own[0]], rows[place])) / 2 for place in far]
        pull, push = (np.mean(near), np.mean(away)) if reduce == "mean" else (np.sum(near), np.sum(away))
        terms.append(-math.log(pull / (pull + push)))
    assert loss(output, targets).item() == pytest.approx(np.mean(terms) if terms else 0.0, rel=1e-4, abs=1e-5)


def test_the_anchor_is_the_first_of_its_class() -> None:
    loss = loss_of("triplet", {})
    output, targets = batch_of_labels([0, 0, 0, 1])
    other_first = torch.tensor([1, 0, 2, 3])
    same_first = torch.tensor([0, 2, 1, 3])
    value = loss(output, targets)
    assert loss(output.select(other_first), targets.select(other_first)).item() != pytest.approx(value.item(), rel=1e-3)
    assert torch.allclose(loss(output.select(same_first), targets.select(same_first)), value)


@quick
@given(labels=st.lists(st.integers(0, 3), min_size=2, max_size=14), seed=st.integers(0, 99))
def test_triplet_terms_after_a_relu_stay_in_the_reports_bounds(labels: list[int], seed: int) -> None:
    output, targets = batch_of_labels(labels, seed=seed)
    value = loss_of("triplet", {})(output, targets).item()
    assert value == 0 or math.log(1.5) - 1e-5 <= value <= math.log(3) + 1e-5


def test_opposite_vectors_have_a_finite_loss() -> None:
    hidden = torch.tensor([[1.0, 0, 0, 0, 0, 0], [-1.0, 0, 0, 0, 0, 0], [1.0, 0, 0, 0, 0, 0]], requires_grad=True)
    value = loss_of("triplet", {})(Output(torch.zeros(3, 7), hidden), Targets(torch.tensor([0, 0, 1]), torch.zeros(3)))
    assert 10 < value.item() < 30
    value.backward()
    assert hidden.grad is not None
    assert hidden.grad.isfinite().all()


def _margin(kind: str, near: float, far: float) -> float:
    printed = (1 + 2 / (math.exp(4 * near) + 1e-8)) + (1 + 2 / (math.exp(4 - 4 * far) + 1e-8))
    return {"as-printed": printed, "bounded": min(1.0, 0.1 * (printed - 2)), "fixed": 0.2}[kind]


@pytest.mark.parametrize("margin", ["as-printed", "bounded", "fixed"])
@quick
@drawn
def test_adaptive_triplet_is_its_equation(margin: str, labels: list[int], seed: int) -> None:
    weights = {"triplet_weight": 2.0, "covariance_weight": 3.0, "variance_weight": 0.5}
    loss = loss_of("adaptive-triplet", {"projection": 4, "margin": margin} | weights)
    output, targets = batch_of_labels(labels, seed=seed)
    rows, terms = _embeddings(loss, output), []
    directions = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    count = len(labels)
    for anchor in range(count):
        for near in range(count):
            for far in range(count):
                if anchor == near or labels[anchor] != labels[near] or labels[anchor] == labels[far]:
                    continue
                d_ap = float(np.linalg.norm(directions[anchor] - directions[near]))
                d_an = float(np.linalg.norm(directions[anchor] - directions[far]))
                d_pn = float(np.linalg.norm(directions[near] - directions[far]))
                terms.append(max(0.0, d_ap - 0.5 * (d_an + d_pn) + _margin(margin, d_ap, d_an)))
    expected = 2 * np.mean(terms) if terms else 0.0
    if count > 1:
        matrix = np.cov(rows.T)
        expected += 3 * (np.sum(matrix**2) - np.sum(np.diag(matrix) ** 2)) / 4
        expected += 0.5 * np.mean([max(0.0, 1 - math.sqrt(value + 1e-4)) for value in np.diag(matrix)])
    assert loss(output, targets).item() == pytest.approx(expected, rel=1e-3, abs=1e-5)


def _hinges(margin: str, spread: float) -> torch.Tensor:
    """Of two classes around opposite directions; spread 0 parts them wholly."""
    torch.manual_seed(0)
    centres = torch.eye(HIDDEN)[:1] * torch.tensor([[1.0], [-1.0]]).repeat_interleave(8, dim=0)
    embeddings = centres + spread * torch.randn(16, HIDDEN)
    loss = loss_of("adaptive-triplet", {"margin": margin})
    return loss.hinges(embeddings, torch.arange(16) < 8)


@pytest.mark.parametrize("margin", ["bounded", "fixed"])
def test_the_hinge_binds_for_some_triples_and_not_for_others(margin: str) -> None:
    hinges = _hinges(margin, spread=0.7)
    assert (hinges < 0).float().mean() > 0.02
    assert (hinges > 0).float().mean() > 0.02
    assert (_hinges(margin, spread=0.05) < 0).all()


def test_the_hinge_as_printed_never_binds() -> None:
    for spread in (0.0, 0.05, 0.3, 0.7, 3.0):
        assert (_hinges("as-printed", spread) >= 2.24).all()


def _pull_on_a_far_negative(margin: str) -> float:
    """Derivative of T by the distance of the negative, at a negative that is far already; above 0 it is pulled in."""
    angle = torch.tensor(1.2, requires_grad=True)  # d_an = 2 sin(0.6) = 1.13
    zero = torch.zeros(())
    embeddings = torch.stack(
        [
            torch.stack([zero + 1, zero, zero]),
            torch.stack([zero + math.cos(1.4), zero, zero + math.sin(1.4)]),
            torch.stack([angle.cos(), angle.sin(), zero]),
        ]
    )
    loss = AdaptiveTriplet(LossTask(torch.ones(2), 3), margin=margin)
    value = loss.triplets(embeddings, torch.tensor([0, 0, 1]))
    (slope,) = torch.autograd.grad(value, angle)
    return float(slope)


def test_only_the_printed_margin_pulls_negatives_closer() -> None:
    assert _pull_on_a_far_negative("as-printed") > 0
    assert _pull_on_a_far_negative("bounded") < 0
    assert _pull_on_a_far_negative("fixed") < 0


def test_the_regularisers_are_zero_where_there_is_nothing_to_mend() -> None:
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]) * 2
    assert covariance(corners) == 0
    assert variance(corners) == 0
    assert covariance(torch.tensor([[1.0, 1.0], [-1.0, -1.0]])).item() == pytest.approx(4.0)
    assert variance(torch.ones(5, 3)).item() == pytest.approx(1 - 0.01)


@pytest.mark.parametrize("projection", [None, 4])
@pytest.mark.parametrize("temperature", [0.07, 0.1, 1.0])
@quick
@drawn
def test_supcon_is_its_equation(projection: int | None, temperature: float, labels: list[int], seed: int) -> None:
    loss = loss_of("supcon", {"projection": projection, "temperature": temperature})
    output, targets = batch_of_labels(labels, seed=seed)
    rows, terms = _embeddings(loss, output), []
    for anchor, label in enumerate(labels):
        others = [place for place in range(len(labels)) if place != anchor]
        positives = [place for place in others if labels[place] == label]
        if positives:
            every = sum(math.exp(_cosine(rows[anchor], rows[place]) / temperature) for place in others)
            terms.append(
                -np.mean([_cosine(rows[anchor], rows[place]) / temperature - math.log(every) for place in positives])
            )
    assert loss(output, targets).item() == pytest.approx(np.mean(terms) if terms else 0.0, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", ["supcon", "triplet", "adaptive-triplet", "spcl"])
def test_classes_that_are_apart_cost_less_than_classes_that_are_mixed(name: str) -> None:
    values: dict[str, Any] = {"dim": HIDDEN} if name == "spcl" else {"projection": HIDDEN}
    loss = LOSSES[name](LossTask(torch.tensor([4, 4]), HIDDEN), **values).eval()
    loss.projection = nn.Identity()
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    torch.manual_seed(0)
    apart = torch.eye(HIDDEN)[labels] + 0.1 * torch.randn(8, HIDDEN)
    mixed = apart[[0, 4, 1, 5, 2, 6, 3, 7]]
    targets = Targets(labels, torch.full((8,), -1))
    assert loss(Output(torch.zeros(8, 2), apart), targets) < loss(Output(torch.zeros(8, 2), mixed), targets)


def test_unit_vectors_of_zero_are_zero_and_have_no_gradient() -> None:
    rows = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3e-20, 4e-20]], requires_grad=True)
    made = unit(rows)
    assert torch.allclose(made[:2], torch.tensor([[0.0, 0.0], [0.6, 0.8]]))
    made.sum().backward()
    assert rows.grad is not None
    assert not rows.grad[[0, 2]].any()
    assert rows.grad[1].any()


@quick
@drawn
def test_sentiment_is_cross_entropy_over_the_rows_that_have_one(labels: list[int], seed: int) -> None:
    loss = loss_of("sentiment", {})
    output, targets = batch_of_labels(labels, seed=seed)
    logits = loss.classifier(output.hidden).detach().double().numpy()
    terms = [
        math.log(np.exp(row).sum()) - row[sentiment]
        for row, sentiment in zip(logits, targets.sentiments.tolist(), strict=True)
        if sentiment >= 0
    ]
    assert loss(output, targets).item() == pytest.approx(np.mean(terms) if terms else 0.0, rel=1e-5, abs=1e-6)


def test_without_any_sentiment_there_is_no_loss_but_a_backward_pass() -> None:
    output, targets = batch_of_labels(LABELS)
    value = loss_of("sentiment", {})(output, Targets(targets.labels, torch.full((10,), -1)))
    assert value == 0
    value.backward()
    assert output.hidden.grad is not None
    assert not output.hidden.grad.any()


def test_a_manifest_without_sentiments_is_refused() -> None:
    with pytest.raises(ConfigError, match="sentiment needs sentiments, of which the manifest has 0"):
        LOSSES["sentiment"](LossTask(torch.ones(3), HIDDEN, 0))
