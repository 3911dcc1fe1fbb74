"""What has come of a file so far: `NAME.part`, and beside it `NAME.part.json`, which says whose bytes they are."""

from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from features.errors import NetworkError
from features.files import may_replace_open, sync_file, sync_folder, write_bytes_whole
from features.locks import NoLocksError, lock
from features.network.ranges import Offer


class PartFile:
    """A file that grows; use it in a `with`. One process writes it at a time.

    path:  of the part; `finish` renames it
    size:  bytes that have come
    offer: what the server said of the file these bytes are of; None where that is not known
    joined: whether bytes of several answers stand in it
    """

    def __init__(self, target: Path, url: str) -> None:
        """target: where the whole file goes; url: where it is fetched from: bytes from another address are let go"""
        self._target = target
        self._url = url
        self.path = target.with_name(f"{target.name}.part")
        self._notes = target.with_name(f"{target.name}.part.json")
        self.size = 0
        self.joined = False
        self._offer: Offer | None = None
        self._sha256 = hashlib.sha256()

    def __enter__(self) -> Self:
        self._file = self._opened()
        self._offer = self._noted()
        if self._offer is None:
            self.restart()
            return self
        while block := self._file.read(1 << 20):
            self._sha256.update(block)
            self.size += len(block)
        if self._offer.total is not None and self.size > self._offer.total:
            self.restart()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def offer(self) -> Offer | None:
        return self._offer

    @offer.setter
    def offer(self, offer: Offer) -> None:
        self._offer = offer
        write_bytes_whole(self._notes, json.dumps({"url": self._url, **offer.to_dict()}).encode())

    def write(self, block: bytes) -> None:
        """Raises NetworkError where the disk is full or cannot be written."""
        try:
            self._file.write(block)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            mend = "make room, and give the same command: it goes on there" if full else "check the disk"
            raise NetworkError(f"{self.path}: cannot be written: {error.strerror}: {mend}") from error
        self._sha256.update(block)
        self.size += len(block)

    def restart(self) -> None:
        """Nothing has come."""
        self._file.seek(0)
        self._file.truncate()
        self._notes.unlink(missing_ok=True)
        self._offer = None
        self.size = 0
        self.joined = False
        self._sha256 = hashlib.sha256()

    def sha256(self) -> str:
        self._file.flush()
        return self._sha256.hexdigest()

    def discard(self) -> None:
        self.restart()
        self._let_go()
        self.path.unlink(missing_ok=True)

    def finish(self) -> None:
        """The part is the whole file."""
        self._file.flush()
        self._let_go()
        sync_file(self.path)
        self.path.replace(self._target)
        self._notes.unlink(missing_ok=True)
        sync_folder(self._target.parent)

    def _let_go(self) -> None:
        """Windows neither renames nor removes what is open; elsewhere the lock is held until then."""
        if not may_replace_open():
            self._file.close()

    def _opened(self) -> IO[bytes]:
        try:
            file = self.path.open("a+b", buffering=0)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            is_held = lock(file.fileno())
        except NoLocksError:
            is_held = True
        except OSError as error:
            file.close()
            raise self._unusable(error) from error
        if not is_held:
            file.close()
            raise NetworkError(f"{self.path}: another process is downloading it: wait for that one")
        file.seek(0)
        return file

    def _unusable(self, error: OSError) -> NetworkError:
        return NetworkError(f"{self.path}: cannot be written: {error.strerror}: choose another folder")

    def _noted(self) -> Offer | None:
        try:
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
            return Offer.from_dict(notes) if notes["url"] == self._url else None
        except (OSError, ValueError, KeyError, TypeError):
            return None
