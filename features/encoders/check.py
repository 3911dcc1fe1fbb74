"""Whether an encoder keeps what is promised of every embedding, tried on inputs that are made up here.

It is the encoder as extraction builds it, with its weights: `erc encoder check NAME`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np

from features.encoders.build import create
from features.encoders.promises import TOLERANCES
from features.encoders.protocol import Encoder, EncoderRequest, Input, Turn
from features.encoders.table import entry
from features.errors import Reason, UnavailableError, UsageError, first_line
from features.media.clip import Clip
from features.media.needs import AudioNeed, Frames, FramesNeed, Sound
from features.spec import EncoderSpec
from features.utterances import Dialogue, Utterance

_TEXTS = (
    ("Hi.", "Oh my God, what are you doing here?!", "I just… came by.", "You came all the way from Zürich, in THIS?"),
    ("Yes", "No no no no.", "Well, that’s that then, and I for one am glad that it is over at last; aren’t you?", "é"),
    ("Look at him!", "Who?", "The one with the hat, over there, behind the other one with no hat at all.", "Ha ha ha."),
)
_SECONDS = (0.4, 1.0, 1.7, 2.3, 3.1, 0.9)
_SIDES = (64, 96, 120, 80, 72, 100)


@dataclass(frozen=True)
class Promise:
    """One thing that is promised.

    name: what it is; kept: whether it held; told: with which figures, or what broke it
    """

    name: str
    kept: bool
    told: str


def check_encoder(request: EncoderRequest) -> Iterator[Promise]:
    """Try the encoder that a request builds; promises as they are tried.

    Raises as `create` where it cannot be built. On a CPU equal inputs must give equal bits, on a GPU be within the
    tolerance of the dtype.
    """
    if entry(request.encoder).derives:
        raise UsageError(
            f"encoder {request.encoder!r} is computed from what {entry(request.encoder).derives!r} finds, and made-up"
            f" clips have none: check {entry(request.encoder).derives!r}"
        )
    encoder = create(request)
    yield Promise("one fingerprint", *_same_spec(encoder.spec, create(request).spec))
    items = _items(encoder)
    prepared = [encoder.prepare(item) for item in items]
    yield Promise("prepares in other processes", *_can_be_sent(encoder, items, prepared))
    made = _encode(encoder, prepared)
    yield Promise("shape and numbers", *_fits(encoder.spec, made))
    is_exact = request.device == "cpu"
    tolerance = 0.0 if is_exact else TOLERANCES[encoder.spec.compute_dtype]
    yield Promise("the same twice", *_equal(made, _encode(encoder, prepared), tolerance))
    rest = TOLERANCES[encoder.spec.compute_dtype]
    backwards = _encode(encoder, prepared[::-1])[::-1]
    yield Promise("whatever the order", *_equal(made, backwards, rest))
    alone = [array for item in prepared for array in _encode(encoder, [item])]
    yield Promise("alone as in a batch", *_equal(made, alone, rest))
    yield Promise("missing input is told", *_refuses(encoder))


def _same_spec(first: EncoderSpec, again: EncoderSpec) -> tuple[bool, str]:
    told = f"{first.fingerprint[:8]} both times"
    return first == again, told if first == again else "built twice, its spec differs: what changes must not be in it"


def _items(encoder: Encoder) -> list[Any]:
    """Made-up utterances of unlike length, as the encoder reads them; those that it has no embedding for left out."""
    dialogues = [_dialogue(number, texts) for number, texts in enumerate(_TEXTS)]
    if encoder.reads == "dialogue":
        return list(dialogues)
    if encoder.reads == "turn":
        found: list[Any] = [Turn(dialogue, index) for dialogue in dialogues for index in range(len(_TEXTS[0]))]
    else:
        found = [_clip(encoder, number) for number in range(len(_SECONDS))]
    usable = [item for item in found if _is_usable(encoder, item)]
    if len(usable) < 2:
        raise UsageError("the encoder takes fewer than two of the made-up inputs: there is nothing to try it on")
    return usable


def _is_usable(encoder: Encoder, item: Any) -> bool:
    try:
        encoder.prepare(item)
    except UnavailableError:
        return False
    return True


def _dialogue(number: int, texts: Sequence[str]) -> Dialogue:
    name = f"check/dia{number}"
    speakers = ("Ann", "Bo")
    return Dialogue(
        name,
        tuple(
            Utterance(f"{name}_utt{turn}", "check", "train", name, turn, speakers[turn % 2], said)
            for turn, said in enumerate(texts)
        ),
    )


def _clip(encoder: Encoder, number: int) -> Clip:
    """Tones that glide over noise, and pictures whose squares move, of a length and size of their own."""
    generator = np.random.default_rng(number)
    seconds, side = _SECONDS[number], _SIDES[number]
    needs = encoder.needs
    audio, frames = (needs.audio, needs.frames) if needs else (None, None)
    sounds = {audio: _sound(audio, seconds, generator)} if audio else {}
    pictures = {frames: _frames(frames, seconds, side, generator)} if frames else {}
    said = Utterance(f"check/clip{number}", "check", "train", "check/clips", number, "Ann", "Hi.", media="clip.mp4")
    return Clip(said, f"{number:064d}", sounds=sounds, pictures=pictures)


def _sound(need: AudioNeed, seconds: float, generator: np.random.Generator) -> Sound:
    times = np.arange(round(seconds * need.rate_hz)) / need.rate_hz
    tone = 0.3 * np.sin(2 * np.pi * (180 + 60 * times) * times) * (1 + np.sin(9 * times))
    samples = (tone + 0.02 * generator.standard_normal(len(times))).astype(np.float32)
    shaped = samples if need.layout == "mono" else np.stack([samples, samples[::-1]])
    return Sound(shaped, need.rate_hz, seconds, cut=False)


def _frames(need: FramesNeed, seconds: float, side: int, generator: np.random.Generator) -> Frames:
    pixels = []
    for place in range(need.count):
        picture = generator.integers(0, 60, (side, side + 24, 3), np.uint8)
        picture[place : place + side // 2, 2 * place : 2 * place + side // 2] = (200, 120, 30 + 20 * (place % 8))
        pixels.append(picture)
    return Frames(pixels, [(place + 0.5) * seconds / need.count for place in range(need.count)], seconds, cut=False)


def _can_be_sent(encoder: Encoder, items: Sequence[Any], prepared: Sequence[Input]) -> tuple[bool, str]:
    """Worker processes get the preparer, and send what it made; made again, it is the same."""
    try:
        for thing in (encoder.prepare, *prepared):
            ForkingPickler.dumps(thing)
    except Exception as error:
        return False, f"cannot be sent to another process: {first_line(error)}"
    again = [encoder.prepare(item) for item in items]
    same = all(
        (one.length, one.digests, one.counts) == (other.length, other.digests, other.counts)
        for one, other in zip(prepared, again, strict=True)
    )
    return same, f"{len(items)} inputs" if same else "prepared twice, an input differs"


def _encode(encoder: Encoder, prepared: Sequence[Input]) -> list[np.ndarray]:
    """The embedding of every utterance that has one, in batches as large as the encoder's."""
    made: list[np.ndarray] = []
    for start in range(0, len(prepared), encoder.batch_size):
        part = prepared[start : start + encoder.batch_size]
        for item, array in zip(part, encoder.encode(part), strict=True):
            if encoder.reads != "dialogue":
                made.append(np.asarray(array))
                continue
            reasons = item.unavailable or (None,) * len(array)
            made += [np.asarray(turn) for turn, reason in zip(array, reasons, strict=True) if reason is None]
    return made


