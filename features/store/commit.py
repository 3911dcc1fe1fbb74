"""Committing a shard: temporary file, fsync, rename, for the tensors, then the ledger, then the commit record.

The record (NNNNN.json, or NNNNN.G.json for generation G) is the commit: without it the other two are orphans. A name
that is taken is never replaced, so that two writers cannot damage each other even where the lock is of no use.
"""

from __future__ import annotations

import errno
import json
import os
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Literal, NamedTuple

from features.digests import digest_of, is_later_format
from features.errors import FormatError, ShardError, StoreError, UnreadableError
from features.files import sync_folder
from features.spec import EncoderSpec
from features.store.placing import give_name
from features.store.reading import REPAIR, folder_entries, is_there, read_bytes
from features.top import FILE as TOP_FILE

_RECORD = re.compile(r"(?P<chunk>\d{5,})(\.(?P<generation>\d+))?\.json")
_MEMBER = re.compile(r"(\d{5,})(\.\d+)?\.(h5|parquet)")
_TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{32}-.*")
_LOCK = re.compile(r"\.lock(-\d+-of-\d+)?|\.slices")
# Where repair puts what is damaged, within the feature's folder.
DAMAGED = ".damaged"
# The record of TOP_FILE, the layers of an encoder beside the shards (see `top_file`).
TOP_RECORD = "top.json"
# The digest of a record is taken alike in every format, so that a later format and a damaged number can be told apart.
_FORMAT = 1
# Where a commit can be interrupted with something new on the disk.
_STEPS = ("written", "synced", "named", "durable")
POINTS = tuple(f"{member} {step}" for member in ("spec", "tensors", "ledger", "record") for step in _STEPS)
# Between the spec's and the tensors', of a feature that has a TOP_FILE.
TOP_POINTS = tuple(f"{member} {step}" for member in ("top", "top-record") for step in _STEPS)
_MENDS = {
    errno.ENOSPC: "make space",
    errno.EDQUOT: "make space within your quota",
    errno.EFBIG: "raise the limit on the size of files",
    errno.EROFS: "choose another --store",
    errno.EACCES: "choose another --store, or mend its rights",
    errno.EPERM: "choose another --store, or mend its rights",
}


Role = Literal["spec", "top", "record", "member", "temporary", "lock", "damaged", "unknown"]


class ShardName(NamedTuple):
    """Which shard: generation first, so that sorting puts the one that holds last."""

    generation: int
    chunk: int

    @property
    def stem(self) -> str:
        return f"{self.chunk:05d}" + (f".{self.generation}" if self.generation else "")


@dataclass(frozen=True)
class CommitRecord:
    """What a commit says of its shard. `sizes` and `sha256` have the keys `h5` and `parquet`."""

    name: ShardName
    fingerprint: str
    sizes: dict[str, int]
    sha256: dict[str, str]
    utterances: int
    ok: int

    def to_json(self) -> str:
        values = {
            "format": _FORMAT,
            "chunk": self.name.chunk,
            "generation": self.name.generation,
            "fingerprint": self.fingerprint,
            "files": {
                kind: {"name": f"{self.name.stem}.{kind}", "size": self.sizes[kind], "sha256": self.sha256[kind]}
                for kind in ("h5", "parquet")
            },
            "utterances": self.utterances,
            "ok": self.ok,
        }
        return json.dumps(values | {"digest": digest_of("commit", values)}, indent=1) + "\n"


def read_record(path: Path) -> CommitRecord:
    """Raises ShardError where the record is absent or damaged, UnreadableError where it cannot be read, and FormatError
    where a later version of this package wrote it."""
    return parse_record(path, read_bytes(path))


