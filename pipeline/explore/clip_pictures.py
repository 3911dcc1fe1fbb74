"""Rows of pictures: the decoded frames, what the network gets of them, and the faces in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.encoders.views import FramesView, Region, Strip
from pipeline.explore.clip_inputs import Found
from pipeline.explore.clip_parts import Box, Row, Shot
from pipeline.explore.inline_media import Budget, thumbnail

ALL = 0.999  # of a frame: what is less is cut
_FRAME_WIDTH = 320  # pixels of the decoded frames
_MOST_PICTURES = 40  # of a strip
_SURE = 0.5  # a face above this score is cut out
_MOST_FACES = 24
_CROP_SIDE = 112


def decoded_row(view: FramesView, shares: Sequence[float], found: Found | None) -> Row:
    """The frames as decoded, small; what is not in the input is dark, faces are framed."""
    shots = []
    places = range(len(view.frames.pixels))
    for place in _chosen(places):
        frame, time_s = view.frames.pixels[place], view.frames.times_s[place]
        region = view.seen[place] if view.seen else None
        share = shares[place] if shares else 1.0
        box = _region_box(region, frame) if region is not None and share < ALL else None
        part = f"{share:.0%} of it is in the input" if share else "nothing of it is in the input"
        note = "" if share > ALL else part
        label = f"frame {place + 1}, {time_s:.2f} s"
        image = thumbnail(frame, _FRAME_WIDTH)
        shots.append(Shot(image, label, _boxes(found, place), box, bool(shares) and not share, note))
    height, width = view.frames.pixels[0].shape[:2]
    note = f"{width} x {height} pixels as decoded, shown smaller"
    if any(share < ALL for share in shares):
        note += "; what is dark never reaches the network"
    return Row("Sampled frames", tuple(shots), note + _some(places))


def strip_row(strip: Strip, name: str, budget: Budget, found: Found | None) -> Row:
    """Pictures as the network gets them, with faces framed where there are any. name: the encoder's"""
    places = range(len(strip.pictures))
    chosen = _chosen(places)
    height, width = strip.pictures[0].shape[:2]
    note = f"{width} x {height} pixels"
    same = budget.first_shown(strip.pictures, name)
    if same != name and found is None:
        return Row(strip.title, (), f"{note}, the same as those of {same}")
    images, is_exact = budget.exact([strip.pictures[place] for place in chosen])
    shots = tuple(
        Shot(image, strip.labels[place], _boxes(found, place)) for image, place in zip(images, chosen, strict=True)
    )
    note += ", pixel by pixel" if is_exact else ", as JPEG, to keep this page small"
    return Row(strip.title, shots, note + _some(places))


def crops_row(view: FramesView, found: Found) -> Row:
    """The faces that are likely ones, cut out of the decoded frames with a margin."""
    from features.encoders.visual.face_pictures import cut_out, square_around

    faces = found.faces.where(found.faces.scores >= _SURE)
    shots = []
    likely = list(zip(faces.frames.tolist(), faces.boxes.tolist(), faces.scores.tolist(), strict=True))
    for frame, box, score in likely[:_MOST_FACES]:
        picture = view.frames.pixels[frame]
        square = square_around(box, picture.shape[1], picture.shape[0])
        image = thumbnail(cut_out(picture, square, _CROP_SIDE), _CROP_SIDE)
        shots.append(Shot(image, f"frame {frame + 1}, score {score:.2f}"))
    rest = len(found.faces) - len(shots)
    note = f"score of {_SURE:g} or more, from the decoded frames with a margin"
    return Row("Faces", tuple(shots), f"{note}; {rest} others are not shown" if rest else note)


def share_of(region: Region | None, frame: np.ndarray) -> float:
    """How much of a frame's area a region is."""
    if region is None:
        return 0.0
    left, top, right, bottom = region
    return (right - left) * (bottom - top) / (frame.shape[0] * frame.shape[1])


def _boxes(found: Found | None, place: int) -> tuple[Box, ...]:
    """The faces of one frame, those that do not count among them."""
    if found is None:
        return ()
    own = found.faces.where(found.faces.frames == place)
    return tuple(
        Box(100 * x1, 100 * y1, 100 * (x2 - x1), 100 * (y2 - y1), f"{score:.2f}", score >= max(_SURE, found.confidence))
        for (x1, y1, x2, y2), score in zip(own.boxes.tolist(), own.scores.tolist(), strict=True)
    )


def _region_box(region: Region, frame: np.ndarray) -> Box:
    height, width = frame.shape[:2]
    left, top, right, bottom = region
    return Box(100 * left / width, 100 * top / height, 100 * (right - left) / width, 100 * (bottom - top) / height)


def _chosen(places: range) -> list[int]:
    """All places, or as many as a row shows, evenly spread."""
    if len(places) <= _MOST_PICTURES:
        return list(places)
    return [places[number * len(places) // _MOST_PICTURES] for number in range(_MOST_PICTURES)]


def _some(places: range) -> str:
    return f"; {_MOST_PICTURES} of {len(places)} are shown" if len(places) > _MOST_PICTURES else ""
