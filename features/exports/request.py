"""What an export for a tool is made from, and what it tells of itself afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from features.errors import UsageError
from features.manifest import Manifest
from features.spec import EncoderSpec
from features.store.feature import Feature
from features.store.stream import RowStream

FORMATS = {"mmsa": "file", "mertools": "folder", "conv-emotion": "file", "hf": "folder"}
"""Each format, and what it writes."""

DEFAULT_LENGTH = 50
"""Steps of a sequence where --length is not given: what MMSA's own files of CMU-MOSI and CMU-MOSEI have."""


@dataclass(frozen=True)
class Request:
    """Features of one store, the utterances, and how many steps sequences get (None: not said)."""

    features: tuple[Feature, ...]
    manifest: Manifest
    length: int | None = None
    advance: Callable[[int], object] = lambda number: None

    def one_of(self, modality: str) -> Feature | None:
        """The feature of a modality, where there is one. Raises UsageError where there are several."""
        found = [feature for feature in self.features if feature.spec.modality == modality]
        if len(found) > 1:
            names = " and ".join(feature_name(feature) for feature in found)
            raise UsageError(f"the format has one {modality} feature, and {names} were given: choose one")
        return found[0] if found else None

    def rows(self, feature: Feature, written: Written) -> Iterator[tuple[int, np.ndarray | None]]:
        """(row of the manifest, its stored embedding or None), each row once, in order, in bounded memory.

        Those without one are noted in `written`. Raises ShardError where a row's bytes are not its ledger's.
        """
        position = 0
        for block in RowStream(feature, self.manifest).blocks():
            told = block.table.select("utterance_id", "status", "reason").iter_rows()
            for value, (utterance_id, status, reason) in zip(block.values, told, strict=True):
                if value is None:
                    written.missing.append(Missing(feature_name(feature), utterance_id, status, reason))
                yield position, value
                position += 1
            self.advance(len(block.values))

    def frames(self, feature: Feature, written: Written) -> Iterator[tuple[int, np.ndarray]]:
        """`rows` of those that have an embedding, as [t, d] in the stored dtype; t is 1 for vectors and stacks.

        A sequence of no steps is noted as missing, too, with the status `ok`: zeros will stand in its place.
        """
        for row, value in self.rows(feature, written):
            if value is None:
                continue
            frames = value.reshape(len(value) if feature.spec.kind == "sequence" else 1, width(feature.spec))
            if len(frames):
                yield row, frames
            else:
                written.missing.append(Missing(feature_name(feature), self.manifest.ids[row], "ok", "no-steps"))


@dataclass(frozen=True)
class Missing:
    """An utterance without an embedding, and the ledger's status and reason (`absent`: never extracted)."""

    feature: str
    utterance_id: str
    status: str
    reason: str | None


@dataclass
class Written:
    """What a format's writer tells.

    splits:   the tool's name of a split -> utterances written there
    missing:  utterances without an embedding: nulls in `hf`, zeros in the others
    left_out: utterance_id -> why it is not in the export
    facts:    for the side file: the order of labels, the places of features, ... JSON values
    notes:    a line each, for people
    """

    splits: dict[str, int] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def feature_name(feature: Feature) -> str:
    """modality/name@fingerprint, as --feature takes it."""
    return f"{feature.spec.modality}/{feature.name}@{feature.fingerprint[:8]}"


def column_names(features: tuple[Feature, ...]) -> list[str]:
    """A name for each feature, fit for columns and folders: modality_name, with its fingerprint where two are alike."""
    plain = ["".join(c if c.isalnum() else "_" for c in f"{item.spec.modality}_{item.name}") for item in features]
    return [
        name if plain.count(name) == 1 else f"{name}_{feature.fingerprint[:8]}"
        for name, feature in zip(plain, features, strict=True)
    ]


def width(spec: EncoderSpec) -> int:
    """Numbers of a vector, or of one step of a sequence; the layers of a stack are laid end to end."""
    return int(np.prod(spec.shape, dtype=np.int64))


def check_features(features: tuple[Feature, ...]) -> None:
    """Raises UsageError for no feature, one that is named twice, and one whose elements end in flags."""
    if not features:
        raise UsageError("no feature: give --feature MODALITY/NAME, as often as there are features")
    names = [feature_name(feature) for feature in features]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"--feature {twice[0]} is given twice: give it once")
    for feature in features:
        if feature.spec.from_top:
            raise UsageError(
                f"{feature_name(feature)} has from_top: its elements end in flags that no other tool knows: extract it"
                " without from_top, or export it alone as parquet, hdf5 or npy"
            )


def command_line(request: Request, file_format: str) -> str:
    """The command that makes this export again, without the paths of the machine that made it."""
    names = " ".join(f"--feature {item.spec.modality}/{item.name}@{item.fingerprint}" for item in request.features)
    length = "" if request.length is None else f" --length {request.length}"
    name = request.manifest.path.name if request.manifest.path else "MANIFEST"
    return f"erc store export STORE --format {file_format} {names} --manifest {name}{length} --to OUT"
