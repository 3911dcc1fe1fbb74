"""What an encoder is: two steps that turn utterances into embeddings, and the values that pass between them.

`prepare` runs in worker processes (tokenise, cut, resize), `encode` on the device, in batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from features.errors import UnavailableError
from features.spec import EncoderSpec
from features.utterances import Dialogue, Utterance

if TYPE_CHECKING:
    import numpy as np

    from features.media.needs import ClipNeeds
    from features.top.top import Top

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
    counts:  what the ledger tells of each utterance: num_tokens, num_samples, num_frames, num_faces, cut (0, 1);
             num_unknown, the tokens that the encoder does not know, may be left out where there is none
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
    An encoder whose spec has `from_top` also has the attribute `top`: see `top_of`.
    """

    spec: EncoderSpec
    reads: Reads
    needs: ClipNeeds | None
    batch_size: int

    prepare: Preparer

    def encode(self, inputs: Sequence[Input]) -> list[Any]:
        """One array per input: spec.shape, [length, *spec.shape] for a sequence. For `dialogue` one more leading axis,
        the turns, or for a sequence a list of arrays, one a turn. An array does not depend on the inputs beside it
        beyond the rounding of the dtype."""
        ...


def top_of(encoder: Encoder) -> Top | None:
    """The layers above the states that an encoder gives, which are written beside its shards, or None."""
    top: Top | None = getattr(encoder, "top", None)
    return top


class DerivedEncoder(Encoder, Protocol):
    """An encoder that also needs what another one stored of the same utterance; its spec has `derives_from`."""

    def derive(self, item: Input, stored: np.ndarray) -> Input:
        """The input that `prepare` made, completed by the source's stored embedding (float32, without a batch axis).

        Raises UnavailableError where that holds nothing to go on.
        """
        ...


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
