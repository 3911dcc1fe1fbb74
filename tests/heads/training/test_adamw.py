"""AdamW: the bits of torch's own, without the compiler that it imports."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from heads.training.adamw import AdamW

TESTS = Path(__file__).parents[2]


def groups(model: nn.Sequential) -> list[dict[str, Any]]:
    first, second, seldom = model
    return [
        {"params": [first.weight, second.weight], "weight_decay": 0.1},
        {"params": [first.bias, second.bias, *seldom.parameters()], "weight_decay": 0.0, "lr": 3e-3},
        {"params": [], "weight_decay": 0.1, "lr": 1e-4},
    ]


def factor(step: int) -> float:
    return (step + 1) / 4 if step < 4 else 1 / step


def backward(model: nn.Sequential, step: int, rows: torch.Tensor) -> None:
    """The last layer learns in every third step alone."""
    model.zero_grad()
    hidden = model[1](model[0](rows))
    (hidden if step % 3 else model[2](hidden)).square().sum().backward()


def test_it_has_the_bits_of_torchs_own() -> None:
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 3), nn.Linear(3, 3))
    theirs = copy.deepcopy(ours)
    own = AdamW(groups(ours), 1e-2, factor)
    torchs = torch.optim.AdamW(groups(theirs), lr=1e-2, fused=True)
    schedule = LambdaLR(torchs, factor)
    for step, rows in enumerate(torch.randn(20, 8, 5)):
        assert own.rate(step) == schedule.get_last_lr()[0]
        backward(ours, step, rows)
        own.step(step)
        backward(theirs, step, rows)
        torchs.step()
        schedule.step()
        assert all(map(torch.equal, ours.parameters(), theirs.parameters())), step


def test_training_imports_no_compiler() -> None:
    """It takes longer than many a head does, in every process that trains."""
    code = (
        "import sys; from head_factory import experiment, head_data; from heads.training.trainer import train_head; "
        "train_head(experiment(stop={'epochs': 1}), head_data(), 0); "
        "print([name for name in sys.modules if name.startswith('torch._dynamo')])"
    )
    path = os.pathsep.join([str(TESTS.parent), str(TESTS), str(TESTS / "heads"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
