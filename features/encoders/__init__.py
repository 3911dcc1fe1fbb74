"""Encoders: one file each, and the table of their names.

An encoder turns utterances into embeddings in two steps: `prepare` (in worker processes: tokenise, cut, resize) and
`encode` (on the device, in batches). `ENCODERS` maps a name to what the command line needs to know of it without
importing it; `create` imports and builds it.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from features.errors import UnavailableError, UsageError, nearest
from features.manifest import Dialogue, Utterance
from features.spec import EncoderSpec, Modality

if TYPE_CHECKING:
    import numpy as np

    from features.media import ClipNeeds

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
    counts:  what the ledger tells of each covered utterance: tokens, samples, frames, faces
    """

    value: Any
    length: int
    digests: tuple[str, ...]
    counts: tuple[dict[str, int], ...]


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


@dataclass(frozen=True)
class Entry:
    """What is known of an encoder without importing it.

    options: `--set` keys -> (default, one line of help)
    model:   whether `--model` applies; default_model is used without it
    device:  whether it computes with torch, so that --device and --dtype apply
    """

    modality: Modality
    target: str
    summary: str
    options: dict[str, tuple[Any, str]] = field(default_factory=dict)
    model: bool = False
    default_model: str | None = None
    device: bool = False


_CONTEXT_OPTIONS: dict[str, tuple[Any, str]] = {
    "scope": ("utterance", "utterance, or context: the past turns with speaker names before it"),
    "over": ("target", "with scope=context, pool over target (this utterance's tokens) or all"),
}

ENCODERS: dict[str, Entry] = {
    "sentence": Entry(
        "text",
        "features.encoders.sentence:SentenceEncoder",
        "any Hugging Face text encoder, pooled over tokens",
        {
            "pooling": ("mean+max", "mean, max or mean+max over tokens"),
            "layers": ("-3,-2,-1", "hidden layers: one (-1), several joined (-3,-2,-1), or stack:-3,-2,-1 kept apart"),
            **_CONTEXT_OPTIONS,
            "max_tokens": (256, "window, special tokens included; a longer text is cut (counted)"),
        },
        model=True,
        default_model="packaged:all-MiniLM-L6-v2",
        device=True,
    ),
    "glove": Entry(
        "text",
        "features.encoders.glove:GloveEncoder",
        "mean of GloVe word vectors",
        {
            "scope": ("utterance", "utterance, or context: the words of the past turns too (needs over=all)"),
            "over": ("target", "target, or with scope=context all"),
        },
        model=True,
        default_model="packaged:glove-6b-50d",
    ),
    "surface": Entry(
        "text",
        "features.encoders.surface:SurfaceEncoder",
        "counts that encoders lose: ! ? ... capitals, elongation, interjections",
    ),
    "logmel": Entry(
        "audio",
        "features.encoders.logmel:LogmelEncoder",
        "log-mel, MFCC, pitch and energy statistics",
        {"max_seconds": (30.0, "longer sound is cut (counted)")},
    ),
    "hog-colour": Entry(
        "visual",
        "features.encoders.hog_colour:HogColourEncoder",
        "HOG and colour statistics of sampled frames",
        {
            "frames": (5, "equidistant frames"),
            "max_seconds": (30.0, "a longer clip is cut (counted)"),
        },
    ),
}

PRESETS: dict[str, tuple[str, ...]] = {
    "embedded": ("sentence", "logmel", "hog-colour"),
}
DEFAULT_PRESET = "embedded"


@dataclass(frozen=True)
class EncoderRequest:
    """Which encoder with which settings: plain values, so that a worker process can build the same one."""

    encoder: str
    settings: dict[str, Any] = field(default_factory=dict)
    model: str | None = None
    weights: Literal["pretrained", "random"] = "pretrained"
    alias: str | None = None
    device: str = "cpu"
    dtype: str = "fp32"
    batch_size: int | None = None


def entry(name: str) -> Entry:
    """The table's line for a name. Raises UsageError that names the nearest and lists all."""
    if name not in ENCODERS:
        raise UsageError(f"no encoder {name!r}: {nearest(name, ENCODERS)}")
    return ENCODERS[name]


def resolve_settings(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The encoder's defaults with `given` over them, each cast to its default's type.

    Raises UsageError for a key that the encoder does not have or a value of another type.
    """
    options = entry(name).options
    settings = {key: default for key, (default, _) in options.items()}
    for key, value in given.items():
        if key not in options:
            known = nearest(key, options) if options else "it takes no settings"
            raise UsageError(f"encoder {name!r} has no setting {key!r}: {known}")
        settings[key] = _cast(name, key, value, options[key][0])
    return settings


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
    module, _, attribute = line.target.partition(":")
    factory = getattr(importlib.import_module(module), attribute)
    built: Encoder = factory(request, resolve_settings(request.encoder, request.settings))
    return built


__all__ = [
    "DEFAULT_PRESET",
    "ENCODERS",
    "PRESETS",
    "Encoder",
    "EncoderRequest",
    "Entry",
    "Input",
    "Turn",
    "UnavailableError",
    "create",
    "entry",
    "resolve_settings",
]