def parse_record(path: Path, content: bytes) -> CommitRecord:
    """Raises ShardError where the content is damaged, or not that of the file's name; FormatError as `read_record`."""
    try:
        values = json.loads(content.decode("utf-8"))
        digest = values.pop("digest")
        if is_later_format("commit", values, digest, _FORMAT):
            raise FormatError(
                f"{path}: is of format {values['format']}, this version reads {_FORMAT}: a later version wrote its"
                " shard: upgrade"
            )
        files = values["files"]
        record = CommitRecord(
            ShardName(values["generation"], values["chunk"]),
            values["fingerprint"],
            {kind: files[kind]["size"] for kind in ("h5", "parquet")},
            {kind: files[kind]["sha256"] for kind in ("h5", "parquet")},
            values["utterances"],
            values["ok"],
        )
        fits = digest == digest_of("commit", values)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ShardError(f"{path}: is not a commit record ({type(error).__name__}: {error}): {REPAIR}") from error
    if not fits:
        raise ShardError(f"{path}: its digest does not fit its content: the file was changed or damaged: {REPAIR}")
    if path.name != f"{record.name.stem}.json":
        raise ShardError(f"{path}: is the record of {record.name.stem}.json: the file was renamed: {REPAIR}")
    return record


def committed_names(folder: Path) -> list[ShardName]:
    """The shards that have a commit record, in the order in which later ones hold over earlier ones.

    Raises ShardError where there is no such folder, and UnreadableError where it cannot be listed.
    """
    names = []
    for entry in folder_entries(folder):
        match = _RECORD.fullmatch(entry.name)
        name = ShardName(int(match["generation"] or 0), int(match["chunk"])) if match else None
        if name and entry.name == f"{name.stem}.json":  # 000001.json is a copy of 00001.json, not a shard of its own
            names.append(name)
    return sorted(names)


def file_role(name: str) -> Role:
    """What a file of a feature's folder is, by its name alone."""
    if name == "spec.json":
        return "spec"
    if name in (TOP_FILE, TOP_RECORD):
        return "top"
    if _RECORD.fullmatch(name):
        return "record"
    if _MEMBER.fullmatch(name):
        return "member"
    if _TEMPORARY.fullmatch(name):
        return "temporary"
    if name == DAMAGED:
        return "damaged"
    return "lock" if _LOCK.fullmatch(name) else "unknown"


def orphans(folder: Path) -> Iterator[Path]:
    """Files of an interrupted commit: temporary ones, and tensors or ledgers without a record.

    Raises as `committed_names`.
    """
    names = {entry.name for entry in folder_entries(folder)}
    for name in sorted(names):
        if _TEMPORARY.fullmatch(name) or (_MEMBER.fullmatch(name) and f"{name.rsplit('.', 1)[0]}.json" not in names):
            yield folder / name


def commit_shard(
    folder: Path,
    chunk: int,
    fingerprint: str,
    tensors: bytes,
    make_ledger: Callable[[ShardName], bytes],
    utterances: int,
    ok: int,
    generation: int = 0,
) -> CommitRecord:
    """Commit one shard under a name that is free, from `generation` on, and return its record.

    Raises StoreError where the folder cannot be written, and ShardError where another run meddles; neither leaves
    anything of the shard behind.
    """
    name = ShardName(generation, chunk)
    placed: list[Path] = []
    with clear_write_errors(folder):
        try:
            temporary = write_temporary(folder, "tensors", tensors)
            while not _place(temporary, folder / f"{name.stem}.h5", "tensors", placed):
                name = ShardName(name.generation + 1, chunk)
            ledger = make_ledger(name)
            _place_ours(write_temporary(folder, "ledger", ledger), folder / f"{name.stem}.parquet", "ledger", placed)
            members = {"h5": tensors, "parquet": ledger}
            record = CommitRecord(
                name,
                fingerprint,
                {kind: len(content) for kind, content in members.items()},
                {kind: sha256(content).hexdigest() for kind, content in members.items()},
                utterances,
                ok,
            )
            text = record.to_json().encode()
            record_path = folder / f"{name.stem}.json"
            _place_ours(write_temporary(folder, "record", text), record_path, "record", placed)
            _check_still_there(record_path, placed)
        except BaseException:
            stands = _may_stand(folder / f"{name.stem}.json")
            for path in [] if stands else placed:
                with suppress(OSError):
                    path.unlink()
            remove_temporaries(folder)
            raise
    return record


