"""Training with `--device mps`, by a stand-in for Apple's GPU that has no float64."""

from __future__ import annotations

import math

import pytest
from apple_gpu import apple_gpu
from head_factory import experiment, head_data

from heads.precision import resolve_precision
from heads.training.trainer import train_head

SHORT = {"stop": {"epochs": 2}, "optim": {"lr": 1e-2}}
BCLSTM = {"context": {"name": "bclstm", "units": 4}, "batch": {"unit": "dialogues", "size": 4}}


@pytest.mark.parametrize("parts", [{}, BCLSTM], ids=["plain", "bclstm"])
def test_a_head_trains_there(parts: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    with apple_gpu(monkeypatch) as there:
        trained = train_head(experiment(**SHORT | parts), head_data(), 0, "mps")
        assert len(there) > 0  # else it was trained on the CPU
    assert [math.isfinite(epoch.train_loss + epoch.dev_loss) for epoch in trained.history] == [True, True]


def test_auto_is_fp32_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (resolve_precision("auto", "mps"), resolve_precision("bf16", "mps")) == ("fp32", "bf16")
