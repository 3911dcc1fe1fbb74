"""Which boxes the HLM12ERC report's code takes for faces, from RetinaFace's outputs on a mosaic.

Source: hudsonmendes/uolondon-cm3070-fp, training/retinaface/detection.py and its `py_cpu_nms`, and
meld_record_preprocessor_visual.py, read in November 2026. Its order of steps:

1. The ten boxes of highest score stay (`top_k`), overlapping ones among them. So ten boxes of one face are one face.
2. Of two of them that overlap by more than 0.4, the one of lower score goes. A box counts the pixels of both its edges.
3. Corners become whole pixels towards 0, so that a corner between -1 and 0 is 0.
4. A box of a frame's height or more goes.
5. What is left is a NumPy slice of the picture. A negative corner counts from the other end of it. So a box that
   reaches beyond the left or the top is mostly nothing, and one that lies wholly there is a box at the other end.
"""

from __future__ import annotations

import numpy as np

from features.encoders.visual.face_boxes import OVERLAP, Faces
from features.encoders.visual.published_mosaic import MOSAIC_SIZE, NUM_FRAMES

_BEYOND = 1e6  # in units of the picture: no box of a trained network, and still whole numbers of pixels in int64


def keep_published(faces: Faces) -> Faces:
    """Of the ten candidates of highest score, what the report's code leaves; see the module.

    Boxes are whole pixels of the mosaic, in units of its width and height, so that they are as exact as they are read.
    """
    width, height = MOSAIC_SIZE
    units = np.clip(faces.boxes, -_BEYOND, _BEYOND).astype(np.float32)  # as they left the network
    pixels = units * np.array([width, height, width, height], np.float32)
    chosen, boxes = [], []
    for place in _apart(pixels):
        x1, y1, x2, y2 = pixels[place].astype(np.int64).tolist()
        left, right, _ = slice(x1, x2).indices(width)
        top, bottom, _ = slice(y1, y2).indices(height)
        if y2 - y1 < height / NUM_FRAMES and left < right and top < bottom:
            chosen.append(place)
            boxes.append((left / width, top / height, right / width, bottom / height))
    left_over = faces.where(np.array(chosen, np.int64))
    return Faces(left_over.frames, np.array(boxes, np.float64).reshape(-1, 4), left_over.scores, left_over.landmarks)


def _apart(boxes: np.ndarray) -> list[int]:
    """Places of the boxes that overlap with none before them that is left. boxes: float32 [n, 4], best first, pixels"""
    areas = (boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1)
    waiting, left = np.arange(len(boxes)), []
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        left.append(int(best))
        start = np.maximum(boxes[best, :2], boxes[waiting, :2])
        end = np.minimum(boxes[best, 2:], boxes[waiting, 2:])
        shared = (end - start + 1).clip(min=0).prod(axis=1)
        waiting = waiting[shared / (areas[best] + areas[waiting] - shared) <= OVERLAP]
    return left
