"""One clip decoded for the encoders that lack it: what is asked of it, and each one's input or why there is none."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from features.encoders.protocol import Input, Preparer
from features.errors import Reason, UnavailableError
from features.files import known_size_and_mtime
from features.media.clip import check_inside, decode_clip
from features.media.needs import ClipNeeds
from features.utterances import Utterance

OUT_OF_MEMORY = MemoryError.__name__  # the fault of a `ClipResult`


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
    """What came of a clip: per encoder key its input, or why there is none. Size and mtime are those before reading.

    outside_ms: per encoder key, where the cut lies partly outside its file: how much of it
    fault: what says as much of the process as of the clip: the type of an error that is no UnavailableError, or of the
           want of memory (OUT_OF_MEMORY); None where the clip was decoded or refused in good order
    """

    task: ClipTask
    outcomes: dict[str, Input | UnavailableError]
    size: int | None = None
    mtime_ns: int | None = None
    digest: str | None = None
    seconds: float = 0.0
    fault: str | None = None
    outside_ms: dict[str, int] = field(default_factory=dict)

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
    size, mtime_ns = known_size_and_mtime(task.path)
    outcomes: dict[str, Input | UnavailableError] = {}
    outside_ms: dict[str, int] = {}
    errors: list[Exception] = []
    digest = None
    try:
        if task.root is not None:
            check_inside(task.path, task.root)
        clip = decode_clip(task.path, task.utterance, [readers[key].needs for key in task.readers])
        digest = clip.digest
        amounts = {key: clip.outside_ms(readers[key].needs) for key in task.readers}
        outside_ms = {key: amount for key, amount in amounts.items() if amount}
        for key in task.readers:
            try:
                outcomes[key] = readers[key].prepare(clip)
            except Exception as error:
                outcomes[key] = as_unavailable(error)
                errors.append(error)
    except Exception as error:
        outcomes = dict.fromkeys(task.readers, _undecoded(error))
        errors.append(error)
    seconds = time.perf_counter() - started
    return ClipResult(task, outcomes, size, mtime_ns, digest, seconds, _fault(errors), outside_ms)


def _undecoded(error: Exception) -> UnavailableError:
    if isinstance(error, UnavailableError):
        return error
    if isinstance(error, MemoryError):
        return UnavailableError(Reason.OUT_OF_MEMORY, f"no memory to decode it ({error or 'MemoryError'})")
    return UnavailableError(Reason.UNDECODABLE, f"{type(error).__name__}: {error}")


def _fault(errors: Sequence[Exception]) -> str | None:
    """See `ClipResult`; the want of memory before all else."""
    kinds = [_kind(error) for error in errors]
    found = [kind for kind in kinds if kind is not None]
    return OUT_OF_MEMORY if OUT_OF_MEMORY in found else next(iter(found), None)


def _kind(error: Exception) -> str | None:
    if isinstance(error, UnavailableError):
        return OUT_OF_MEMORY if error.reason is Reason.OUT_OF_MEMORY else None
    return OUT_OF_MEMORY if isinstance(error, MemoryError) else type(error).__name__
