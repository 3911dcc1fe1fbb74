"""One clip decoded for the encoders that lack it: what is asked of it, and each one's input or why there is none."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from features.encoders.protocol import Input, Preparer
from features.errors import Reason, UnavailableError
from features.manifest import Utterance
from features.media.clip import check_inside, decode_clip
from features.media.needs import ClipNeeds
from features.store.plan import media_stat


@dataclass(frozen=True)
class ClipReader:
    """What a worker needs of one encoder: what to decode, and how to make its input."""

    needs: ClipNeeds
    prepare: Preparer


@dataclass(frozen=True)
class ClipTask:
    """One clip to decode, for the encoders whose keys are in `readers`.

    root: the folder that it must lie in when links are followed; None: it may lie anywhere
    """

    utterance: Utterance
    path: Path
    readers: tuple[str, ...]
    root: Path | None = None


@dataclass(frozen=True)
class ClipResult:
    """What came of a clip: per encoder key its input, or why there is none. Size and mtime are those before reading."""

    task: ClipTask
    outcomes: dict[str, Input | UnavailableError]
    size: int | None = None
    mtime_ns: int | None = None
    digest: str | None = None
    seconds: float = 0.0

    def without_inputs(self) -> ClipResult:
        """The same without what was made of the clip, which may be many megabytes."""
        return replace(self, outcomes={})


def as_unavailable(error: Exception) -> UnavailableError:
    """Why there is no input, where `prepare` raised this: its own reason, or `unprepared` for any other error."""
    if isinstance(error, UnavailableError):
        return error
    if isinstance(error, MemoryError):
        return UnavailableError(Reason.OUT_OF_MEMORY, f"no memory to prepare it ({error or 'MemoryError'})")
    return UnavailableError(Reason.UNPREPARED, f"{type(error).__name__}: {error}")


def process_clip(task: ClipTask, readers: Mapping[str, ClipReader]) -> ClipResult:
    """Decode one clip and prepare the inputs of its encoders. Whatever is wrong with it becomes an outcome."""
    started = time.perf_counter()
    size, mtime_ns = media_stat(task.path)
    outcomes: dict[str, Input | UnavailableError] = {}
    digest = None
    try:
        if task.root is not None:
            check_inside(task.path, task.root)
        clip = decode_clip(task.path, task.utterance, [readers[key].needs for key in task.readers])
        digest = clip.digest
        for key in task.readers:
            try:
                outcomes[key] = readers[key].prepare(clip)
            except Exception as error:
                outcomes[key] = as_unavailable(error)
    except UnavailableError as error:
        outcomes = dict.fromkeys(task.readers, error)
    except MemoryError as error:
        none_left = UnavailableError(Reason.OUT_OF_MEMORY, f"no memory to decode it ({error or 'MemoryError'})")
        outcomes = dict.fromkeys(task.readers, none_left)
    except Exception as error:
        odd = UnavailableError(Reason.UNDECODABLE, f"{type(error).__name__}: {error}")
        outcomes = dict.fromkeys(task.readers, odd)
    return ClipResult(task, outcomes, size, mtime_ns, digest, time.perf_counter() - started)
