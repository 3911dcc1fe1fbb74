"""Stored faces back and forth; raw outputs to faces against retinaface-pytorch's own calls, one picture at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_faces import Planted, Raw, landmarks_of, package_faces, package_priors, raw_outputs

from features.encoders.visual import face_boxes
from features.encoders.visual.face_boxes import (
    CONFIDENCE,
    MOST_FACES,
    Faces,
    faces_of_batch,
    pack,
    priors,
    unpack,
)

SIZE = (96, 160)  # height, width
NUM_PRIORS = len(package_priors(SIZE))


def found(raw: Raw, **options: Any) -> list[Faces]:
    faces = faces_of_batch(*raw, SIZE, **options)
    assert all(of_picture is not None for of_picture in faces)
    return [of_picture for of_picture in faces if of_picture is not None]


# Storage

UNIT = st.floats(0, 1, allow_nan=False)
ANYWHERE = st.floats(-2, 3, allow_nan=False)


@st.composite
def some_faces(draw: st.DrawFn) -> Faces:
    count = draw(st.integers(0, 12))
    boxes = []
    for _ in range(count):
        x1, y1 = draw(st.floats(0, 0.9)), draw(st.floats(0, 0.9))
        boxes.append([x1, y1, draw(st.floats(x1 + 1e-4, 1)), draw(st.floats(y1 + 1e-4, 1))])
    return Faces(
        np.array([draw(st.integers(0, 300)) for _ in range(count)], np.int64),
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array([draw(UNIT) for _ in range(count)], np.float64),
        np.array([draw(ANYWHERE) for _ in range(10 * count)], np.float64).reshape(-1, 5, 2),
    )


@settings(max_examples=100, deadline=None)
@given(faces=some_faces())
def test_what_is_packed_is_unpacked(faces: Faces) -> None:
    rows = pack(faces)
    assert rows.shape == (len(faces), 15)
    assert rows.dtype == np.float32
    again = unpack(rows)
    rounding = 2e-5 if len(faces) and faces.frames.max() > 10 else 1e-6  # of float32 at the frame's number
    np.testing.assert_array_equal(again.frames, faces.frames)
    np.testing.assert_allclose(again.boxes, faces.boxes, atol=rounding)
    np.testing.assert_allclose(again.landmarks, faces.landmarks, atol=rounding)
    np.testing.assert_allclose(again.scores, faces.scores, atol=1e-7)
    np.testing.assert_array_equal(pack(again), rows)


def test_frames_stand_side_by_side() -> None:
    box = np.array([[0.25, 0.5, 0.5, 0.75]])
    faces = Faces(np.array([3]), box, np.array([0.5]), np.array([landmarks_of(box[0])]))
    np.testing.assert_allclose(pack(faces)[0, :7], [3.25, 0.5, 3.5, 0.75, 0.5, 3.325, 0.575], rtol=1e-6)


@pytest.mark.parametrize("edge", [(0.0, 0.0, 1e-4, 1.0), (0.9999, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0)])
@pytest.mark.parametrize("frame", [0, 4, 499])
def test_a_face_at_an_edge_stays_in_its_frame(edge: tuple[float, ...], frame: int) -> None:
    faces = Faces(np.array([frame]), np.array([edge]), np.array([1.0]), np.zeros((1, 5, 2)))
    assert unpack(pack(faces)).frames.tolist() == [frame]


def test_no_face_is_no_row() -> None:
    nothing = unpack(np.zeros((0, 15), np.float32))
    assert len(nothing) == 0
    assert pack(nothing).shape == (0, 15)


# Priors


@pytest.mark.parametrize("size", [(96, 160), (240, 426), (1200, 426), (33, 7), (64, 64), (241, 135)])
def test_priors_are_the_packages(size: tuple[int, int]) -> None:
    np.testing.assert_array_equal(priors(*size), package_priors(size).numpy())


# Raw outputs to faces


def noise(pictures: int, seed: int) -> Raw:
    """Raw outputs where some hundred priors of every picture report a face, many beyond its edges."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(pictures, NUM_PRIORS, 2, generator=generator) * 3 + torch.tensor([3.0, 0.0])
    offsets = torch.randn(pictures, NUM_PRIORS, 4, generator=generator) * 2
    return offsets, logits, torch.randn(pictures, NUM_PRIORS, 10, generator=generator)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 4))
