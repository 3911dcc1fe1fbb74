"""A file from a plain address, whole or not at all: an interrupted download goes on where it stopped.

pooch, which librosa brings, was looked at and begins anew each time; torch.hub has no limit on waiting. Of HTTP (RFC
9110) this uses Range with If-Range: a server that holds the same file still answers 206 with the rest, one that holds
another, or knows no ranges, 200 with the whole.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from features.errors import NetworkError
from features.network.client import UnreachableError, client
from features.network.part_file import PartFile
from features.network.ranges import Offer, offer_of, reads_on, refuse_status
from features.network.telling import byte_bar, check_space, say_download
from features.network.words import reason

_TRIES = 4  # in a row that bring less than _PROGRESS bytes more
_PROGRESS = 1 << 20
_PAUSES_S = (1.0, 2.0, 4.0)


@dataclass(frozen=True)
class Wanted:
    """A file to fetch.

    url:    http or https
    size:   bytes, where they are known beforehand
    digest: (`sha256` or `md5`, the hexadecimal digest or its first digits), where it is known beforehand
    """

    url: str
    size: int | None = None
    digest: tuple[str, str] | None = None


@dataclass(frozen=True)
class Fetched:
    """What was fetched: bytes and sha256 of the file, the server's ETag where it gave one."""

    size: int
    sha256: str
    etag: str | None


def fetch_file(wanted: Wanted, path: Path, what: str, pause: Callable[[float], None] = time.sleep) -> Fetched:
    """Fetch a file to `path`, which appears once it is whole; until then `.part` beside it holds what has come.

    what: what to call it, in the line and the bar that show it and in errors
    Raises NetworkError where the server cannot be reached, refuses, gives up again and again, gives another file than
    is wanted, or the disk is too small. What has come stays for the next time unless it is wrong.
    """
    _make_folder(path.parent)
    with PartFile(path, wanted.url) as part, client() as asked:
        etag = _receive(asked, wanted, part, what, pause)
        wrong = _wrong(wanted, part)
        if wrong and part.joined:  # perhaps pieces of two files, which the server did not tell apart
            part.restart()
            etag = _receive(asked, wanted, part, what, pause)
            wrong = _wrong(wanted, part)
        if wrong:
            part.discard()
            raise NetworkError(f"{wanted.url} is not the file that is wanted: {wrong}: it has changed, or was damaged")
        part.finish()
        return Fetched(part.size, part.sha256(), etag)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NetworkError(f"{folder}: cannot be made: {error.strerror}: choose another folder") from error


def _receive(asked: Any, wanted: Wanted, part: PartFile, what: str, pause: Callable[[float], None]) -> str | None:
    """Try until everything has come; returns the file's ETag. Raises NetworkError as `fetch_file` does."""
    failed = 0
    farthest = part.size  # a server without ranges brings the same bytes again and again
    said = False
    while True:
        try:
            with _ask(asked, wanted, part) as response:
                refuse_status(response, wanted.url)
                offer = _begin(response, part, wanted)
                if offer is not None:
                    if not said:
                        _announce(offer, part, what)
                        said = True
                    _take(response, offer, part, what)
                    if offer.total is None or part.size == offer.total:
                        return offer.etag
            problem = f"ends after {part.size:,} bytes" if offer else "answers ranges of bytes wrongly"
        except UnreachableError as error:
            if not said:  # another try would take as long
                raise
            problem = str(error)
        except _broken() as error:
            problem = reason(error, wanted.url)
        failed += 1
        if part.size - farthest >= _PROGRESS:
            failed, farthest = 0, part.size
        if failed >= _TRIES:
            kept = f"; the {part.size:,} bytes that have come are kept in {part.path}" if part.size else ""
            raise NetworkError(f"{wanted.url}: {problem} ({_TRIES} times in a row){kept}")
        pause(_PAUSES_S[failed - 1] if failed else 0.0)


def _broken() -> tuple[type[Exception], ...]:
    import httpx2

    return (httpx2.TransportError, httpx2.DecodingError)


def _ask(asked: Any, wanted: Wanted, part: PartFile) -> Any:
    headers = {"Accept-Encoding": "identity"}
    if part.size and part.offer and part.offer.validator:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": part.offer.validator}
    elif part.size:  # nothing would tell whether the rest is of the same file
        part.restart()
    return asked.stream("GET", wanted.url, headers=headers)


def _begin(response: Any, part: PartFile, wanted: Wanted) -> Offer | None:
    """What the server offers, with the part at where its bytes go; None where it must be asked for the whole."""
    offer = offer_of(response)
    begun = part.offer
    if response.status_code == 416 and begun and part.size == begun.total == offer.total:
        return begun  # everything had come
    if response.status_code == 206 and begun and reads_on(offer, begun, part.size):
        part.joined = True
        return begun
    part.restart()
    if response.status_code != 200:
        return None
    if wanted.size is not None and offer.total is not None and offer.total != wanted.size:
        raise NetworkError(
            f"{wanted.url} is not the file that is wanted: it has {offer.total:,} bytes, not {wanted.size:,}: it has"
            " changed"
        )
    part.offer = offer if offer.total is not None else replace(offer, total=wanted.size)
    return part.offer


def _announce(offer: Offer, part: PartFile, what: str) -> None:
    to_come = offer.total - part.size if offer.total is not None else None
    if to_come is not None:
        check_space(part.path.parent, to_come, what)
    say_download(what, to_come, part.path.parent)


def _take(response: Any, offer: Offer, part: PartFile, what: str) -> None:
    if response.status_code == 416:
        return
    with byte_bar(offer.total, what, part.size) as bar:
        for block in response.iter_raw():
            part.write(block)
            bar.update(len(block))
            if offer.total is not None and part.size > offer.total:
                part.discard()
                raise NetworkError(
                    f"{response.url} sends more than the {offer.total:,} bytes it told: fetch it by hand"
                )


def _wrong(wanted: Wanted, part: PartFile) -> str | None:
    """How the file differs from the wanted one."""
    if wanted.size is not None and part.size != wanted.size:
        return f"it has {part.size:,} bytes, not {wanted.size:,}"
    if wanted.digest is not None:
        kind, expected = wanted.digest
        found = part.sha256() if kind == "sha256" else file_digest(part.path, kind)
        if not found.startswith(expected.lower()):
            return f"its {kind} is {found[: len(expected)]}, not {expected}"
    return None


def file_digest(path: Path, kind: str, bar: Any = None) -> str:
    """The hexadecimal digest of a file's bytes. kind: of hashlib; bar: told of what is read"""
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            if bar is not None:
                bar.update(len(block))
    return digest.hexdigest()
