"""What is compared trains the same model with the same loss, and the floor has the products of a step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
import torch

from benchmarks.workers import heads
from benchmarks.workers.floor import Recorded
from heads.data.batch import batch_of
from heads.model import HeadShape, build_head
from heads.signals import LossTask, Targets
from heads.training.objective import build_objective


@pytest.fixture(autouse=True)
def as_many_threads_afterwards() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("row", list(heads.HEADS))
def test_others_compute_the_loss_that_ours_does(row: str) -> None:
    chosen, data = heads.data_of(row, 8, 2)
    torch.manual_seed(0)
    wrapped = heads.HeadAndLoss(chosen, data).eval()
    places = torch.tensor([3, 1, 9, 14])
    labels = torch.from_numpy(data.utterances.labels)[places]
    values = {name: torch.from_numpy(data.inputs[name][0].values)[places] for name in chosen.inputs}
    torch.manual_seed(0)
    head = build_head(chosen, HeadShape(data.shapes, len(heads.LABELS))).eval()
    objective = build_objective(chosen.loss, LossTask(torch.ones(len(heads.LABELS)), head.hidden_width))
    ours = objective(head(batch_of(data).select(places)), Targets(labels, torch.full_like(labels, -1)))
    torch.testing.assert_close(wrapped(labels, **values)["loss"], ours)


def test_the_floor_repeats_both_directions_of_every_product() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3))
    with Recorded() as recorded:
        model(torch.randn(2, 5)).sum().backward()
    assert len(recorded.products) == 5  # two forwards, two for weights' gradients, one for the hidden layer's


@pytest.mark.parametrize("work", [heads.ours, heads.plain_loop])
def test_seconds_are_of_an_epoch(work: Callable[[str, int, int], Callable[[], float]]) -> None:
    assert 0 < work("5, text", 8, 3)() < math.inf
