"""Devices and dtypes: what is asked for, what is there, and what the error says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from features import hardware
from features.encoders import text
from features.encoders.devices import (
    MemoryBatches,
    is_out_of_memory,
    pin_fp32,
    resolve_device,
    resolve_dtype,
    torch_dtype,
)
from features.errors import UsageError


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two GPUs, the second one older than Ampere."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5) if device == "cuda:1" else (9, 0))


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_auto_takes_the_gpu_where_there_is_one(gpus: None) -> None:
    assert resolve_device("auto") == "cuda"
    assert resolve_device("cuda") == "cuda"
    assert resolve_device("cuda:1") == "cuda:1"
    assert resolve_device("cpu") == "cpu"


def test_auto_is_the_cpu_where_there_is_no_gpu(no_gpu: None) -> None:
    assert resolve_device("auto") == "cpu"


def test_a_gpu_that_is_not_there_is_refused_with_what_is(no_gpu: None) -> None:
    with pytest.raises(UsageError, match=r"device 'cuda' is not there: .*CUDA.*; give --device cpu"):
        resolve_device("cuda")


def test_a_gpu_beyond_the_last_is_refused_with_those_there_are(gpus: None) -> None:
    with pytest.raises(UsageError, match=r"device 'cuda:2' is not there: this machine has cuda:0, cuda:1 and cpu"):
        resolve_device("cuda:2")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1", "CUDA", "cuda:1x", ""])
def test_a_device_of_another_form_is_refused(device: str) -> None:
    with pytest.raises(UsageError, match="is not one of auto, cpu, cuda, cuda:N"):
        resolve_device(device)


def test_auto_dtype_is_bf16_where_there_are_units_for_it(
    gpus: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolve_dtype("auto", "cuda") == "bf16"
    assert resolve_dtype("auto", "cuda:1") == "fp32"
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr(hardware, "_CPUINFO", cpuinfo)
    assert resolve_dtype("auto", "cpu") == "fp32"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx512_bf16 amx_bf16 amx_tile\n")
    assert resolve_dtype("auto", "cpu") == "bf16"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx2 avx512_bf16\nbugs\t: amx_bf16\n")
    assert resolve_dtype("auto", "cpu") == "fp32"


def test_a_dtype_given_is_kept_and_an_unknown_one_refused() -> None:
    assert [resolve_dtype(name, "cpu") for name in ("fp32", "bf16", "fp16")] == ["fp32", "bf16", "fp16"]
    assert torch_dtype("bf16") is torch.bfloat16
    with pytest.raises(UsageError, match=r"no dtype 'fp23': did you mean 'fp32'\? known: auto, bf16, fp16, fp32"):
        resolve_dtype("fp23", "cpu")


def test_pinned_fp32_uses_no_tf32() -> None:
    torch.backends.cudnn.allow_tf32 = True
    pin_fp32()
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_importing_the_encoders_loads_neither_torch_nor_transformers() -> None:
    modules = ["devices", "weights", "layers", "state_files"]
    modules += [f"text.{path.stem}" for path in Path(text.__path__[0]).glob("[a-z]*.py")]
    assert len(modules) >= 14
    imports = "; ".join(f"import features.encoders.{name}" for name in modules)
    code = f"{imports}; import features.pooling, sys; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


class Room:
    """Work that has room for so many items at once, and for none that is negative."""

    def __init__(self, room: int, message: str = "CUDA error: out of memory") -> None:
        self.room = room
        self.message = message
        self.tried: list[int] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.tried.append(len(items))
        if len(items) > self.room or min(items) < 0:
            raise RuntimeError(self.message)
        return [2 * item for item in items]


def test_batches_are_halved_where_memory_runs_out_and_stay_so() -> None:
    batches, work = MemoryBatches(16), Room(5)
    assert batches.run(list(range(20)), work) == [2 * item for item in range(20)]
    assert work.tried == [16, 8, 4, 4, 4, 4, 4]
    work.tried.clear()
    assert batches.run(list(range(8)), work) == [2 * item for item in range(8)]
    assert work.tried == [4, 4]


def test_one_item_without_room_does_not_shrink_the_batches_of_others() -> None:
    batches = MemoryBatches(8)
    with pytest.raises(RuntimeError, match="out of memory"):
        batches.run([0, 1, -1, 3], Room(8))
    assert batches.size == 2  # what [0, 1] went through with
    with pytest.raises(RuntimeError, match="out of memory"):
        batches.run([-1], Room(8))
    assert batches.size == 2


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ValueError("CUDA error: out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_another_error_is_raised_at_once() -> None:
    work = Room(1, "device-side assert triggered")
    with pytest.raises(RuntimeError, match="device-side assert"):
        MemoryBatches(4).run([1, 2, 3, 4], work)
    assert work.tried == [4]
