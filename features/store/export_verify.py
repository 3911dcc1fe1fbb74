"""Verifying an export: the sha256 of its files, and the crc32 of each row. Either finds what the other cannot.

sha256 covers every byte, but says nothing where its file is lost, or was written anew over damaged bytes. crc32 covers
the numbers, goes with them, and tells which rows are wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from features.errors import StoreError
from features.spec import MODALITIES, EncoderSpec
from features.store.checksums import FOLDER_SUMS, read_sums, sums_path
from features.store.export import NPY_FILES
from features.store.export_faults import ExportFault, ExportFaultKind, unreadable
from features.store.export_read import Format, export_format
from features.store.export_rows import check_rows
from features.store.export_top import SUFFIX, check_exported_top, top_path
from features.store.isolated import CrashedError, run_isolated

Advance = Callable[[int], object]

_BLOCK_BYTES = 4 << 20
_SUFFIXES = (".parquet", ".h5", ".hdf5")  # of what is not there, and cannot be looked at


@dataclass
class ExportReport:
    """What was found of an export.

    utterances, ok: rows that were read, and those of them with an embedding, whose crc32 was compared
    files:          how many files have the sha256 that was written with them
    num_bytes:      of all files
    """

    path: Path
    file_format: Format | None = None
    spec: EncoderSpec | None = None
    utterances: int = 0
    ok: int = 0
    files: int = 0
    num_bytes: int = 0
    faults: list[ExportFault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def is_export(path: Path) -> bool:
    """Whether a path is an export rather than a store, which is a folder with text/, audio/ or visual/."""
    if path.is_dir():
        is_store = any((path / modality).is_dir() for modality in MODALITIES)
        return not is_store and any((path / name).exists() for name in NPY_FILES)
    return path.exists() or sums_path(path).exists() or path.suffix in _SUFFIXES


def verify_export(path: Path, advance: Advance = lambda number: None) -> ExportReport:
    """Compare an export with its sha256 and with the crc32 of each row. Nothing is written.

    advance: is called with the number of bytes read; each is read twice
    Raises StoreError where there is no such file or folder.
    """
    if not path.exists():
        sums = sums_path(path)
        only = f", only {sums} (its export was interrupted, or it was moved away)" if sums.exists() else ""
        raise StoreError(f"no export at {path}{only}: make it with `erc store export --overwrite`")
    report = ExportReport(path)
    _check_sums(report, _digests(report, advance))
    if all(fault.kind is not ExportFaultKind.UNREADABLE for fault in report.faults):
        _check_rows(report, advance)
    return report


def _digests(report: ExportReport, advance: Advance) -> dict[str, str]:
    """name -> sha256 of each file that can be read."""
    path = report.path
    found = {}
    for file in [path, top_path(path)] if path.is_file() else sorted(path.iterdir()):
        if file == path / FOLDER_SUMS or not file.is_file():
            continue
        digest = sha256()
        try:
            with file.open("rb") as opened:
                while block := opened.read(_BLOCK_BYTES):
                    digest.update(block)
                    report.num_bytes += len(block)
                    advance(len(block))
        except OSError as error:
            report.faults.append(unreadable(file, error))
            continue
        found[file.name] = digest.hexdigest()
    return found


def _check_sums(report: ExportReport, found: dict[str, str]) -> None:
    sums = sums_path(report.path)
    try:
        expected = read_sums(sums)
    except FileNotFoundError:
        report.notes.append(f"{sums} is absent: only the crc32 of each row is compared, not every byte")
        return
    except OSError as error:
        report.faults.append(unreadable(sums, error))
        return
    except StoreError as error:
        report.faults.append(ExportFault(sums, ExportFaultKind.SHA256, str(error).removeprefix(f"{sums}: ")))
        return
    named = [name for name in expected if not name.endswith(SUFFIX)]
    if report.path.is_file() and len(named) == 1 and report.path.name not in expected:
        name = named[0]
        report.notes.append(f"{sums} is of {name!r}, and `sha256sum -c` looks for a file of that name")
        expected = {report.path.name + other.removeprefix(name): digest for other, digest in expected.items()}
    folder = report.path if report.path.is_dir() else report.path.parent
    known = {fault.path for fault in report.faults}
    for name, digest in expected.items():
        if found.get(name) == digest:
            report.files += 1
        elif name in found:
            detail = f"begins {found[name][:8]}, {sums.name} says {digest[:8]}: other bytes than were exported"
            report.faults.append(ExportFault(folder / name, ExportFaultKind.SHA256, detail))
        elif folder / name not in known:
            report.faults.append(ExportFault(folder / name, ExportFaultKind.ABSENT, f"{sums.name} names it"))
    for name in found.keys() - expected.keys():
        if report.path.is_dir() and name not in NPY_FILES:
            report.notes.append(f"{folder / name} is no file of an export, and was not looked at")
        else:
            report.faults.append(ExportFault(folder / name, ExportFaultKind.SHA256, f"{sums.name} does not name it"))


def _check_rows(report: ExportReport, advance: Advance) -> None:
    path = report.path
    try:
        report.file_format = export_format(path)
        export = (path, report.file_format)
        # The HDF5 library may end the process over a damaged file; Arrow and numpy raise.
        is_risky = report.file_format == "hdf5"
        checked = run_isolated(check_rows, export, advance) if is_risky else check_rows(export, advance)
    except OSError as error:
        report.faults.append(unreadable(path, error))
        return
    except CrashedError as error:
        report.faults.append(ExportFault(path, ExportFaultKind.UNREADABLE, str(error)))
        return
    except StoreError as error:
        report.faults.append(ExportFault(path, ExportFaultKind.FORM, str(error)))
        return
    report.spec, report.utterances, report.ok = checked.spec, checked.utterances, checked.ok
    found = checked.faults + (check_exported_top(path, checked.spec) if checked.spec and checked.spec.from_top else [])
    absent = {fault.path for fault in report.faults if fault.kind is ExportFaultKind.ABSENT}
    report.faults += [fault for fault in found if fault.path not in absent]
