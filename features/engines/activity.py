"""How busy the stages of a run were, so that a user sees which one limits it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["texts", "clips"]
Stage = Literal["preparing", "decoding", "encoding", "writing"]


_OF_TEXTS: tuple[Stage, ...] = ("preparing", "encoding", "writing")
_OF_CLIPS: tuple[Stage, ...] = ("decoding", "encoding", "writing")


@dataclass(frozen=True)
class Activity:
    """Work of one kind: `texts`, prepared and encoded by one thread, or `clips`, decoded by workers meanwhile.

    seconds: how long it took, summed over the processes that encode
    places:  processes that encode, each with a thread that writes
    workers: decoding processes of each place; 0: the thread that encodes decodes, too
    preparing, decoding, encoding, writing: seconds that each stage was busy, summed over all that do it
    """

    kind: Kind
    seconds: float
    places: int = 1
    workers: int = 0
    preparing: float = 0.0
    decoding: float = 0.0
    encoding: float = 0.0
    writing: float = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds that each place was at it, on average."""
        return self.seconds / max(self.places, 1)

    def busy(self, stage: Stage) -> float:
        """The share of the time, 0 to 1, that all who do this stage were busy with it."""
        lanes = max(self.workers, 1) if stage == "decoding" else 1
        seconds: float = getattr(self, stage)
        return min(seconds / (self.seconds * lanes), 1.0) if self.seconds > 0 else 0.0

    @property
    def limit(self) -> Stage:
        """The stage that was busiest: the others waited for it."""
        return max(_OF_CLIPS if self.kind == "clips" else _OF_TEXTS, key=self.busy)


def joined(activities: Iterable[Activity], places: int = 1) -> list[Activity]:
    """One activity of each kind, texts first: those of several chunks or places added up. Their workers are alike."""
    found: dict[Kind, Activity] = {}
    for new in sorted(activities, key=lambda activity: activity.kind, reverse=True):
        old = found.get(new.kind, Activity(new.kind, 0.0, places, new.workers))
        found[new.kind] = Activity(
            new.kind,
            old.seconds + new.seconds,
            places,
            new.workers,
            old.preparing + new.preparing,
            old.decoding + new.decoding,
            old.encoding + new.encoding,
            old.writing + new.writing,
        )
    return list(found.values())
