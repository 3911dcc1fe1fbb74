"""SPCL: its equation, queues, prototypes, centres, predictions and difficulties."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_factory import HIDDEN, batch_of_labels, drawn_labels
from torch import nn

from features.errors import ConfigError, TrainingError
from heads.losses.spcl import UNKNOWN, Spcl
from heads.signals import LossTask, Output, Targets

CLASSES = 4
quick = settings(max_examples=25, deadline=None)


def spcl(**values: Any) -> Spcl:
    torch.manual_seed(0)
    return Spcl(LossTask(torch.full((CLASSES,), 10), HIDDEN), **{"dim": 5} | values)


def plain(**values: Any) -> Spcl:
    """The embedding is hidden itself."""
    loss = spcl(**{"dim": HIDDEN} | values)
    loss.projection = nn.Identity()
    return loss


def examples(count: int = 40, classes: int = CLASSES, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    return torch.randn(count, HIDDEN, generator=generator), labels


def push(loss: Spcl, hidden: torch.Tensor, labels: list[int]) -> None:
    gold = torch.tensor(labels)
    loss(Output(torch.zeros(len(labels), CLASSES), hidden), Targets(gold, torch.full_like(gold, -1)))


def f(one: np.ndarray, other: np.ndarray) -> float:
    size = math.sqrt(one @ one) * math.sqrt(other @ other)
    return (1 + (float(one @ other) / size if size else 0.0)) / 2 + 1e-8


def by_loops(
    rows: np.ndarray, labels: list[int], prototypes: np.ndarray, known: list[int], temperature: float, threshold: float
) -> float:
    terms = []
    for anchor, label in enumerate(labels):
        every, near, positives = 0.0, 0.0, 0
        others = [(rows[place], labels[place]) for place in range(len(labels)) if place != anchor]
        for vector, other in [*others, *((prototypes[place], place) for place in known)]:
            power = math.exp(f(rows[anchor], vector) / temperature)
            every += power
            if other == label:
                near += power
                positives += 1
        if positives:
            term = -math.log(near / every / positives)
            if term > threshold:
                terms.append(term)
    return float(np.mean(terms)) if terms else 0.0


@pytest.mark.parametrize("threshold", [0.0, 0.3, 1.5])
@pytest.mark.parametrize("temperature", [0.08, 0.5])
@pytest.mark.parametrize("known", [[0, 1, 2, 3], [0, 2], []])
@quick
@given(labels=drawn_labels(CLASSES), seed=st.integers(0, 99))
def test_the_loss_is_its_equation(
    threshold: float, temperature: float, known: list[int], labels: list[int], seed: int
) -> None:
    loss = spcl(threshold=threshold, temperature=temperature).eval()
    hidden, gold = examples()
    if known:
        some = torch.isin(gold, torch.tensor(known))
        loss.refresh(hidden[some], gold[some])
    output, targets = batch_of_labels(labels, CLASSES, seed)
    rows = loss.projection(output.hidden).detach().double().numpy()
    expected = by_loops(rows, labels, loss.centres.double().numpy(), known, temperature, threshold)
    assert loss(output, targets).item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_the_threshold_leaves_learned_examples_out() -> None:
    """Pairs on their own axes: each has its class-mate and its centre, so a term is at least log 2."""
    loss = plain(temperature=0.01).eval()
    hidden, labels = torch.eye(HIDDEN)[torch.arange(CLASSES)], torch.arange(CLASSES)
    loss.refresh(hidden, labels)
    output, targets = Output(torch.zeros(CLASSES, CLASSES), hidden), Targets(labels, torch.full((CLASSES,), -1))
    assert loss(output, targets) == 0  # alone with its centre: -log 1
    twice = torch.arange(CLASSES).repeat(2)
    assert loss(output.select(twice), targets.select(twice)).item() == pytest.approx(math.log(2), abs=1e-4)


def test_in_training_prototypes_are_the_centres_until_a_queue_holds_enough() -> None:
    loss = plain(queue=8, items=3)
    hidden, labels = examples()
    loss.refresh(hidden, labels)
    push(loss, hidden[:3], [0, 0, 1])
    assert torch.equal(loss._prototypes(), loss.centres)
    push(loss, hidden[3:4], [0])
    prototypes = loss._prototypes()
    assert torch.allclose(prototypes[0], hidden[[0, 1, 3]].mean(dim=0))
    assert torch.equal(prototypes[1:], loss.centres[1:])


def test_a_prototype_is_the_mean_of_random_distinct_items_of_its_queue() -> None:
    loss = plain(queue=8, items=3)
    values = torch.zeros(6, HIDDEN)
    values[:, 0] = 10.0 ** torch.arange(6)  # the digits of a sum say which were taken
    loss.refresh(values, torch.zeros(6, dtype=torch.int64))
    push(loss, values, [0] * 6)
    seen = set()
    for _ in range(200):
        digits = f"{round(float(loss._prototypes()[0, 0]) * 3):06d}"
        assert sorted(digits) == list("000111")
        seen.add(digits)
    assert len(seen) == math.comb(6, 3)


def test_what_is_drawn_follows_torchs_seed() -> None:
    loss = plain(queue=8, items=3)
    hidden, labels = examples()
    loss.refresh(hidden, labels)
    push(loss, hidden, labels.tolist())
    drawn = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        drawn.append(loss._prototypes())
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@quick
@given(batches=st.lists(drawn_labels(CLASSES), min_size=1, max_size=6), size=st.integers(1, 5))
def test_a_queue_holds_the_last_of_its_class(batches: list[list[int]], size: int) -> None:
    loss = plain(queue=size, items=1)
    pushed: dict[int, list[torch.Tensor]] = {label: [] for label in range(CLASSES)}
    for number, labels in enumerate(batches):
        hidden, _ = examples(len(labels), seed=number)
        push(loss, hidden, labels)
        for row, label in zip(hidden, labels, strict=True):
            pushed[label].append(row)
    for label, rows in pushed.items():
        kept = rows[-size:]
        held = loss.queues[label, : len(kept)]
        assert sorted(held[:, 0].tolist()) == sorted(float(row[0]) for row in kept)
        assert loss.pushed[label] == len(rows)


def test_prototypes_are_drawn_before_the_batch_joins_the_queues() -> None:
    loss = plain(queue=4, items=1, threshold=0.0)
    hidden, labels = examples(8)
    loss.refresh(hidden, labels)
    output, targets = Output(torch.zeros(8, CLASSES), hidden), Targets(labels, torch.full((8,), -1))
    expected = by_loops(
        hidden.double().numpy(), labels.tolist(), loss.centres.double().numpy(), [0, 1, 2, 3], 0.08, 0.0
    )
    assert loss.training
    assert loss(output, targets).item() == pytest.approx(expected, rel=1e-4)  # the centres, not the batch
    assert loss(output, targets).item() != pytest.approx(expected, rel=1e-4)


def test_evaluation_changes_nothing_and_draws_nothing() -> None:
    loss = spcl(queue=8, items=2)
    hidden, labels = examples()
    loss.refresh(hidden, labels)
    output, targets = batch_of_labels([0, 1, 0, 3], CLASSES)
    loss(output, targets)
    before, state = loss.pushed.clone(), torch.get_rng_state()
    loss.eval()
    assert loss(output, targets) == loss(output, targets)
    loss.scores(hidden)
    loss.difficulty(hidden, labels)
    assert torch.equal(loss.pushed, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_no_gradient_passes_through_prototypes_or_from_one_batch_to_the_next() -> None:
    loss = spcl(queue=8, items=2)
    hidden, labels = examples()
    loss.refresh(hidden, labels)
    for number in range(3):
        output, targets = batch_of_labels([0, 0, 1, 0, 1, 3], CLASSES, seed=number)
        loss(output, targets).backward()
        assert not loss.queues.requires_grad
        assert output.hidden.grad is not None
        assert output.hidden.grad.any()


@pytest.mark.parametrize("count", [1, 7, 40])
def test_centres_are_the_means_of_the_embeddings(count: int) -> None:
    loss = spcl()
    hidden, labels = examples(count)
    loss.refresh(hidden, labels)
    embeddings = loss.projection(hidden).detach()
    for label in range(CLASSES):
        own = embeddings[labels == label]
        expected = own.mean(dim=0) if len(own) else torch.zeros(5)
        assert torch.allclose(loss.centres[label], expected, atol=1e-6)
    assert not loss.centres.requires_grad
    loss.refresh(hidden + 1, labels)
    assert not torch.allclose(loss.centres[0], embeddings[labels == 0].mean(dim=0), atol=1e-3)


def test_scores_choose_the_nearest_centre_and_are_logarithms_of_chances() -> None:
    loss = spcl()
    hidden, labels = examples()
    loss.refresh(hidden, labels)
    scores = loss.scores(hidden).detach()
    embeddings = loss.projection(hidden).detach().double().numpy()
    centres = loss.centres.double().numpy()
    similarity = np.array([[f(row, centre) for centre in centres] for row in embeddings])
    assert (scores.argmax(dim=1).numpy() == similarity.argmax(axis=1)).all()
    powers = np.exp(similarity / 0.08)
    assert np.allclose(scores.numpy(), np.log(powers / powers.sum(axis=1, keepdims=True)), atol=1e-4)


def test_a_class_without_training_examples_is_never_predicted() -> None:
    loss = spcl()
    hidden, labels = examples(classes=3)
    loss.refresh(hidden, labels)
    scores = loss.scores(hidden)
    assert not loss.centres[3].any()
    assert (scores[:, 3] < UNKNOWN / 2).all()
    assert scores.isfinite().all()
    assert torch.allclose(scores.exp().sum(dim=1), torch.ones(40))
    difficulty = loss.difficulty(hidden, labels)
    loss.centres = loss.centres[:3]
    assert torch.allclose(loss.difficulty(hidden, labels), difficulty)


def test_difficulty_is_the_share_of_the_own_centre_in_all_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = spcl()
    hidden, labels = examples()
    loss.refresh(hidden, labels)
    embeddings = loss.projection(hidden).detach().double().numpy()
    centres = loss.centres.double().numpy()
    expected = []
    for row, label in zip(embeddings, labels.tolist(), strict=True):
        distances = [1 - f(row, centre) for centre in centres]
        expected.append(distances[label] / sum(distances))
    difficulty = loss.difficulty(hidden, labels)
    assert np.allclose(difficulty.numpy(), expected, atol=1e-4)
    assert not difficulty.requires_grad
    monkeypatch.setattr("heads.losses.spcl._CHUNK", 7)
    assert torch.allclose(loss.difficulty(hidden, labels), difficulty, atol=1e-6)


def test_an_example_on_its_centre_is_easy() -> None:
    loss = plain()
    loss.refresh(torch.eye(HIDDEN)[:CLASSES], torch.arange(CLASSES))
    hidden = torch.eye(HIDDEN)[[0, 1]]
    assert torch.allclose(loss.difficulty(hidden, torch.tensor([0, 0])), torch.tensor([0.0, 1 / 3]), atol=1e-6)


def test_a_state_can_predict_and_holds_no_queue() -> None:
    loss = spcl()
    hidden, labels = examples()
    loss.refresh(hidden, labels)
    push(loss, hidden, labels.tolist())
    state = loss.state_dict()
    assert sorted(state) == ["centres", "projection.bias", "projection.weight"]
    assert all(value.is_contiguous() for value in state.values())
    other = spcl()
    with torch.no_grad():
        other.projection.weight.zero_()
    other.load_state_dict(state)
    assert torch.equal(other.scores(hidden), loss.scores(hidden))


def test_before_any_refresh_nothing_is_predicted() -> None:
    hidden, labels = examples()
    with pytest.raises(TrainingError, match="0 of 4 class centres are known"):
        spcl().scores(hidden)
    with pytest.raises(TrainingError, match="0 of 4 class centres are known"):
        spcl().difficulty(hidden, labels)


def test_a_prototype_of_more_items_than_the_queue_holds_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"items \(64\) must be at most queue \(32\)"):
        spcl(queue=32)
    spcl(queue=64)


def test_training_parts_the_classes() -> None:
    loss = spcl(queue=32, items=8)
    hidden, labels = examples(48)
    hidden[:, 0] += labels * 1.5
    targets = Targets(labels, torch.full((48,), -1))
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.02)

    def accuracy() -> float:
        loss.refresh(hidden, labels)
        return float((loss.scores(hidden).argmax(dim=1) == labels).float().mean())

    before = accuracy()
    for _ in range(40):
        optimizer.zero_grad()
        loss(Output(torch.zeros(48, CLASSES), hidden), targets).backward()
        optimizer.step()
    assert accuracy() > before + 0.1