def test_a_batch_gives_what_the_package_gives_one_picture_at_a_time(seed: int, count: int) -> None:
    raw = noise(count, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(face_boxes, "_FIRST_CANDIDATES", NUM_PRIORS)
        every = found(raw, keep=lambda faces: faces)
    for index, faces in enumerate(every):
        boxes, scores, landmarks = package_faces(raw, SIZE, index)
        assert len(faces) == len(boxes) > 10
        np.testing.assert_allclose(faces.scores, scores, rtol=1e-6)
        np.testing.assert_allclose(faces.boxes, boxes, atol=1e-6)
        np.testing.assert_allclose(faces.landmarks, landmarks, atol=1e-6)


def test_kept_are_the_best_that_can_be_seen_clipped() -> None:
    raw = noise(3, 1)
    for index, faces in enumerate(found(raw)):
        boxes, scores, _ = package_faces(raw, SIZE, index)
        clipped = boxes.clip(0, 1)
        visible = (clipped[:, 2] - clipped[:, 0] >= 1e-4) & (clipped[:, 3] - clipped[:, 1] >= 1e-4)
        assert len(faces) == MOST_FACES
        np.testing.assert_allclose(faces.boxes, clipped[visible][:MOST_FACES], atol=1e-6)
        np.testing.assert_allclose(faces.scores, scores[visible][:MOST_FACES], rtol=1e-6)
        assert (np.diff(faces.scores) <= 0).all()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), first=st.integers(1, 200), spread=st.sampled_from([0.1, 1.0, 4.0]))
def test_the_ten_best_do_not_depend_on_how_many_candidates_are_seen_first(seed: int, first: int, spread: float) -> None:
    """spread: of the boxes; the wider, the more suppress each other and lie outside."""
    offsets, logits, landmarks = noise(3, seed)
    raw = (spread * offsets, logits, landmarks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(face_boxes, "_FIRST_CANDIDATES", NUM_PRIORS)
        everything = found(raw)
        patch.setattr(face_boxes, "_FIRST_CANDIDATES", first)
        for faces, expected in zip(found(raw), everything, strict=True):
            np.testing.assert_array_equal(pack(faces), pack(expected))


def test_a_picture_alone_gives_the_same_faces_as_in_a_batch() -> None:
    raw = noise(6, 2)
    for index, faces in enumerate(found(raw)):
        (alone,) = found(tuple(values[index : index + 1] for values in raw))  # type: ignore[arg-type]
        np.testing.assert_array_equal(pack(alone), pack(faces))


def test_pictures_do_not_suppress_each_others_faces() -> None:
    """The same places in every picture, far beyond the edges: where batched_nms moves pictures apart by the largest
    coordinate alone, boxes of negative coordinates reach into the picture before."""
    boxes = [(-10, -10, 0.1, 0.1), (-4, -4, 5, 5), (0.3, 0.2, 0.5, 0.6)]
    planted = [Planted(box, 0.9 - 0.1 * index, 40 * index) for index, box in enumerate(boxes)]
    for faces in found(raw_outputs(SIZE, *[planted] * 8)):
        np.testing.assert_allclose(faces.boxes, np.clip(boxes, 0, 1), atol=1e-5)


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ((-0.2, 0.3, 0.2, 0.6), (0.0, 0.3, 0.2, 0.6)),
        ((0.8, 0.3, 1.4, 0.6), (0.8, 0.3, 1.0, 0.6)),
        ((0.3, -0.5, 0.5, 0.1), (0.3, 0.0, 0.5, 0.1)),
        ((0.3, 0.9, 0.5, 1.7), (0.3, 0.9, 0.5, 1.0)),
        ((-0.5, -0.5, 1.5, 1.5), (0.0, 0.0, 1.0, 1.0)),
        ((0.0, 0.0, 0.2, 0.2), (0.0, 0.0, 0.2, 0.2)),
        ((-0.4, 0.3, -0.1, 0.6), None),
        ((0.3, 1.01, 0.5, 1.4), None),
        ((-0.2, 0.3, 0.00001, 0.6), None),
    ],
)
def test_a_face_at_the_edge_is_clipped_and_one_outside_is_not_seen(box: Any, kept: Any) -> None:
    (faces,) = found(raw_outputs(SIZE, [Planted(box, 0.9, 7)]))
    np.testing.assert_allclose(faces.boxes, np.array([kept] if kept else []).reshape(-1, 4), atol=1e-5)
    if kept:  # landmarks are not clipped
        np.testing.assert_allclose(faces.landmarks[0], landmarks_of(box), atol=1e-5)


