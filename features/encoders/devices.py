"""Where an encoder computes and in which dtype. Importing this loads no torch."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from features.errors import UsageError, nearest
from features.hardware import bf16_is_faster
from features.spec import DTYPES

if TYPE_CHECKING:
    import numpy as np
    import torch

Value = TypeVar("Value")

_CUDA = re.compile(r"cuda(?::(\d+))?")


def resolve_device(device: str) -> str:
    """`cpu`, `cuda`, `cuda:N` or `mps` (Apple's GPU) for what --device says; `auto` is the GPU where there is one.

    Raises UsageError for a name of another form, and for a GPU that is not there: it says what is.
    """
    if device == "cpu":
        return device
    if device == "auto":
        return "cuda" if _cuda_count()[0] else "mps" if has_mps() else "cpu"
    if device == "mps":
        if not has_mps():
            raise UsageError(f"device 'mps' is not there: {_why_no_mps()}; give --device cpu")
        return device
    match = _CUDA.fullmatch(device)
    if not match:
        raise UsageError(f"device {device!r} is not one of auto, cpu, cuda, cuda:N, mps")
    count, trouble = _cuda_count()
    if not count:
        raise UsageError(f"device {device!r} is not there: {trouble}; give --device cpu")
    if int(match[1] or 0) >= count:
        there = ", ".join(f"cuda:{index}" for index in range(count))
        raise UsageError(f"device {device!r} is not there: this machine has {there} and cpu")
    return device


def several_gpus(device: str) -> int:
    """How many GPUs there are where `cuda` is one of several; else 0. device: as `resolve_device` gives it"""
    count = _cuda_count()[0] if device == "cuda" else 0
    return count if count > 1 else 0


def resolve_dtype(dtype: str, device: str) -> str:
    """`fp32`, `bf16` or `fp16` for what --dtype says; `auto` is bf16 where it is faster (see `bf16_is_faster`).

    device: as `resolve_device` gives it
    Raises UsageError for a name of another form.
    """
    if dtype == "auto":
        return "bf16" if bf16_is_faster(device) else "fp32"
    if dtype not in DTYPES:
        raise UsageError(f"no dtype {dtype!r}: {nearest(dtype, ('auto', *DTYPES))}")
    return dtype


def torch_dtype(dtype: str) -> torch.dtype:
    """The torch dtype of one of spec.DTYPES."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[dtype]


def for_device(values: Mapping[str, Value], device: str) -> Value:
    """Of a default for `cpu` and one for `cuda`, that of this device; the CPU's for `mps`, which shares its memory."""
    return values["cuda" if device.startswith("cuda") else "cpu"]


def to_device(array: np.ndarray, device: str) -> torch.Tensor:
    """A tensor on the device; for CUDA through pinned memory, without waiting for the copy. For `mps`, which has no
    float64, that becomes float32."""
    import torch

    tensor = torch.from_numpy(array)
    if device == "mps" and tensor.dtype == torch.float64:
        tensor = tensor.float()
    return tensor.pin_memory().to(device, non_blocking=True) if device.startswith("cuda") else tensor.to(device)


def where_float64_is(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor where it can be made float64: on the CPU, if it is on `mps`."""
    return tensor.cpu() if tensor.device.type == "mps" else tensor


def pin_fp32() -> None:
    """Make fp32 mean IEEE fp32 in this process: TF32 off for products, convolutions and recurrent layers.

    torch's own default lets cuDNN use TF32, whose 10-bit mantissa is far outside the parity this package states.
    """
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def has_mps() -> bool:
    import torch

    return torch.backends.mps.is_available()


def _why_no_mps() -> str:
    import torch

    return "torch finds no GPU of Apple's" if torch.backends.mps.is_built() else "this torch was built without MPS"


def _cuda_count() -> tuple[int, str]:
    """How many GPUs torch can use, and where there are none, why."""
    import torch

    if torch.version.cuda is None:
        return 0, "this torch was built without CUDA"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    said = f" ({str(caught[0].message).split('. ')[0].strip()})" if caught else ""
    return count, f"torch finds no CUDA GPU{said}"
