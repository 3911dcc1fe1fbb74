"""`speech-spectrogram` against plain Hugging Face, one window at a time; what is pooled, batches, windows, refusals."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parity import BF16_ERROR_ENERGY, FP32_TOLERANCE, error_energy, nearest_is_itself, relative_error
from tiny_bert import write_tiny_bert
from tiny_spectrogram import KINDS, WIDTH, write_tiny_spectrogram
from tiny_speech import clip_of, voice, write_tiny_speech

from features.encoders.audio.spectrogram_models import SpectrogramModel
from features.encoders.audio.speech_spectrogram import SpectrogramPreparer
from features.encoders.build import create
from features.encoders.protocol import EncoderRequest
from features.errors import Reason, UnavailableError, UsageError, WeightsError
from features.media.needs import AudioNeed

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTHS = (9000, 5000, 1100, 9001, 12345)  # shorter than every window, in samples
WINDOWS = {"whisper": 16_000, "wav2vec2-bert": 480_000, "ast": 10_480, "clap": 480_000, "clap-fusion": 480_000}
Folders = Callable[[str], Path]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    root = tmp_path_factory.mktemp("spectrogram")
    return lambda kind: root / kind if (root / kind).exists() else write_tiny_spectrogram(root / kind, kind)


def encoder_of(folder: Path, dtype: str = "fp32", **settings: Any) -> Any:
    return create(EncoderRequest("speech-spectrogram", settings, model=str(folder), dtype=dtype))


def embed(encoder: Any, *sounds: np.ndarray) -> np.ndarray:
    return np.stack(encoder.encode([encoder.prepare(clip_of(encoder, samples)) for samples in sounds]))


def sounds_for(kind: str) -> list[np.ndarray]:
    window = WINDOWS[kind]
    return [voice(min(length, window), seed) for seed, length in enumerate(LENGTHS)]


def plain_states(folder: Path, kind: str, samples: np.ndarray) -> list[np.ndarray]:
    """Of each hidden state of one window [t, w], what stands for the sound: counted here from first principles."""
    from transformers import AutoFeatureExtractor, AutoModel

    extractor = AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(samples, sampling_rate=extractor.sampling_rate, return_tensors="pt")
    model = AutoModel.from_pretrained(folder).eval()
    network = {"whisper": "encoder", "clap": "audio_model", "clap-fusion": "audio_model"}.get(kind)
    with torch.inference_mode():
        part = getattr(model, network) if network else model
        output = part(**inputs, output_hidden_states=not kind.startswith("clap"))
    if kind.startswith("clap"):
        places = output.last_hidden_state[0].flatten(1).T.numpy()
        np.testing.assert_allclose(places.mean(axis=0), output.pooler_output[0], rtol=1e-4, atol=1e-5)
        return [places]
    states = [state[0].numpy() for state in (*output.hidden_states[:-1], output.last_hidden_state)]
    if kind == "whisper":  # a frame stands for 20 ms, and begins there
        return [state[np.arange(50) * 320 < len(samples)] for state in states]
    if kind == "wav2vec2-bert":
        real = inputs["attention_mask"][0].numpy().astype(bool)
        assert len(samples) > 30_000 or real.sum() == (1 + (len(samples) - 400) // 160) // 2
        return [state[real] for state in states]
    begins = np.tile(np.arange(5) * 10, 2)  # of the patches over time, for both bands of them
    return [state[2:][begins < 1 + (len(samples) - 400) // 160] for state in states]


def pooled(states: np.ndarray) -> np.ndarray:
    return np.concatenate([states.mean(axis=0), states.max(axis=0)])


@pytest.mark.parametrize("kind", KINDS)
def test_an_embedding_is_the_plain_librarys_over_the_sound_alone(folders: Folders, kind: str) -> None:
    """In a batch of sounds of several lengths."""
    sounds = sounds_for(kind)
    encoder = encoder_of(folders(kind))
    expected = np.stack([pooled(plain_states(folders(kind), kind, samples)[-1]) for samples in sounds])
    ours = embed(encoder, *sounds)
    assert ours.shape == (len(sounds), 2 * (WIDTH if not kind.startswith("clap") else 64))
    assert relative_error(ours, expected) < FP32_TOLERANCE
    assert nearest_is_itself(ours, expected)
    alone = np.concatenate([embed(encoder, samples) for samples in sounds])
    assert relative_error(alone, ours) < FP32_TOLERANCE


@pytest.mark.parametrize("kind", ["whisper", "ast"])
def test_pooling_over_the_padding_would_be_told(folders: Folders, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = sounds_for(kind)[1:3]
    encoder = encoder_of(folders(kind))
    right = embed(encoder, *samples)
    window = encoder._model.kind.window
    real = encoder._model.kind.real
    object.__setattr__(encoder._model.kind, "real", lambda states, _, unmasked: real(states, window, unmasked))
    assert relative_error(embed(encoder, *samples), right) > 1000 * FP32_TOLERANCE


@pytest.mark.parametrize("kind", ["whisper", "wav2vec2-bert", "ast"])
def test_layers_are_the_hidden_states(folders: Folders, kind: str) -> None:
    samples = sounds_for(kind)[0]
    stack = embed(encoder_of(folders(kind), layers="all", pooling="mean"), samples)[0]
    expected = np.stack([state.mean(axis=0) for state in plain_states(folders(kind), kind, samples)])
    assert stack.shape == (3, WIDTH)
    assert relative_error(stack, expected) < FP32_TOLERANCE
    joined = embed(encoder_of(folders(kind), layers="-2,-1", pooling="mean"), samples)
    assert relative_error(joined, expected[1:].reshape(1, -1)) < FP32_TOLERANCE


@pytest.mark.parametrize("kind", ["whisper", "ast", "clap", "clap-fusion"])
def test_a_longer_sound_is_pooled_over_windows_by_their_length(folders: Folders, kind: str) -> None:
    window = WINDOWS[kind]
    samples = voice(2 * window + window // 3, 7)
    encoder = encoder_of(folders(kind), max_seconds=60)
    parts = [samples[:window], samples[window : 2 * window], samples[2 * window :]]
    states = np.concatenate([plain_states(folders(kind), kind, part)[-1] for part in parts])
    assert relative_error(embed(encoder, samples), pooled(states)[None]) < FP32_TOLERANCE
    (again,) = embed(encoder, samples)
    assert again.tobytes() == embed(encoder, samples)[0].tobytes(), "no random crop"


def test_a_rest_below_the_smallest_input_is_heard_with_what_came_before() -> None:
    prepare = SpectrogramPreparer(AudioNeed(16_000, 30.0), 1000, 400)
    assert prepare.windows(1000) == [slice(0, 1000)]
    assert prepare.windows(2400) == [slice(0, 1000), slice(1000, 2000), slice(2000, 2400)]
    assert prepare.windows(2399) == [slice(0, 1000), slice(1000, 2000), slice(1999, 2399)]


@pytest.mark.parametrize("kind", ["whisper", "wav2vec2-bert", "ast"])
def test_half_precision_is_near(folders: Folders, kind: str) -> None:
    sounds = sounds_for(kind)
    whole, half = embed(encoder_of(folders(kind)), *sounds), embed(encoder_of(folders(kind), "bf16"), *sounds)
    assert error_energy(half, whole) < BF16_ERROR_ENERGY
    assert relative_error(half, whole) > 10 * FP32_TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_the_shortest_sound_has_an_embedding_and_less_has_none(folders: Folders, kind: str) -> None:
    encoder = encoder_of(folders(kind))
    smallest = {"wav2vec2-bert": 560, "clap": 1024, "clap-fusion": 1024}.get(kind, 400)
    assert np.isfinite(embed(encoder, voice(smallest))).all()
    prepare = pickle.loads(pickle.dumps(encoder.prepare))
    with pytest.raises(UnavailableError, match=f"{smallest - 1} samples at .* Hz .at least {smallest}") as caught:
        prepare(clip_of(encoder, voice(smallest - 1)))
    assert caught.value.reason is Reason.TOO_SHORT
    assert prepare(clip_of(encoder, voice(5000), cut=True)).counts == ({"num_samples": 5000, "cut": 1},)


def test_the_extractor_is_in_the_fingerprint(folders: Folders, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders("ast"), tmp_path / "copy"))
    first = encoder_of(folder).spec
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"mean": -3.0}))
    second = encoder_of(folder).spec
    assert first.fingerprint != second.fingerprint
    assert first.weights_digest == second.weights_digest
    assert second.settings["extractor"]["mean"] == -3.0
    assert "mel_filters" not in second.settings["extractor"]


def test_whispers_weights_are_its_encoders(folders: Folders) -> None:
    from transformers import AutoModel

    from features.digests import weights_digest

    encoder = AutoModel.from_pretrained(folders("whisper")).get_encoder()
    assert encoder_of(folders("whisper")).spec.weights_digest == weights_digest(encoder.state_dict())


def test_other_models_are_refused(folders: Folders, tmp_path: Path) -> None:
    for folder, kind in ((write_tiny_speech(tmp_path / "w"), "wav2vec2"), (write_tiny_bert(tmp_path / "b"), "bert")):
        with pytest.raises(WeightsError, match=rf"of type '{kind}': .*known: .*whisper: give Whisper, wav2vec2-BERT"):
            encoder_of(folder)
    with pytest.raises(UsageError, match=r"layers='-2': the model has -1"):
        encoder_of(folders("clap"), layers="-2")
    copy = Path(shutil.copytree(folders("whisper"), tmp_path / "copy"))
    path = copy / "preprocessor_config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"chunk_length": 2, "n_samples": 32_000, "nb_max_frames": 200}))
    with pytest.raises(WeightsError, match=r"makes 32000 samples a window, and the model takes 16000: take both"):
        encoder_of(copy)
    shutil.copy(folders("ast") / "preprocessor_config.json", path)
    with pytest.raises(WeightsError, match="has a ASTFeatureExtractor, not a WhisperFeatureExtractor"):
        encoder_of(copy)
    path.unlink()
    with pytest.raises(WeightsError, match=r"feature extractor cannot be loaded .* add preprocessor_config\.json"):
        encoder_of(copy)


def test_random_weights_are_whisper_tinys_architecture() -> None:
    model = SpectrogramModel(EncoderRequest("speech-spectrogram", weights="random"))
    assert (model.rate_hz, model.num_states, model.width, model.kind.window) == (16_000, 5, 384, 480_000)
