"""hog-colour: edges in their cell and direction, colours in their bin, expressions told apart, numbers pinned."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from clip_factory import utterance

from features.encoders.build import create
from features.encoders.protocol import EncoderRequest
from features.encoders.visual.hog_colour import (
    CELLS,
    HUE_BINS,
    NUM_COLOUR,
    NUM_MOTION,
    NUM_SHAPE,
    ORIENTATIONS,
    SATURATION_BINS,
    SIDE,
    SIZE,
    VALUE_BINS,
    HogColourEncoder,
    colour_statistics,
    hog_colour_statistics,
    middle_square,
    oriented_gradients,
)
from features.errors import Reason, UnavailableError, UsageError
from features.media.clip import Clip, decode_clip
from features.media.needs import Frames


def golden_pictures() -> list[np.ndarray]:
    """Two pictures of rings, slopes and colours, without a random generator; the second is moved by some pixels."""
    pictures = []
    for move in (0, 6):
        y, x = np.mgrid[0:120, 0:180].astype(np.float64)
        rings = 127 + 90 * np.sin(np.hypot(x - 70 - move, y - 50) / 5)
        slope = 255 * (x + y) / 300
        spots = 255 * (np.modf(np.sin(x * 12.9898 + y * 78.233) * 43758.5453)[0] > 0.6)
        pictures.append(np.clip(np.stack([rings, slope, 0.3 * spots + 60], axis=2), 0, 255).astype(np.uint8))
    return pictures


def draw_face(
    curve: float = 0.0, brow: float = 0.0, eye: float = 1.0, shift: tuple[int, int] = (0, 0), noise: int = 0
) -> np.ndarray:
    """A cartoon face in 320 x 240: mouth curve and brow slant from -1 to 1, eye opening from 0 up."""
    picture = np.full((240, 320, 3), (205, 215, 225), np.uint8)
    cx, cy = 160 + shift[0], 120 + shift[1]
    cv2.ellipse(picture, (cx, cy), (70, 88), 0, 0, 360, (240, 200, 170), -1, cv2.LINE_AA)
    for side in (-1, 1):
        cv2.ellipse(picture, (cx + 28 * side, cy - 18), (11, max(1, round(8 * eye))), 0, 0, 360, (40, 40, 60), -1)
        inner, outer = (cx + 16 * side, round(cy - 38 - 8 * brow)), (cx + 40 * side, round(cy - 38 + 8 * brow))
        cv2.line(picture, inner, outer, (80, 50, 30), 4, cv2.LINE_AA)
    steps = np.linspace(-1, 1, 21)
    points = np.stack([cx + 30 * steps, cy + 42 + 14 * curve * (0.5 - steps**2)], axis=1)
    cv2.polylines(picture, [np.round(points).astype(np.int32)], False, (150, 40, 50), 4, cv2.LINE_AA)
    grain = np.random.default_rng(noise).normal(scale=4, size=picture.shape)
    return np.clip(picture + grain, 0, 255).astype(np.uint8)


def encoder(**given: object) -> HogColourEncoder:
    built = create(EncoderRequest("hog-colour", dict(given)))
    assert isinstance(built, HogColourEncoder)
    return built


def clip_of(pictures: list[np.ndarray], built: HogColourEncoder, cut: bool = False) -> Clip:
    frames = Frames(pictures, [0.1 * i for i in range(len(pictures))], 1.0, cut)
    return Clip(utterance(), "0" * 64, pictures={built.needs.frames: frames})


def shape_of(picture: np.ndarray) -> np.ndarray:
    return oriented_gradients(middle_square(picture)).reshape(CELLS, CELLS, ORIENTATIONS)


def test_the_numbers_are_pinned() -> None:
    """They may change only together with the encoder's version, or stored features would mix two meanings."""
    values = hog_colour_statistics(golden_pictures()).astype(np.float64)
    assert encoder().spec.version == 1
    picked = [0, 37, 130, 255, 256, 262, 270, 283, 284, 287, 290, 293, 300, 309]
    expected = [
        0.176289,
        0.239725,
        0.111336,
        0.0318486,
        0.173245,
        0.0113989,
        0.0617043,
        0.0290799,
        0.539073,
        0.157178,
        -0.0807689,
        0.0488703,
        0.0722005,
        0.022213,
    ]
    assert values[picked].tolist() == pytest.approx(expected, rel=1e-3, abs=1e-4)
    weights = np.cos(np.arange(SIZE))  # one sum over everything, where no two values can trade places
    assert float(weights @ values) == pytest.approx(0.9311269, rel=1e-3)


