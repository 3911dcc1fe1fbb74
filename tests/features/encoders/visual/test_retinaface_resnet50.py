"""`retinaface-resnet50`: what is left of a frame, faces at its edges, how they are averaged, what it derives from."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import FP32_TOLERANCE, relative_error
from picture_factory import clip_of, picture, prepared
from torchvision.models import get_model, get_model_weights

from features.encoders.build import create
from features.encoders.protocol import EncoderRequest, Input
from features.encoders.state_files import random_network
from features.encoders.visual.face_boxes import Faces, pack
from features.encoders.visual.face_pictures import MARGIN, black_out, cut_out, square_around
from features.encoders.visual.picture_network import PictureEncoder
from features.encoders.visual.pictures import Letterbox
from features.encoders.visual.published_mosaic import mosaic, published_crop
from features.encoders.visual.retinaface_resnet50 import PUBLISHED_VERSION, VERSION
from features.errors import Reason, UnavailableError, UsageError
from features.spec import EncoderSpec

pytestmark = pytest.mark.usefixtures("one_thread")

FRAMES = [picture(number, 320, 180) for number in range(3)]
EDGES = {
    "left": (0.0, 0.3, 0.15, 0.7),
    "right": (0.85, 0.3, 1.0, 0.7),
    "top": (0.4, 0.0, 0.55, 0.2),
    "bottom": (0.4, 0.8, 0.55, 1.0),
    "corner": (0.9, 0.9, 1.0, 1.0),
}


def source_of(**settings: Any) -> EncoderSpec:
    """The spec of `faces`, without its network."""
    values = {"frames": 5, "max_seconds": 30.0, "size": 240} | settings
    return EncoderSpec("visual", "faces", 1, "media", "sequence", (15,), values, "random", "d" * 64)


def encoder_of(
    model: str = "resnet18", source: EncoderSpec | None = None, published: bool = False, **values: Any
) -> Any:
    """With random weights, derived from a `faces` that is not built."""
    source = source or source_of()
    return create(
        EncoderRequest("retinaface-resnet50", values, model, weights="random", as_published=published, source=source)
    )


def stored(*faces: tuple[int, tuple[float, ...], float]) -> np.ndarray:
    """float32 [n, 15] of (frame, box, score)."""
    frames, boxes, scores = zip(*faces, strict=True)
    return pack(Faces(np.array(frames), np.array(boxes, float), np.array(scores), np.zeros((len(faces), 5, 2))))


def boxes_of(*boxes: tuple[float, ...]) -> Faces:
    count = len(boxes)
    return Faces(np.zeros(count, int), np.array(boxes, float), np.ones(count), np.zeros((count, 5, 2)))


@pytest.fixture(scope="module")
def blackout() -> Any:
    return encoder_of()


@pytest.fixture(scope="module")
def crop() -> Any:
    return encoder_of(mode="crop")


def derived(encoder: Any, frames: list[np.ndarray], rows: np.ndarray) -> Input:
    (item,) = prepared(encoder, frames)
    result: Input = encoder.derive(item, rows)
    return result


# Pictures


@settings(max_examples=60, deadline=None)
@given(
    x=st.floats(0, 0.95), y=st.floats(0, 0.95), w=st.floats(0.001, 1), h=st.floats(0.001, 1), wide=st.integers(5, 90)
)
def test_only_the_box_is_left_and_all_of_it(x: float, y: float, w: float, h: float, wide: int) -> None:
    white = np.full((40, wide, 3), 255, np.uint8)
    left = black_out(white, boxes_of((x, y, min(1, x + w), min(1, y + h))))[:, :, 0] == 255
    rows, columns = np.flatnonzero(left.any(axis=1)), np.flatnonzero(left.any(axis=0))
    assert left.sum() == len(rows) * len(columns) > 0
    rounding = 1.1e-3  # of a pixel: boxes are stored in float32
    assert rows[0] <= y * 40 + rounding
    assert rows[-1] + 1 >= min(1, y + h) * 40 - rounding
    assert abs(columns[0] - x * wide) <= 1
    assert abs(columns[-1] + 1 - min(1, x + w) * wide) <= 1


def test_the_frame_may_lie_within_a_letterbox() -> None:
    letterbox, frame = Letterbox(64), np.full((90, 160, 3), 255, np.uint8)
    square, place = letterbox(frame), letterbox.place(frame)
    left = black_out(square, boxes_of((0.5, 0.5, 1.0, 1.0)), place)
    expected = np.zeros_like(square)
    expected[32:50, 32:64] = 255
    np.testing.assert_array_equal(left, expected)
    np.testing.assert_array_equal(black_out(square, boxes_of((0.0, 0.0, 1.0, 1.0)), place), square)


def test_a_face_is_cut_out_with_its_margin() -> None:
    frame = picture(0, 200, 100)
    square = square_around((0.4, 0.2, 0.5, 0.6), 200, 100)  # 20 wide and 40 high, around (90, 40)
    side = 40 * (1 + 2 * MARGIN)
    assert square == (90 - side / 2, 40 - side / 2, side) == (62, 12, 56)
    np.testing.assert_array_equal(cut_out(frame, square, 56), frame[12:68, 62:118])
    assert cut_out(frame, square, 224).shape == (224, 224, 3)


@pytest.mark.parametrize("edge", EDGES)
def test_what_lies_beyond_the_frame_is_black(edge: str) -> None:
    white = np.full((100, 200, 3), 255, np.uint8)
    left, top, side = square_around(EDGES[edge], 200, 100)
    cut = cut_out(white, (left, top, side), side)
    inside = (min(200, left + side) - max(0, left)) * (min(100, top + side) - max(0, top))
    assert 0 < inside < side * side
    assert int((cut[:, :, 0] == 255).sum()) == inside
    assert int((cut == 0).all(axis=2).sum()) == side * side - inside


# Parity


class Plain:
    """torchvision's network without its head, one picture at a time, in fp32; the picture is as large as it takes."""

    def __init__(self, name: str = "resnet18") -> None:
        self.network: Any = random_network(lambda: get_model(name, weights=None))
        self.network.fc = torch.nn.Identity()
        preset = get_model_weights(name).DEFAULT.transforms()
        self.mean, self.std = (np.array(values, np.float32) for values in (preset.mean, preset.std))

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        values = (frame.astype(np.float32) / 255 - self.mean) / self.std
        with torch.inference_mode():
            vector: np.ndarray = self.network(torch.from_numpy(values.transpose(2, 0, 1).copy())[None])[0].numpy()
        return vector


