"""Pictures made in the worker processes: resized, cropped, fitted into a square. PIL and NumPy alone, no torch.

A picture is uint8 RGB [h, w, 3].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import Image

from features.encoders.protocol import Input
from features.encoders.views import FramesView, Region, Strip, frame_labels, whole_frame
from features.media.clip import Clip
from features.media.needs import Frames, FramesNeed

Transform = Callable[[np.ndarray], np.ndarray]
Box = tuple[int, int, int, int]
"""left, top, right, bottom in pixels."""

Order = tuple[int, ...]
Made = TypeVar("Made")


@dataclass(frozen=True)
class Pictures:
    """The sampled frames of a clip, each picture once.

    distinct: pictures
    order:    for each frame, which of them it is
    places:   where in each letterboxed picture the frame lies; else empty
    """

    distinct: tuple[np.ndarray, ...]
    order: Order
    places: tuple[Box, ...] = ()


def each_once(frames: Sequence[np.ndarray], function: Callable[[np.ndarray], Made]) -> tuple[tuple[Made, ...], Order]:
    """`function` of every frame, once where frames are one array (a still picture, a short clip), and their order."""
    places: dict[int, int] = {}
    made: list[Made] = []
    for frame in frames:
        if id(frame) not in places:
            places[id(frame)] = len(made)
            made.append(function(frame))
    return tuple(made), tuple(places[id(frame)] for frame in frames)


@dataclass(frozen=True)
class CentreCrop:
    """Shorter side to `resize` pixels, then the middle square of `crop`: torchvision's Resize and CenterCrop on a PIL
    picture, to the bit. `interpolation` is PIL's, bilinear or bicubic; `resize` is at least `crop`."""

    resize: int
    crop: int
    interpolation: str

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        height, width = picture.shape[:2]
        resized = resize(picture, shorter_side(width, height, self.resize), self.interpolation)
        height, width = resized.shape[:2]
        left, top = round((width - self.crop) / 2), round((height - self.crop) / 2)
        return np.ascontiguousarray(resized[top : top + self.crop, left : left + self.crop])

    def seen(self, picture: np.ndarray) -> Region:
        """The part of a picture that is in the square."""
        height, width = picture.shape[:2]
        resized_width, resized_height = shorter_side(width, height, self.resize)
        left, top = round((resized_width - self.crop) / 2), round((resized_height - self.crop) / 2)
        across, down = width / resized_width, height / resized_height
        return left * across, top * down, (left + self.crop) * across, (top + self.crop) * down


@dataclass(frozen=True)
class AtMost:
    """Shrunk so that the shorter side has at most `size` pixels; a smaller picture stays as it is."""

    size: int

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        height, width = picture.shape[:2]
        if min(height, width) <= self.size:
            return picture
        return resize(picture, shorter_side(width, height, self.size))


@dataclass(frozen=True)
class Letterbox:
    """The whole picture, its longer side resized to `side` pixels, in the middle of a black square."""

    side: int

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        left, top, right, bottom = self.place(picture)
        square = np.zeros((self.side, self.side, 3), np.uint8)
        square[top:bottom, left:right] = resize(picture, (right - left, bottom - top))
        return square

    def place(self, picture: np.ndarray) -> Box:
        """Where in the square the picture lies."""
        height, width = picture.shape[:2]
        scale = self.side / max(width, height)
        fitted_width, fitted_height = max(1, round(width * scale)), max(1, round(height * scale))
        left, top = (self.side - fitted_width) // 2, (self.side - fitted_height) // 2
        return left, top, left + fitted_width, top + fitted_height


def whole(picture: np.ndarray) -> np.ndarray:
    """The picture as it is."""
    return picture


def shorter_side(width: int, height: int, size: int) -> tuple[int, int]:
    """(width, height) with the shorter side `size` pixels, the longer rounded down, as torchvision's Resize has it."""
    if width <= height:
        return size, int(size * height / width)
    return int(size * width / height), size


def resize(picture: np.ndarray, size: tuple[int, int], interpolation: str = "bilinear") -> np.ndarray:
    """To `size` (width, height) by PIL, which antialiases where it shrinks."""
    if picture.shape[1::-1] == size:
        return picture
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling[interpolation.upper()]))


@dataclass(frozen=True)
class FramesPreparer:
    """Clip -> Pictures, each frame through `transform`."""

    need: FramesNeed
    transform: Transform

    def __call__(self, clip: Clip, /) -> Input:
        """Raises UnavailableError: what `Clip.frames` raises."""
        frames = clip.frames(self.need)
        return input_of(clip, frames, Pictures(*each_once(frames.pixels, self.transform)))

    def view(self, item: Clip, made: Input, turn: int = 0) -> FramesView:
        """Each frame as it was made, before it is normalised."""
        frames, pictures = item.frames(self.need), made.value
        seen = self.transform.seen if isinstance(self.transform, CentreCrop) else whole_frame
        shown = tuple(pictures.distinct[place] for place in pictures.order)
        strip = Strip("The network's input, before it is normalised", shown, frame_labels(frames))
        return FramesView(frames, tuple(seen(frame) for frame in frames.pixels), (strip,))


@dataclass(frozen=True)
class LetterboxPreparer:
    """Clip -> Pictures, each frame letterboxed, with its place."""

    need: FramesNeed
    letterbox: Letterbox

    def __call__(self, clip: Clip, /) -> Input:
        """Raises UnavailableError: what `Clip.frames` raises."""
        frames = clip.frames(self.need)
        squares, order = each_once(frames.pixels, self.letterbox)
        places, _ = each_once(frames.pixels, self.letterbox.place)
        return input_of(clip, frames, Pictures(squares, order, places))

    def view(self, item: Clip, made: Input, turn: int = 0) -> FramesView:
        """Each frame within its square."""
        frames, pictures = item.frames(self.need), made.value
        shown = tuple(pictures.distinct[place] for place in pictures.order)
        strip = Strip("Each frame fitted into the network's square", shown, frame_labels(frames))
        return FramesView(frames, tuple(map(whole_frame, frames.pixels)), (strip,))


def input_of(clip: Clip, frames: Frames, pictures: Pictures) -> Input:
    """The input of a clip's pictures. Clips with as many pixels are batched together."""
    counts = {"num_frames": len(frames.pixels), "cut": int(frames.cut)}
    return Input(pictures, sum(picture.size for picture in pictures.distinct), (clip.digest,), (counts,))
