"""MTCNN as a detector: a pyramid of the picture through the first network, its boxes refined by the second and third.

Source: Zhang et al. 2016 (see `mtcnn_network`); numbers and rounding are facenet-pytorch's defaults, so that both find
the same boxes. Boxes are kept from a score of 0.7 on, the third network's threshold.

A picture runs alone: what is found in it does not depend on others. Coordinates are float32 pixels, in any dtype.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate
from torchvision.ops import nms

from features.encoders.devices import pin_fp32, to_device, torch_dtype
from features.encoders.half_precision import check_convolutions
from features.encoders.visual.face_boxes import NUM_LANDMARKS, Faces, Keep

SMALLEST_FACE = 20  # pixels of the picture that is looked at
THRESHOLDS = (0.6, 0.7, 0.7)
PYRAMID_STEP = 0.709
WITHIN_SCALE, WITHIN_STAGE = 0.5, 0.7  # overlaps above which the box of lower score is dropped
_CELL, _STRIDE = 12, 2  # of the first network: pixels that one place sees, and between two places
_CROPS_AT_ONCE = 256

SETTINGS: dict[str, Any] = {
    "detector": "mtcnn",
    "smallest_face": SMALLEST_FACE,
    "thresholds": list(THRESHOLDS),
    "pyramid_step": PYRAMID_STEP,
    "overlaps": [WITHIN_SCALE, WITHIN_STAGE],
}
"""What a spec says of it."""


class _NotFiniteError(Exception):
    """A network gave NaN or infinity."""


class MtcnnDetector:
    """The three networks on a device, in a dtype: pictures in, faces out."""

    def __init__(self, stages: Mapping[str, nn.Module], device: str, dtype: str) -> None:
        if dtype == "fp32":
            pin_fp32()
        self._dtype, self._device = torch_dtype(dtype), device
        self._stages = {
            name: stage.to(device=device, dtype=self._dtype).to(memory_format=torch.channels_last)
            for name, stage in stages.items()
        }
        for stage in self._stages.values():
            check_convolutions(stage)

    def faces(self, pictures: Sequence[np.ndarray], keep: Keep) -> list[Faces | None]:
        """The faces of each picture, or None where a network gave NaN or infinity.

        pictures: uint8 RGB [h, w, 3]
        """
        found: list[Faces | None] = []
        for picture in pictures:
            try:
                with torch.inference_mode():
                    found.append(keep(self._find(picture)))
            except _NotFiniteError:
                found.append(None)
        return found

    def _find(self, picture: np.ndarray) -> Faces:
        """The faces of one picture, those of higher score first."""
        height, width = picture.shape[:2]
        pixels = to_device(picture.copy(), self._device).permute(2, 0, 1)[None].float()
        boxes = self._proposed(pixels)
        crops, boxes = _crops(pixels, boxes, 24)
        scores, offsets = self._run("rnet", crops)
        passed = scores > THRESHOLDS[1]
        boxes, scores, offsets = boxes[passed], scores[passed], offsets[passed]
        chosen = nms(boxes, scores, WITHIN_STAGE)
        boxes = _squared(_moved(boxes[chosen], offsets[chosen]))
        crops, boxes = _crops(pixels, boxes, 48)
        scores, offsets, points = self._run("onet", crops)
        passed = scores > THRESHOLDS[2]
        boxes, scores, offsets, points = boxes[passed], scores[passed], offsets[passed], points[passed]
        sides = (boxes[:, 2:] - boxes[:, :2] + 1)[:, :, None]  # [n, 2, 1]
        points = sides * points.unflatten(1, (2, NUM_LANDMARKS)) + boxes[:, :2, None] - 1  # [n, 2, 5]
        boxes = _moved(boxes, offsets)
        chosen = _of_highest_score(boxes, scores, WITHIN_STAGE)
        extent = torch.tensor([width, height], dtype=torch.float64)
        return Faces(
            np.zeros(len(chosen), np.int64),
            (boxes[chosen].cpu().double() / extent.repeat(2)).numpy(),
            scores[chosen].cpu().double().numpy(),
            (points[chosen].cpu().double().transpose(1, 2) / extent).numpy(),
        )

    def _proposed(self, pixels: torch.Tensor) -> torch.Tensor:
        """float32 [n, 4]: the boxes of the first network over the pyramid, moved and made square.

        pixels: float32 [1, 3, h, w], from 0 to 255
        """
        height, width = pixels.shape[2:]
        parts = []
        scale = _CELL / SMALLEST_FACE
        while min(height, width) * scale >= _CELL:
            shrunk = interpolate(pixels, size=(int(height * scale + 1), int(width * scale + 1)), mode="area")
            scores, offsets = self._run("pnet", shrunk)  # [1, h', w'], [1, 4, h', w']
            _, y, x = torch.nonzero(scores >= THRESHOLDS[0], as_tuple=True)
            places = torch.stack([x, y], dim=1).float()
            corners = [((_STRIDE * places + 1) / scale).floor(), ((_STRIDE * places + _CELL) / scale).floor()]
            rows = torch.cat([*corners, scores[0, y, x][:, None], offsets[0, :, y, x].T], dim=1)  # [n, 9]
            parts.append(rows[nms(rows[:, :4], rows[:, 4], WITHIN_SCALE)])
            scale *= PYRAMID_STEP
        if not parts:
            return pixels.new_zeros(0, 4)
        rows = torch.cat(parts)
        rows = rows[nms(rows[:, :4], rows[:, 4], WITHIN_STAGE)]
        sides = (rows[:, 2:4] - rows[:, :2]).repeat(1, 2)
        return _squared(rows[:, :4] + rows[:, 5:] * sides)

    def _run(self, stage: str, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The scores and raw outputs of a network, float32. pixels: [b, 3, h, w], from 0 to 255"""
        outputs = []
        values = ((pixels - 127.5) / 128).to(self._dtype).contiguous(memory_format=torch.channels_last)
        for part in values.split(_CROPS_AT_ONCE):
            logits, *rest = (output.float() for output in self._stages[stage](part))
            outputs.append((logits.softmax(dim=1)[:, 1], *rest))
        if not outputs:
            return pixels.new_zeros(0), pixels.new_zeros(0, 4), pixels.new_zeros(0, 2 * NUM_LANDMARKS)
        joined = tuple(torch.cat(parts) for parts in zip(*outputs, strict=True))
        if not all(part.isfinite().all() for part in joined):
            raise _NotFiniteError
        return joined


