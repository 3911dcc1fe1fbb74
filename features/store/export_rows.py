"""The rows of an export against the crc32 that each brings with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from features.errors import StoreError
from features.spec import EncoderSpec
from features.store.export_faults import ExportFault, ExportFaultKind, unreadable
from features.store.export_read import Format, open_export
from features.store.shard import row_crc32

Advance = Callable[[int], object]


@dataclass
class CheckedRows:
    """utterances: rows that were read; ok: those of them with an embedding, whose crc32 was compared."""

    spec: EncoderSpec | None = None
    utterances: int = 0
    ok: int = 0
    faults: list[ExportFault] = field(default_factory=list)


def check_rows(export: tuple[Path, Format], advance: Advance) -> CheckedRows:
    """Read every row and compare it. `advance` is called with bytes of embeddings. Raises nothing, whatever is read."""
    path, file_format = export
    checked = CheckedRows()
    unfit: list[str] = []
    try:
        with open_export(path, file_format) as (checked.spec, blocks):
            for block in blocks:
                for key, value, crc32 in zip(*block, strict=True):
                    checked.utterances += 1
                    if value is None and crc32 is None:
                        continue
                    checked.ok += 1
                    if value is None or row_crc32(value) != crc32:
                        unfit.append(str(key))
                advance(sum(value.nbytes for value in block.values if value is not None))
    except StoreError as error:
        checked.faults.append(ExportFault(path, ExportFaultKind.FORM, str(error)))
    except Exception as error:  # what damaged files raise, libraries do not promise
        checked.faults.append(_fault(path, error))
    if unfit:
        detail = f"{len(unfit)} of {checked.ok} rows have other bytes than were exported"
        checked.faults.append(ExportFault(path, ExportFaultKind.CRC32, detail, tuple(unfit)))
    return checked


def _fault(path: Path, error: Exception) -> ExportFault:
    if isinstance(error, FileNotFoundError) and error.filename:
        return ExportFault(Path(error.filename), ExportFaultKind.ABSENT, "is not there: export it again")
    if isinstance(error, OSError) and error.errno:
        return unreadable(path, error)
    reason = " ".join(str(error).split()) or "no message"
    return ExportFault(path, ExportFaultKind.FORM, f"its rows cannot be read ({type(error).__name__}: {reason})")
