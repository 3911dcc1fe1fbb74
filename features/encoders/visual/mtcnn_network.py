"""MTCNN's three networks, with facenet-pytorch's names of weights.

Source: Zhang et al. 2016, "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks",
figure 2, in the sizes of the published Caffe model that facenet-pytorch's weights were converted from.

Legend: b crops (or one picture), h, w height and width of what comes in.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from features.digests import weights_digest
from features.encoders.packaged_states import MTCNN, packaged_states
from features.encoders.state_files import load_state

_KIND = "MTCNN"

# of each convolution: channels out, kernel, and the side of the maximum pooled after it (0: none), with a step of 2
_PROPOSE = ((10, 3, 2), (16, 3, 0), (32, 3, 0))
_REFINE = ((28, 3, 3), (48, 3, 3), (64, 2, 0))
_OUTPUT = ((32, 3, 3), (64, 3, 3), (64, 3, 2), (128, 2, 0))


class CascadeStage(nn.Module):
    """Convolutions with PReLU, a dense layer for stages that take crops of one size, and a head for each output.

    convolutions: see above
    dense:        (values of the last convolution, values of the layer); None where the heads are convolutions, which
                  run at every place of a picture of any size
    heads:        values of each: 2 for background and face, 4 for a box, 10 for landmarks
    """

    def __init__(
        self, convolutions: Sequence[tuple[int, int, int]], dense: tuple[int, int] | None, heads: Sequence[int]
    ) -> None:
        super().__init__()
        channels = 3
        self._pools = [pool for _, _, pool in convolutions]
        for number, (width, kernel, _) in enumerate(convolutions, start=1):
            setattr(self, f"conv{number}", nn.Conv2d(channels, width, kernel))
            setattr(self, f"prelu{number}", nn.PReLU(width))
            channels = width
        self._last = len(convolutions) + 1
        self._heads = len(heads)
        self._is_dense = dense is not None
        if dense is None:
            for index, values in enumerate(heads, start=1):
                setattr(self, f"conv{self._last}_{index}", nn.Conv2d(channels, values, 1))
            return
        setattr(self, f"dense{self._last}", nn.Linear(*dense))
        setattr(self, f"prelu{self._last}", nn.PReLU(dense[1]))
        for index, values in enumerate(heads, start=1):
            setattr(self, f"dense{self._last + 1}_{index}", nn.Linear(dense[1], values))

    def forward(self, values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """[b, 3, h, w] -> of each head [b, n], or [b, n, h', w'] where the heads are convolutions."""
        for number, pool in enumerate(self._pools, start=1):
            values = self._part(f"prelu{number}", self._part(f"conv{number}", values))
            if pool:
                values = nn.functional.max_pool2d(values, pool, 2, ceil_mode=True)
        heads = range(1, self._heads + 1)
        if not self._is_dense:
            return tuple(self._part(f"conv{self._last}_{head}", values) for head in heads)
        values = values.permute(0, 3, 2, 1).flatten(1)  # Caffe's weights were trained on transposed crops
        values = self._part(f"prelu{self._last}", self._part(f"dense{self._last}", values))
        return tuple(self._part(f"dense{self._last + 1}_{head}", values) for head in heads)

    def _part(self, name: str, values: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.get_submodule(name)(values)
        return made


def make_mtcnn() -> dict[str, nn.Module]:
    """The three stages, with weights as torch draws them, in evaluation mode."""
    stages = {
        "pnet": CascadeStage(_PROPOSE, None, (2, 4)),
        "rnet": CascadeStage(_REFINE, (576, 128), (2, 4)),
        "onet": CascadeStage(_OUTPUT, (1152, 256), (2, 4, 10)),
    }
    return {name: stage.requires_grad_(False).eval() for name, stage in stages.items()}


def load_mtcnn() -> tuple[dict[str, nn.Module], str]:
    """The three stages with facenet-pytorch's weights, and the digest of all of them. Raises WeightsError."""
    states = packaged_states(MTCNN)
    stages = make_mtcnn()
    for name, stage in stages.items():
        load_state(stage, states[name], f"packaged {name}", _KIND)
    named = {f"{name}.{key}": value for name, state in states.items() for key, value in state.items()}
    return stages, weights_digest(named)