def _fits(spec: EncoderSpec, made: Sequence[np.ndarray]) -> tuple[bool, str]:
    shape = list(spec.shape)
    for array in made:
        found = list(array.shape[1:] if spec.kind == "sequence" else array.shape)
        if found != shape:
            return False, f"{found}, where its spec says {shape}"
        if not np.isfinite(array).all():
            return False, "NaN or infinity"
    return True, f"{len(made)} of {shape}, finite" + (" (each element)" if spec.kind == "sequence" else "")


def _equal(first: Sequence[np.ndarray], second: Sequence[np.ndarray], tolerance: float) -> tuple[bool, str]:
    """Whether embeddings are the same: bits with a tolerance of 0, else by the norm of the difference."""
    pairs = list(zip(first, second, strict=True))
    if any(one.shape != other.shape for one, other in pairs):
        return False, "another length"
    off = max(map(_difference, pairs), default=0.0)
    limit = f", at most {tolerance:g}" if tolerance else ""
    return off <= tolerance, "the same bits" if not off else f"off by {off:.1g}{limit}"


def _difference(pair: tuple[np.ndarray, np.ndarray]) -> float:
    one, other = (array.astype(np.float64) for array in pair)
    distance, norm = float(np.linalg.norm(one - other)), float(np.linalg.norm(one))
    return 0.0 if not distance else distance / norm if norm else float("inf")


def _refuses(encoder: Encoder) -> tuple[bool, str]:
    """What has no input is an UnavailableError, so that it becomes a row with its reason."""
    blank = _dialogue(9, ("  ",))
    try:
        if encoder.reads == "dialogue":
            reasons = encoder.prepare(blank).unavailable
            told = bool(reasons) and all(reason is not None for reason in reasons)
            return told, "blank texts" if told else "gives a blank text an embedding"
        encoder.prepare(Turn(blank, 0) if encoder.reads == "turn" else _silent(encoder))
    except UnavailableError as error:
        return True, str(error.reason)
    except Exception as error:
        return False, f"{first_line(error)}, where an UnavailableError is expected"
    return False, "gives an embedding where there is no input"


def _silent(encoder: Encoder) -> Clip:
    """A clip with neither sound nor picture."""
    clip = _clip(encoder, 0)
    return replace(
        clip,
        sounds={need: UnavailableError(Reason.NO_AUDIO, "none") for need in clip.sounds},
        pictures={need: UnavailableError(Reason.NO_VIDEO, "none") for need in clip.pictures},
    )
