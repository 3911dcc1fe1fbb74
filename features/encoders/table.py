"""Encoders: one file each, and the table of their names.

An encoder turns utterances into embeddings in two steps: `prepare` (in worker processes: tokenise, cut, resize) and
`encode` (on the device, in batches). `ENCODERS` maps a name to what the command line needs to know of it without
importing it; `create` imports and builds it.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from features.errors import UnavailableError, UsageError, nearest
from features.manifest import Dialogue, Utterance
from features.spec import EncoderSpec, Modality

if TYPE_CHECKING:
    import numpy as np

    from features.media.clip import ClipNeeds

Reads = Literal["turn", "dialogue", "clip"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance within its dialogue."""

    dialogue: Dialogue
    index: int

    @property
    def utterance(self) -> Utterance:
        return self.dialogue.utterances[self.index]

    @property
    def past(self) -> tuple[Utterance, ...]:
        """The turns before this one, oldest first."""
        return self.dialogue.utterances[: self.index]


@dataclass(frozen=True, slots=True)
class Input:
    """What `prepare` makes and `encode` takes.

    value:   the encoder's own (ids, samples, frames); must pickle, since workers send it
    length:  its size in the encoder's own unit; inputs of like length are batched together
    digests: sha256 of the very input, one per utterance it covers (one, unless the encoder reads dialogues)
    counts:  what the ledger tells of each covered utterance: num_tokens, num_samples, num_frames, num_faces, cut (0, 1)
    unavailable: for an encoder that reads dialogues, per turn why it has no embedding, or None; empty: all have one
    """

    value: Any
    length: int
    digests: tuple[str, ...]
    counts: tuple[dict[str, int], ...]
    unavailable: tuple[UnavailableError | None, ...] = ()


class Preparer(Protocol):
    """Makes the input of one item: a Turn, a Dialogue or a Clip. It runs in worker processes, so it is a
    small picklable object without weights, and touches no device. Raises UnavailableError where there is no input."""

    def __call__(self, item: Any, /) -> Input: ...


class Encoder(Protocol):
    """One frozen encoder.

    reads:  `turn` (prepare takes a Turn), `dialogue` (a Dialogue: one input covers all its turns), or `clip`
            (a decoded Clip, whose `utterance` says which)
    needs:  for `clip`: what must be decoded; else None
    batch_size: how many inputs `encode` is given at once, at most
    """

    spec: EncoderSpec
    reads: Reads
    needs: ClipNeeds | None
    batch_size: int

    prepare: Preparer

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """One array per input: spec.shape, [length, *spec.shape] for a sequence; for `dialogue` one more leading axis,
        the turns. An array does not depend on the inputs beside it beyond the rounding of the dtype."""
        ...


class DerivedEncoder(Encoder, Protocol):
    """An encoder that also needs what another one stored of the same utterance; its spec has `derives_from`."""

    def derive(self, item: Input, stored: np.ndarray) -> Input:
        """The input that `prepare` made, completed by the source's stored embedding (float32, without a batch axis).

        Raises UnavailableError where that holds nothing to go on.
        """
        ...


Options = dict[str, tuple[Any, str]]
"""`--set` keys -> (default, one line of help)."""


@dataclass(frozen=True)
class Entry:
    """What is known of an encoder without importing it.

    options:   its settings
    model:     whether `--model` applies; default_model is used without it
    device:    whether it computes with torch, so that --device and --dtype apply
    published: its settings with `--as-published`; None where the report has no such encoder
    derives:   the encoder whose stored feature it is computed from; `options` holds that one's settings, too
    """

    modality: Modality
    target: str
    summary: str
    options: Options = field(default_factory=dict)
    model: bool = False
    default_model: str | None = None
    device: bool = False
    published: Options | None = None
    derives: str | None = None


_CONTEXT_OPTIONS: Options = {
    "scope": ("utterance", "utterance, or context: the past turns with speaker names before it"),
    "over": ("target", "with scope=context, pool over target (this utterance's tokens) or all"),
}

_MAX_SECONDS: Options = {"max_seconds": (30.0, "longer sound is cut (counted)")}
_FRAMES: Options = {
    "frames": (5, "equidistant frames"),
    "max_seconds": (30.0, "a longer clip is cut (counted)"),
}
_FACES: Options = {
    **_FRAMES,
    "size": (240, "shorter side of the frames that faces are looked for in, in pixels; larger frames are shrunk"),
}
_PUBLISHED_SAMPLES: Options = {
    "samples": (200_000, "interleaved samples of 44.1 kHz stereo: 150000, 200000 or 250000 in the report"),
}

