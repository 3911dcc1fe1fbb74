"""One small tree of exceptions, and the closed list of reasons why an utterance has no embedding."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path


class ErcError(Exception):
    """What a user can cause. The message is one line: the thing, the value, the limit and the mend."""

    exit_status = 1


class UsageError(ErcError):
    """A command, flag or setting that does not exist or does not fit."""

    exit_status = 2


class ConfigError(UsageError):
    """A YAML file or an override that cannot be used."""


class ManifestError(ErcError):
    """A manifest that breaks the schema. `problems` holds every problem found, one line each."""

    def __init__(self, message: str, problems: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class WeightsError(ErcError):
    """The weights of an encoder are not to be had: not on disk, and no network or no such model."""


class DownloadError(ErcError):
    """A corpus that cannot be fetched, checked or unpacked as its card says."""


class NetworkError(DownloadError):
    """A server that cannot be reached, gives no answer in time, or does not give what it should."""


class StoreError(ErcError):
    """A store that cannot be read or written as asked."""


class FeatureChoiceError(StoreError):
    """A feature name that matches no folder of the store, or several."""


class StaleFeaturesError(StoreError):
    """Stored rows were made from other input than the manifest holds today."""


class AbsentFeaturesError(StoreError):
    """Utterances that were never extracted, where all of them are needed."""


class ShardError(StoreError):
    """A file of a feature that is damaged, absent, or not of the form that this package writes."""


class UnreadableError(StoreError):
    """A file of a store that could not be read, for a reason that says nothing of its bytes: rights, limits, a disk."""


class FormatError(StoreError):
    """A file of a store that a later version of this package wrote. It is not damaged."""


class StoreBusyError(StoreError):
    """Another run holds the store's lock."""


class WorkerError(ErcError):
    """Processes that decode clips, or read what may be damaged, cannot be started."""


class EncoderError(ErcError):
    """An encoder failed on a batch for another reason than memory. After an error of CUDA nothing more can be done."""


class EngineError(ErcError):
    """Processes on this or other machines that cannot do the work they are given."""


class TrainingError(ErcError):
    """Training that cannot go on: the loss is no longer finite, or a worker died."""


class RunError(ErcError):
    """A run folder that is absent, unfinished or damaged, or that a store or manifest does not fit."""


class RunFileError(RunError):
    """A file of a run, or beside runs, that is absent or damaged.

    problem: what is wrong, with the file's name alone: what a report says of it wherever the runs lie. The message has
             the folder before it and the mend behind it
    """

    def __init__(self, folder: Path, problem: str, mend: str) -> None:
        super().__init__(folder, problem, mend)
        self.folder = folder
        self.problem = problem
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.folder}/{self.problem}: {self.mend}"


class CheckpointError(RunError):
    """A trained head that is absent, damaged, or does not fit its configuration."""


class Reason(StrEnum):
    """Why an utterance has no embedding. The ledger's `reason` column holds one of these, or null."""

    NO_MEDIA = "no-media"  # the manifest names no clip
    NO_FILE = "no-file"  # the clip is not on disk
    NO_AUDIO = "no-audio"  # the clip has no audio stream
    NO_VIDEO = "no-video"  # the clip has no video stream
    NO_TEXT = "no-text"  # the utterance's text is empty
    NO_KNOWN_TOKEN = "no-known-token"  # noqa: S105  # no word of the text is in the vocabulary
    NO_FACE = "no-face"  # no face in any sampled frame
    TOO_SHORT = "too-short"  # shorter than the encoder's smallest input
    KNOWN_BAD = "known-bad"  # the dataset card lists the clip as wrong
    NOT_IN_IMPORT = "not-in-import"  # the foreign file that the feature was imported from has no vector of it

    OUTSIDE_ROOT = "outside-root"  # a symbolic link leads to the clip out of media_root
    UNDECODABLE = "undecodable"  # the clip exists but cannot be decoded
    TOO_LARGE = "too-large"  # more pixels, frames or seconds than the limits allow
    TIMED_OUT = "timed-out"  # decoding took longer than the limit
    CHANGED = "changed"  # the clip was replaced while it was read
    NON_FINITE = "non-finite"  # the encoder gave NaN or infinity
    WORKER_DIED = "worker-died"  # the process that decoded the clip died
    OUT_OF_MEMORY = "out-of-memory"  # no room, on the device or in a worker, even for this input alone
    UNPREPARED = "unprepared"  # the encoder could not make an input of it (a fault of the encoder)


MISSING_REASONS = frozenset(
    {
        Reason.NO_MEDIA,
        Reason.NO_FILE,
        Reason.NO_AUDIO,
        Reason.NO_VIDEO,
        Reason.NO_TEXT,
        Reason.NO_KNOWN_TOKEN,
        Reason.NO_FACE,
        Reason.TOO_SHORT,
        Reason.KNOWN_BAD,
        Reason.NOT_IN_IMPORT,
    }
)


def status_of(reason: Reason | None) -> str:
    """The ledger status that goes with a reason: `ok` without one, else `missing` (there is no input) or `failed`."""
    if reason is None:
        return "ok"
    return "missing" if reason in MISSING_REASONS else "failed"


class UnavailableError(Exception):
    """Raised while one utterance is prepared: it gets no embedding, for `reason`. The rest of the work goes on."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[UnavailableError], tuple[Reason, str]]:
        return (UnavailableError, (self.reason, self.detail))


class ErcWarning(UserWarning):
    """What a user should know although the work goes on. A command says it in one line."""


def first_line(error: BaseException) -> str:
    """`Class: what it says`, cut to its first line, for messages of one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__


def bare_line(error: BaseException) -> str:
    """An error's first line as it stands, or its class where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def nearest(name: str, known: Iterable[str]) -> str:
    """A clause for messages on unknown names: the nearest known one, and the list of all."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}known: {', '.join(names)}"
