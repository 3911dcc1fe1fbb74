"""Every byte of one shard accounted for: the commit record, its two files, and what they say of each other."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl

from features.errors import ShardError
from features.spec import EncoderSpec
from features.store.commit import CommitRecord, read_record
from features.store.faults import Fault, FaultKind
from features.store.ledger_checks import ledger_problems, parse_ledger, row_problems
from features.store.shard import Shard, open_shard

Advance = Callable[[int], object]

_BLOCK_BYTES = 4 << 20


@dataclass
class ShardReport:
    """What was found of one shard.

    faults: what is wrong
    rows:   utterance_id, status and source_digest of each row of a ledger that can be read, else None
    gone:   the shard was removed as a whole while it was looked at: nothing is wrong with it
    """

    faults: list[Fault] = field(default_factory=list)
    rows: pl.DataFrame | None = None
    num_bytes: int = 0
    gone: bool = False


def check_shard(
    root: Path, folder: str, stem: str, spec: EncoderSpec | None, advance: Advance = lambda number: None
) -> ShardReport:
    """Look at everything of the shard STEM.json, STEM.h5, STEM.parquet of a feature.

    spec:    the feature's; without one (spec.json is damaged) tensors and ledger are compared with the record only
    advance: is called with the number of bytes read
    """
    check = _ShardCheck(root, folder, stem, spec, advance)
    check.run()
    if check.report.faults and not check.path("json").exists():
        return ShardReport(gone=True)
    return check.report


class _ShardCheck:
    def __init__(self, root: Path, folder: str, stem: str, spec: EncoderSpec | None, advance: Advance) -> None:
        self.root, self.folder, self.stem, self.spec, self.advance = root, folder, stem, spec, advance
        self.report = ShardReport()

    def path(self, kind: str) -> Path:
        return self.root / self.folder / f"{self.stem}.{kind}"

    def add(self, kind: str, fault: FaultKind, detail: str) -> None:
        self.report.faults.append(Fault(self.folder, self.path(kind), fault, detail, self.stem))

    def run(self) -> None:
        record = self.record()
        if record is None:
            return
        tensors_sound = self.tensors_unchanged(record)
        content = self.ledger_content(record)
        frame = self.ledger(content, record) if content is not None else None
        if frame is None or self.spec is None:
            return
        self.report.rows = frame.select("utterance_id", "status", "source_digest")
        if tensors_sound:
            self.tensors(frame, record, self.spec)

    def record(self) -> CommitRecord | None:
        path = self.path("json")
        try:
            raw = path.read_bytes()
            record = read_record(path)
            same = record.to_json().encode() == raw
        except (OSError, ShardError) as error:
            self.add("json", FaultKind.RECORD, str(error).removeprefix(f"{path}: ").partition(": `erc")[0])
            return None
        self.read(len(raw))
        if not same:
            self.add("json", FaultKind.RECORD, "is not written as this package writes it: the file was changed")
        fingerprint = self.spec.fingerprint if self.spec else record.fingerprint
        if record.fingerprint != fingerprint or not self.folder.endswith(f"-{record.fingerprint[:8]}"):
            self.add("json", FaultKind.RECORD, f"is that of another feature (fingerprint {record.fingerprint[:8]})")
            return None
        return record

    def tensors_unchanged(self, record: CommitRecord) -> bool:
        """Whether the file is the one that was committed."""
        digest, size = sha256(), 0
        try:
            with self.path("h5").open("rb") as file:
                while block := file.read(_BLOCK_BYTES):
                    digest.update(block)
                    size += len(block)
                    self.read(len(block))
        except OSError as error:
            self.add("h5", FaultKind.ABSENT, f"its commit record names it, but it cannot be read ({error.strerror})")
            return False
        return self.same_bytes("h5", size, digest.hexdigest(), record)

    def ledger_content(self, record: CommitRecord) -> bytes | None:
        try:
            content = self.path("parquet").read_bytes()
        except OSError as error:
            detail = f"its commit record names it, but it cannot be read ({error.strerror})"
            self.add("parquet", FaultKind.ABSENT, detail)
            return None
        self.read(len(content))
        return content if self.same_bytes("parquet", len(content), sha256(content).hexdigest(), record) else None

    def same_bytes(self, kind: str, size: int, digest: str, record: CommitRecord) -> bool:
        if size != record.sizes[kind]:
            self.add(kind, FaultKind.SIZE, f"is {size} bytes, its commit record says {record.sizes[kind]}")
            return False
        if digest != record.sha256[kind]:
            detail = f"its sha256 begins {digest[:8]}, its commit record says {record.sha256[kind][:8]}"
            self.add(kind, FaultKind.CHECKSUM, detail)
            return False
        return True

    def ledger(self, content: bytes, record: CommitRecord) -> pl.DataFrame | None:
        """The ledger, if its columns are those of a ledger."""
        try:
            frame, metadata = parse_ledger(content)
        except (pl.exceptions.PolarsError, ValueError, OSError) as error:
            self.add("parquet", FaultKind.LEDGER, f"cannot be read: {str(error).splitlines()[0]}")
            return None
        before = len(self.report.faults)
        for kind, detail in ledger_problems(frame, metadata, record.fingerprint, self.stem):
            self.add("parquet", kind, detail)
        if len(self.report.faults) > before:
            return None
        ok = int((frame["status"] == "ok").sum())
        for name, found, expected in (("utterances", frame.height, record.utterances), ("ok", ok, record.ok)):
            if found != expected:
                self.add("parquet", FaultKind.LEDGER, f"has {found} {name}, its commit record says {expected}")
        return frame

    def tensors(self, frame: pl.DataFrame, record: CommitRecord, spec: EncoderSpec) -> None:
        path = self.path("h5")
        try:
            shard = open_shard(path, spec, record.sizes["h5"])
        except ShardError as error:
            self.add("h5", FaultKind.TENSORS, str(error).removeprefix(f"{path}: ").partition(": `erc")[0])
            return
        contradicting = list(row_problems(frame, len(shard)))
        for kind, detail in contradicting:
            self.add("parquet", kind, detail)
        if contradicting:
            return
        ok = frame.select("row", "utterance_id", "crc32").drop_nulls().sort("row")
        ids, checksums = ok["utterance_id"].to_list(), ok["crc32"].to_list()
        other = [key for key, row, crc32 in zip(ids, _rows(shard), checksums, strict=True) if zlib.crc32(row) != crc32]
        if other:
            detail = f"{_counted(other)}: the ledger's crc32 is that of other bytes"
            self.add("h5", FaultKind.CRC32, detail)
        infinite = [key for key, finite in zip(ids, _finite(shard), strict=True) if not finite]
        if infinite:
            self.add("h5", FaultKind.NON_FINITE, f"{_counted(infinite)}: NaN or infinity")

    def read(self, number: int) -> None:
        self.report.num_bytes += number
        self.advance(number)


def _rows(shard: Shard) -> Iterator[memoryview]:
    """The bytes of each row. They come from the system's cache: the checksum of the file has just read them."""
    for row in range(len(shard)):
        yield np.ascontiguousarray(shard.row(row)).reshape(-1).view(np.uint8).data


def _finite(shard: Shard) -> Iterator[bool]:
    """Whether each row is finite; blocks of rows at once, so that memory stays small."""
    if shard.offsets is not None:
        yield from (bool(np.isfinite(shard.row(row)).all()) for row in range(len(shard)))
        return
    step = max(1, _BLOCK_BYTES // max(1, shard.values[:1].nbytes))
    for start in range(0, len(shard), step):
        block = np.isfinite(shard.values[start : start + step])
        yield from block.reshape(len(block), -1).all(axis=1).tolist()


def _counted(ids: list[str]) -> str:
    return ids[0] + (f" and {len(ids) - 1} more" if len(ids) > 1 else "")
