"""How many frames a convolutional front end makes of so many samples, and how long sound is cut into windows."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class FrameGeometry:
    """The kernel and stride of each convolution, none of them padded.

    min_frames: fewer than this the model cannot process (SEW squeezes two frames into one)
    """

    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    min_frames: int = 1

    def num_frames(self, num_samples: int) -> int:
        """Frames of so many samples; 0 where they are fewer than `min_samples` for one."""
        count = num_samples
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            count = max(0, (count - kernel) // stride + 1)
        return count

    @property
    def step(self) -> int:
        """Samples from one frame to the next."""
        return prod(self.strides)

    @property
    def min_samples(self) -> int:
        """The fewest samples that give `min_frames`: for one frame, the receptive field."""
        count = self.min_frames
        for kernel, stride in zip(reversed(self.kernels), reversed(self.strides), strict=True):
            count = (count - 1) * stride + kernel
        return count


def cut_windows(num_samples: int, window: int, smallest: int) -> list[slice]:
    """The sound in consecutive windows of `window` samples. A rest below `smallest` joins the window before it.

    smallest: at most `window`; and `num_samples` is not below it
    """
    starts = list(range(0, num_samples, window))
    if len(starts) > 1 and num_samples - starts[-1] < smallest:
        starts.pop()
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], num_samples], strict=True)]