ENCODERS: dict[str, Entry] = {
    "gpt2": Entry(
        "text",
        "features.encoders.text.gpt2:Gpt2Encoder",
        "the dialogue so far as a prompt, last token's hidden state of any causal Hugging Face model",
        {
            "layer": ("-1", "hidden layer: -1 is the last, after the final norm"),
            "max_tokens": (1024, "window of the past in tokens; at most the model's own"),
        },
        model=True,
        default_model="openai-community/gpt2",
        device=True,
        published={"layer": ("-1", "hidden layer: -1 is the last, after the final norm")},
    ),
    "sentence": Entry(
        "text",
        "features.encoders.text.sentence:SentenceEncoder",
        "any Hugging Face text encoder, pooled over tokens",
        {
            "pooling": ("mean+max", "mean, max or mean+max over tokens; mask: the state at the template's <mask>"),
            "layers": ("-3,-2,-1", "hidden layers: one (-1), several joined (-3,-2,-1), or stack:-3,-2,-1 kept apart"),
            **_CONTEXT_OPTIONS,
            "template": (
                "For utterance: {text} {speaker} feels {mask}",
                "with pooling=mask: how the utterance is asked about (masked language models only)",
            ),
            "max_tokens": (256, "window, special tokens included; a longer text is cut (counted)"),
        },
        model=True,
        default_model="packaged:all-MiniLM-L6-v2",
        device=True,
    ),
    "sentence-tokens": Entry(
        "text",
        "features.encoders.text.sentence_tokens:SentenceTokensEncoder",
        "the sequence of token vectors of any Hugging Face text encoder",
        {
            "layer": ("-1", "hidden layer: -1 is the last"),
            "max_tokens": (256, "window, special tokens included; a longer text is cut (counted)"),
        },
        model=True,
        default_model="packaged:all-MiniLM-L6-v2",
        device=True,
    ),
    "glove": Entry(
        "text",
        "features.encoders.text.glove:GloveEncoder",
        "mean of GloVe word vectors",
        {
            "scope": ("utterance", "utterance, or context: the words of the past turns too (needs over=all)"),
            "over": ("target", "target, or with scope=context all"),
        },
        model=True,
        default_model="packaged:glove-6b-50d",
        published={},
    ),
    "glove-tokens": Entry(
        "text",
        "features.encoders.text.glove_tokens:GloveTokensEncoder",
        "the sequence of GloVe word vectors",
        model=True,
        default_model="packaged:glove-6b-50d",
    ),
    "surface": Entry(
        "text",
        "features.encoders.text.surface:SurfaceEncoder",
        "counts that encoders lose: ! ? ... capitals, elongation, interjections",
    ),
    "wav2vec2": Entry(
        "audio",
        "features.encoders.audio.wav2vec2:Wav2Vec2Encoder",
        "any Hugging Face speech encoder (HuBERT and WavLM too), pooled over time",
        {
            "pooling": ("mean+max", "mean, max or mean+max over time"),
            "layers": (
                "-1",
                "hidden layers: one (-1), several joined (-2,-1), kept apart (stack:-2,-1 or last:2), or all",
            ),
            **_MAX_SECONDS,
        },
        model=True,
        default_model="facebook/wav2vec2-base",
        device=True,
        published=_PUBLISHED_SAMPLES,
    ),
    "logmel": Entry(
        "audio",
        "features.encoders.audio.logmel:LogmelEncoder",
        "log-mel, MFCC, pitch and energy statistics",
        _MAX_SECONDS,
    ),
    "egemaps": Entry(
        "audio",
        "features.encoders.audio.egemaps:EgemapsEncoder",
        "openSMILE's eGeMAPSv02 functionals (pip install 'erc-feature-store[egemaps]')",
        _MAX_SECONDS,
    ),
    "waveform": Entry(
        "audio",
        "features.encoders.audio.waveform:WaveformEncoder",
        "the samples themselves, 8 kHz mono",
        _MAX_SECONDS,
        published=_PUBLISHED_SAMPLES,
    ),
    "resnet50": Entry(
        "visual",
        "features.encoders.visual.resnet50:ResNet50Encoder",
        "sampled frames through ResNet-50, another torchvision backbone or a Hugging Face vision model",
        {
            "pooling": ("mean", "mean, max or mean+max over frames; sequence keeps one vector a frame"),
            **_FRAMES,
        },
        model=True,
        default_model="resnet50",
        device=True,
        published={},
    ),
    "faces": Entry(
        "visual",
        "features.encoders.visual.faces:FacesEncoder",
        "boxes and landmarks of the faces in sampled frames, by RetinaFace",
        _FACES,
        model=True,
        default_model="retinaface",
        device=True,
        published={},
    ),
    "retinaface-resnet50": Entry(
        "visual",
        "features.encoders.visual.retinaface_resnet50:RetinaFaceResNet50Encoder",
        "only the faces of sampled frames through ResNet-50; extracts `faces` first where they are not stored",
        {
            "mode": ("blackout", "blackout: all but the faces is black, or crop: each face on its own"),
            "confidence": (0.5, "faces below this score do not count"),
            "weight": ("equal", "with mode=crop, faces count equal, or by area"),
            **_FACES,
            "detector": ("", "RetinaFace's weights: what --model is for `faces`"),
        },
        model=True,
        default_model="resnet50",
        device=True,
        published={"detector": ("", "RetinaFace's weights: what --model is for `faces`")},
        derives="faces",
    ),
    "hog-colour": Entry(
        "visual",
        "features.encoders.visual.hog_colour:HogColourEncoder",
        "HOG and colour statistics of sampled frames",
        _FRAMES,
    ),
}

