"""`wav2vec2` against plain Hugging Face, one clip at a time; batches, windows, refusals and the report's input."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clip_factory import sine, utterance, write_clip
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import BF16_ERROR_ENERGY, FP32_TOLERANCE, error_energy, nearest_is_itself, relative_error
from tiny_bert import write_tiny_bert
from tiny_speech import (
    KINDS,
    LAYERS,
    LONE_KINDS,
    MASKED_KINDS,
    RATE_HZ,
    RECEPTIVE_FIELD,
    WIDTH,
    clip_of,
    tiny_config,
    voice,
    write_tiny_speech,
)

from features.encoders.audio import speech_models, wav2vec2
from features.encoders.audio.published_sound import PublishedSoundPreparer
from features.encoders.audio.speech_frames import FrameGeometry, cut_windows
from features.encoders.audio.speech_models import SpeechModel
from features.encoders.audio.wav2vec2 import VERSION, Wav2Vec2Encoder
from features.encoders.build import create
from features.encoders.protocol import Encoder, EncoderRequest
from features.errors import Reason, UnavailableError, UsageError, WeightsError
from features.media.clip import decode_clip
from features.spec import EncoderSpec

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTHS = (20001, 400, 9000, 3200, 16000)
VOICES = [voice(length, seed) for seed, length in enumerate(LENGTHS)]
Folders = Callable[..., Path]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """folders(kind) writes that model once."""
    root = tmp_path_factory.mktemp("speech")

    def folder(kind: str) -> Path:
        return root / kind if (root / kind).exists() else write_tiny_speech(root / kind, kind)

    return folder


@pytest.fixture(scope="module")
def tiny(folders: Folders) -> Encoder:
    return _default(folders("wav2vec2"))


def _encoder(folder: Path, dtype: str = "fp32", **values: Any) -> Encoder:
    return create(EncoderRequest("wav2vec2", values, model=str(folder), dtype=dtype))


@lru_cache
def _default(folder: Path) -> Encoder:
    """The encoder without settings, built once."""
    return _encoder(folder)


@lru_cache
def _plain(folder: Path) -> tuple[Any, Any]:
    """The same folder as Hugging Face's own feature extractor and model."""
    from transformers import AutoFeatureExtractor, AutoModel

    return AutoFeatureExtractor.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()


def _embed(encoder: Encoder, sounds: list[np.ndarray]) -> np.ndarray:
    """[n, d], layers kept apart laid one behind the other."""
    inputs = [encoder.prepare(clip_of(encoder, sound)) for sound in sounds]
    return np.stack([array.ravel() for array in encoder.encode(inputs)])


def _states(folder: Path, samples: np.ndarray, **feeding: Any) -> list[np.ndarray]:
    """Plain Hugging Face on one clip: every hidden state [t, w], the last one `last_hidden_state`."""
    extractor, model = _plain(folder)
    values = extractor(samples, sampling_rate=RATE_HZ, return_tensors="pt").input_values
    with torch.no_grad():
        output = model(feeding.get("raw", values), output_hidden_states=True)
    return [state[0].numpy() for state in (*output.hidden_states[:-1], output.last_hidden_state)]


def _pooled(frames: np.ndarray) -> np.ndarray:
    return np.concatenate([frames.mean(axis=0, dtype=np.float64), frames.max(axis=0)])


def _reference(folder: Path, sounds: list[np.ndarray], layers: tuple[int, ...] = (-1,)) -> np.ndarray:
    """[n, layers * 2 w]: mean and maximum of each layer of plain Hugging Face."""
    rows = []
    for sound in sounds:
        states = _states(folder, sound)
        rows.append(np.concatenate([_pooled(states[layer]) for layer in layers]))
    return np.stack(rows)


# Parity


@pytest.mark.parametrize("kind", KINDS)
def test_mixed_batches_give_what_plain_hugging_face_gives_one_clip_at_a_time(folders: Folders, kind: str) -> None:
    encoder = _default(folders(kind))
    assert isinstance(encoder, Wav2Vec2Encoder)
    assert encoder._model.masked == (kind in MASKED_KINDS)
    reference = _reference(folders(kind), VOICES)
    assert encoder.spec.shape == reference.shape[1:]
    assert relative_error(_embed(encoder, VOICES), reference) < FP32_TOLERANCE
    alone = np.concatenate([_embed(encoder, [sound]) for sound in VOICES])
    assert relative_error(alone, reference) < FP32_TOLERANCE


