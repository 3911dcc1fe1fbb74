"""What the HLM12ERC report's code really showed to its networks: five frames as a mosaic, cropped with swapped axes.

The code takes 5 frames at i/4 of the clip, each resized to 426 x 240, and stacks them to a mosaic 426 wide and 1200
high. `Resize(256)` makes that 256 x 721. Then `crop(0, 0, 256, 721)` was meant as width and height, but torchvision
takes height first: what is left is the top 256 rows, 721 pixels wide, of which the 465 right of the picture are black.

Consequence: ResNet-50 sees the first frame and 78% of the second, beside a black field of 64.5% of its input; the other
three frames never arrive. Global average pooling mixes the black field into every value.

The weights are torchvision's first of ResNet-50 (IMAGENET1K_V1). The report's code asks torch.hub for those of v0.6.0,
resnet50-19c8e357.pth. Today's resnet50-0676ba61.pth is the same weights in another format of file
(pytorch/vision#3620). The report trained them along; here they are frozen.

Deviation: the report's code normalises with the mean and deviation of its own pictures (0.2706, 0.2010, 0.1914 and
0.1857, 0.1608, 0.1667); here they are ImageNet's. It resized the frames by Pillow's default, which is bicubic today;
here it is bilinear and antialiased.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from features.encoders.protocol import Input
from features.encoders.views import FramesView, Region, Strip, whole_frame
from features.encoders.visual.pictures import Pictures, Transform, input_of, resize, shorter_side
from features.errors import UsageError
from features.media.clip import Clip
from features.media.needs import FramesNeed

if TYPE_CHECKING:
    from features.encoders.visual.vision_models import Backbone

NUM_FRAMES = 5
FRAME_SIZE = (426, 240)  # width, height
MOSAIC_SIZE = (426, 1200)
RESIZE = 256
CROP_HEIGHT, CROP_WIDTH = 256, 721

PUBLISHED_NEED = FramesNeed(NUM_FRAMES, 86_400.0, ends=True)
"""The report cuts no clip short; a day is longer than any."""


@dataclass(frozen=True)
class MosaicPreparer:
    """Clip -> Pictures with one picture: the mosaic, through `transform`."""

    transform: Transform
    need: FramesNeed = PUBLISHED_NEED

    def __call__(self, clip: Clip, /) -> Input:
        """Raises UnavailableError: what `Clip.frames` raises."""
        frames = clip.frames(self.need)
        return input_of(clip, frames, Pictures((self.transform(mosaic(frames.pixels)),), (0,)))

    def view(self, item: Clip, made: Input, turn: int = 0) -> FramesView:
        """The one picture, and how much of each frame is in it."""
        frames = item.frames(self.need)
        strip = Strip("The network's input, before it is normalised", made.value.distinct, ("all frames",))
        if self.transform is not published_crop:
            note = f"As published, the frames are one picture of {MOSAIC_SIZE[0]} x {MOSAIC_SIZE[1]} pixels."
            return FramesView(frames, tuple(map(whole_frame, frames.pixels)), (strip,), note)
        note = (
            "As published, the frames are one picture, which is cropped with its axes swapped:"
            f" {num_frames_seen():.1f} of {NUM_FRAMES} frames arrive, {black_share():.1%} of the input is black."
        )
        seen = tuple(seen_of(number, frame) for number, frame in enumerate(frames.pixels))
        return FramesView(frames, seen, (strip,), note)


def mosaic(frames: Sequence[np.ndarray]) -> np.ndarray:
    """uint8 RGB [1200, 426, 3]: five frames, the first on top."""
    return np.concatenate([resize(frame, FRAME_SIZE) for frame in frames])


def published_crop(picture: np.ndarray) -> np.ndarray:
    """uint8 RGB [256, 721, 3] of a mosaic: see the module."""
    resized = resize(picture, shorter_side(picture.shape[1], picture.shape[0], RESIZE))
    cropped = np.zeros((CROP_HEIGHT, CROP_WIDTH, 3), np.uint8)
    seen = resized[:CROP_HEIGHT, :CROP_WIDTH]
    cropped[: seen.shape[0], : seen.shape[1]] = seen
    return cropped


def rows_seen() -> float:
    """How many rows of the mosaic are left of it in the crop."""
    return CROP_HEIGHT * MOSAIC_SIZE[1] / shorter_side(*MOSAIC_SIZE, RESIZE)[1]


def num_frames_seen() -> float:
    """How many frames these rows are."""
    return rows_seen() / FRAME_SIZE[1]


def black_share() -> float:
    """How much of the crop lies beside the mosaic."""
    return 1 - shorter_side(*MOSAIC_SIZE, RESIZE)[0] / CROP_WIDTH


def seen_of(number: int, frame: np.ndarray) -> Region | None:
    """The part of a frame, the `number`-th of the mosaic from 0, that is in the crop."""
    share = min(1.0, num_frames_seen() - number)
    return (0.0, 0.0, float(frame.shape[1]), frame.shape[0] * share) if share > 0 else None


def published_settings(backbone: Backbone) -> dict[str, Any]:
    """What a spec says of these pictures."""
    return {
        "as_published": True,
        "frames": NUM_FRAMES,
        "frames_at": "ends",
        "mosaic": list(MOSAIC_SIZE),
        "resize": RESIZE,
        "crop": [CROP_HEIGHT, CROP_WIDTH],
        "interpolation": "bilinear",
        "architecture": backbone.settings["architecture"],
        "mean": list(backbone.mean),
        "std": list(backbone.std),
    }


def check_published(backbone: Backbone, model: str) -> None:
    """Raises UsageError where the backbone is not the report's, ResNet-50."""
    if backbone.settings["architecture"] != "resnet50":
        raise UsageError(f"--as-published is for ResNet-50, not {model!r}: leave --model out or give its state file")