@pytest.fixture(scope="module")
def plain() -> Plain:
    return Plain()


def test_blackout_is_the_mean_over_the_frames_with_a_face(blackout: Any, plain: Plain) -> None:
    one, two, three = (0.1, 0.2, 0.4, 0.7), (0.6, 0.1, 0.8, 0.5), EDGES["left"]
    rows = stored((0, one, 0.9), (0, two, 0.8), (1, one, 0.4), (2, three, 0.7))  # nobody sure in the second frame
    letterbox = Letterbox(224)
    expected = [
        plain(black_out(letterbox(frame), boxes_of(*boxes), letterbox.place(frame)))
        for frame, boxes in ((FRAMES[0], (one, two)), (FRAMES[2], (three,)))
    ]
    item = derived(blackout, FRAMES, rows)
    assert item.counts == ({"num_frames": 3, "cut": 0, "num_faces": 3},)
    (ours,) = blackout.encode([item])
    assert ours.dtype == np.float32
    assert relative_error(ours[None], np.mean(expected, axis=0)[None]) < FP32_TOLERANCE
    diluted = np.mean([*expected, plain(np.zeros((224, 224, 3), np.uint8))], axis=0)
    assert relative_error(ours[None], diluted[None]) > 100 * FP32_TOLERANCE


@pytest.mark.parametrize("weight", ["equal", "area"])
def test_crops_are_averaged_by_their_weight(plain: Plain, weight: str) -> None:
    encoder = encoder_of(mode="crop", weight=weight)
    faces = [(0, (0.1, 0.2, 0.4, 0.7), 0.9), (1, (0.6, 0.1, 0.7, 0.3), 0.8), (1, EDGES["right"], 0.7)]
    cuts = [plain(cut_out(FRAMES[frame], square_around(box, 320, 180), 224)) for frame, box, _ in faces]
    areas = [1.0] * 3 if weight == "equal" else [0.3 * 0.5, 0.1 * 0.2, 0.15 * 0.4]
    (ours,) = encoder.encode([derived(encoder, FRAMES, stored(*faces))])
    assert relative_error(ours[None], np.average(cuts, axis=0, weights=areas)[None]) < FP32_TOLERANCE
    other = np.average(cuts, axis=0, weights=areas if weight == "equal" else None)
    if weight == "area":
        assert relative_error(ours[None], other[None]) > 100 * FP32_TOLERANCE


def test_as_published_is_the_blacked_out_mosaic_cropped() -> None:
    encoder = encoder_of("resnet50", published=True)
    frames = [picture(number, 640, 360) for number in range(5)]
    box, unseen = (0.2, 0.05, 0.5, 0.2), (0.2, 0.5, 0.5, 0.6)
    expected = Plain("resnet50")(published_crop(black_out(mosaic(frames), boxes_of(box))))
    (ours,) = encoder.encode([derived(encoder, frames, stored((0, box, 0.03), (0, unseen, 0.9)))])
    assert relative_error(ours[None], expected[None]) < FP32_TOLERANCE, "the second face lies in what is cropped away"
    assert encoder.spec.settings["as_published"] is True
    assert encoder.spec.settings["confidence"] == 0.02
    assert encoder.spec.version == PUBLISHED_VERSION == 2
    assert encoder.needs.frames.ends