def _crops(pixels: torch.Tensor, boxes: torch.Tensor, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What lies in each box, as float32 [n, 3, side, side], and the boxes of which anything does."""
    height, width = pixels.shape[2:]
    crops, kept = [], []
    for index, (x1, y1, x2, y2) in enumerate(boxes.trunc().int().tolist()):
        left, top, right, bottom = max(x1, 1) - 1, max(y1, 1) - 1, min(x2, width), min(y2, height)
        if right > left and bottom > top:
            crops.append(interpolate(pixels[:, :, top:bottom, left:right], size=(side, side), mode="area"))
            kept.append(index)
    return torch.cat(crops) if crops else pixels.new_zeros(0, 3, side, side), boxes[kept]


def _moved(boxes: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Boxes moved by what a network says, in units of their sides. Both [n, 4]"""
    return boxes + offsets * (boxes[:, 2:] - boxes[:, :2] + 1).repeat(1, 2)


def _squared(boxes: torch.Tensor) -> torch.Tensor:
    """Squares of the longer side about the same middle."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longer = sides.amax(dim=1, keepdim=True)
    corner = boxes[:, :2] + sides * 0.5 - longer * 0.5
    return torch.cat([corner, corner + longer], dim=1)


def _of_highest_score(boxes: torch.Tensor, scores: torch.Tensor, most: float) -> torch.Tensor:
    """Indices, those of higher score first, without boxes that share more than `most` of the smaller one with a better.

    A small box within a large one is the same face, which the usual intersection over union would keep.
    """
    areas = (boxes[:, 2:] - boxes[:, :2] + 1).prod(dim=1)
    left = scores.sort(descending=True, stable=True).indices
    chosen = []
    while len(left):
        best, left = left[0], left[1:]
        chosen.append(best)
        top_left = torch.maximum(boxes[best, :2], boxes[left, :2])
        bottom_right = torch.minimum(boxes[best, 2:], boxes[left, 2:])
        shared = (bottom_right - top_left + 1).clamp(min=0).prod(dim=1)
        left = left[shared / torch.minimum(areas[best], areas[left]) <= most]
    return torch.stack(chosen) if chosen else scores.new_zeros(0, dtype=torch.long)
