"""The GE2E voice encoder's network, with Resemblyzer's names of weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from features.encoders.devices import for_device, pin_fp32, to_device, torch_dtype
from features.encoders.memory_batches import MemoryBatches
from features.encoders.packaged_states import GE2E_VOICE, check_packaged, is_packaged, packaged_states
from features.encoders.protocol import EncoderRequest
from features.encoders.state_files import digest_of_network, load_state, random_network
from features.errors import UsageError

WIDTH = 256
_NUM_BANDS = 40
_NUM_LAYERS = 3

_WINDOWS_AT_ONCE = {"cpu": 64, "cuda": 1024}
_SPARE = ("similarity_",)  # scale and offset of the loss


class _Network(nn.Module):
    """Mel bands [b, f, m] -> the last state of three LSTM layers, through a linear layer and ReLU: [b, WIDTH]."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(_NUM_BANDS, WIDTH, _NUM_LAYERS, batch_first=True)
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        _, (hidden, _) = self.lstm(mel)
        values: torch.Tensor = self.linear(hidden[-1]).relu()
        return values


class VoiceNetwork:
    """The network on a device, in a dtype. digest: of its weights"""

    def __init__(self, model: str | None, request: EncoderRequest) -> None:
        """Raises UsageError for a model that is not known, WeightsError where the weights are not to be had."""
        if request.weights == "random":
            if model is not None:
                raise UsageError(f"--weights random takes no packaged weights: leave {model!r} out")
            network = random_network(_Network)
            self.digest = digest_of_network(network)
        else:
            if model is None or not is_packaged(model):
                raise UsageError(f"no voice encoder {model!r}: give packaged:{GE2E_VOICE}")
            network = random_network(_Network)
            state = packaged_states(check_packaged(model, (GE2E_VOICE,)))["network"]
            self.digest = load_state(network, state, f"model {model!r}", "GE2E voice encoder", spare=_SPARE)
        if request.dtype == "fp32":
            pin_fp32()
        self._dtype, self._device = torch_dtype(request.dtype), request.device
        self._network = network.to(device=request.device, dtype=self._dtype)
        self._batches = MemoryBatches(for_device(_WINDOWS_AT_ONCE, request.device))

    def embed(self, windows: np.ndarray) -> np.ndarray:
        """float32 [k, WIDTH], each of length 1, of windows float32 [k, f, m]."""

        def run(batch: Sequence[np.ndarray]) -> list[np.ndarray]:
            mel = to_device(np.stack(batch), self._device).to(self._dtype)
            values = self._network(mel).float()
            return list((values / values.norm(dim=1, keepdim=True)).cpu().numpy())

        with torch.inference_mode():
            rows: list[np.ndarray] = self._batches.run(list(windows), run)
        return np.stack(rows)
