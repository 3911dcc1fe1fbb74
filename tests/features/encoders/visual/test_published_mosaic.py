"""What the report's networks saw: the figures that are known of it, and torchvision's own calls."""

from __future__ import annotations

import numpy as np
import pytest
from picture_factory import picture
from PIL import Image
from torchvision.transforms import Resize
from torchvision.transforms.functional import crop

from features.encoders.visual.published_mosaic import FRAME_SIZE, MOSAIC_SIZE, PUBLISHED_NEED, mosaic, published_crop


def test_five_frames_from_the_first_to_the_last() -> None:
    assert (PUBLISHED_NEED.count, PUBLISHED_NEED.ends) == (5, True)
    assert PUBLISHED_NEED.max_seconds > 3600


def test_the_mosaic_stacks_five_frames() -> None:
    frames = [np.full((720, 1280, 3), level, np.uint8) for level in (10, 60, 110, 160, 210)]
    stacked = mosaic(frames)
    assert stacked.shape == (MOSAIC_SIZE[1], MOSAIC_SIZE[0], 3) == (1200, 426, 3)
    assert [int(stacked[240 * index : 240 * (index + 1)].mean()) for index in range(5)] == [10, 60, 110, 160, 210]


def test_the_crop_is_what_torchvision_gives_for_the_reports_call() -> None:
    stacked = mosaic([picture(number, 640, 360) for number in range(5)])
    reference = crop(Resize(256)(Image.fromarray(stacked)), 0, 0, 256, 721)
    np.testing.assert_array_equal(published_crop(stacked), np.asarray(reference))


def test_the_network_sees_the_first_frame_most_of_the_second_and_black() -> None:
    """The report's numbers: frame 1 and 78% of frame 2; 64.5% of the input is black padding."""
    frames = [np.full((*FRAME_SIZE[::-1], 3), level, np.uint8) for level in (50, 100, 150, 200, 250)]
    seen = published_crop(mosaic(frames))
    assert seen.shape == (256, 721, 3)
    assert (seen == 0).mean() == pytest.approx(0.645, abs=5e-4)
    assert not seen[:, 256:].any()
    column = seen[:, 0, 0]
    frame_height = 721 / 5
    assert (column < 75).sum() == pytest.approx(frame_height, abs=1)
    assert (column >= 75).sum() / frame_height == pytest.approx(0.78, abs=0.01)
    assert column.max() <= 100, "the other three frames never arrive"
