"""What only a GPU makes worth asking: where pictures are resized, and heads as one stacked batch."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

_HEIGHT, _WIDTH, _SIDE = 240, 426, 224
_CLASSES = 7


class Pictures:
    """Frames of noise, resized to 224 pixels and normalised. where: `cpu` (PIL, as `erc extract` does it in its
    decoding processes, here in one; then copied) or `gpu` (copied whole, then torchvision on the device)"""

    def __init__(self, where: str, count: int, device: str) -> None:
        self._where, self._device = where, device
        self._pixels = torch.zeros(0)
        self._frames = np.random.default_rng(0).integers(0, 256, (count, _HEIGHT, _WIDTH, 3), dtype=np.uint8)

    def __call__(self) -> None:
        from features.encoders.visual.picture_network import Normalise
        from features.encoders.visual.pictures import CentreCrop

        normalise = Normalise((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), self._device)
        if self._where == "cpu":
            crop = CentreCrop(232, _SIDE, "bilinear")
            pixels = torch.from_numpy(np.stack([crop(frame) for frame in self._frames]))
            self._pixels = normalise(pixels.to(self._device))
        else:
            from torchvision.transforms.v2.functional import center_crop, resize

            pixels = torch.from_numpy(self._frames).to(self._device).permute(0, 3, 1, 2)
            pixels = center_crop(resize(pixels, [232], antialias=True), [_SIDE])
            self._pixels = normalise(pixels.permute(0, 2, 3, 1))
        wait_for(self._device)

    def rows(self) -> np.ndarray:
        return self._pixels[:8].float().cpu().numpy()


class ManyHeads:
    """Steps of AdamW for heads of one hidden layer (row 5 of table 4) on the same batches. stacked: as one model whose
    weights have a leading axis, by torch.func; else one head after the other"""

    def __init__(self, stacked: bool, heads: int, steps: int, width: int, device: str) -> None:
        torch.manual_seed(0)
        self._stacked, self._steps, self._device = stacked, steps, device
        self._heads = [
            nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, _CLASSES)).to(device) for _ in range(heads)
        ]
        self._values = torch.randn(steps, 16, width, device=device)
        self._labels = torch.randint(_CLASSES, (steps, 16), device=device)
        self._trained: list[torch.Tensor] = []

    def __call__(self) -> None:
        fused = torch.device(self._device).type in ("cuda", "cpu")
        if self._stacked:
            self._train_stacked(fused)
        else:
            self._trained = []
            for head in copy.deepcopy(self._heads):
                optimizer = torch.optim.AdamW(head.parameters(), fused=fused)
                for values, labels in zip(self._values, self._labels, strict=True):
                    optimizer.zero_grad(set_to_none=True)
                    nn.functional.cross_entropy(head(values), labels).backward()
                    optimizer.step()
                self._trained.append(torch.cat([value.detach().flatten() for value in head.parameters()]))
        wait_for(self._device)

    def rows(self) -> np.ndarray:
        """float32 [heads, weights]: the same, whichever way they were trained"""
        return torch.stack(self._trained).cpu().numpy()

    def _train_stacked(self, fused: bool) -> None:
        from torch.func import functional_call, stack_module_state, vmap

        weights, buffers = stack_module_state(self._heads)
        alone = copy.deepcopy(self._heads[0]).to("meta")
        leaves = {name: value.detach().requires_grad_() for name, value in weights.items()}
        optimizer = torch.optim.AdamW(leaves.values(), fused=fused)

        def loss(own: dict[str, torch.Tensor], values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return nn.functional.cross_entropy(functional_call(alone, (own, buffers), (values,)), labels)

        every = vmap(loss, in_dims=(0, None, None))
        for values, labels in zip(self._values, self._labels, strict=True):
            optimizer.zero_grad(set_to_none=True)
            every(leaves, values, labels).sum().backward()
            optimizer.step()
        self._trained = list(torch.cat([value.detach().flatten(1) for value in leaves.values()], dim=1))


class TrainRow:
    """An epoch of one of table 4's rows on vectors (see benchmarks/workers/heads.py), on a device."""

    def __init__(self, row: str, size: int, steps: int, device: str) -> None:
        from benchmarks.workers.heads import data_of

        self._experiment, self._data = data_of(row, size, steps)
        self._device = device
        self._weights = np.zeros(0, np.float32)

    def __call__(self) -> float:
        from heads.training.trainer import train_head

        trained = train_head(self._experiment, self._data, seed=0, device=self._device)
        state = trained.predictor.head.state_dict()
        self._weights = torch.cat([value.detach().float().cpu().flatten() for value in state.values()]).numpy()
        return trained.history[0].seconds

    def rows(self) -> np.ndarray:
        """The weights: equal bits from run to run."""
        return self._weights


class TrainRowNotCompared(TrainRow):
    """On another device: other sums, other bits."""

    rows = None  # type: ignore[assignment]


def wait_for(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