def _may_stand(record: Path) -> bool:
    """Whether a record has its name, for all that can be told: then its members are not to be removed."""
    try:
        return is_there(record)
    except UnreadableError:
        return True


def write_once(folder: Path, name: str, text: str) -> None:
    """Write a spec whole under a name that is free. Where it exists, it stays, and must be the same feature's.

    Two runs that start at once may say differently where the weights came from: that is recorded, and not hashed.
    """
    final = folder / name
    if not final.exists():
        temporary = write_temporary(folder, "spec", text.encode())
        place_file(temporary, final, "spec")
        temporary.unlink(missing_ok=True)
    found = final.read_text(encoding="utf-8")
    if found != text and _fingerprint(found, final) != _fingerprint(text, final):
        raise ShardError(f"{final}: is another feature's: move the folder away")


def _fingerprint(text: str, path: Path) -> str:
    return EncoderSpec.from_json(text, str(path)).fingerprint


@contextmanager
def clear_write_errors(folder: Path) -> Iterator[None]:
    """Raises StoreError for an OSError within: what stands in the way of writing, and what to do about it."""
    try:
        yield
    except OSError as error:
        mend = _MENDS.get(error.errno or 0, "see that the folder can be written")
        raise StoreError(
            f"{folder}: cannot be written ({error.strerror or error}): {mend}, then run the same command again; what is"
            " committed is kept"
        ) from error


@lru_cache
def _process_id(pid: int) -> str:
    return uuid.uuid4().hex


def _prefix() -> str:
    """How this process's temporary names begin: unique to it over hosts and time; a forked one gets its own."""
    return f".tmp-{_process_id(os.getpid())}-"


def remove_temporaries(folder: Path) -> None:
    """Remove what this process has not given a name to."""
    for path in folder.glob(f"{_prefix()}*"):
        with suppress(OSError):
            path.unlink()


def write_temporary(folder: Path, member: str, content: bytes) -> Path:
    """Write a file whole and durably, under a name of its own; `place_file` gives it its final one."""
    path = folder / f"{_prefix()}{uuid.uuid4().hex[:8]}"
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        at_point(f"{member} written")
        os.fsync(file.fileno())
    at_point(f"{member} synced")
    return path


def _place(temporary: Path, final: Path, member: str, placed: list[Path]) -> bool:
    """Give a temporary file its final name if that is free (False if not), note it in `placed`, and make it durable."""
    if not give_name(temporary, final):
        return False
    placed.append(final)
    at_point(f"{member} named")
    temporary.unlink(missing_ok=True)
    sync_folder(final.parent)
    at_point(f"{member} durable")
    return True


def place_file(temporary: Path, final: Path, member: str) -> bool:
    """Give a temporary file its final name if that is free (False if not), and make it durable."""
    return _place(temporary, final, member, [])


def _place_ours(temporary: Path, final: Path, member: str, placed: list[Path]) -> None:
    """Place a file whose tensors are already placed, so that its name is this process's own."""
    if not _place(temporary, final, member, placed):
        raise ShardError(f"{final}: appeared while its shard was written: another run is writing without the lock")


def _check_still_there(record: Path, members: Sequence[Path]) -> None:
    """Take a commit back whose files were cleared away as orphans: two runs that write without locks."""
    gone = [path for path in members if not path.exists()]
    if gone:
        record.unlink(missing_ok=True)
        raise ShardError(f"{gone[0]}: vanished while its shard was written: another run is writing without the lock")


def make_folder_durably(folder: Path) -> None:
    """Make a folder, and those above it that are absent, each with its name durable in its parent."""
    absent = []
    place = folder
    while not place.exists() and place != place.parent:
        absent.append(place)
        place = place.parent
    for place in reversed(absent):
        place.mkdir(exist_ok=True)  # another run may make it in this moment
        sync_folder(place.parent)
    folder.mkdir(exist_ok=True)  # says so where it is a file


def _pass(point: str) -> None:
    """Goes on."""


# What is called at each of POINTS. Tests replace it by what kills the process, so that they stop a commit anywhere.
at_point: Callable[[str], None] = _pass
