"""An encoder as a function of a batch, for `datasets.map` and Ray Data's `map_batches`.

    from features import encode

    embed = encode("sentence", pooling="mean")
    rows = dataset.map(embed, batched=True, batch_size=64)
    rows = ray_dataset.map_batches(embed, batch_size=64)

Its hash is the encoder's fingerprint. A cache that uses the hash, as `datasets` does, is read again only by the same
encoder: same settings, same weights, same version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from features.encoders.build import create
from features.encoders.protocol import Encoder, EncoderRequest, Input, Turn
from features.errors import UnavailableError, UsageError
from features.media.clip import decode_clip
from features.utterances import Dialogue, Utterance


class Encoding:
    """An encoder as a function of a batch of rows; `encode` returns one. Called with columns, it returns them with two
    more: `embedding`, and `reason`, which says why there is no embedding.

    The encoder is loaded when the object is made, and again in each process that it is sent to.
    """

    def __init__(self, request: EncoderRequest) -> None:
        self.request = request
        self._encoder = create(request)
        self.spec = self._encoder.spec
        if self.spec.depends == "dialogue":
            raise UsageError(
                f"encoder {request.encoder!r} reads the turns before, with these settings, and a batch of rows may lack"
                " them: use `erc extract`, and `features.load` for what it stores"
            )

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the feature that `erc extract` would write, in hex."""
        return self.spec.fingerprint

    def __hash__(self) -> int:
        return int(self.fingerprint[:15], 16)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Encoding) and other.fingerprint == self.fingerprint

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.request, self.fingerprint)

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """The columns of the batch, with two more.

        batch: columns of equal length, as a dict, a pandas frame or a pyarrow table. An encoder of texts needs `text`.
               Others need `media`, the path of a clip. To use only a part of the clip, add `start` and `end`, in
               seconds
        Adds two columns. `embedding` has an array for each row, as `erc extract` stores it, or None. `reason` says why
        there is no embedding, or is None. Raises UsageError if the column that the encoder needs is not there.
        """
        if hasattr(batch, "to_pydict"):
            batch = batch.to_pydict()
        encoder = self._encoder
        column = "text" if encoder.reads == "turn" else "media"
        if column not in batch:
            name = self.request.encoder
            raise UsageError(f"encoder {name!r} reads the column {column!r}: there are {', '.join(batch)}")
        made = [self._prepared(encoder, batch, row) for row in range(len(batch[column]))]
        arrays = iter(self._encoded(encoder, [item for item in made if isinstance(item, Input)]))
        embeddings = [next(arrays) if isinstance(item, Input) else None for item in made]
        reasons = [None if isinstance(item, Input) else str(item.reason) for item in made]
        return {**batch, "embedding": embeddings, "reason": reasons}

    def _prepared(self, encoder: Encoder, batch: Mapping[str, Sequence[Any]], row: int) -> Input | UnavailableError:
        text = str(batch["text"][row]) if "text" in batch else ""
        times = {name: None if batch.get(name) is None else batch[name][row] for name in ("start", "end")}
        media = None if encoder.reads == "turn" else str(batch["media"][row])
        utterance = Utterance("row", "rows", "train", "rows", 0, "unknown", text, media=media, **times)
        try:
            if media is None:
                return encoder.prepare(Turn(Dialogue("rows", (utterance,)), 0))
            needs = [encoder.needs] if encoder.needs else []
            return encoder.prepare(decode_clip(Path(media), utterance, needs))
        except UnavailableError as error:
            return error

    def _encoded(self, encoder: Encoder, inputs: list[Input]) -> list[np.ndarray]:
        """In the order of `inputs`; batched by length, as extraction does."""
        order = sorted(range(len(inputs)), key=lambda place: inputs[place].length)
        arrays: dict[int, np.ndarray] = {}
        for start in range(0, len(order), encoder.batch_size):
            places = order[start : start + encoder.batch_size]
            found = encoder.encode([inputs[place] for place in places])
            for place, array in zip(places, found, strict=True):
                arrays[place] = np.asarray(array, self.spec.stored_dtype)
        return [arrays[place] for place in range(len(inputs))]


def encode(
    encoder: str,
    *,
    model: str | None = None,
    device: str = "cpu",
    dtype: str = "fp32",
    batch_size: int | None = None,
    **settings: Any,
) -> Encoding:
    """An encoder as a function of a batch of rows.

    encoder:    a name that `erc extract --list` shows
    model:      as --model
    device:     `cpu`, `cuda:N` or `mps`
    dtype:      fp32, bf16 or fp16
    batch_size: the largest number of rows that are encoded at once
    settings:   as --set

    Raises UsageError for an encoder or a setting that does not exist or that needs whole dialogues, and WeightsError if
    the weights are not available.
    """
    return Encoding(EncoderRequest(encoder, settings, model, device=device, dtype=dtype, batch_size=batch_size))


def _restored(request: EncoderRequest, fingerprint: str) -> Encoding:
    """In another process. Raises UsageError where what is built there is another encoder."""
    found = Encoding(request)
    if found.fingerprint != fingerprint:
        raise UsageError(
            f"encoder {request.encoder!r} is {found.fingerprint[:8]} here and was {fingerprint[:8]} where it came from:"
            " other weights, or another version of its package"
        )
    return found
