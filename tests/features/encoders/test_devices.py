"""Devices and dtypes: what is asked for, what is there, and what the error says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from features import hardware
from features.encoders import text
from features.encoders.devices import pin_fp32, resolve_device, resolve_dtype, torch_dtype
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


def test_auto_dtype_is_bf16_on_gpus_from_ampere_on(gpus: None) -> None:
    assert resolve_dtype("auto", "cuda") == "bf16"
    assert resolve_dtype("auto", "cuda:1") == "fp32"


@pytest.mark.parametrize(("gain", "dtype"), [(4.0, "bf16"), (1.1, "fp32"), (0.6, "fp32")])
def test_auto_dtype_on_a_cpu_is_what_a_product_is_faster_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gain: float, dtype: str
) -> None:
    monkeypatch.setenv("ERC_CACHE", str(tmp_path))
    monkeypatch.setattr(hardware, "_gain_of_bf16", lambda: gain)
    assert resolve_dtype("auto", "cpu") == dtype
    monkeypatch.setattr(hardware, "_gain_of_bf16", lambda: 1 / gain)
    assert resolve_dtype("auto", "cpu") == dtype  # tried once: noise changes no later run
    monkeypatch.setattr(hardware, "_cpu", lambda: ["another one"])
    assert resolve_dtype("auto", "cpu") == ("bf16" if 1 / gain > 1.25 else "fp32")


def test_the_gain_is_a_ratio_of_products_in_both_dtypes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(torch.nn.functional, "linear", lambda rows, weights: seen.append((rows.dtype, weights.dtype)))
    assert hardware._gain_of_bf16() > 0
    assert set(seen) == {(torch.float32, torch.float32), (torch.bfloat16, torch.bfloat16)}


def test_a_dtype_given_is_kept_and_an_unknown_one_refused() -> None:
    assert [resolve_dtype(name, "cpu") for name in ("fp32", "bf16", "fp16")] == ["fp32", "bf16", "fp16"]
    assert torch_dtype("bf16") is torch.bfloat16
    with pytest.raises(UsageError, match=r"no dtype 'fp23': did you mean 'fp32'\? known: auto, bf16, fp16, fp32"):
        resolve_dtype("fp23", "cpu")


@pytest.mark.usefixtures("tf32")
def test_pinned_fp32_uses_no_tf32() -> None:
    assert torch.backends.cudnn.allow_tf32
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
