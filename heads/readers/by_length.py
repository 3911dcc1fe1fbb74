"""Windows of like length together, so that a batch is padded little."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_A_RUN_COSTS = {"cpu": 64, "cuda": 2048}
"""Elements that take as long as one more run of the layers: what its calls and its own
gradient of every weight cost, and on a GPU starting its kernels."""


def groups_of(sizes: Tensor, together: bool, device: str) -> list[Tensor]:
    """Places of the windows that are run at once, int64, each list on the CPU: sorted by length and cut where it costs
    least.

    sizes: int64 [v], on the CPU; together: whether windows may be padded, else each is alone; device: cpu or cuda
    """
    if not together:
        return list(torch.arange(len(sizes)).split(1))
    lengths, counts = np.unique(sizes.numpy(), return_counts=True)
    cuts = cheapest_cuts(lengths, counts, _A_RUN_COSTS["cpu" if device == "cpu" else "cuda"])
    return list(sizes.argsort(stable=True).tensor_split(torch.from_numpy(counts.cumsum()[cuts])))


def cheapest_cuts(lengths: np.ndarray, counts: np.ndarray, run: int) -> np.ndarray:
    """After which lengths to cut, int64, so that the elements of all groups, each padded to its longest, and `run` for
    each group are the fewest: by dynamic programming over the lengths.

    lengths: int64 [l], ascending; counts: int64 [l], how many there are of each
    """
    before = np.concatenate([[0], counts.cumsum()])  # how many are shorter
    best, came_from = np.zeros(len(lengths) + 1), np.zeros(len(lengths) + 1, np.int64)
    for end, longest in enumerate(lengths, start=1):
        costs = best[:end] + (before[end] - before[:end]) * longest + run
        came_from[end] = costs.argmin()
        best[end] = costs[came_from[end]]
    ends = []
    end = int(came_from[len(lengths)])
    while end:
        ends.append(end - 1)
        end = int(came_from[end])
    return np.array(ends[::-1], np.int64)
