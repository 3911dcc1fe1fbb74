"""Every byte of one shard accounted for: the commit record, its two files, and what they say of each other."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl

from features.errors import ShardError, StoreError, UnreadableError, bare_line
from features.spec import EncoderSpec
from features.store.commit import CommitRecord, parse_record
from features.store.faults import Fault, FaultKind, kind_of
from features.store.ledger import NOT_A_LEDGER
from features.store.ledger_checks import ledger_problems, parse_ledger, row_problems
from features.store.reading import REPAIR, is_there, read_bytes, read_error
from features.store.shard import Shard, open_shard

Advance = Callable[[int], object]

_BLOCK_BYTES = 4 << 20
_NAMED = "its commit record names it"


@dataclass
class ShardReport:
    """What was found of one shard.

    faults:   what is wrong, or could not be read
    rows:     utterance_id, status and source_digest of each row of a ledger that can be read, else None
    metadata: that ledger's
    gone:     the shard was removed as a whole while it was looked at: nothing is wrong with it
    """

    faults: list[Fault] = field(default_factory=list)
    rows: pl.DataFrame | None = None
    metadata: dict[str, str] = field(default_factory=dict)
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
    if check.report.faults and _is_gone(check.path("json")):
        return ShardReport(gone=True)
    if not all(fault.is_damage for fault in check.report.faults):
        # Not all of it is known, so the shard stays where it is, whatever else is wrong with it.
        check.report.faults = [replace(fault, shard=None) for fault in check.report.faults]
    return check.report


def _is_gone(record: Path) -> bool:
    try:
        return not is_there(record)
    except UnreadableError:
        return False


class _ShardCheck:
    def __init__(self, root: Path, folder: str, stem: str, spec: EncoderSpec | None, advance: Advance) -> None:
        self.root, self.folder, self.stem, self.spec, self.advance = root, folder, stem, spec, advance
        self.report = ShardReport()

    def path(self, kind: str) -> Path:
        return self.root / self.folder / f"{self.stem}.{kind}"

    def add(self, kind: str, fault: FaultKind, detail: str) -> None:
        self.report.faults.append(Fault(self.folder, self.path(kind), fault, detail, self.stem))

    def add_error(self, kind: str, damage: FaultKind, error: StoreError) -> None:
        text = str(error).removeprefix(f"{self.path(kind)}: ").removesuffix(f": {REPAIR}")
        self.add(kind, kind_of(error, damage), text)

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
            raw = read_bytes(path)
            record = parse_record(path, raw)
            same = record.to_json().encode() == raw
        except StoreError as error:
            self.add_error("json", FaultKind.RECORD, error)
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
            self.add_error("h5", FaultKind.ABSENT, read_error(self.path("h5"), error, _NAMED))
            return False
        return self.same_bytes("h5", size, digest.hexdigest(), record)

    def ledger_content(self, record: CommitRecord) -> bytes | None:
        try:
            content = read_bytes(self.path("parquet"), _NAMED)
        except StoreError as error:
            self.add_error("parquet", FaultKind.ABSENT, error)
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
        except NOT_A_LEDGER as error:
            self.add("parquet", FaultKind.LEDGER, f"is not a ledger: {bare_line(error)}")
            return None
        self.report.metadata = metadata
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
        try:
            shard = open_shard(self.path("h5"), spec, record.sizes["h5"])
            contradicting = list(row_problems(frame, len(shard)))
            rows = [] if contradicting else list(_checked_rows(shard))
        except StoreError as error:
            self.add_error("h5", FaultKind.TENSORS, error)
            return
        for kind, detail in contradicting:
            self.add("parquet", kind, detail)
        if contradicting:
            return
        ok = frame.select("row", "utterance_id", "crc32").drop_nulls().sort("row")
        ids, checksums = ok["utterance_id"].to_list(), ok["crc32"].to_list()
        other = [key for key, (crc32, _), expected in zip(ids, rows, checksums, strict=True) if crc32 != expected]
        if other:
            detail = f"{_counted(other)}: the ledger's crc32 is that of other bytes"
            self.add("h5", FaultKind.CRC32, detail)
        infinite = [key for key, (_, is_finite) in zip(ids, rows, strict=True) if not is_finite]
        if infinite:
            self.add("h5", FaultKind.NON_FINITE, f"{_counted(infinite)}: NaN or infinity")

    def read(self, number: int) -> None:
        self.report.num_bytes += number
        self.advance(number)


def _checked_rows(shard: Shard) -> Iterator[tuple[int, bool]]:
    """crc32 of each row, and whether it is finite.

    The bytes come by plain reads (from the system's cache: the checksum of the file has just read them): where a disk
    fails, a memory map ends the process. Raises ShardError where the file was cut meanwhile, else UnreadableError.
    """
    if shard.begin is None:  # no values at all
        yield from ((0, True) for _ in range(len(shard)))
        return
    size = shard.values[:1].nbytes
    with _plain_reads(shard.path) as file:
        file.seek(shard.begin)
        for counts in _blocks(shard, max(1, _BLOCK_BYTES // size)):
            content = file.read(sum(counts) * size)
            if len(content) < sum(counts) * size:
                raise ShardError(f"{shard.path}: became shorter while it was read: {REPAIR}")
            elements = np.frombuffer(content, shard.values.dtype).reshape(sum(counts), -1)
            is_finite = np.asarray(np.isfinite(elements).all(axis=1))
            view, start = memoryview(content), 0
            for count in counts:
                stop = start + count
                yield zlib.crc32(view[start * size : stop * size]), bool(is_finite[start:stop].all())
                start = stop


def _blocks(shard: Shard, most: int) -> Iterator[list[int]]:
    """How many elements each row has, for blocks of rows of about `most` elements."""
    if shard.offsets is None:
        for start in range(0, len(shard), most):
            yield [1] * min(most, len(shard) - start)
        return
    block: list[int] = []
    held = 0
    for count in np.diff(shard.offsets).tolist():
        block.append(count)
        held += count
        if held >= most:
            yield block
            block, held = [], 0
    if block:
        yield block


@contextmanager
def _plain_reads(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise read_error(path, error) from error


def _counted(ids: list[str]) -> str:
    return ids[0] + (f" and {len(ids) - 1} more" if len(ids) > 1 else "")
