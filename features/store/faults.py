"""What can be wrong with a store: a closed list of kinds, and one fault of one file.

A check of a file has three outcomes: it is sound, it is damaged, or it is `unreadable`, of which nothing is known. Only
what is damaged has a shard to move away.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from features.errors import FormatError, StoreError, UnreadableError


class FaultKind(StrEnum):
    """What is wrong with a file, or why that is not known."""

    SPEC = "spec"  # spec.json is absent, damaged, or that of another folder
    RECORD = "record"  # a commit record is damaged, renamed, or that of another feature
    ABSENT = "absent"  # a file that a commit record names is not there
    SIZE = "size"  # a file has another size than its commit record says
    CHECKSUM = "checksum"  # a file's sha256 is not its commit record's
    TENSORS = "tensors"  # the HDF5 file is not of the form that the spec says
    TOP = "top"  # the file of the encoder's top layers is not of its form, or not the spec's
    CRC32 = "crc32"  # a row's bytes are not those that the ledger describes
    NON_FINITE = "non-finite"  # a row holds NaN or infinity
    LEDGER = "ledger"  # the ledger contradicts itself, its tensors, or its commit record
    DUPLICATE = "duplicate"  # an utterance has two rows of one generation
    ORPHAN = "orphan"  # what an interrupted commit left, or a shard that lost its commit record
    UNKNOWN = "unknown"  # a file that no part of a store is called
    UNREADABLE = "unreadable"  # what stood in the way of reading says nothing of the bytes: it may be sound
    FORMAT = "format"  # a later version of this package wrote it


def kind_of(error: StoreError, damage: FaultKind) -> FaultKind:
    """`unreadable` or `format` where an error is that, else the kind that it has as damage."""
    if isinstance(error, UnreadableError):
        return FaultKind.UNREADABLE
    return FaultKind.FORMAT if isinstance(error, FormatError) else damage


@dataclass(frozen=True)
class Fault:
    """One fault.

    feature: modality/name-XXXXXXXX, the folder within the store
    path:    the file that is wrong
    shard:   the stem of the shard's files, for a fault that moving that shard away mends; else None. Never given for
             `unreadable` and `format`, nor for any fault of a shard that has one of these
    ledger:  for a spec.json that can be written again, the stem of the shard whose ledger holds it
    top:     whether moving the file of the encoder's top layers away mends it, with its record
    """

    feature: str
    path: Path
    kind: FaultKind
    detail: str
    shard: str | None = None
    ledger: str | None = None
    top: bool = False

    @property
    def is_repairable(self) -> bool:
        """Whether `erc store verify --repair` mends it."""
        return self.shard is not None or self.ledger is not None or self.top or self.kind is FaultKind.ORPHAN

    @property
    def is_damage(self) -> bool:
        """Whether bytes were read and are wrong, or are gone."""
        return self.kind not in (FaultKind.UNREADABLE, FaultKind.FORMAT)

    def __str__(self) -> str:
        return f"{self.path}: {self.kind}: {self.detail}"

    def to_dict(self) -> dict[str, str | None]:
        return {
            "feature": self.feature,
            "path": str(self.path),
            "kind": str(self.kind),
            "detail": self.detail,
            "shard": self.shard,
        }
