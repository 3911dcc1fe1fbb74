"""The members of an archive that may be trusted to stay in their folder: plain files and folders, one after another."""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

from features.errors import DownloadError

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
SUFFIXES = (*TAR_SUFFIXES, ".zip")
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)
_ENCRYPTED = 0x1


@dataclass(frozen=True)
class Member:
    """name: path below the archive's folder; content: None for a folder, else its bytes, to be read before the next"""

    name: PurePosixPath
    content: IO[bytes] | None


def folder_name(archive: str) -> str | None:
    """What an archive's folder is called: its name without the suffix; None for what is no archive by its name."""
    fitting = [suffix for suffix in SUFFIXES if archive.lower().endswith(suffix)]
    return archive[: -len(max(fitting, key=len))] or None if fitting else None


def members(archive: Path, into: Path, source: IO[bytes]) -> Iterator[Member]:
    """source: the archive, open. Raises DownloadError for a member that may not be unpacked, DAMAGED for damage."""
    yield from _zipped(archive, source) if archive.name.lower().endswith(".zip") else _tarred(archive, into, source)


def _tarred(archive: Path, into: Path, source: IO[bytes]) -> Iterator[Member]:
    plain = _decompressed(archive, source)
    with tarfile.open(fileobj=plain, mode="r|") as opened:
        for member in opened:
            name = _checked(archive, member.name)
            if not (member.isreg() or member.isdir()):
                kind = "a link" if member.issym() or member.islnk() else "a device or the like"
                raise _refused(archive, member.name, f"is {kind}")
            try:
                tarfile.data_filter(member, str(into))
            except tarfile.FilterError as error:
                raise _refused(archive, member.name, str(error)) from error
            yield Member(name, opened.extractfile(member))
    while plain.read(1 << 20):  # to the checksum at the end, which tarfile does not read
        pass


def _decompressed(archive: Path, source: IO[bytes]) -> IO[bytes]:
    """A tar's bytes. By the suffix: tarfile would guess, but not check gzip's checksum."""
    ending = archive.name.lower()
    if ending.endswith((".gz", ".tgz")):
        return gzip.GzipFile(fileobj=source)  # type: ignore[return-value]
    if ending.endswith((".bz2", ".tbz2")):
        return bz2.BZ2File(source)
    return lzma.LZMAFile(source) if ending.endswith((".xz", ".txz")) else source


def _zipped(archive: Path, source: IO[bytes]) -> Iterator[Member]:
    with zipfile.ZipFile(source) as opened:
        for member in opened.infolist():
            if member.filename.startswith("__MACOSX/"):  # what macOS notes of files beside them
                continue
            name = _checked(archive, member.filename)
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(archive, member.filename, "is a link or a device")
            if member.flag_bits & _ENCRYPTED:
                raise _refused(archive, member.filename, "is encrypted")
            if member.is_dir():
                yield Member(name, None)
                continue
            with _opened(opened, member, archive) as content:
                yield Member(name, content)


def _opened(opened: zipfile.ZipFile, member: zipfile.ZipInfo, archive: Path) -> Any:
    try:
        return opened.open(member)
    except NotImplementedError as error:
        raise _refused(archive, member.filename, f"cannot be read here ({error})") from error


def _checked(archive: Path, name: str) -> PurePosixPath:
    """A member's name as a path below its folder."""
    path = PurePosixPath(name)
    foreign = PureWindowsPath(name)
    if path.is_absolute() or foreign.drive or foreign.root or ".." in foreign.parts or ".." in path.parts:
        raise _refused(archive, name, "leads out of its folder")
    if "\0" in name:
        raise _refused(archive, name, "has a NUL in its name")
    return path


def _refused(archive: Path, name: str, why: str) -> DownloadError:
    return DownloadError(
        f"{archive}: {name!r} {why}, and is not unpacked, nor is the rest: if you trust it, unpack it by hand, and give"
        " `erc ingest` that folder"
    )