def test_what_cannot_be_seen_takes_no_place_among_the_ten() -> None:
    outside = [Planted((-0.3 - index, 0.2, -0.1 - index, 0.5), 0.95, index) for index in range(MOST_FACES)]
    (faces,) = found(raw_outputs(SIZE, [*outside, Planted((0.1, 0.2, 0.3, 0.5), 0.4, 30)]))
    assert faces.scores.tolist() == pytest.approx([0.4], abs=1e-5)


@pytest.mark.parametrize(("score", "count"), [(CONFIDENCE * 1.01, 1), (CONFIDENCE * 0.99, 0), (0.999, 1)])
def test_the_score_decides(score: float, count: int) -> None:
    assert len(found(raw_outputs(SIZE, [Planted((0.1, 0.1, 0.4, 0.4), score, 3)]))[0]) == count


@pytest.mark.parametrize(("shift", "count"), [(0.08, 1), (0.10, 2)])
def test_of_two_boxes_that_overlap_the_better_stays(shift: float, count: int) -> None:
    """Two of width .2, apart by `shift`: (.2 - shift) / (.2 + shift) is .43 and .33."""
    one, two = (0.1, 0.2, 0.3, 0.6), (0.1 + shift, 0.2, 0.3 + shift, 0.6)
    (faces,) = found(raw_outputs(SIZE, [Planted(one, 0.6, 5), Planted(two, 0.8, 9)]))
    assert faces.scores.tolist() == pytest.approx([0.8, 0.6][:count], abs=1e-5)
    np.testing.assert_allclose(faces.boxes[0], two, atol=1e-5)


def test_at_most_ten_and_the_best() -> None:
    many = [Planted((0.05 * index, 0.1, 0.05 * index + 0.04, 0.2), 0.3 + 0.03 * index, index) for index in range(18)]
    (faces,) = found(raw_outputs(SIZE, many))
    assert faces.scores.tolist() == pytest.approx([0.3 + 0.03 * index for index in range(17, 7, -1)], abs=1e-5)


def test_equal_scores_come_in_the_order_of_the_priors() -> None:
    planted = [Planted((0.2 * index, 0.1, 0.2 * index + 0.1, 0.3), 0.5, 90 - 20 * index) for index in range(4)]
    (faces,) = found(raw_outputs(SIZE, planted))
    np.testing.assert_allclose(faces.boxes[:, 0], [0.6, 0.4, 0.2, 0.0], atol=1e-5)


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("prior", [5, 70], ids=["face", "background"])
def test_a_broken_output_is_none_and_harms_no_other_picture(part: int, value: float, prior: int) -> None:
    planted = [Planted((0.1, 0.2, 0.3, 0.5), 0.9, 5), Planted((0.11, 0.2, 0.31, 0.5), 0.8, 6)]
    raw = raw_outputs(SIZE, planted, planted, [])
    whole = found(raw)
    assert len(whole[0]) == 1
    raw[part][1, prior, 0] = value
    first, second, third = faces_of_batch(*raw, SIZE)
    assert second is None
    assert first is not None
    assert third is not None
    np.testing.assert_array_equal(pack(first), pack(whole[0]))
    assert len(third) == 0


def test_a_box_beyond_the_range_of_numbers_is_broken_too() -> None:
    raw = raw_outputs(SIZE, [Planted((0.1, 0.2, 0.3, 0.5), 0.9, 5)])
    raw[0][0, 5, 2] = 1e4
    assert faces_of_batch(*raw, SIZE) == [None]
