"""RetinaFace's raw outputs for boxes of one's choice, and the package's own way from outputs to faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from retinaface.box_utils import decode, decode_landm, encode, encode_landm
from retinaface.prior_box import priorbox
from torchvision.ops import nms

from features.encoders.visual.face_boxes import CONFIDENCE, OVERLAP, PRIOR_SIDES, STEPS, VARIANCES

Raw = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Planted:
    """A box that one prior of a picture reports. box: x1, y1, x2, y2 in units of the picture; prior: which one."""

    box: tuple[float, float, float, float]
    score: float
    prior: int


def package_priors(size: tuple[int, int]) -> torch.Tensor:
    """float32 [p, 4]"""
    return priorbox([list(sides) for sides in PRIOR_SIDES], list(STEPS), False, size)


def landmarks_of(box: Sequence[float]) -> np.ndarray:
    """[5, 2] within a box: eyes, nose, corners of the mouth."""
    x1, y1, x2, y2 = box
    shares = np.array([(0.3, 0.3), (0.7, 0.3), (0.5, 0.5), (0.35, 0.8), (0.65, 0.8)])
    return np.array([x1, y1]) + shares * np.array([x2 - x1, y2 - y1])


def raw_outputs(size: tuple[int, int], *pictures: Sequence[Planted]) -> Raw:
    """Offsets [b, p, 4], logits [b, p, 2] and landmarks [b, p, 10], background but for the planted boxes."""
    anchors = package_priors(size)
    offsets = torch.zeros(len(pictures), len(anchors), 4)
    landmarks = torch.zeros(len(pictures), len(anchors), 10)
    logits = torch.tensor([12.0, -12.0]).repeat(len(pictures), len(anchors), 1)
    for index, planted in enumerate(pictures):
        for item in planted:
            place = anchors[item.prior : item.prior + 1]
            offsets[index, item.prior] = encode(torch.tensor([item.box]), place, list(VARIANCES))[0]
            points = torch.from_numpy(landmarks_of(item.box).reshape(1, 10)).float()
            landmarks[index, item.prior] = encode_landm(points, place, list(VARIANCES))[0]
            logits[index, item.prior] = torch.tensor([0.0, np.log(item.score / (1 - item.score))])
    return offsets, logits, landmarks


def package_faces(raw: Raw, size: tuple[int, int], index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes [n, 4], scores [n] and landmarks [n, 5, 2] of one picture, as the package finds them: not clipped."""
    offsets, logits, landmarks = (values[index] for values in raw)
    anchors = package_priors(size)
    scores = logits.softmax(dim=-1)[:, 1]
    boxes, points = decode(offsets, anchors, VARIANCES), decode_landm(landmarks, anchors, VARIANCES)
    above = torch.where(scores > CONFIDENCE)[0]
    boxes, points, scores = boxes[above], points[above], scores[above]
    pixels = boxes * torch.tensor([size[1], size[0], size[1], size[0]])
    keep = nms(pixels, scores, OVERLAP)
    return boxes[keep].numpy(), scores[keep].numpy(), points[keep].reshape(-1, 5, 2).numpy()