def test_as_published_a_mosaic_without_a_face_is_all_black() -> None:
    encoder = encoder_of("resnet50", published=True)
    frames = [picture(number, 640, 360) for number in range(5)]
    item = derived(encoder, frames, np.zeros((0, 15), np.float32))
    assert item.counts == ({"num_frames": 5, "cut": 0, "num_faces": 0},)
    expected = Plain("resnet50")(np.zeros((256, 721, 3), np.uint8))
    assert relative_error(encoder.encode([item])[0][None], expected[None]) < FP32_TOLERANCE
    with pytest.raises(UnavailableError, match="non-finite: the face detector gave NaN"):
        derived(encoder, frames, np.full((1, 15), np.nan, np.float32))


# Faces at the edge


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("mode", ["blackout", "crop"])
def test_a_face_at_the_edge_survives(request: pytest.FixtureRequest, mode: str, edge: str) -> None:
    """torchvision's centre crop of a wide frame would lose the ones at the left and the right."""
    frame = np.zeros((180, 320, 3), np.uint8)
    x1, y1, x2, y2 = EDGES[edge]
    frame[round(180 * y1) : round(180 * y2), round(320 * x1) : round(320 * x2)] = (250, 10, 10)
    item = derived(request.getfixturevalue(mode), [frame], stored((0, EDGES[edge], 0.9)))
    (seen,) = item.value.pictures
    red = int((seen[:, :, 0] > 200).sum())
    share = (x2 - x1) * (y2 - y1) * 224 * 126 if mode == "blackout" else 0.1 * 224 * 224
    assert red >= 0.85 * share


# What derives from nothing


@pytest.mark.parametrize(
    ("rows", "detail"),
    [
        (np.zeros((0, 15), np.float32), "no face of confidence 0.5 in any frame: none is found"),
        (stored((0, (0.1, 0.1, 0.4, 0.4), 0.49)), "no face of confidence 0.5 in any frame: the best score is 0.49"),
    ],
)
def test_without_a_face_the_utterance_is_missing(blackout: Any, rows: np.ndarray, detail: str) -> None:
    with pytest.raises(UnavailableError, match="^no-face: " + detail) as raised:
        derived(blackout, FRAMES, rows)
    assert raised.value.reason is Reason.NO_FACE


def test_a_face_counts_from_the_confidence_on(blackout: Any) -> None:
    rows = stored((0, (0.1, 0.1, 0.4, 0.4), 0.5), (1, (0.1, 0.1, 0.4, 0.4), 0.25))
    assert derived(blackout, FRAMES, rows).counts[0]["num_faces"] == 1
    assert derived(encoder_of(confidence=0.2), FRAMES, rows).counts[0]["num_faces"] == 2


def test_a_broken_detection_is_no_absence_of_faces(blackout: Any) -> None:
    with pytest.raises(UnavailableError, match="non-finite: the face detector gave NaN"):
        derived(blackout, FRAMES, np.full((1, 15), np.nan, np.float32))


# Batches and inputs

CLIPS = [
    (FRAMES, stored((0, (0.1, 0.2, 0.4, 0.7), 0.9), (2, EDGES["left"], 0.7))),
    (FRAMES[1:2], stored((0, EDGES["corner"], 0.9))),
    (FRAMES[::-1], stored((1, (0.6, 0.1, 0.8, 0.5), 0.9), (1, (0.1, 0.1, 0.3, 0.5), 0.6), (2, EDGES["top"], 0.8))),
]


@pytest.mark.parametrize("mode", ["blackout", "crop"])
def test_an_embedding_does_not_depend_on_its_batch_mates(request: pytest.FixtureRequest, mode: str) -> None:
    encoder = request.getfixturevalue(mode)
    inputs = [derived(encoder, frames, rows) for frames, rows in CLIPS]
    together, backwards = np.stack(encoder.encode(inputs)), np.stack(encoder.encode(inputs[::-1]))[::-1]
    alone = np.stack([encoder.encode([item])[0] for item in inputs])
    assert relative_error(together, alone) < FP32_TOLERANCE
    assert relative_error(backwards, alone) < FP32_TOLERANCE
    assert encoder.encode([]) == []


