"""Every byte of a pack against what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from features.digests import sha256_file
from features.errors import StoreError
from features.packs.layout import Pack, PackedFeature, read_pack
from features.store.checksums import FOLDER_SUMS, read_sums
from features.store.export_rows import check_rows
from features.store.feature import read_spec
from features.top import FILE as TOP_FILE


def pack_sums(path: Path) -> dict[str, str]:
    """File of a pack -> its sha256, from its SHA256SUMS. Raises StoreError where it is absent, damaged, or names a file
    outside the pack."""
    try:
        sums = read_sums(path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror or error}): fetch the pack again") from error
    for name in sums:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in name:
            raise StoreError(f"{path}: names {name!r}, which is not inside the pack: do not use it")
    return sums


def check_pack(folder: Path) -> Pack:
    """The pack in a folder, all of it checked.

    Raises StoreError that names the first file or row that is not what it should be, and says how many there are.
    """
    pack = read_pack(folder)
    sums = pack_sums(folder / FOLDER_SUMS)
    check_files(folder, sums)
    for item in pack.features:
        check_feature(folder, item, sums)
    return pack


def check_files(folder: Path, sums: Mapping[str, str]) -> None:
    """These files of a pack, by name -> sha256. Raises as `check_pack`."""
    wrong = [fault for name, digest in sums.items() if (fault := _fault(folder, name, digest))]
    if wrong:
        more = f"; and {len(wrong) - 1} files more" if len(wrong) > 1 else ""
        raise StoreError(f"{folder}: {wrong[0]}{more}: fetch the pack again")


def check_feature(folder: Path, item: PackedFeature, sums: Mapping[str, str]) -> None:
    """Whether a feature is the one that pack.json tells of, and SHA256SUMS names all its files. Raises StoreError."""
    spec = read_spec(folder / item.folder, item.folder)
    if spec.fingerprint != item.fingerprint:
        told = f"{item.folder} is {spec.fingerprint[:8]}, pack.json says {item.fingerprint[:8]}"
        raise StoreError(f"{folder}: {told}: fetch the pack again")
    names = [*_files(item.splits), *([TOP_FILE] if spec.from_top else [])]
    absent = [f"{item.folder}/{name}" for name in names if f"{item.folder}/{name}" not in sums]
    if absent:
        raise StoreError(f"{folder}: {FOLDER_SUMS} does not name {absent[0]}: fetch the pack again")


def _files(splits: dict[str, int]) -> list[str]:
    return ["spec.json", "ledger.parquet", *(f"{split}.parquet" for split in splits)]


def _fault(folder: Path, name: str, digest: str) -> str:
    """What is wrong with a file, or nothing; of rows, which."""
    path = folder / name
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            return f"{name} leads out of the pack"
        if sha256_file(path) == digest:
            return ""
    except FileNotFoundError:
        return f"{name} is not there"
    except OSError as error:
        return f"{name} cannot be read ({error.strerror})"
    told = f"{name} has other bytes than were packed"
    if path.suffix != ".parquet":
        return told
    rows = [
        utterance for fault in check_rows((path, "parquet"), lambda number: None).faults for utterance in fault.rows
    ]
    return f"{told} (row {', '.join(rows[:3])})" if rows else told
