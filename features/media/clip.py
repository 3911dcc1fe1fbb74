"""A clip decoded once, for every encoder that wants it. PyAV is imported when the first clip is decoded."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from features.digests import sha256_file
from features.errors import Reason, UnavailableError
from features.media.needs import AudioNeed, ClipNeeds, Frames, FramesNeed, Sound
from features.utterances import Utterance

_OUTSIDE_S = 0.1  # a cut that ends within this of its file ends with it

_Decoded = TypeVar("_Decoded", Sound, Frames)


@dataclass(frozen=True)
class Clip:
    """What was decoded of one utterance's clip. A need that could not be met holds its reason, raised on access.

    digest:   sha256 of the whole file's bytes
    size:     of the file, in bytes
    mtime_ns: of the file
    """

    utterance: Utterance
    digest: str
    size: int = 0
    mtime_ns: int = 0
    sounds: Mapping[AudioNeed, Sound | UnavailableError] = field(default_factory=dict)
    pictures: Mapping[FramesNeed, Frames | UnavailableError] = field(default_factory=dict)

    def sound(self, need: AudioNeed) -> Sound:
        """Raises UnavailableError (no-audio, too-short, undecodable, too-large); ValueError for an undeclared need."""
        return _available(self.sounds.get(need), need)

    def frames(self, need: FramesNeed) -> Frames:
        """Raises UnavailableError (no-video, too-short, undecodable, too-large); ValueError for an undeclared need."""
        return _available(self.pictures.get(need), need)

    def outside_ms(self, needs: ClipNeeds) -> int:
        """How much of the cut lies outside what the file holds for these needs; 0 for less than a few frames."""
        found = (
            self.sounds.get(needs.audio) if needs.audio else None,
            self.pictures.get(needs.frames) if needs.frames else None,
        )
        outside_s = max((part.outside_s for part in found if isinstance(part, Sound | Frames)), default=0.0)
        return round(1000 * outside_s) if outside_s > _OUTSIDE_S else 0


def _available(found: _Decoded | UnavailableError | None, need: AudioNeed | FramesNeed) -> _Decoded:
    if found is None:
        raise ValueError(f"{need} was not among the needs that this clip was decoded for")
    if isinstance(found, UnavailableError):
        raise UnavailableError(found.reason, found.detail)
    return found


def decode_clip(path: Path, utterance: Utterance, needs: Iterable[ClipNeeds]) -> Clip:
    """Decode a clip once for the union of `needs`; `utterance.start` and `.end` cut it out of a longer file.

    Raises UnavailableError where the whole clip is unusable: no-file, undecodable (not media at all), changed (the file
    was replaced while it was read). Trouble with one stream is kept in the Clip and raised by `sound` or `frames`.
    """
    from features.media.decode import decode

    needs = list(needs)
    sounds = list(dict.fromkeys(need.audio for need in needs if need.audio is not None))
    frames = list(dict.fromkeys(need.frames for need in needs if need.frames is not None))
    before = _state(path)
    digest = _digest(str(path), *before)
    try:
        heard, seen = decode(path, before, utterance.start, utterance.end, sounds, frames)
    finally:
        if _state(path) != before:
            raise UnavailableError(Reason.CHANGED, f"{path} was replaced or written to while it was read")
    size, mtime_ns, _ = before
    return Clip(utterance, digest, size, mtime_ns, heard, seen)


def check_inside(path: Path, root: Path) -> None:
    """Raises UnavailableError (outside-root) where symbolic links lead from below `root` out of it."""
    real, real_root = os.path.realpath(path), os.path.realpath(root)
    if os.path.commonpath([real, real_root]) != real_root:
        detail = f"{path} leads to {real}, outside {real_root}: allow it with --follow-symlinks --retry-failed"
        raise UnavailableError(Reason.OUTSIDE_ROOT, detail)


def _state(path: Path) -> tuple[int, int, int]:
    """(size, mtime_ns, inode) of a file. Raises UnavailableError: no-file, or undecodable for what is not a file."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise UnavailableError(Reason.NO_FILE, str(path)) from None
    except (OSError, ValueError) as error:  # ValueError: no file system has such a name
        raise UnavailableError(Reason.UNDECODABLE, f"{path}: {getattr(error, 'strerror', error)}") from None
    if not stat.S_ISREG(status.st_mode):
        raise UnavailableError(Reason.UNDECODABLE, f"{path} is not a regular file")
    if not status.st_size:
        raise UnavailableError(Reason.UNDECODABLE, f"{path} is empty (0 bytes)")
    return status.st_size, status.st_mtime_ns, status.st_ino


@lru_cache(maxsize=1024)
def _digest(path: str, size: int, mtime_ns: int, inode: int) -> str:
    """sha256 of a file's bytes, kept while its state is the same: the utterances of a session share one file."""
    try:
        return sha256_file(Path(path))
    except FileNotFoundError:
        raise UnavailableError(Reason.NO_FILE, path) from None
    except OSError as error:
        raise UnavailableError(Reason.UNDECODABLE, f"{path}: {error.strerror}") from None