@pytest.mark.parametrize("mode", ["blackout", "crop"])
def test_a_still_picture_runs_once_and_counts_as_often_as_it_is_shown(
    request: pytest.FixtureRequest, mode: str
) -> None:
    encoder = request.getfixturevalue(mode)
    box, other = (0.25, 0.25, 0.5, 0.75), (0.5, 0.125, 0.75, 0.5)
    rows = stored((0, box, 0.9), (1, box, 0.9), (2, other, 0.8))
    item = derived(encoder, [FRAMES[0], FRAMES[0], FRAMES[1]], rows)
    assert len(item.value.pictures) == 2
    assert item.value.order == (0, 0, 1)
    copies = derived(encoder, [FRAMES[0], FRAMES[0].copy(), FRAMES[1]], rows)
    assert len(copies.value.pictures) == 3
    assert relative_error(np.stack(encoder.encode([item])), np.stack(encoder.encode([copies]))) < FP32_TOLERANCE


@pytest.mark.parametrize("mode", ["blackout", "crop"])
def test_the_digest_is_of_the_very_pixels(request: pytest.FixtureRequest, mode: str) -> None:
    encoder = request.getfixturevalue(mode)
    frames, rows = CLIPS[0]
    digest = derived(encoder, frames, rows).digests
    assert derived(encoder, [frame.copy() for frame in frames], rows).digests == digest
    outside = [frame.copy() for frame in frames]
    outside[0][-1, -1] = 255 - outside[0][-1, -1]
    outside[1][:] = 0  # a frame without a face
    assert derived(encoder, outside, rows).digests == digest
    inside = [frame.copy() for frame in frames]
    inside[0][70:90, 60:90] = 255
    assert derived(encoder, inside, rows).digests != digest
    assert derived(encoder, frames, stored((0, (0.1, 0.2, 0.4, 0.6), 0.9))).digests != digest


def test_nan_stays_nan(blackout: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: PictureEncoder, pictures: Any) -> torch.Tensor:
        return torch.full((len(pictures), 512), torch.nan)

    item = derived(blackout, *CLIPS[0])
    monkeypatch.setattr(PictureEncoder, "pictures", broken)
    assert np.isnan(blackout.encode([item])[0]).all()


def test_prepare_pickles_and_sends_small_pictures(blackout: Any, crop: Any) -> None:
    large = picture(0, 1920, 1080)
    for encoder, shape in ((blackout, (224, 224, 3)), (crop, (720, 1280, 3))):
        item = pickle.loads(pickle.dumps(encoder.prepare))(clip_of([large], encoder))
        assert item.value.distinct[0].shape == shape
        assert item.counts == ({"num_frames": 1, "cut": 0},)


# Settings and spec


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mode": "blackuot"}, "no mode 'blackuot': did you mean 'blackout'?"),
        ({"mode": "crop", "weight": "size"}, "no weight 'size': known: area, equal"),
        ({"weight": "area"}, "weight=area is for faces on their own: add --set mode=crop"),
        ({"confidence": 0.01}, "confidence=0.01 must lie between 0.02, where `faces` begins, and 1"),
        ({"confidence": 1.5}, "confidence=1.5 must lie between"),
    ],
)
def test_settings_that_do_not_fit_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        encoder_of(**values)


def test_the_spec_says_what_it_derives_from(blackout: Any) -> None:
    spec, source = blackout.spec, source_of()
    assert VERSION == spec.version == 1
    assert (spec.modality, spec.encoder, spec.kind, spec.shape) == ("visual", "retinaface-resnet50", "vector", (512,))
    assert spec.derives_from == source.fingerprint
    assert spec.settings["mode"] == "blackout"
    assert "weight" not in spec.settings
    assert "detector" not in spec.settings
    other = encoder_of(source=source_of(size=120))
    assert other.spec.fingerprint != spec.fingerprint
    assert encoder_of(source=source_of(frames=3)).needs.frames.count == 3
    prints = {encoder_of(**values).spec.fingerprint for values in ({"confidence": 0.6}, {"mode": "crop"})}
    assert len(prints | {spec.fingerprint}) == 3


def test_built_alone_it_builds_the_detector_first() -> None:
    request = EncoderRequest("retinaface-resnet50", {"frames": 2}, "resnet18", weights="random")
    encoder: Any = create(request)
    faces = create(EncoderRequest("faces", {"frames": 2}, weights="random"))
    assert encoder.spec.derives_from == faces.spec.fingerprint
    assert encoder.needs == faces.needs


def test_the_numbers_are_pinned(blackout: Any, crop: Any) -> None:
    """They may change only together with the encoder's version, or stored features would mix two meanings."""
    pinned = {
        blackout: ([0.707959, 2.537345, 6.239257, 7.265295], 40.90308),
        crop: ([0.435631, 1.656297, 3.709256, 4.755169], 16.74910),
    }
    weights = np.cos(np.arange(512))  # one sum over everything, where no two values can trade places
    for encoder, (values, total) in pinned.items():
        (ours,) = encoder.encode([derived(encoder, *CLIPS[2])])
        assert ours[[0, 100, 200, 511]].tolist() == pytest.approx(values, rel=1e-3)
        assert float(weights @ ours.astype(np.float64)) == pytest.approx(total, rel=1e-3)
