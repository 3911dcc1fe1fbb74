"""What can be wrong with an export: a closed list of kinds, and one fault of one file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_SHOWN = 20


class ExportFaultKind(StrEnum):
    """What is wrong with an export."""

    SHA256 = "sha256"  # a file is not the one that was written, or its sum is not usable
    CRC32 = "crc32"  # rows have other bytes than were exported
    FORM = "form"  # it is no export, or contradicts itself, or is damaged so that nothing reads it
    ABSENT = "absent"  # a file of the folder is not there
    UNREADABLE = "unreadable"  # nothing is known: the system did not give the bytes


@dataclass(frozen=True)
class ExportFault:
    """One fault of one file. rows: the ids of the rows that are wrong, where it is known which."""

    path: Path
    kind: ExportFaultKind
    detail: str
    rows: tuple[str, ...] = ()

    def __str__(self) -> str:
        more = f", and {len(self.rows) - _SHOWN} more" if len(self.rows) > _SHOWN else ""
        named = f": {', '.join(self.rows[:_SHOWN])}{more}" if self.rows else ""
        return f"{self.path}: {self.kind}: {self.detail}{named}"

    def to_dict(self) -> dict[str, object]:
        return {"path": str(self.path), "kind": str(self.kind), "detail": self.detail, "rows": list(self.rows)}


def unreadable(path: Path, error: OSError) -> ExportFault:
    return ExportFault(path, ExportFaultKind.UNREADABLE, f"cannot be read: {error.strerror or error}")
