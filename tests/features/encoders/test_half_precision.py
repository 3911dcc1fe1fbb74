"""Kernels that compute a half-precision convolution wrongly are found before anything is stored."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from features.encoders.half_precision import check_convolutions
from features.errors import UsageError


def network(dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv1d(1, 64, 10, 5), nn.Conv1d(64, 64, 3, 2), nn.Conv1d(64, 64, 16, padding=8, groups=2)]
    pictures = [nn.Conv2d(3, 64, 7, 2, 3), nn.Conv2d(64, 64, 3, padding=1), nn.Conv2d(64, 128, 1, 2, dilation=2)]
    films = [nn.Conv3d(3, 64, (2, 16, 16), (2, 16, 16))]
    return nn.ModuleList([*layers, *pictures, *films, nn.Linear(3, 3)]).to(dtype)


def break_kernel(monkeypatch: pytest.MonkeyPatch, groups: int) -> None:
    """Convolutions of so many groups give another channel's output, in bf16 alone."""
    forward = nn.Conv1d.forward

    def broken(layer: nn.Conv1d, values: torch.Tensor) -> Any:
        out = forward(layer, values)
        return out.roll(1, dims=1) if layer.groups == groups and out.dtype == torch.bfloat16 else out

    monkeypatch.setattr(nn.Conv1d, "forward", broken)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_right_kernels_pass(dtype: torch.dtype) -> None:
    check_convolutions(network(dtype))


def test_a_wrong_kernel_is_named_with_its_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    break_kernel(monkeypatch, groups=2)
    with pytest.raises(UsageError, match=r"computes Conv1d\(64, 64, .*groups=2\) wrongly in bfloat16.*--dtype fp32"):
        check_convolutions(network(torch.bfloat16))
    check_convolutions(network(torch.float32))


@pytest.mark.parametrize("kind", [nn.Conv1d, nn.Conv2d, nn.Conv3d])
def test_nan_is_wrong(monkeypatch: pytest.MonkeyPatch, kind: type[nn.Module]) -> None:
    monkeypatch.setattr(kind, "forward", lambda layer, values: values[:, :1] * float("nan"))
    with pytest.raises(UsageError, match=r"wrongly in bfloat16"):
        check_convolutions(network(torch.bfloat16))
