"""`faces --model packaged:mtcnn` against facenet-pytorch's own detector, and on real pictures."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clip_factory import utterance
from picture_factory import picture, prepared
from PIL import Image

from features.encoders.build import create
from features.encoders.protocol import EncoderRequest
from features.encoders.visual.face_boxes import Faces, unpack
from features.encoders.visual.mtcnn_detector import _of_highest_score
from features.encoders.visual.mtcnn_network import make_mtcnn
from features.errors import UsageError
from features.media.clip import Clip, decode_clip

pytestmark = pytest.mark.usefixtures("one_thread")

NOSES = [(0.566, 0.342), (0.538, 0.325), (0.533, 0.330), (0.563, 0.350)]
"""Where the man's nose is in four frames of the real clip, read off the pictures."""


@pytest.fixture(scope="module")
def mtcnn() -> Any:
    if importlib.util.find_spec("facenet_pytorch") is None:
        pytest.skip("facenet-pytorch, which carries the weights, is not installed")
    return create(EncoderRequest("faces", {"frames": 4}, model="packaged:mtcnn"))


@pytest.fixture(scope="module")
def real(shared_data: Path, mtcnn: Any) -> Clip:
    return decode_clip(shared_data / "clips" / "dia1_utt0.mp4", utterance(), [mtcnn.needs])


def found_by_package(pictures: Any) -> list[Faces]:
    """What facenet-pytorch finds, picture by picture, in units of the picture: not clipped."""
    from facenet_pytorch import MTCNN

    detector = MTCNN(keep_all=True, select_largest=False, device="cpu")
    found = []
    for pixels in pictures:
        boxes, scores, points = detector.detect(Image.fromarray(pixels), landmarks=True)
        extent = np.array(pixels.shape[1::-1], float)
        if boxes is None:
            found.append(Faces(np.zeros(0, int), np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2))))
            continue
        boxes, scores, points = (np.array(values, float) for values in (boxes, scores, points))
        found.append(Faces(np.zeros(len(boxes), int), boxes / np.tile(extent, 2), scores, points / extent))
    return found


def assert_same(ours: Faces, theirs: Faces) -> None:
    np.testing.assert_allclose(ours.boxes, theirs.boxes.clip(0, 1), atol=1e-5)
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-5)
    np.testing.assert_allclose(ours.landmarks, theirs.landmarks, atol=1e-5)


@pytest.mark.shared_data
def test_the_real_clips_faces_are_the_packages(mtcnn: Any, real: Clip) -> None:
    made = mtcnn.prepare(real)
    found = unpack(mtcnn.encode([made])[0])
    pictures = list(made.value.distinct)
    cut = [np.ascontiguousarray(pixels[20:200:2, 100:340:2]) for pixels in pictures]  # faces of 25 pixels
    edge = [np.ascontiguousarray(pixels[60:, 235:]) for pixels in pictures]  # half a face at the edge
    for index, theirs in enumerate(found_by_package(pictures)):
        assert len(theirs.scores) >= 1
        assert_same(found.where(found.frames == index), theirs)
    for odd in (cut, edge):
        ours = mtcnn._detector.faces(odd, lambda faces: faces)
        assert sum(map(len, ours)) > 0
        for mine, theirs in zip(ours, found_by_package(odd), strict=True):
            mine = Faces(mine.frames, mine.boxes.clip(0, 1), mine.scores, mine.landmarks)
            assert_same(mine, theirs)


@pytest.mark.shared_data
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_the_man_in_the_real_clip_is_found_and_his_box_holds_his_face(mtcnn: Any, real: Clip, dtype: str) -> None:
    encoder = mtcnn
    if dtype != "fp32":
        encoder = create(EncoderRequest("faces", {"frames": 4}, model="packaged:mtcnn", dtype=dtype))
    found = unpack(encoder.encode([encoder.prepare(real)])[0])
    for index, nose in enumerate(NOSES):
        best = found.where(np.flatnonzero(found.frames == index)[:1])
        assert best.scores[0] > 0.99
        x1, y1, x2, y2 = best.boxes[0]
        assert x1 + 0.02 < nose[0] < x2 - 0.02
        assert y1 + 0.05 < nose[1] < y2 - 0.05
        assert 0.08 < x2 - x1 < 0.2, "a face, not the man"
        left_eye, right_eye, tip, left_mouth, right_mouth = best.landmarks[0]
        np.testing.assert_allclose(tip, nose, atol=0.03)
        assert left_eye[0] < tip[0] < right_eye[0]
        assert max(left_eye[1], right_eye[1]) < tip[1] < min(left_mouth[1], right_mouth[1])


@pytest.mark.shared_data
def test_a_picture_does_not_depend_on_those_beside_it(mtcnn: Any, real: Clip) -> None:
    item = mtcnn.prepare(real)
    (alone,) = mtcnn.encode([item])
    beside = mtcnn.encode([*prepared(mtcnn, [picture(1, 426, 240)]), item])
    assert beside[1].tobytes() == alone.tobytes()
    assert item.counts[0]["num_faces"] == len(alone) >= 4


def test_without_a_face_there_is_none_and_tiny_pictures_do_no_harm(mtcnn: Any) -> None:
    grey, tiny, thin = np.full((240, 320, 3), 127, np.uint8), picture(0, 8, 8), picture(0, 400, 13)
    for rows in mtcnn.encode(prepared(mtcnn, [grey], [tiny], [thin])):
        assert rows.shape == (0, 15)


def test_nan_is_told(mtcnn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.full((len(values), 2, 3, 3), float("nan")), torch.zeros(len(values), 4, 3, 3)

    monkeypatch.setitem(mtcnn._detector._stages, "pnet", broken)
    assert mtcnn._detector.faces([picture()], lambda faces: faces) == [None]


def test_the_networks_are_the_packages() -> None:
    """With weights drawn at random, on any input: names, shapes and outputs."""
    pytest.importorskip("facenet_pytorch", reason="facenet-pytorch is not installed")
    from facenet_pytorch.models.mtcnn import ONet, PNet, RNet

    torch.manual_seed(0)
    for stage, theirs, side in zip(make_mtcnn().values(), (PNet, RNet, ONet), (31, 24, 48), strict=True):
        package = theirs(pretrained=False)
        package.load_state_dict(stage.state_dict())
        values = torch.randn(3, 3, side, side)
        with torch.inference_mode():
            logits, offsets, *points = stage(values)
            expected = package(values)
            ours = (offsets, *points, logits.softmax(dim=1))
        for mine, reference in zip(ours, expected, strict=True):
            torch.testing.assert_close(mine, reference)


def test_a_box_within_a_better_one_is_dropped() -> None:
    """A small one in a large one, by the share of the smaller; one that only touches it stays."""
    boxes = torch.tensor([[10.0, 10, 40, 40], [0, 0, 100, 100], [90, 90, 190, 190]])
    assert _of_highest_score(boxes, torch.tensor([0.8, 0.9, 0.7]), 0.7).tolist() == [1, 2]
    assert _of_highest_score(boxes, torch.tensor([0.9, 0.8, 0.95]), 0.7).tolist() == [2, 0]


def test_the_reports_detector_is_another(mtcnn: Any) -> None:
    with pytest.raises(UsageError, match="--as-published is for RetinaFace, not 'packaged:mtcnn'"):
        create(EncoderRequest("faces", model="packaged:mtcnn", as_published=True))
    settings = mtcnn.spec.settings
    assert (settings["detector"], settings["thresholds"], settings["frames"]) == ("mtcnn", [0.6, 0.7, 0.7], 4)
