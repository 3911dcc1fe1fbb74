"""`video` against plain Hugging Face, one clip at a time; frames in order, batches, numbers of frames, refusals."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parity import BF16_ERROR_ENERGY, FP32_TOLERANCE, error_energy, nearest_is_itself, relative_error
from picture_factory import clip_of, embed, picture, prepared
from tiny_bert import write_tiny_bert
from tiny_video import SIDE, WIDTH, write_tiny_video

from features.digests import weights_digest
from features.encoders.build import create
from features.encoders.protocol import EncoderRequest
from features.errors import UsageError, WeightsError

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = ("videomae", "timesformer", "vjepa2")
FRAMES = {"videomae": 4, "timesformer": 3, "vjepa2": 4}
Folders = Callable[[str], Path]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    root = tmp_path_factory.mktemp("video")
    return lambda kind: root / kind if (root / kind).exists() else write_tiny_video(root / kind, kind)


def encoder_of(folder: Path, dtype: str = "fp32", **settings: Any) -> Any:
    return create(EncoderRequest("video", settings, model=str(folder), dtype=dtype))


def clips_for(kind: str, count: int | None = None) -> list[list[np.ndarray]]:
    """Three clips, one of another size, one with a picture that stays."""
    number = count or FRAMES[kind]
    still = [picture(40 + min(index, 1), 64, 48) for index in range(number)]
    still[-1] = still[-2]
    return [
        [picture(index, 64, 48) for index in range(number)],
        [picture(20 + index, 40, 60) for index in range(number)],
        still,
    ]


def plain_states(folder: Path, kind: str, frames: list[np.ndarray]) -> np.ndarray:
    """[t, w] by the plain library, the frames of a clip prepared at once."""
    from transformers import AutoImageProcessor, AutoModel, AutoVideoProcessor

    if kind == "vjepa2":
        processor = AutoVideoProcessor.from_pretrained(folder)
        inputs = processor(videos=[list(frames)], do_sample_frames=False, return_tensors="pt")
    else:
        inputs = AutoImageProcessor.from_pretrained(folder)(frames, return_tensors="pt")
    model = AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        if kind == "vjepa2":
            return model.get_vision_features(**inputs)[0].numpy()
        return model(**inputs).last_hidden_state[0].numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_an_embedding_is_the_plain_librarys(folders: Folders, kind: str) -> None:
    """In a batch of clips of two sizes."""
    clips = clips_for(kind)
    states = [plain_states(folders(kind), kind, frames)[int(kind == "timesformer") :] for frames in clips]
    assert len(states[0]) == {"videomae": 2 * 4, "timesformer": 3 * 4, "vjepa2": 2 * 4}[kind]
    for pooling, expected in (
        ("mean", [state.mean(axis=0) for state in states]),
        ("mean+max", [np.concatenate([state.mean(axis=0), state.max(axis=0)]) for state in states]),
    ):
        encoder = encoder_of(folders(kind), pooling=pooling)
        ours = embed(encoder, *clips)
        assert ours.shape == (3, *encoder.spec.shape)
        assert relative_error(ours, np.stack(expected)) < FP32_TOLERANCE
        assert nearest_is_itself(ours, np.stack(expected))
        alone = np.concatenate([embed(encoder, frames) for frames in clips])
        assert relative_error(alone, ours) < FP32_TOLERANCE


def test_the_class_token_is_timesformers(folders: Folders) -> None:
    clips = clips_for("timesformer")
    expected = np.stack([plain_states(folders("timesformer"), "timesformer", frames)[0] for frames in clips])
    encoder = encoder_of(folders("timesformer"), pooling="cls")
    assert encoder.spec.shape == (WIDTH,)
    assert relative_error(embed(encoder, *clips), expected) < FP32_TOLERANCE
    with pytest.raises(UsageError, match="has no class token: give pooling=mean"):
        encoder_of(folders("videomae"), pooling="cls")


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_the_frames_counts(folders: Folders, kind: str) -> None:
    frames = clips_for(kind)[0]
    encoder = encoder_of(folders(kind))
    forwards, backwards = embed(encoder, frames, frames[::-1])
    assert relative_error(forwards[None], backwards[None]) > 100 * FP32_TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_near(folders: Folders, kind: str) -> None:
    clips = clips_for(kind)
    whole, half = embed(encoder_of(folders(kind)), *clips), embed(encoder_of(folders(kind), "bf16"), *clips)
    assert error_energy(half, whole) < BF16_ERROR_ENERGY
    assert relative_error(half, whole) > 10 * FP32_TOLERANCE


def test_frames_are_as_many_as_the_model_takes(folders: Folders) -> None:
    assert encoder_of(folders("timesformer")).needs.frames.count == 3
    assert encoder_of(folders("videomae"), frames=4).spec.settings["frames"] == 4
    with pytest.raises(UsageError, match=r"frames=8: .*videomae takes 4$"):
        encoder_of(folders("videomae"), frames=8)
    with pytest.raises(UsageError, match=r"frames=5: .*vjepa2 takes 4 or a multiple of 2"):
        encoder_of(folders("vjepa2"), frames=5)
    with pytest.raises(UsageError, match="frames='many' is neither a whole number nor own"):
        encoder_of(folders("vjepa2"), frames="many")
    frames = clips_for("vjepa2", 6)[0]
    expected = plain_states(folders("vjepa2"), "vjepa2", frames).mean(axis=0)
    assert relative_error(embed(encoder_of(folders("vjepa2"), frames=6), frames), expected[None]) < FP32_TOLERANCE


def test_a_folder_with_a_video_processor_is_one_feature_in_values(folders: Folders, tmp_path: Path) -> None:
    """VideoMAE's image processor and its video processor prepare the same pixels."""
    folder = write_tiny_video(tmp_path / "videomae", "videomae", video_processor=True)
    clips = clips_for("videomae")
    assert relative_error(embed(encoder_of(folder), *clips), embed(encoder_of(folders("videomae")), *clips)) < 1e-5


def test_the_preparer_pickles_and_counts(folders: Folders) -> None:
    for kind in ("videomae", "vjepa2"):
        encoder = encoder_of(folders(kind))
        prepare = pickle.loads(pickle.dumps(encoder.prepare))
        made = prepare(clip_of(clips_for(kind)[2], encoder, cut=True))
        assert made.counts == ({"num_frames": 4, "cut": 1},)
        assert len(made.value.distinct) < len(made.value.order) == 4
        shown = encoder.view(clip_of(clips_for(kind)[0], encoder), prepared(encoder, clips_for(kind)[0])[0])
        assert shown.strips[0].pictures[0].shape == (SIDE, SIDE, 3)


def test_the_predictor_is_not_part_of_the_weights(folders: Folders) -> None:
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folders("vjepa2"))
    assert encoder_of(folders("vjepa2")).spec.weights_digest == weights_digest(model.encoder.state_dict())


def test_other_models_and_folders_without_a_processor_are_refused(folders: Folders, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"of type 'bert': .*known: timesformer, videomae, vjepa2: give VideoMAE"):
        encoder_of(write_tiny_bert(tmp_path / "bert"))
    copy = Path(shutil.copytree(folders("videomae"), tmp_path / "copy"))
    (copy / "preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match=r"processor of model .* add video_preprocessor_config\.json or prepro"):
        encoder_of(copy)


@pytest.mark.slow
def test_random_weights_are_videomae_bases_architecture() -> None:
    encoder = create(EncoderRequest("video", weights="random"))
    assert (encoder.spec.shape, encoder.spec.settings["frames"]) == ((768,), 16)
