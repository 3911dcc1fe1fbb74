"""Pictures as the file says that they are to be shown: turned, mirrored, and with square samples."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clip_factory import every, number_of, numbered_picture, utterance, with_matrix, write_clip

from features.media.clip import decode_clip
from features.media.needs import ClipNeeds, FramesNeed

NEED = FramesNeed(1, 30.0)
WIDER = Fraction(64, 45)  # of a wide DVD picture


def picture_of(path: Path) -> np.ndarray:
    return decode_clip(path, utterance(), [ClipNeeds(frames=NEED)]).frames(NEED).pixels[0]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures whose lower half is black, so that none is the same when it is turned or mirrored."""

    def upper_half(number: int, width: int, height: int) -> np.ndarray:
        picture = numbered_picture(number, width, height)
        picture[height // 2 :] = 0
        return picture

    return write_clip(tmp_path_factory.mktemp("shown") / "plain.mp4", times_ms=every(40, 12), draw=upper_half)


# x' = a x + c y, y' = b x + d y -> what numpy makes of the stored picture
MATRICES = {
    "as it is": ((1, 0, 0, 1), lambda p: p),
    "mirrored": ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda p: p[::-1]),
    "half a turn": ((-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
    "clockwise": ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
    "counter-clockwise": ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
    "along the diagonal": ((0, 1, 1, 0), lambda p: p.transpose(1, 0, 2)),
    "along the other diagonal": ((0, -1, -1, 0), lambda p: p[::-1, ::-1].transpose(1, 0, 2)),
}


@pytest.mark.parametrize("name", MATRICES)
def test_the_display_matrix_is_applied(plain: Path, tmp_path: Path, name: str) -> None:
    matrix, expected = MATRICES[name]
    stored = picture_of(plain)
    assert number_of(stored[:24]) == 6
    assert number_of(stored[24:]) == 0
    shown = picture_of(with_matrix(plain, tmp_path / "placed.mp4", *matrix))
    np.testing.assert_array_equal(shown, expected(stored))
    assert shown.flags.c_contiguous


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_samples_that_are_not_square_are_made_square(tmp_path: Path, ending: str) -> None:
    path = write_clip(tmp_path / f"wide.{ending}", times_ms=every(40, 12), sample_aspect=WIDER)
    picture = picture_of(path)
    assert picture.shape == (48, 228, 3)  # 160 * 64 / 45 = 227.6
    assert number_of(picture) == 6


def test_the_width_is_that_of_the_stored_picture_even_if_it_is_turned(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "wide.mp4", times_ms=every(40, 12), sample_aspect=WIDER)
    assert picture_of(with_matrix(path, tmp_path / "turned.mp4", 0, 1, -1, 0)).shape == (228, 48, 3)


def test_an_encoder_that_rounded_the_size_of_a_picture_changes_no_pixel(tmp_path: Path) -> None:
    square = write_clip(tmp_path / "square.mp4", times_ms=every(40, 12))
    rounded = write_clip(tmp_path / "rounded.mp4", times_ms=every(40, 12), sample_aspect=Fraction(1280, 1281))
    np.testing.assert_array_equal(picture_of(rounded), picture_of(square))
