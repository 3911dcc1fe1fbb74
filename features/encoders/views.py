"""What an encoder's input looks like, for people: what `erc explore clip` shows.

A preparer that has a method `view` (see `Viewed`) says itself what it made, from the very Input; it computes nothing
anew but what the Input no longer holds, such as the tokens that were cut. An encoder that completes its input by
another one's embedding has the method itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from tokenizers import Tokenizer

    from features.encoders.protocol import Input
    from features.media.needs import Frames

Part = Literal["special", "past", "own"]


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a text.

    text: as it is written, its space included
    kept: whether it is in the input; else it was cut, or is not in the vocabulary
    part: a mark that the tokenizer or a template adds, a past turn, or what this utterance says
    read: whether the embedding is taken from it: it is pooled, or its state is the embedding
    """

    text: str
    kept: bool = True
    part: Part = "own"
    read: bool = True


@dataclass(frozen=True, slots=True)
class TextView:
    """The tokens in order, cut ones among them.

    window: how many tokens the encoder takes at most, special ones included; None where it takes any number
    note:   how the embedding comes of them
    values: of an encoder that only counts: the names and values of its counts
    """

    tokens: tuple[Token, ...] = ()
    window: int | None = None
    note: str = ""
    values: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class SoundView:
    """The samples as the encoder gets them.

    samples: float32 [n] in [-1, 1]; where the input has another scale it is divided by it
    rate_hz: what the encoder takes their rate for
    seconds: of the clip's sound, before it was cut
    padding: how many of the last samples are zeros that were added
    note:    what else was done to them, or is done before the network
    """

    samples: np.ndarray
    rate_hz: int
    seconds: float
    cut: bool
    padding: int = 0
    note: str = ""


Region = tuple[float, float, float, float]
"""left, top, right, bottom in pixels of a decoded frame."""


@dataclass(frozen=True, slots=True)
class Strip:
    """Pictures that go into the network, or that the statistics are taken of, in the order of the clip.

    pictures: uint8 RGB [h, w, 3], before they are normalised; grey ones are [h, w]
    labels:   what stands under each
    """

    title: str
    pictures: tuple[np.ndarray, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FramesView:
    """The sampled frames of a clip, and what became of them.

    frames: as decoded
    seen:   of each frame the part that is in the input, None where nothing of it is; empty where that is not known
    """

    frames: Frames
    seen: tuple[Region | None, ...]
    strips: tuple[Strip, ...]
    note: str = ""


View = TextView | SoundView | FramesView


@runtime_checkable
class Viewed(Protocol):
    """A preparer, or an encoder, that can show an input."""

    def view(self, item: Any, made: Input, turn: int = 0) -> View:
        """What `made` looks like.

        item: the Turn, Dialogue or Clip that it was made of; turn: of a Dialogue, which of its turns is shown
        """
        ...


def token_text(tokenizer: Tokenizer, token: int) -> str:
    """What a token stands for. A part of a character, which is no text, is shown as the vocabulary has it."""
    text = tokenizer.decode([token], skip_special_tokens=False)
    entry = tokenizer.id_to_token(token) or ""
    if not text or "\N{REPLACEMENT CHARACTER}" in text:
        return entry
    return f" {text}" if entry.startswith("\u2581") and not text.startswith(" ") else text


def whole_frame(frame: np.ndarray) -> Region:
    """All of a picture [h, w, 3]."""
    return 0.0, 0.0, float(frame.shape[1]), float(frame.shape[0])


def frame_labels(frames: Frames) -> tuple[str, ...]:
    """`frame 2, 0.63 s`: the number from 1 and the time in the clip."""
    return tuple(f"frame {number}, {time_s:.2f} s" for number, time_s in enumerate(frames.times_s, start=1))
