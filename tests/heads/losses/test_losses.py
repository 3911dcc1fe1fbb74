"""What every loss keeps: order, gradients, finite values; the table; sums of losses."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_factory import HIDDEN, PARTS, batch_of_labels, drawn_labels, loss_of, task

from heads.config.registry import settings_of
from heads.losses import LOSSES, WeightedSum
from heads.signals import Output

every_part = pytest.mark.parametrize(("name", "values"), PARTS, ids=lambda value: str(value))
LABELS = [0, 1, 1, 4, 0, 6, 4, 4, 2, 6]


def test_every_loss_and_every_choice_of_its_settings_is_tried() -> None:
    assert {name for name, _ in PARTS} == set(LOSSES)
    for name, part in LOSSES.items():
        fields = settings_of(part).model_fields
        tried = [{key: field.default for key, field in fields.items()} | values for key, values in PARTS if key == name]
        for field, hint in get_type_hints(part.__init__).items():
            choices = {choice for choice in get_args(hint) if isinstance(choice, str)}
            assert choices <= {values[field] for values in tried if field in values}, (name, field)


def test_the_settings_of_every_loss_can_be_read_and_only_spcl_decides() -> None:
    assert {name: sorted(settings_of(part).model_fields) for name, part in LOSSES.items()} == {
        "adaptive-triplet": ["covariance_weight", "margin", "projection", "triplet_weight", "variance_weight"],
        "cross-entropy": ["power", "smoothing", "weights"],
        "cross-entropy-on-softmax": [],
        "dice": ["absent", "denominator"],
        "focal": ["alpha", "gamma"],
        "sentiment": [],
        "spcl": ["dim", "items", "queue", "temperature", "threshold"],
        "supcon": ["projection", "temperature"],
        "triplet": ["projection", "reduce"],
    }
    assert [name for name, part in LOSSES.items() if part.decides] == ["spcl"]


@every_part
@settings(max_examples=15, deadline=None)
@given(labels=drawn_labels(), seed=st.integers(0, 99))
def test_the_order_of_a_batch_changes_nothing_but_the_anchors(
    name: str, values: dict[str, Any], labels: list[int], seed: int
) -> None:
    loss = loss_of(name, values)
    output, targets = batch_of_labels(labels, seed=seed)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    if name == "triplet":  # its anchors are the first of each class: the order of the others is free
        order = torch.cat([_firsts(labels), order[~torch.isin(order, _firsts(labels))]])
    moved = loss(output.select(order), targets.select(order))
    assert moved.item() == pytest.approx(loss(output, targets).item(), rel=1e-4, abs=1e-5)


def _firsts(labels: list[int]) -> torch.Tensor:
    return torch.tensor([labels.index(label) for label in dict.fromkeys(labels)])


@every_part
def test_gradients_reach_what_the_loss_looks_at_and_its_own_parameters(name: str, values: dict[str, Any]) -> None:
    loss = loss_of(name, values)
    output, targets = batch_of_labels(LABELS)
    value = loss(output, targets)
    assert value.shape == ()
    assert value.dtype == torch.float32
    assert value > 0
    value.backward()
    seen = output.logits if name in ("cross-entropy", "cross-entropy-on-softmax", "focal", "dice") else output.hidden
    assert seen.grad is not None
    assert seen.grad.abs().sum() > 0
    for parameter_name, parameter in loss.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
    weights = [parameter for parameter in loss.parameters() if parameter.ndim == 2]
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in weights)


@every_part
def test_gradients_are_those_of_finite_differences(name: str, values: dict[str, Any]) -> None:
    """But for the margin `bounded`, which moves without a gradient."""
    if name == "adaptive-triplet" and values.get("margin", "bounded") == "bounded":
        values = values | {"triplet_weight": 0.0}
    loss = loss_of(name, values).double()
    output, targets = batch_of_labels(LABELS)
    inputs = [item.detach().double().requires_grad_() for item in (output.logits, output.hidden + 0.1)]
    assert torch.autograd.gradcheck(lambda logits, hidden: loss(Output(logits, hidden), targets), inputs)


EXTREMES = {
    "logits of 1e4": (1e4, [0, 1, 2, 3, 4, 5, 6, 6, 6]),
    "one class": (1.0, [2, 2, 2, 2]),
    "one class, logits of 1e4": (1e4, [2, 2, 2]),
    "one example": (1.0, [3]),
    "one of each": (1.0, [0, 1, 2, 3]),
    "a class without training examples": (1.0, [0, 0, 6, 6, 5]),
}


@every_part
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("extreme", EXTREMES)
def test_values_and_gradients_are_finite(name: str, values: dict[str, Any], extreme: str, training: bool) -> None:
    scale, labels = EXTREMES[extreme]
    loss = loss_of(name, values, task(counts=[0, 1, 2, 3, 4, 5, 6])).train(training)
    output, targets = batch_of_labels(labels)
    output = Output(*((item.detach() * scale).requires_grad_() for item in (output.logits, output.hidden)))
    value = loss(output, targets)
    assert value.isfinite()
    value.backward()
    for item in (output.logits, output.hidden, *loss.parameters()):
        assert item.grad is None or item.grad.isfinite().all()


@every_part
def test_equal_and_zero_rows_give_finite_gradients(name: str, values: dict[str, Any]) -> None:
    loss = loss_of(name, values)
    _, targets = batch_of_labels([0, 0, 1, 1, 1, 2])
    one_is_zero = torch.eye(6, HIDDEN).roll(1, 0).tril()
    for hidden in (torch.zeros(6, HIDDEN), torch.ones(6, HIDDEN), one_is_zero):
        hidden.requires_grad_()
        loss(Output(torch.zeros(6, 7, requires_grad=True), hidden), targets).backward()
        assert hidden.grad is None or hidden.grad.isfinite().all()
        assert hidden.grad is None or hidden.grad.abs().max() < 1e4


@pytest.mark.parametrize("labels", [[3], [0, 1, 2], [5, 5]])
def test_nothing_to_compare_gives_nothing_with_a_backward_pass(labels: list[int]) -> None:
    output, targets = batch_of_labels(labels)
    value = loss_of("triplet", {"projection": 4})(output, targets)
    assert value == 0
    value.backward()
    assert output.hidden.grad is not None
    assert not output.hidden.grad.any()


def test_a_sum_of_losses_is_weighted() -> None:
    output, targets = batch_of_labels(LABELS)
    dice, triplet = loss_of("dice", {}), loss_of("triplet", {})
    total = WeightedSum([(0.25, dice), (2.0, triplet)])
    assert torch.allclose(total(output, targets), 0.25 * dice(output, targets) + 2 * triplet(output, targets))
    assert total.decision is None


def test_the_first_loss_that_decides_is_the_decision() -> None:
    first, second = loss_of("spcl", {"dim": 4}), loss_of("spcl", {"dim": 4})
    assert WeightedSum([(1.0, loss_of("dice", {})), (1.0, first), (1.0, second)]).decision is first
