"""`--device mps`, by a stand-in for Apple's GPU that refuses float64: no machine with one runs these tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from apple_gpu import apple_gpu
from tiny_bert import turn, write_tiny_bert

from features.encoders.audio.wav2vec2 import join_windows
from features.encoders.build import create
from features.encoders.devices import for_device, resolve_device, resolve_dtype, to_device
from features.encoders.protocol import EncoderRequest
from features.errors import UsageError
from pipeline.suites.devices import check_device

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_stand_in_behaves_as_the_device_does(monkeypatch: pytest.MonkeyPatch) -> None:
    with apple_gpu(monkeypatch) as there:
        tensor = torch.ones(3).to("mps")
        assert tensor in there
        assert (tensor.device.type, (tensor + 1).device.type) == ("mps", "mps")
        assert (tensor * 2).cpu().double().sum() == 6
        with pytest.raises(TypeError, match="float64"):
            tensor.double()
        with pytest.raises(RuntimeError, match="same device"):
            tensor + torch.ones(3)


def test_it_is_taken_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with apple_gpu(monkeypatch):
        assert resolve_device("auto") == resolve_device("mps") == "mps"
        assert (resolve_dtype("auto", "mps"), for_device({"cpu": 4, "cuda": 32}, "mps")) == ("fp32", 4)
        check_device("mps")


def test_it_is_refused_where_it_is_not() -> None:
    for check in (resolve_device, check_device):
        with pytest.raises(UsageError, match=r"mps.*(without MPS|no GPU of Apple's).*cpu"):
            check("mps")


def test_what_is_float64_becomes_float32_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    with apple_gpu(monkeypatch):
        assert to_device(np.ones(2), "mps").dtype == torch.float32
        assert to_device(np.ones(2, np.int64), "mps").dtype == torch.int64
        assert to_device(np.ones(2), "cpu").dtype == torch.float64


def test_windows_of_a_long_sound_are_joined_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean over windows is a sum in float64, which the device has not."""
    rows = [torch.randn(2, 6, generator=torch.Generator().manual_seed(number)) for number in range(3)]
    expected = join_windows(rows, [10, 20, 5], "mean+max")
    with apple_gpu(monkeypatch) as there:
        found = join_windows([row.to("mps") for row in rows], [10, 20, 5], "mean+max")
        assert found in there
        assert torch.equal(found.cpu(), expected)


def test_an_encoder_computes_there_what_it_does_on_the_cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = str(write_tiny_bert(tmp_path / "bert"))
    turns = [turn(text) for text in ("oh my god", "no", "why are you so sad")]

    def made(device: str) -> list[np.ndarray]:
        encoder = create(EncoderRequest("sentence", {}, model=folder, device=device))
        return [np.asarray(row) for row in encoder.encode([encoder.prepare(item) for item in turns])]

    expected = made("cpu")
    with apple_gpu(monkeypatch):
        found = made("mps")
    np.testing.assert_allclose(np.stack(found), np.stack(expected), rtol=1e-5, atol=1e-6)
