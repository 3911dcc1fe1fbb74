"""Pictures as workers make them: torchvision's preprocessing to the bit, letterboxes, each picture once, no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_factory import picture
from PIL import Image
from torchvision.models import ResNet50_Weights, ViT_L_16_Weights
from torchvision.transforms._presets import ImageClassification
from torchvision.transforms.functional import InterpolationMode

from features.encoders.visual.picture_network import Normalise
from features.encoders.visual.pictures import AtMost, CentreCrop, Letterbox, each_once

SIZES = st.integers(8, 130)


@settings(max_examples=40, deadline=None)
@given(width=SIZES, height=SIZES, crop=st.integers(5, 40), more=st.integers(0, 9), bicubic=st.booleans())
def test_a_centre_crop_is_torchvisions_to_the_bit(width: int, height: int, crop: int, more: int, bicubic: bool) -> None:
    mode = InterpolationMode.BICUBIC if bicubic else InterpolationMode.BILINEAR
    preset = ImageClassification(crop_size=crop, resize_size=crop + more, interpolation=mode)
    source = picture(3, width, height)
    ours = CentreCrop(crop + more, crop, mode.value)(source)
    assert ours.shape == (crop, crop, 3)
    normalise = Normalise(preset.mean, preset.std, "cpu")
    assert torch.equal(normalise(torch.from_numpy(np.stack([ours])))[0], preset(Image.fromarray(source)))


@pytest.mark.parametrize("size", [(1280, 720), (426, 240), (224, 224), (231, 500), (100, 40)])
@pytest.mark.parametrize("published", [ResNet50_Weights.IMAGENET1K_V2, ViT_L_16_Weights.DEFAULT])
def test_pictures_are_prepared_as_for_the_published_weights(published: object, size: tuple[int, int]) -> None:
    preset = published.transforms()  # type: ignore[attr-defined]
    crop = CentreCrop(preset.resize_size[0], preset.crop_size[0], preset.interpolation.value)
    source = picture(1, *size)
    values = Normalise(preset.mean, preset.std, "cpu")(torch.from_numpy(np.stack([crop(source)])))
    assert torch.equal(values[0], preset(Image.fromarray(source)))
    assert values.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("mutant", ["bgr", "squeezed", "cornered", "unscaled"])
def test_the_comparison_tells_wrong_preprocessing(mutant: str) -> None:
    preset = ResNet50_Weights.IMAGENET1K_V2.transforms()
    source = picture(1)
    right = CentreCrop(232, 224, "bilinear")(source)
    wrong = {
        "bgr": right[:, :, ::-1],
        "squeezed": np.asarray(Image.fromarray(source).resize((224, 224), Image.Resampling.BILINEAR)),
        "cornered": np.asarray(Image.fromarray(source).resize((309, 232), Image.Resampling.BILINEAR))[:224, :224],
        "unscaled": CentreCrop(224, 224, "bilinear")(source),
    }[mutant]
    values = Normalise(preset.mean, preset.std, "cpu")(torch.from_numpy(wrong[None].copy()))
    assert not torch.allclose(values[0], preset(Image.fromarray(source)), atol=0.05)


@settings(max_examples=40, deadline=None)
@given(width=SIZES, height=SIZES, size=st.integers(8, 60))
def test_a_shrunk_picture_keeps_its_shape_and_is_never_enlarged(width: int, height: int, size: int) -> None:
    shrunk = AtMost(size)(picture(2, width, height))
    assert min(shrunk.shape[:2]) == min(width, height, size)
    if min(width, height) > size:
        assert shrunk.shape[1] / shrunk.shape[0] == pytest.approx(width / height, rel=1.5 / size)


@settings(max_examples=40, deadline=None)
@given(width=SIZES, height=SIZES, side=st.integers(8, 60))
def test_a_letterbox_holds_the_whole_picture(width: int, height: int, side: int) -> None:
    white = np.full((height, width, 3), 255, np.uint8)
    letterbox = Letterbox(side)
    square, (left, top, right, bottom) = letterbox(white), letterbox.place(white)
    assert square.shape == (side, side, 3)
    assert max(right - left, bottom - top) == side
    assert square[top:bottom, left:right].min() == 255
    assert square.astype(int).sum() == 255 * 3 * (right - left) * (bottom - top), "the borders are black"
    assert abs(left - (side - right)) <= 1
    assert abs(top - (side - bottom)) <= 1


def test_a_picture_shown_again_is_made_once() -> None:
    one, two = picture(0), picture(1)
    made: list[int] = []

    def count(source: np.ndarray) -> int:
        made.append(1)
        return int(source[0, 0, 0])

    values, order = each_once([one, one, two, one], count)
    assert (values, order, len(made)) == ((one[0, 0, 0], two[0, 0, 0]), (0, 0, 1, 0), 2)


def test_workers_load_no_torch() -> None:
    modules = ", ".join(f"features.encoders.visual.{name}" for name in ("pictures", "published_mosaic", "face_boxes"))
    check = "print([name for name in ('torch', 'torchvision', 'transformers') if name in sys.modules])"
    code = f"import sys, {modules}; {check}"
    root = Path(__file__).resolve().parents[4]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"
