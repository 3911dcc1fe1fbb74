"""Faces as boxes and landmarks: how they are stored, and how RetinaFace's raw outputs become them.

A stored face is 15 float32 values: x1, y1, x2, y2, score, then x and y of five landmarks (left eye, right eye, nose,
left and right corner of the mouth, as seen). Units are the frame's width and height, with the frames side by side:
frame i spans x from i to i + 1, so that a face says which frame it is of by the middle of its box. Boxes lie within
their frame; landmarks may lie outside of it.

Legend: b pictures, p priors, n faces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from features.encoders.devices import where_float64_is

if TYPE_CHECKING:
    import torch

NUM_VALUES = 15
NUM_LANDMARKS = 5
CONFIDENCE = 0.02  # a box counts above this
OVERLAP = 0.4  # of two boxes, as intersection over union: above this the one of lower score is dropped
MOST_FACES = 10  # a picture
_FIRST_CANDIDATES = 500  # an untrained network finds a face at every prior: thousands, of which ten are wanted
SMALLEST_SIDE = 1e-4  # of a box, in units of the frame: less is no area (a tenth of a pixel of 1000)

# Of resnet50_2020-07-20: sides of the priors of each feature map, and what one place of it stands for, in pixels.
PRIOR_SIDES = ((16, 32), (64, 128), (256, 512))
STEPS = (8, 16, 32)
VARIANCES = (0.1, 0.2)


@dataclass(frozen=True)
class Faces:
    """The faces of an utterance's frames.

    frames:    int64 [n], which frame each is of
    boxes:     float64 [n, 4]: x1, y1, x2, y2 within the frame, from 0 to 1
    scores:    float64 [n], from 0 to 1
    landmarks: float64 [n, 5, 2]: x, y in the same units, not clipped
    """

    frames: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)

    def where(self, chosen: np.ndarray) -> Faces:
        """The faces for which `chosen`, bool [n] or indices, says so."""
        return Faces(self.frames[chosen], self.boxes[chosen], self.scores[chosen], self.landmarks[chosen])


def pack(faces: Faces) -> np.ndarray:
    """float32 [n, 15], as they are stored; see the module."""
    boxes, landmarks = faces.boxes.copy(), faces.landmarks.copy()
    boxes[:, 0::2] += faces.frames[:, None]
    landmarks[:, :, 0] += faces.frames[:, None]
    rows = np.concatenate([boxes, faces.scores[:, None], landmarks.reshape(-1, 2 * NUM_LANDMARKS)], axis=1)
    return rows.astype(np.float32)


def unpack(rows: np.ndarray) -> Faces:
    """The faces of stored rows, finite float [n, 15]. Coordinates are exact to the rounding of float32."""
    values = rows.astype(np.float64)
    frames = np.floor(values[:, 0:4:2].mean(axis=1)).astype(np.int64)
    boxes, landmarks = values[:, :4].copy(), values[:, 5:].reshape(-1, NUM_LANDMARKS, 2).copy()
    boxes[:, 0::2] -= frames[:, None]
    landmarks[:, :, 0] -= frames[:, None]
    return Faces(frames, boxes, values[:, 4].copy(), landmarks)


@lru_cache(maxsize=64)
def priors(height: int, width: int) -> np.ndarray:
    """float32 [p, 4] of a picture's size in pixels: centre x, y, then width and height, in units of the picture.

    Source: retinaface.prior_box.priorbox, whose loops in Python take a third of a second for a large picture.
    """
    parts = []
    for sides, step in zip(PRIOR_SIDES, STEPS, strict=True):
        x = (np.arange(ceil(width / step)) + 0.5) * step / width
        y = (np.arange(ceil(height / step)) + 0.5) * step / height
        grid = np.empty((len(y), len(x), len(sides), 4))
        grid[..., 0], grid[..., 1] = x[None, :, None], y[:, None, None]
        grid[..., 2], grid[..., 3] = np.array(sides) / width, np.array(sides) / height
        parts.append(grid.reshape(-1, 4))
    made = np.concatenate(parts).astype(np.float32)
    made.setflags(write=False)
    return made


Keep = Callable[[Faces], Faces]
"""Chooses among the faces of one picture, those of higher score first; see `faces_of_batch`."""


def keep_visible(faces: Faces) -> Faces:
    """The ten faces of highest score, clipped to the picture; what lies outside of it altogether does not count."""
    boxes = np.clip(faces.boxes, 0.0, 1.0)
    visible = np.flatnonzero((boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= SMALLEST_SIDE)[:MOST_FACES]
    return Faces(faces.frames, boxes, faces.scores, faces.landmarks).where(visible)


def faces_of_batch(
    offsets: torch.Tensor,
    logits: torch.Tensor,
    landmarks: torch.Tensor,
    size: tuple[int, int],
    keep: Keep = keep_visible,
    *,
    suppress: bool = True,
) -> list[Faces | None]:
    """The faces of each picture, those of higher score first; None where a raw output is not finite.

    offsets: float32 [b, p, 4]; logits: [b, p, 2], background and face; landmarks: [b, p, 10], RetinaFace's raw outputs
    size:    height and width of the pictures in pixels, all alike
    suppress: whether `keep` chooses among boxes that do not overlap; else it gets the ten of highest score as they are

    Suppression goes from the highest score down, so that the ten best are the same whether it sees all candidates or
    the first of them alone: all are gone through only for pictures where the first leave fewer than ten.
    """
    if not suppress:
        return _first_faces(offsets, logits, landmarks, size, keep, MOST_FACES, suppress=False)
    found = _first_faces(offsets, logits, landmarks, size, keep, _FIRST_CANDIDATES)
    short = [index for index, faces in enumerate(found) if faces is not None and len(faces) < MOST_FACES]
    if short and offsets.shape[1] > _FIRST_CANDIDATES:
        rest = _first_faces(offsets[short], logits[short], landmarks[short], size, keep, offsets.shape[1])
        for index, faces in zip(short, rest, strict=True):
            found[index] = faces
    return found


def _first_faces(
    offsets: torch.Tensor,
    logits: torch.Tensor,
    landmarks: torch.Tensor,
    size: tuple[int, int],
    keep: Keep,
    most_candidates: int,
    *,
    suppress: bool = True,
) -> list[Faces | None]:
    """See `faces_of_batch`; of each picture only the `most_candidates` priors of highest score are looked at."""
    import torch
    from retinaface.box_utils import decode, decode_landm
    from torchvision.ops import batched_nms

    offsets, logits, landmarks = (where_float64_is(values) for values in (offsets, logits, landmarks))
    finite = torch.stack([values.isfinite().flatten(1).all(dim=1) for values in (offsets, logits, landmarks)]).all(0)
    ranked = logits.softmax(dim=-1)[..., 1].sort(
        dim=1, descending=True, stable=True
    )  # equal scores: earlier prior first
    picture, rank = torch.nonzero(ranked.values[:, :most_candidates] > CONFIDENCE, as_tuple=True)
    prior, scores = ranked.indices[picture, rank], ranked.values[picture, rank].double()
    anchors = torch.from_numpy(priors(*size).copy()).to(offsets.device)[prior]
    boxes = decode(offsets[picture, prior], anchors, VARIANCES).double()  # [candidates, 4]
    points = decode_landm(landmarks[picture, prior], anchors, VARIANCES).double()  # [candidates, 10]
    broken = ~torch.cat([boxes, points], dim=1).isfinite().all(dim=1)  # an exponential beyond the range of float32
    finite[picture[broken]] = False
    whole = finite[picture]
    picture, boxes, points, scores = picture[whole], boxes[whole], points[whole], scores[whole]
    if suppress and len(boxes):
        # batched_nms tells pictures apart by moving their boxes: right only where no coordinate is negative, and exact
        # only in float64
        left = batched_nms(boxes - boxes.min(), scores, picture, OVERLAP).sort().values  # by picture, then by rank
        picture, boxes, points, scores = picture[left], boxes[left], points[left], scores[left]
    found = Faces(
        np.zeros(len(picture), np.int64),
        boxes.cpu().numpy(),
        scores.cpu().numpy(),
        points.view(-1, NUM_LANDMARKS, 2).cpu().numpy(),
    )
    place = picture.cpu().numpy()
    return [keep(found.where(place == index)) if sound else None for index, sound in enumerate(finite.tolist())]
