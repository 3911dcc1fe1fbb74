"""The file beside the shards of a feature with `from_top`: the encoder's last layers, and its record.

The record (top.json) is the commit, as a shard's is: without it the file is what an interrupted run left. Both are
written once, with the folder, before the first shard. Neither is ever replaced: what is damaged is moved away first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from features.digests import digest_of, is_later_format
from features.errors import FormatError, ShardError, StoreError
from features.spec import EncoderSpec
from features.store.commit import TOP_RECORD, place_file, remove_temporaries, write_temporary
from features.store.faults import FaultKind
from features.store.reading import is_there, read_bytes
from features.top import FILE
from features.top.elements import FLAGS

if TYPE_CHECKING:
    from features.top.top import Top

TOP_FILES = (TOP_RECORD, FILE)
"""In the order in which they are moved away: the record first."""

_FORMAT = 1
_REPAIR = "`erc store verify STORE --repair` moves it away, and the `erc extract` that made the feature writes it again"
_AGAIN = "the `erc extract` that made the feature writes it again, and encodes nothing twice"


class TopFaultError(ShardError):
    """What is wrong with the file or its record.

    path: which of the two; `is_movable`: whether moving them away mends it
    """

    def __init__(self, path: Path, kind: FaultKind, detail: str, mend: str = _REPAIR) -> None:
        super().__init__(f"{path}: {detail}: {mend}")
        self.path, self.kind, self.detail, self.is_movable = path, kind, detail, mend == _REPAIR
        self.mend = mend


@dataclass(frozen=True)
class _Record:
    """fingerprint: of the feature; size, sha256: of the file; top: `Top.digest`"""

    fingerprint: str
    size: int
    sha256: str
    top: str

    def to_json(self) -> str:
        values = {
            "format": _FORMAT,
            "fingerprint": self.fingerprint,
            "file": {"name": FILE, "size": self.size, "sha256": self.sha256},
            "top": self.top,
        }
        return json.dumps(values | {"digest": digest_of("top", values)}, indent=1) + "\n"


def write_top(folder: Path, spec: EncoderSpec, top: Top | None, *, alone: bool) -> None:
    """Write the file and its record where there is no record; where there is one, both are checked.

    alone: no other run can be at it, so that a file without a record is what one left that was stopped
    Raises StoreError where there is nothing to write, TopFaultError where what is there is damaged, OSError where it
    cannot be written.
    """
    if is_there(folder / TOP_RECORD):
        _content(folder, spec)
        return
    if top is None or top.digest != spec.settings["top"]:
        raise StoreError(f"{folder}: needs {FILE}, the layers above its states: give the top of its encoder")
    if alone:
        (folder / FILE).unlink(missing_ok=True)
    try:
        if not place_file(write_temporary(folder, "top", top.content), folder / FILE, "top"):
            _check_same(folder / FILE, top)
        record = _Record(spec.fingerprint, len(top.content), sha256(top.content).hexdigest(), top.digest)
        written = write_temporary(folder, "top-record", record.to_json().encode())
        if not place_file(written, folder / TOP_RECORD, "top-record"):
            _content(folder, spec)
    finally:
        remove_temporaries(folder)


def _check_same(path: Path, top: Top) -> None:
    """Another slice may be writing the same file at the same moment."""
    if read_bytes(path, _AGAIN) != top.content:
        raise ShardError(
            f"{path}: has no {TOP_RECORD}, and is not what this run would write: another run was stopped over it, or is"
            " writing it with another version: run the same command without --shard first, with --limit 1"
        )


def read_top(folder: Path, spec: EncoderSpec) -> Top:
    """The layers above the states of a feature.

    Raises StoreError for a feature without any, TopFaultError where file or record is absent or damaged,
    UnreadableError where they cannot be read, FormatError where a later version of this package wrote them.
    """
    if not spec.from_top:
        raise StoreError(f"{folder}: keeps no layers of its encoder: extract it with --set from_top=K")
    return parse_top(folder / FILE, spec, _content(folder, spec))


def top_bytes(folder: Path, spec: EncoderSpec) -> bytes:
    """The file's content, checked as `read_top` does."""
    content = _content(folder, spec)
    parse_top(folder / FILE, spec, content)
    return content


def check_top(folder: Path, spec: EncoderSpec | None) -> int:
    """Check file and record whole, as `read_top` does; without a spec (it is damaged) one against the other. Gives how
    many bytes were read."""
    content = _content(folder, spec)
    if spec is not None:
        parse_top(folder / FILE, spec, content)
    return len(content)


def _content(folder: Path, spec: EncoderSpec | None) -> bytes:
    """The file's bytes, which are those that the record tells of."""
    path = folder / FILE
    record = _read_record(folder / TOP_RECORD, spec)
    if not is_there(path):
        raise TopFaultError(path, FaultKind.ABSENT, "is gone, its record names it")
    content = read_bytes(path, _REPAIR)
    if len(content) != record.size:
        detail = f"is {len(content)} bytes, its record says {record.size}"
        raise TopFaultError(path, FaultKind.SIZE, detail)
    if sha256(content).hexdigest() != record.sha256:
        raise TopFaultError(path, FaultKind.CHECKSUM, "its sha256 is not its record's")
    return content


def _read_record(path: Path, spec: EncoderSpec | None) -> _Record:
    if not is_there(path):
        raise TopFaultError(path, FaultKind.ABSENT, f"is gone, the record of {FILE}", _AGAIN)
    content = read_bytes(path, _REPAIR)
    try:
        values = json.loads(content.decode("utf-8"))
        digest = values.pop("digest")
        if is_later_format("top", values, digest, _FORMAT):
            raise FormatError(
                f"{path}: is of format {values['format']}, this version reads {_FORMAT}: a later version wrote it:"
                " upgrade"
            )
        file = values["file"]
        record = _Record(values["fingerprint"], file["size"], file["sha256"], values["top"])
        is_whole = record.to_json().encode() == content
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        detail = f"is not the record of {FILE} ({type(error).__name__}: {error})"
        raise TopFaultError(path, FaultKind.RECORD, detail) from error
    if not is_whole:
        raise TopFaultError(path, FaultKind.RECORD, "its digest does not fit its content: it was changed or damaged")
    if spec is not None and record.fingerprint != spec.fingerprint:
        detail = f"is of feature {record.fingerprint[:8]}, the spec says {spec.fingerprint[:8]}"
        raise TopFaultError(path, FaultKind.RECORD, detail)
    return record


def parse_top(path: Path, spec: EncoderSpec, content: bytes) -> Top:
    """Of the file's content. Raises TopFaultError where it is not the spec's, FormatError as `read_top`."""
    from features.top.top import Top

    try:
        top = Top.parse(content, str(path))
    except FormatError:
        raise
    except StoreError as error:
        raise TopFaultError(path, FaultKind.TOP, str(error).removeprefix(f"{path}: ")) from error
    if top.digest != spec.settings["top"]:
        raise TopFaultError(path, FaultKind.TOP, "its layers are not those that the spec names")
    description = top.description
    if (description.from_top, (description.width + FLAGS,)) != (spec.from_top, spec.shape):
        raise TopFaultError(path, FaultKind.TOP, "its layers do not fit the states that the spec tells of")
    return top
