"""`resnet50` against torchvision's own pipeline, one picture at a time; pooling, batches, the report's picture."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clip_factory import utterance
from parity import BF16_ERROR_ENERGY, FP32_TOLERANCE, error_energy, nearest_is_itself, relative_error
from picture_factory import clip_of, embed, picture, prepared
from PIL import Image
from torchvision.models import get_model, get_model_weights
from torchvision.transforms import Resize
from torchvision.transforms.functional import crop, normalize, to_tensor

from features.encoders.build import create
from features.encoders.memory_batches import MemoryBatches
from features.encoders.protocol import Encoder, EncoderRequest
from features.encoders.state_files import random_network
from features.encoders.visual.picture_network import PictureEncoder
from features.encoders.visual.published_mosaic import mosaic
from features.encoders.visual.resnet50 import VERSION
from features.encoders.visual.vision_models import load_backbone
from features.errors import Reason, UnavailableError, UsageError
from features.media.clip import Clip, decode_clip
from features.spec import EncoderSpec

pytestmark = pytest.mark.usefixtures("one_thread")

FRAMES = [[picture(5 * clip + index, 200, 150) for index in range(2)] for clip in range(4)]
"""Four clips of two frames."""


def encoder_of(model: str = "resnet18", dtype: str = "fp32", published: bool = False, **values: Any) -> Encoder:
    """With random weights."""
    request = EncoderRequest("resnet50", values, model, weights="random", dtype=dtype, as_published=published)
    return create(request)


class Plain:
    """torchvision's own way: its preprocessing, its network without the head; one picture at a time, in fp32."""

    def __init__(self, name: str) -> None:
        self.network: Any = random_network(lambda: get_model(name, weights=None))
        self.network.fc = torch.nn.Identity()
        self.preset = get_model_weights(name).DEFAULT.transforms()

    def vector(self, values: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            vector: np.ndarray = self.network(values[None])[0].numpy()
        return vector

    def clip(self, pictures: list[np.ndarray]) -> np.ndarray:
        """[frames, d]"""
        return np.stack([self.vector(self.preset(Image.fromarray(frame))) for frame in pictures])


@pytest.fixture(scope="module")
def plain() -> Plain:
    return Plain("resnet18")


@pytest.fixture(scope="module")
def reference(plain: Plain) -> np.ndarray:
    """[clips, frames, d]"""
    return np.stack([plain.clip(pictures) for pictures in FRAMES])


@pytest.fixture(scope="module")
def small() -> Encoder:
    return encoder_of()


@pytest.fixture(scope="module")
def resnet50() -> Encoder:
    return encoder_of("resnet50")


# Parity


@pytest.mark.parametrize("pooling", ["mean", "max", "mean+max", "sequence"])
def test_a_batch_gives_what_torchvision_gives_one_picture_at_a_time(reference: np.ndarray, pooling: str) -> None:
    encoder = encoder_of(pooling=pooling)
    ours = embed(encoder, *FRAMES)
    mean, most = reference.mean(axis=1), reference.max(axis=1)
    expected = {"mean": mean, "max": most, "mean+max": np.concatenate([mean, most], axis=1), "sequence": reference}
    assert ours.dtype == np.float32
    assert ours.shape[1 if pooling != "sequence" else 2 :] == encoder.spec.shape
    assert encoder.spec.kind == ("sequence" if pooling == "sequence" else "vector")
    rows = len(FRAMES) * (2 if pooling == "sequence" else 1)
    assert relative_error(ours.reshape(rows, -1), expected[pooling].reshape(rows, -1)) < FP32_TOLERANCE


def test_resnet50_gives_what_torchvision_gives(resnet50: Encoder) -> None:
    expected = Plain("resnet50").clip([pictures[0] for pictures in FRAMES])
    assert relative_error(embed(resnet50, *[pictures[:1] for pictures in FRAMES]), expected) < FP32_TOLERANCE


def test_bf16_is_near_and_tells_utterances_apart(reference: np.ndarray) -> None:
    ours, expected = embed(encoder_of(dtype="bf16"), *FRAMES), reference.mean(axis=1)
    assert error_energy(ours, expected) < BF16_ERROR_ENERGY
    assert nearest_is_itself(ours, expected)
    assert relative_error(ours, expected) > FP32_TOLERANCE, "it does compute in bf16"


def bgr(monkeypatch: pytest.MonkeyPatch) -> None:
    values = PictureEncoder._values
    monkeypatch.setattr(
        PictureEncoder, "_values", lambda self, frames: values(self, [frame[:, :, ::-1] for frame in frames])
    )


def not_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    values = PictureEncoder._values

    def unscaled(self: PictureEncoder, frames: Any) -> torch.Tensor:
        self._normalise._mean, self._normalise._std = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
        return values(self, frames)

    monkeypatch.setattr(PictureEncoder, "_values", unscaled)


def wrong_crop(monkeypatch: pytest.MonkeyPatch) -> None:
    from features.encoders.visual.pictures import CentreCrop

    def stretched(self: CentreCrop, frame: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(frame).resize((self.crop, self.crop), Image.Resampling.BILINEAR))

    monkeypatch.setattr(CentreCrop, "__call__", stretched)


@pytest.mark.parametrize("mutate", [bgr, not_normalised, wrong_crop])
def test_both_measures_tell_a_mutant(
    mutate: Any, small: Encoder, reference: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = encoder_of()
    mutate(monkeypatch)
    ours, expected = embed(encoder, *FRAMES), reference.mean(axis=1)
    assert relative_error(ours, expected) > 100 * FP32_TOLERANCE
    assert error_energy(ours, expected) > BF16_ERROR_ENERGY


@pytest.fixture(scope="module")
def real_frames(shared_data: Path, resnet50: Encoder) -> list[np.ndarray]:
    assert resnet50.needs is not None
    assert resnet50.needs.frames is not None
    path = shared_data / "clips" / "dia1_utt0.mp4"
    return decode_clip(path, utterance(), [resnet50.needs]).frames(resnet50.needs.frames).pixels


@pytest.mark.shared_data
def test_the_real_clip_through_the_real_architecture(real_frames: list[np.ndarray], resnet50: Encoder) -> None:
    expected = Plain("resnet50").clip(real_frames).mean(axis=0)
    assert relative_error(embed(resnet50, real_frames), expected[None]) < FP32_TOLERANCE


@pytest.mark.shared_data
@pytest.mark.slow
def test_the_real_architecture_in_bf16(real_frames: list[np.ndarray]) -> None:
    pictures = [real_frames[0], *[clip[0] for clip in FRAMES]]
    ours = embed(encoder_of("resnet50", dtype="bf16"), *[[frame] for frame in pictures])
    expected = Plain("resnet50").clip(pictures)
    assert error_energy(ours, expected) < BF16_ERROR_ENERGY
    assert nearest_is_itself(ours, expected)


# Batches


def test_an_embedding_does_not_depend_on_its_batch_mates(small: Encoder) -> None:
    clips = [FRAMES[0], FRAMES[1][:1], FRAMES[2] * 2, FRAMES[3]]
    together, backwards = embed(small, *clips), embed(small, *clips[::-1])[::-1]
    alone = np.concatenate([embed(small, clip) for clip in clips])
    assert relative_error(together, alone) < FP32_TOLERANCE
    assert relative_error(backwards, alone) < FP32_TOLERANCE


def test_memory_that_runs_out_splits_the_batch(small: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = embed(small, *FRAMES)
    values, sizes = PictureEncoder._values, []

    def scarce(self: PictureEncoder, pictures: Any) -> torch.Tensor:
        sizes.append(len(pictures))
        if len(pictures) > 3:
            raise torch.OutOfMemoryError("too many")
        return values(self, pictures)

    monkeypatch.setattr(PictureEncoder, "_values", scarce)
    monkeypatch.setattr(small._encode, "_batches", MemoryBatches(10))  # type: ignore[attr-defined]
    assert relative_error(embed(small, *FRAMES), expected) < FP32_TOLERANCE
    assert sizes == [8, 4, 2, 2, 2, 2]


def test_a_frame_shown_again_runs_once_and_counts_twice(small: Encoder) -> None:
    one, two = FRAMES[0]
    (item,) = prepared(small, [one, one, two])
    assert len(item.value.distinct) == 2
    assert item.counts == ({"num_frames": 3, "cut": 0},)
    (ours,) = small.encode([item])
    again = embed(small, [one, one.copy(), two])
    assert relative_error(ours[None], again) < FP32_TOLERANCE
    assert relative_error(ours[None], embed(small, [one, two])) > 100 * FP32_TOLERANCE


def test_an_empty_batch_gives_nothing(small: Encoder) -> None:
    assert small.encode([]) == []


def test_broken_weights_give_nan_and_not_numbers() -> None:
    encoder: Any = encoder_of(pooling="mean+max")
    encoder._encode._network.layer4[0].conv1.weight[0] = np.nan
    assert np.isnan(embed(encoder, FRAMES[0])).any()


# Preparation


def test_prepare_says_what_it_saw_and_pickles_without_torch(small: Encoder) -> None:
    item = small.prepare(clip_of(FRAMES[0], small, cut=True))
    assert item.counts == ({"num_frames": 2, "cut": 1},)
    assert item.digests == ("0" * 64,)
    assert all(frame.shape == (224, 224, 3) and frame.dtype == np.uint8 for frame in item.value.distinct)
    code = "import pickle, sys; pickle.loads(sys.stdin.buffer.read()); print('torch' in sys.modules)"
    root = Path(__file__).resolve().parents[4]
    for encoder in (small, encoder_of("resnet50", published=True)):
        packed = pickle.dumps(encoder.prepare)
        done = subprocess.run([sys.executable, "-c", code], input=packed, capture_output=True, check=True, cwd=root)
        assert done.stdout.strip() == b"False"


def test_a_clip_without_video_says_so(small: Encoder) -> None:
    assert small.needs is not None
    assert small.needs.frames is not None
    missing = UnavailableError(Reason.NO_VIDEO, "1 streams")
    with pytest.raises(UnavailableError, match="no-video"):
        small.prepare(Clip(utterance(), "0" * 64, pictures={small.needs.frames: missing}))


# As published


def test_as_published_is_the_reports_call_on_the_mosaic() -> None:
    encoder = encoder_of("resnet50", published=True)
    assert encoder.needs is not None
    assert encoder.needs.frames is not None
    assert (encoder.needs.frames.count, encoder.needs.frames.ends) == (5, True)
    frames = [picture(number, 640, 360) for number in range(5)]
    values = to_tensor(crop(Resize(256)(Image.fromarray(mosaic(frames))), 0, 0, 256, 721))
    plain = Plain("resnet50")
    expected = plain.vector(normalize(values, plain.preset.mean, plain.preset.std))
    assert relative_error(embed(encoder, frames), expected[None]) < FP32_TOLERANCE
    last = [*frames[:2], *[picture(9, 640, 360)] * 3]
    assert relative_error(embed(encoder, last), expected[None]) < FP32_TOLERANCE, "three frames never arrive"
    assert encoder.spec.settings["as_published"] is True
    with pytest.raises(UsageError, match="--as-published is for ResNet-50, not 'resnet18'"):
        encoder_of("resnet18", published=True)


@pytest.mark.parametrize("encoder", ["resnet50", "retinaface-resnet50"])
def test_as_published_the_weights_are_the_first(encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    network = random_network(lambda: get_model("resnet50", weights=None))
    digests = {}
    for name in ("resnet50-11ad3fa6.pth", "resnet50-0676ba61.pth"):  # of the report's v0.6.0: resnet50-19c8e357.pth
        network.conv1.weight.add_(1.0)  # type: ignore[operator, union-attr]
        torch.save(network.state_dict(), folder / name)
        digests[name] = load_backbone(str(folder / name), "pretrained").digest
    values = {"frames": 5, "max_seconds": 30.0, "size": 240}
    source = EncoderSpec("visual", "faces", 1, "media", "sequence", (15,), values, "random", "d" * 64)
    today, first, named = (
        create(EncoderRequest(encoder, model=model, as_published=as_published, source=source)).spec
        for model, as_published in ((None, False), (None, True), ("resnet50", True))
    )
    assert today.weights_digest == digests["resnet50-11ad3fa6.pth"]
    assert first.weights_digest == digests["resnet50-0676ba61.pth"]
    assert named.fingerprint == first.fingerprint, "a run that is computed again names the model that it recorded"


# Spec


def test_the_spec_says_what_was_done(resnet50: Encoder) -> None:
    spec = resnet50.spec
    assert (spec.modality, spec.encoder, spec.kind, spec.shape) == ("visual", "resnet50", "vector", (2048,))
    assert (spec.depends, spec.weights, spec.compute_dtype, spec.stored_dtype) == ("media", "random", "fp32", "float32")
    assert spec.settings == {
        "frames": 5,
        "max_seconds": 30.0,
        "pooling": "mean",
        "architecture": "resnet50",
        "resize": 232,
        "crop": 224,
        "interpolation": "bilinear",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "random_seed": 0,
    }


def test_every_setting_is_another_feature() -> None:
    encoders = [
        encoder_of(),
        encoder_of(frames=3),
        encoder_of(max_seconds=5),
        encoder_of(pooling="max"),
        encoder_of(dtype="bf16"),
        encoder_of("resnet34"),
    ]
    assert len({encoder.spec.fingerprint for encoder in encoders}) == len(encoders)
    assert encoders[0].spec.weights_digest == encoders[4].spec.weights_digest
    with pytest.raises(UsageError, match=r"resnet50 has no pooling 'median': .*known: max, mean, mean\+max, sequence"):
        encoder_of(pooling="median")


def test_the_numbers_are_pinned(small: Encoder) -> None:
    """They may change only together with the encoder's version, or stored features would mix two meanings."""
    assert VERSION == 1
    ours = embed(small, FRAMES[0])[0].astype(np.float64)
    assert ours[[0, 100, 200, 511]].tolist() == pytest.approx([0.466453, 1.347818, 3.562675, 4.469093], rel=1e-3)
    weights = np.cos(np.arange(512))  # one sum over everything, where no two values can trade places
    assert float(weights @ ours) == pytest.approx(16.45652, rel=1e-3)