def test_sizes() -> None:
    assert SIZE == 310 == NUM_SHAPE + NUM_COLOUR + NUM_MOTION
    values = hog_colour_statistics(golden_pictures())
    assert values.shape == encoder().spec.shape == (SIZE,)
    assert values.dtype == np.float32


@pytest.mark.parametrize(
    ("direction", "shares"),
    [((1, 0), (0.5, 0, 0, 0.5)), ((0, 1), (0, 0.5, 0.5, 0)), ((1, 1), (0.5, 0.5, 0, 0)), ((1, -1), (0, 0, 0.5, 0.5))],
)
def test_an_edge_counts_in_its_direction(direction: tuple[int, int], shares: tuple[float, ...]) -> None:
    """Bins are centred on 22.5, 67.5, ... degrees: an edge at 0, 45, 90 or 135 is shared by the two beside it."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    grey = (127 + 60 * np.sin((direction[0] * x + direction[1] * y) / 3)).astype(np.float32)
    found = oriented_gradients(grey).reshape(CELLS, CELLS, ORIENTATIONS)[2:-2, 2:-2].mean(axis=(0, 1))
    np.testing.assert_allclose(found / found.sum(), shares, atol=0.03)


def test_an_edge_counts_in_its_place() -> None:
    picture = np.full((240, 320, 3), 128, np.uint8)
    picture[30:60, 90:110] = 255  # the middle square begins at column 40: cell row 1, cell column 1 or 2
    strength = shape_of(picture).sum(axis=2)
    row, column = np.unravel_index(strength.argmax(), strength.shape)
    assert (row, column) in {(1, 1), (1, 2)}
    assert strength[4:].max() == 0
    assert strength[:, 5:].max() == 0


def test_light_moves_shape_little() -> None:
    """Three quarters of the light: the normalised edges stay."""
    face = draw_face(curve=1)
    darker = shape_of((0.75 * face).astype(np.uint8))
    assert np.linalg.norm(darker - shape_of(face)) < 0.15 * np.linalg.norm(shape_of(face))


@pytest.mark.parametrize(
    ("one", "other"),
    [({"curve": 1}, {"curve": -1}), ({"brow": 1}, {"brow": -1}), ({"eye": 1.4}, {"eye": 0.4})],
    ids=["mouth", "brows", "eyes"],
)
def test_expressions_are_told_apart(one: dict[str, float], other: dict[str, float]) -> None:
    """Under noise and with a head that moves by up to 6 pixels, the nearest class mean (of 15 other faces a class) is
    right for at least 27 of 30."""
    moves = np.random.default_rng(1).integers(-6, 7, (60, 2)).tolist()
    features = {
        label: np.stack(
            [
                hog_colour_statistics([draw_face(**expression, shift=(dx, dy), noise=100 * label + index)])
                for index, (dx, dy) in enumerate(moves[30 * label : 30 * label + 30])
            ]
        )
        for label, expression in enumerate((one, other))
    }
    means = np.stack([features[label][:15].mean(axis=0) for label in (0, 1)])
    scale = np.concatenate([features[0][:15] - means[0], features[1][:15] - means[1]]).std(axis=0) + 1e-3
    right = 0
    for label in (0, 1):
        distances = (((features[label][15:, None] - means) / scale) ** 2).sum(axis=2)
        right += int((distances.argmin(axis=1) == label).sum())
    assert right >= 27


def test_colours_are_read_as_red_green_blue() -> None:
    """Hue 0 is red; blue lies at two thirds of the circle. Swapped channels would trade them."""
    red = np.zeros((48, 64, 3), np.uint8)
    red[:, :, 0] = 200
    hues = colour_statistics(red)[:HUE_BINS]
    assert hues.argmax() == 0
    assert hues.sum() == pytest.approx(1)
    assert colour_statistics(red[:, :, ::-1].copy())[:HUE_BINS].argmax() == 8


def test_a_grey_picture_has_no_hue() -> None:
    grey = np.full((48, 64, 3), 90, np.uint8)
    values = colour_statistics(grey)
    assert values[:HUE_BINS].sum() == 0
    assert values[HUE_BINS] == 1
    assert values[HUE_BINS + SATURATION_BINS + 90 * VALUE_BINS // 256] == 1
    np.testing.assert_allclose(values[-8:], 0, atol=1e-3)  # a and b, every deviation and third moment


def test_motion_is_measured_where_it_is() -> None:
    still = draw_face()
    moved = still.copy()
    moved[:60, 40:100] = 0  # the upper left of the middle square
    assert not hog_colour_statistics([still, still])[-NUM_MOTION:].any()
    assert not hog_colour_statistics([still])[-NUM_MOTION:].any()
    motion = hog_colour_statistics([still, moved])[-NUM_MOTION:-1].reshape(4, 4)
    assert motion.argmax() == 0
    assert motion[2:].max() == 0


def test_the_mean_is_over_frames() -> None:
    one, two = golden_pictures()
    alone = [hog_colour_statistics([picture])[:-NUM_MOTION] for picture in (one, two)]
    together = hog_colour_statistics([one, two])[:-NUM_MOTION]
    np.testing.assert_allclose(together, np.mean(alone, axis=0), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (24, 24), (300, 40), (97, 41), (720, 1280)])
@pytest.mark.parametrize("level", [0, 255, None])
def test_any_picture_is_finite(shape: tuple[int, int], level: int | None) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    picture = noise if level is None else np.full((*shape, 3), level, np.uint8)
    values = hog_colour_statistics([picture] * 2)
    assert np.isfinite(values).all()
    if level is not None:
        assert not values[:NUM_SHAPE].any()


def test_prepare_in_a_worker_is_encode() -> None:
    """The preparer pickles; the same clip gives the same bits; counts and digest are the clip's."""
    built = encoder(frames=2)
    prepare = pickle.loads(pickle.dumps(built.prepare))
    clip = clip_of(golden_pictures(), built, cut=True)
    one, two = prepare(clip), prepare(clip)
    assert one.counts == ({"num_frames": 2, "cut": 1},)
    assert one.digests == (clip.digest,)
    first, second = built.encode([one, two])
    assert first.tobytes() == second.tobytes()
    assert cv2.getNumThreads() == 1


def test_a_clip_without_video_says_so() -> None:
    built = encoder()
    missing = UnavailableError(Reason.NO_VIDEO, "1 streams")
    clip = Clip(utterance(), "0" * 64, pictures={built.needs.frames: missing})
    with pytest.raises(UnavailableError, match="no-video"):
        built.prepare(clip)


def test_settings_are_in_the_fingerprint_and_others_are_refused() -> None:
    prints = {encoder().spec.fingerprint, encoder(frames=3).spec.fingerprint, encoder(max_seconds=5).spec.fingerprint}
    assert len(prints) == 3
    assert encoder(frames=3).needs.frames.count == 3
    with pytest.raises(UsageError, match="no setting 'crop'"):
        encoder(crop="face")


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["dia1_utt0.mp4", "noise_no_audio.mp4"])
def test_real_clips(shared_data: Path, name: str) -> None:
    built = encoder()
    clip = decode_clip(shared_data / "clips" / name, utterance(), [built.needs])
    values = built.encode([built.prepare(clip)])[0]
    assert np.isfinite(values).all()
    assert values[:NUM_SHAPE].max() > 0.1
    assert values[-1] > 0