@pytest.mark.parametrize("kind", ["wav2vec2", "wav2vec2-large", "wavlm-large", "data2vec-audio"])
def test_layers_are_hugging_faces_hidden_states(folders: Folders, kind: str) -> None:
    encoder = _encoder(folders(kind), layers="-1,0,-3")
    assert relative_error(_embed(encoder, VOICES), _reference(folders(kind), VOICES, (-1, 0, -3))) < FP32_TOLERANCE


def test_layers_before_an_adapter_have_their_own_width(folders: Folders) -> None:
    folder = folders("wav2vec2-adapter")
    encoder = _encoder(folder, layers="stack:-2,0")
    assert encoder.spec.shape == (2, 2 * WIDTH)
    assert relative_error(_embed(encoder, VOICES), _reference(folder, VOICES, (-2, 0))) < FP32_TOLERANCE
    with pytest.raises(UsageError, match=r"layers='-1,-2': their widths are \[32, 32, 32, 24\]: choose like ones"):
        _encoder(folder, layers="-1,-2")


def test_all_layers_are_kept_apart(folders: Folders) -> None:
    encoder = _encoder(folders("wav2vec2-large"), layers="all")
    assert encoder.spec.kind == "stack"
    assert encoder.spec.shape == (LAYERS + 1, 2 * WIDTH)
    every = tuple(range(LAYERS + 1))
    reference = _reference(folders("wav2vec2-large"), VOICES, every)
    assert relative_error(_embed(encoder, VOICES), reference) < FP32_TOLERANCE
    last = _encoder(folders("wav2vec2-large"), layers="last:2")
    assert last.spec.settings["layers"] == "stack:-2,-1"
    np.testing.assert_allclose(_embed(last, VOICES), reference[:, -4 * WIDTH :], atol=1e-4)


def test_the_last_layer_is_behind_the_final_norm(folders: Folders) -> None:
    _, model = _plain(folders("wav2vec2-large"))
    with torch.no_grad():
        output = model(torch.from_numpy(VOICES[0])[None], output_hidden_states=True)
    assert (output.hidden_states[-1] - output.last_hidden_state).abs().max() > 0.1  # so the two are to be told apart


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_pooling_is_a_setting(folders: Folders, pooling: str) -> None:
    encoder = _encoder(folders("wav2vec2"), pooling=pooling)
    half = slice(0, WIDTH) if pooling == "mean" else slice(WIDTH, None)
    assert relative_error(_embed(encoder, VOICES), _reference(folders("wav2vec2"), VOICES)[:, half]) < FP32_TOLERANCE


def test_a_clip_is_normalised_as_its_model_says(tmp_path: Path, folders: Folders) -> None:
    raw = write_tiny_speech(tmp_path / "raw", "wav2vec2-large", do_normalize=False)
    encoder, other = _encoder(raw), _default(folders("wav2vec2-large"))
    assert relative_error(_embed(encoder, VOICES), _reference(raw, VOICES)) < FP32_TOLERANCE
    assert encoder.spec.settings["normalise"] == "none"
    assert encoder.spec.weights_digest == other.spec.weights_digest
    assert encoder.spec.fingerprint != other.spec.fingerprint
    assert relative_error(_embed(encoder, VOICES), _embed(other, VOICES)) > 0.01


@pytest.mark.parametrize("kind", ["wav2vec2", "wavlm", "wav2vec2-large"])
def test_bf16_keeps_what_tells_clips_apart(folders: Folders, kind: str) -> None:
    sounds = [voice(2000 + 1100 * seed, seed) for seed in range(12)]
    reference = _reference(folders(kind), sounds)
    encoder = _encoder(folders(kind), dtype="bf16")
    ours = _embed(encoder, sounds)
    assert 1e-7 < error_energy(ours, reference) < BF16_ERROR_ENERGY
    assert nearest_is_itself(ours, reference)
    full = _default(folders(kind))
    assert encoder.spec.weights_digest == full.spec.weights_digest
    assert encoder.spec.fingerprint != full.spec.fingerprint


# Mutants: each must fail the check that the code passes


def _pad_front(monkeypatch: pytest.MonkeyPatch) -> None:
    """The front end on clips padded to the longest, its real frames kept."""
    front = SpeechModel._front

    def padded(model: SpeechModel, window: np.ndarray) -> torch.Tensor:
        whole = np.zeros(max(LENGTHS), np.float32)
        whole[: len(window)] = window
        return front(model, whole)[: model.geometry.num_frames(len(window))]

    monkeypatch.setattr(SpeechModel, "_front", padded)


