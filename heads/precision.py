"""Mixed precision: the matrix products of a head's training in bfloat16, all else in float32."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor

from features.hardware import bf16_is_faster


def resolve_precision(precision: str, device: str) -> str:
    """`fp32` or `bf16` for what `optim.precision` says."""
    if precision == "auto":
        return "bf16" if bf16_is_faster(device) else "fp32"
    return precision


def products_in(precision: str, device: torch.device) -> AbstractContextManager[None]:
    """A context in which torch computes linear layers and matrix products in `precision`, fp32 or bf16."""
    autocast: AbstractContextManager[None] = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
    return autocast


@contextmanager
def ieee_float32(device: str) -> Iterator[None]:
    """Within, float32 is IEEE float32 on an NVIDIA GPU, too: by itself torch lets cuDNN's convolutions and recurrent
    layers round to TF32, with 10 bits of mantissa. The process's settings are put back. device: cpu, cuda, ..."""
    if not device.startswith("cuda"):
        yield
        return
    products, convolutions = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = products, convolutions


def in_float32(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Keep a module's `forward` in float32 whatever is around it: recurrences, which add up what each step rounds, and
    convolutions, which torch's CPU kernels get wrong in bfloat16 for some shapes (docs/LOG.md)."""

    @functools.wraps(forward)
    def wrapped(self: Any, values: Any, *more: Any) -> Tensor:
        device = values.device.type if isinstance(values, Tensor) else values.values.device.type
        with torch.autocast(device, enabled=False):
            return forward(self, values.float() if isinstance(values, Tensor) else values, *more)

    return wrapped
