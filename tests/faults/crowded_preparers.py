"""A preparer that fails in company and may succeed alone, for worker processes to import."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.encoders.protocol import Input
from features.errors import Reason, UnavailableError


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _starve() -> None:
    raise MemoryError("no room")


def _refuse() -> None:
    raise UnavailableError(Reason.OUT_OF_MEMORY, "no room for a frame")


def _raise() -> None:
    raise ZeroDivisionError("too many files are open")


def _hang() -> None:
    time.sleep(1000)


HOW: dict[str, Callable[[], None]] = {"die": _die, "starve": _starve, "refuse": _refuse, "raise": _raise, "hang": _hang}
_clips_before = 0


@dataclass(frozen=True)
class Crowded:
    """Fails as the utterance's text says, unless alone: the first clip of its process, while no other is prepared.

    `die always` fails alone, too. folder: gets the file `log`, a line a clip that is begun, which ends in `alone`
    """

    folder: Path

    def __call__(self, clip: Any) -> Input:
        global _clips_before
        text = clip.utterance.text
        busy = self.folder / f"{os.getpid()}.busy"
        is_alone = _clips_before == 0 and not any(self.folder.glob("*.busy"))
        _clips_before += 1
        busy.touch()
        with (self.folder / "log").open("a") as file:
            file.write(f"{text}{' alone' if is_alone else ''}\n")
        time.sleep(0.1)
        busy.unlink()
        how, _, always = text.partition(" ")
        if how in HOW and (always or not is_alone):
            HOW[how]()
        return Input(clip.utterance.utterance_id, 1, ("",), ({},))