PRESETS: dict[str, tuple[str, ...]] = {
    "report": ("gpt2", "wav2vec2", "resnet50"),
    "embedded": ("sentence", "logmel", "hog-colour"),
}
DEFAULT_PRESET = "report"


@dataclass(frozen=True)
class EncoderRequest:
    """Which encoder with which settings: plain values, so that a worker process can build the same one.

    source: for an encoder that derives from another, that one's spec (see `source_request`)
    """

    encoder: str
    settings: dict[str, Any] = field(default_factory=dict)
    model: str | None = None
    weights: Literal["pretrained", "random"] = "pretrained"
    alias: str | None = None
    device: str = "cpu"
    dtype: str = "fp32"
    batch_size: int | None = None
    as_published: bool = False
    source: EncoderSpec | None = None


def entry(name: str) -> Entry:
    """The table's line for a name. Raises UsageError that names the nearest and lists all."""
    if name not in ENCODERS:
        raise UsageError(f"no encoder {name!r}: {nearest(name, ENCODERS)}")
    return ENCODERS[name]


def options_of(name: str, as_published: bool = False) -> Options:
    """The settings that an encoder takes. Raises UsageError where the report has no such encoder to be as published."""
    line = entry(name)
    if not as_published:
        return line.options
    if line.published is None:
        there = ", ".join(other for other, item in ENCODERS.items() if item.published is not None)
        raise UsageError(f"the report has no encoder {name!r}: --as-published is for {there}")
    return line.published


def resolve_settings(name: str, given: dict[str, Any], as_published: bool = False) -> dict[str, Any]:
    """The encoder's defaults with `given` over them, each cast to its default's type.

    Raises UsageError for a key that the encoder does not have or a value of another type.
    """
    options = options_of(name, as_published)
    settings = {key: default for key, (default, _) in options.items()}
    for key, value in given.items():
        if key not in options:
            known = nearest(key, options) if options else "it takes no settings"
            published = " with --as-published" if as_published else ""
            raise UsageError(f"encoder {name!r} has no setting {key!r}{published}: {known}")
        settings[key] = _cast(name, key, value, options[key][0])
    return settings


def source_request(request: EncoderRequest) -> EncoderRequest | None:
    """What to build first for an encoder that derives from another: that one, with the settings meant for it.

    None for an encoder that does not. Raises UsageError as `resolve_settings` does.
    """
    source = entry(request.encoder).derives
    if source is None:
        return None
    settings = resolve_settings(request.encoder, request.settings, request.as_published)
    theirs = options_of(source, request.as_published)
    return replace(
        request,
        encoder=source,
        settings={key: value for key, value in settings.items() if key in theirs},
        model=settings["detector"] or None,
        alias=None,
        batch_size=None,
    )


def _cast(name: str, key: str, value: Any, default: Any) -> Any:
    kind = type(default)
    try:
        if kind is bool:
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[str(value).lower()]
        cast = kind(value)
    except (ValueError, KeyError):
        expected = {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "text")
        raise UsageError(f"{name}: {key}={value!r} is not {expected}") from None
    if kind in (int, float) and not 0 < cast < float("inf"):
        raise UsageError(f"{name}: {key}={value} must be a finite number above 0")
    return cast


def create(request: EncoderRequest) -> Encoder:
    """Import and build an encoder (this loads its weights).

    Raises UsageError for settings or a model that do not fit, WeightsError where the weights are not to be had.
    """
    line = entry(request.encoder)
    if request.model and not line.model:
        raise UsageError(f"encoder {request.encoder!r} has no weights: leave --model out")
    settings = resolve_settings(request.encoder, request.settings, request.as_published)
    if line.derives and request.source is None and (source := source_request(request)):
        request = replace(request, source=create(source).spec)
    module, _, attribute = line.target.partition(":")
    factory = getattr(importlib.import_module(module), attribute)
    built: Encoder = factory(request, settings)
    return built


__all__ = [
    "DEFAULT_PRESET",
    "ENCODERS",
    "PRESETS",
    "DerivedEncoder",
    "Encoder",
    "EncoderRequest",
    "Entry",
    "Input",
    "Turn",
    "UnavailableError",
    "create",
    "entry",
    "options_of",
    "resolve_settings",
    "source_request",
]