def _unmask_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        speech_models, "_frame_mask", lambda lengths, device: torch.ones(len(lengths), max(lengths), dtype=torch.bool)
    )


def _pool_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        speech_models, "pool", lambda values, mask, name: torch.cat([values.mean(1), values.amax(1)], dim=-1)
    )


def _unmask_transformer(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2Encoder as Transformer

    forward = Transformer.forward
    monkeypatch.setattr(Transformer, "forward", lambda self, states, attention_mask: forward(self, states))


def _skip_normalising(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SpeechModel, "normalise", lambda model, samples: samples)


@pytest.mark.parametrize("mutate", [_pad_front, _unmask_everything, _pool_padding, _unmask_transformer])
def test_parity_fails_for_mutants(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, mutate: Callable[[pytest.MonkeyPatch], None]
) -> None:
    encoder = _default(folders("wav2vec2"))
    reference = _reference(folders("wav2vec2"), VOICES)
    mutate(monkeypatch)
    assert relative_error(_embed(encoder, VOICES), reference) > 100 * FP32_TOLERANCE


def test_bf16_measures_fail_for_mutants(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    sounds = [voice(2000 + 1100 * seed, seed) for seed in range(12)]
    reference = _reference(folders("wav2vec2"), sounds)
    encoder = _encoder(folders("wav2vec2"), dtype="bf16")
    _unmask_everything(monkeypatch)
    assert error_energy(_embed(encoder, sounds), reference) > 2 * BF16_ERROR_ENERGY


def test_without_normalising_a_layer_norm_model_differs(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = _default(folders("wav2vec2-large"))
    reference = _reference(folders("wav2vec2-large"), VOICES)
    _skip_normalising(monkeypatch)
    assert relative_error(_embed(encoder, VOICES), reference) > 100 * FP32_TOLERANCE


@pytest.mark.parametrize("kind", ["data2vec-audio", "hubert-batch-norm", "wav2vec2-conformer"])
def test_models_that_run_alone_could_not_be_batched(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(speech_models, "_is_masked", lambda network: True)
    with pytest.raises(WeightsError, match="gives an input beside a longer one another result"):
        _encoder(folders(kind))  # the probe at loading tells it already
    monkeypatch.setattr(speech_models, "check_promises", lambda *arguments: None)
    encoder = _encoder(folders(kind))
    reference = _reference(folders(kind), VOICES)
    assert relative_error(_embed(encoder, VOICES), reference) > 100 * FP32_TOLERANCE


def test_the_kinds_are_all_there() -> None:
    assert len(MASKED_KINDS) == 8
    assert len(LONE_KINDS) == 5
    assert {tiny_config(kind).model_type for kind in MASKED_KINDS} == set(speech_models.MASKED)


# Batches and windows


@settings(max_examples=10, deadline=None)
@given(lengths=st.lists(st.integers(RECEPTIVE_FIELD, 6000), min_size=1, max_size=6))
def test_an_embedding_does_not_depend_on_its_batch_mates(tiny: Encoder, lengths: list[int]) -> None:
    sounds = [voice(length, seed) for seed, length in enumerate(lengths)]
    together = _embed(tiny, sounds)
    backwards = _embed(tiny, sounds[::-1])[::-1]
    alone = np.concatenate([_embed(tiny, [sound]) for sound in sounds])
    assert relative_error(together, alone) < FP32_TOLERANCE
    assert relative_error(backwards, alone) < FP32_TOLERANCE


def test_an_empty_batch_gives_nothing(tiny: Encoder) -> None:
    assert tiny.encode([]) == []


@pytest.mark.parametrize("layers", ["-1", "stack:0,-1"])
@pytest.mark.parametrize("kind", ["wav2vec2", "data2vec-audio"])
def test_long_sound_is_pooled_over_the_frames_of_its_windows(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, kind: str, layers: str
) -> None:
    monkeypatch.setattr(wav2vec2, "WINDOW_SECONDS", 1)
    encoder = _encoder(folders(kind), layers=layers)
    sounds = [voice(50000, 1), voice(3000, 2), voice(2 * RATE_HZ + RECEPTIVE_FIELD - 1, 3), voice(RATE_HZ + 400, 4)]
    expected = []
    for sound, starts in zip(sounds, ([0, 16000, 32000, 48000], [0], [0, 16000], [0, 16000]), strict=True):
        normalised = (sound - sound.mean()) / np.sqrt(sound.var() + 1e-7)
        ends = [*starts[1:], len(sound)]
        states = [
            _states(folders(kind), sound, raw=torch.from_numpy(normalised[None, start:end]))
            for start, end in zip(starts, ends, strict=True)
        ]
        layered = [np.concatenate(parts) for parts in zip(*states, strict=True)]
        expected.append(np.concatenate([_pooled(layered[i]) for i in ((0, -1) if layers != "-1" else (-1,))]))
    assert relative_error(_embed(encoder, sounds), np.stack(expected)) < FP32_TOLERANCE
    counts = encoder.prepare(clip_of(encoder, sounds[0])).counts
    assert counts == ({"num_samples": 50000, "num_frames": 99 + 99 + 99 + 12, "cut": 0},)
    assert encoder.spec.settings["window_seconds"] == 1


def test_batches_of_the_transformer_are_bounded(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the clips, no padded batch exceeds the limit, and windows are taken one by one."""
    encoder = _default(folders("wav2vec2"))
    free = _embed(encoder, VOICES)
    monkeypatch.setitem(speech_models._MAX_FRAMES, "cpu", 130)
    sizes = []
    transform = SpeechModel._transform

    def watched(model: SpeechModel, fronts: Any, *rest: Any) -> Any:
        sizes.append(len(fronts) * max(map(len, fronts)))
        return transform(model, fronts, *rest)

    monkeypatch.setattr(SpeechModel, "_transform", watched)
    assert relative_error(_embed(encoder, VOICES), free) < FP32_TOLERANCE
    assert len(sizes) > 2
    assert max(sizes) <= 130


def test_a_batch_without_room_is_halved(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = _default(folders("wav2vec2"))
    free = _embed(encoder, VOICES)
    transform = SpeechModel._transform

    def cramped(model: SpeechModel, fronts: Any, *rest: Any) -> Any:
        if len(fronts) > 1:
            raise torch.OutOfMemoryError("no room")
        return transform(model, fronts, *rest)

    monkeypatch.setattr(SpeechModel, "_transform", cramped)
    assert relative_error(_embed(encoder, VOICES), free) < FP32_TOLERANCE


@settings(max_examples=200, deadline=None)
@given(num_samples=st.integers(1, 5000), window=st.integers(1, 700), smallest=st.integers(1, 700))
def test_windows_cover_the_sound_once(num_samples: int, window: int, smallest: int) -> None:
    smallest = min(smallest, window, num_samples)
    windows = cut_windows(num_samples, window, smallest)
    covered = [index for own in windows for index in range(own.start, own.stop)]
    assert covered == list(range(num_samples))
    assert all(smallest <= own.stop - own.start < window + smallest for own in windows)


@settings(max_examples=60, deadline=None)
@given(
    convolutions=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 5)), min_size=1, max_size=3),
    num_samples=st.integers(1, 600),
)
def test_frames_are_counted_as_convolutions_make_them(convolutions: list[tuple[int, int]], num_samples: int) -> None:
    geometry = FrameGeometry(tuple(kernel for kernel, _ in convolutions), tuple(stride for _, stride in convolutions))
    layers = [torch.nn.Conv1d(1, 1, kernel, stride) for kernel, stride in convolutions]
    assert (geometry.num_frames(num_samples) > 0) == (num_samples >= geometry.min_samples)
    if num_samples >= geometry.min_samples:
        with torch.no_grad():
            made = torch.nn.Sequential(*layers)(torch.zeros(1, 1, num_samples)).shape[-1]
        assert geometry.num_frames(num_samples) == made


def test_wav2vec2_base_needs_400_samples_a_frame() -> None:
    base = FrameGeometry((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))
    assert base.min_samples == 400
    assert base.num_frames(30 * RATE_HZ) == 1499


# Odd input


@pytest.mark.parametrize("kind", ["wav2vec2", "sew"])
def test_sound_below_a_frame_is_too_short(folders: Folders, kind: str) -> None:
    encoder = _default(folders(kind))
    smallest = RECEPTIVE_FIELD + (160 if kind == "sew" else 0)  # SEW squeezes two frames into one
    with pytest.raises(UnavailableError, match=rf"{smallest - 1} samples at 16000 Hz \(at least {smallest}") as caught:
        encoder.prepare(clip_of(encoder, voice(smallest - 1)))
    assert caught.value.reason is Reason.TOO_SHORT
    assert np.isfinite(_embed(encoder, [voice(smallest)])).all()


@pytest.mark.parametrize("kind", KINDS)
def test_silence_is_finite(folders: Folders, kind: str) -> None:
    embedded = _embed(_default(folders(kind)), [np.zeros(4000, np.float32), VOICES[1]])
    assert np.isfinite(embedded).all()


@pytest.mark.parametrize(
    ("layout", "rate_hz", "channels"), [("mono", 8000, 1), ("stereo", 44100, 2), ("5.1", 48000, 6)]
)
def test_any_clip_is_heard_at_16_khz_mono(
    tmp_path: Path, folders: Folders, layout: str, rate_hz: int, channels: int
) -> None:
    encoder = _default(folders("wav2vec2"))
    sound = np.repeat(sine(0.8, rate_hz), channels, axis=0)
    path = write_clip(tmp_path / "clip.mp4", samples=sound, rate_hz=rate_hz, layout=layout)
    assert encoder.needs is not None
    assert encoder.needs.audio is not None
    clip = decode_clip(path, utterance(), [encoder.needs])
    item = encoder.prepare(clip)
    decoded = clip.sound(encoder.needs.audio).samples
    assert item.counts[0]["num_samples"] == len(decoded) == pytest.approx(0.8 * RATE_HZ, abs=2500)  # AAC pads
    assert item.digests == (clip.digest,)
    reference = _reference(folders("wav2vec2"), [decoded])
    assert relative_error(encoder.encode([item])[0][None], reference) < FP32_TOLERANCE


def test_a_clip_above_max_seconds_is_cut_and_counted(tmp_path: Path, folders: Folders) -> None:
    encoder = _encoder(folders("wav2vec2"), max_seconds=0.5)
    path = write_clip(tmp_path / "clip.mp4", samples=sine(0.8, 48000))
    assert encoder.needs is not None
    item = encoder.prepare(decode_clip(path, utterance(), [encoder.needs]))
    assert item.counts == ({"num_samples": 8000, "num_frames": 49, "cut": 1},)
    assert item.length == 8000


def test_the_preparer_needs_neither_weights_nor_torch(tiny: Encoder) -> None:
    pickled = pickle.dumps(tiny.prepare)
    assert len(pickled) < 1000
    code = (
        f"import pickle, sys; pickle.loads({pickled!r});"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


# Weights and specs


def test_nothing_is_left_to_chance(folders: Folders) -> None:
    """Dropout, layer drop and SpecAugment, all high in this config, are off."""
    encoder = _default(folders("wav2vec2"))
    assert isinstance(encoder, Wav2Vec2Encoder)
    assert not any(module.training for module in encoder._model._network.modules())
    first, second = _embed(encoder, VOICES), _embed(encoder, VOICES)
    assert first.tobytes() == second.tobytes()


def test_a_checkpoint_without_the_mask_vector_is_the_same_weights(tmp_path: Path, folders: Folders) -> None:
    """wav2vec2-base-960h lacks the vector that training puts at masked frames."""
    from safetensors.torch import load_file, save_file

    source = folders("wav2vec2")
    folder = tmp_path / "tuned"
    folder.mkdir()
    weights = load_file(source / "model.safetensors")
    del weights["masked_spec_embed"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    for name in ("config.json", "preprocessor_config.json"):
        (folder / name).write_bytes((source / name).read_bytes())
    assert _encoder(folder).spec.fingerprint == _encoder(source).spec.fingerprint


def test_random_weights_need_no_model_folder_and_are_seeded(folders: Folders) -> None:
    request = EncoderRequest("wav2vec2", {}, model=str(folders("wav2vec2")), weights="random")
    first, second = create(request), create(request)
    assert first.spec.weights == "random"
    assert first.spec.settings["random_seed"] == 0
    assert first.spec.fingerprint == second.spec.fingerprint != _default(folders("wav2vec2")).spec.fingerprint
    np.testing.assert_array_equal(_embed(first, VOICES), _embed(second, VOICES))


def test_what_the_weights_do_not_show_is_in_the_fingerprint(tmp_path: Path, folders: Folders) -> None:
    other = write_tiny_speech(tmp_path / "other", num_attention_heads=8)
    one, two = _default(folders("wav2vec2")).spec, _encoder(other).spec
    assert one.weights_digest == two.weights_digest
    assert one.fingerprint != two.fingerprint
    assert EncoderSpec.from_json(one.to_json()) == one


def test_settings_are_checked(folders: Folders) -> None:
    with pytest.raises(UsageError, match="no pooling 'sum'"):
        _encoder(folders("wav2vec2"), pooling="sum")
    with pytest.raises(UsageError, match="the model has -4"):
        _encoder(folders("wav2vec2"), layers="-5")
    with pytest.raises(UsageError, match="max_seconds=0 must be a finite number above 0"):
        _encoder(folders("wav2vec2"), max_seconds=0)


def test_an_encoder_is_quiet(
    folders: Folders, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    folder = folders("wavlm")
    capfd.readouterr()
    _embed(_encoder(folder), VOICES)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert [str(item.message) for item in recwarn] == []


def test_a_text_model_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_bert(tmp_path / "bert")
    with pytest.raises(WeightsError, match=r"has no preprocessor_config\.json .* such as wav2vec2, HuBERT or WavLM"):
        _encoder(folder)


def test_a_model_of_spectra_is_refused(tmp_path: Path) -> None:
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    sizes = {"d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "vocab_size": 9, "pad_token_id": 0}
    tokens = {"bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    WhisperModel(WhisperConfig(**sizes, **heads, **tokens)).save_pretrained(tmp_path)
    WhisperFeatureExtractor().save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match=r"takes no raw waveform \(it has a WhisperFeatureExtractor\)"):
        _encoder(tmp_path)


def test_a_model_without_convolutions_is_refused(tmp_path: Path) -> None:
    from transformers import Wav2Vec2FeatureExtractor

    Wav2Vec2FeatureExtractor().save_pretrained(write_tiny_bert(tmp_path / "bert"))
    with pytest.raises(WeightsError, match=r"\(bert\) has no convolutions over a raw waveform"):
        _encoder(tmp_path / "bert")


def test_a_damaged_feature_extractor_is_named(tmp_path: Path, folders: Folders) -> None:
    for file in folders("wav2vec2").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "preprocessor_config.json").write_text("[")
    with pytest.raises(WeightsError, match=r"its preprocessor_config\.json cannot be used"):
        _encoder(tmp_path)


def test_another_rate_is_asked_of_the_decoder(tmp_path: Path) -> None:
    folder = write_tiny_speech(tmp_path / "narrow")
    config = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(config | {"sampling_rate": 8000}))
    encoder = _encoder(folder)
    assert encoder.needs is not None
    assert encoder.needs.audio is not None
    assert encoder.needs.audio.rate_hz == encoder.spec.settings["rate_hz"] == 8000
    assert np.isfinite(_embed(encoder, [voice(4000)])).all()


# As published


def _published(folder: Path, samples: int, dtype: str = "fp32") -> Encoder:
    request = EncoderRequest("wav2vec2", {"samples": samples}, model=str(folder), dtype=dtype, as_published=True)
    return create(request)


def test_as_published_stereo_is_taken_for_mono_and_padding_for_sound(folders: Folders) -> None:
    encoder = _published(folders("wav2vec2"), 6000)
    left, right = voice(2000, 1), voice(2000, 2)
    item = encoder.prepare(clip_of(encoder, np.stack([left, right])))
    assert item.counts == ({"num_samples": 4000, "cut": 0},)
    fed = np.zeros(6000, np.float32)
    fed[0:4000:2], fed[1:4000:2] = np.round(left * 32768), np.round(right * 32768)
    np.testing.assert_array_equal(item.value, fed)
    states = _states(folders("wav2vec2"), fed, raw=torch.from_numpy(fed[None]))
    (ours,) = encoder.encode([item])
    assert relative_error(ours[None], _pooled(states[-1])[None]) < FP32_TOLERANCE
    without_padding = _states(folders("wav2vec2"), fed, raw=torch.from_numpy(fed[None, :4000]))
    assert relative_error(ours[None], _pooled(without_padding[-1])[None]) > 100 * FP32_TOLERANCE


def test_as_published_long_sound_is_cut(folders: Folders) -> None:
    encoder = _published(folders("wav2vec2"), 3001)
    item = encoder.prepare(clip_of(encoder, np.stack([voice(1502, 1), voice(1502, 2)])))
    assert item.counts == ({"num_samples": 3001, "cut": 1},)
    assert item.value.shape == (3001,)


def test_as_published_decodes_just_enough_to_know_that_more_is_there(tmp_path: Path) -> None:
    """44.1 kHz uncompressed: 1,000 pairs. Asked for 2,000 values all is there; for 1,999 or 1,998 something is cut."""
    path = write_clip(
        tmp_path / "clip.wav",
        samples=np.concatenate([sine(1000 / 44100, 44100), sine(1000 / 44100, 44100, amplitude=0.25)]),
        rate_hz=44100,
        layout="stereo",
        audio_codec="pcm_s16le",
    )
    for samples, cut in ((2001, 0), (2000, 0), (1999, 1), (1998, 1)):
        prepare = PublishedSoundPreparer(samples)
        needs = wav2vec2.ClipNeeds(audio=prepare.need)
        item = prepare(decode_clip(path, utterance(), [needs]))
        assert item.counts == ({"num_samples": min(samples, 2000), "cut": cut},)
        assert abs(item.value).max() == pytest.approx(16384, abs=2)
        assert abs(item.value[1::2]).max() == pytest.approx(8192, abs=2)


def test_as_published_is_another_feature_and_says_so(folders: Folders) -> None:
    meant, published = _default(folders("wav2vec2")).spec, _published(folders("wav2vec2"), 6000).spec
    assert "as_published" not in meant.settings
    assert published.settings["as_published"] is True
    assert published.settings["samples"] == 6000
    assert published.settings["normalise"] == "none"
    assert published.shape == meant.shape
    assert published.fingerprint != meant.fingerprint


def test_as_published_refuses_what_cannot_be(folders: Folders) -> None:
    with pytest.raises(UsageError, match="samples=100 is fewer than the 162 that the model needs"):
        _published(folders("wav2vec2"), 100)
    with pytest.raises(UsageError, match="beyond fp16's sums: give --dtype fp32"):
        _published(folders("wav2vec2"), 6000, dtype="fp16")
    with pytest.raises(UsageError, match="no setting 'layers' with --as-published"):
        create(EncoderRequest("wav2vec2", {"layers": "all"}, weights="random", as_published=True))


# The real thing


def test_golden_embedding(tmp_path: Path) -> None:
    """Fails when the numbers change: raise VERSION with it, since stored features then differ."""
    sizes = {"conv_dim": (16, 16, 16), "num_conv_pos_embedding_groups": 4}  # of the day it was recorded
    folder = write_tiny_speech(tmp_path / "wav2vec2", **sizes)
    encoder = create(EncoderRequest("wav2vec2", model=str(folder), weights="random"))
    (vector,) = _embed(encoder, [sine(0.3, RATE_HZ)[0]])
    assert VERSION == 1
    np.testing.assert_allclose(
        vector[[0, 1, 31, 32, 63]], [-0.847296, 0.133384, -0.983003, 0.09895, -0.417183], atol=2e-4
    )


@pytest.mark.shared_data
def test_wav2vec2_base_on_the_real_clip(shared_data: Path) -> None:
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    encoder = create(EncoderRequest("wav2vec2", weights="random"))
    assert encoder.needs is not None
    assert encoder.needs.audio is not None
    assert encoder.spec.shape == (1536,)
    assert encoder.spec.model is None
    clip = decode_clip(shared_data / "clips" / "dia1_utt0.mp4", utterance(), [encoder.needs])
    whole = clip.sound(encoder.needs.audio).samples
    sounds = [whole, whole[: len(whole) // 3]]
    ours = _embed(encoder, sounds)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Wav2Vec2Model(Wav2Vec2Config()).eval()
    for row, sound in zip(ours, sounds, strict=True):
        values = Wav2Vec2FeatureExtractor()(sound, sampling_rate=RATE_HZ, return_tensors="pt").input_values
        with torch.no_grad():
            frames = model(values).last_hidden_state[0].numpy()
        assert relative_error(row[None], _pooled(frames)[None]) < FP32_TOLERANCE


@pytest.mark.gpu
def test_the_gpu_gives_what_the_cpu_gives(folders: Folders) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for kind in ("wav2vec2", "wavlm-large", "data2vec-audio"):
        request = EncoderRequest("wav2vec2", {"layers": "all"}, model=str(folders(kind)), device="cuda")
        reference = _embed(_encoder(folders(kind), layers="all"), VOICES)
        assert relative_error(_embed(create(request), VOICES), reference) < FP32_TOLERANCE
