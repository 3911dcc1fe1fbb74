"""The folder `.damaged` of a feature: what repair moved away. Only people read it, and nothing there is replaced."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from features.files import sync_folder
from features.store.commit import DAMAGED
from features.store.reading import is_there


class DamagedFolder:
    """`.damaged/TIME`: a folder of its own for what one repair moves, so that every file keeps its name.

    It is made when the first file is moved.
    """

    def __init__(self, feature: Path) -> None:
        self.feature = feature
        self._place: Path | None = None

    def take(self, names: list[str]) -> Path:
        """Move files of the feature here, durably; those that are not there are passed over. Returns the folder."""
        place = self._place = self._place or _new_folder(self.feature)
        for name in names:
            if is_there(self.feature / name):
                (self.feature / name).rename(place / name)
        sync_folder(place)
        sync_folder(self.feature)
        return place


def _new_folder(feature: Path) -> Path:
    (feature / DAMAGED).mkdir(exist_ok=True)
    sync_folder(feature)
    stamp = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime())
    number = 1
    while True:
        place = feature / DAMAGED / (stamp if number == 1 else f"{stamp}.{number}")
        with suppress(FileExistsError):
            place.mkdir()
            sync_folder(place.parent)
            return place
        number += 1


def damaged_notes(feature: Path) -> Iterator[str]:
    """How much repairs moved away, and how to get rid of it: else it would fill the disk unseen."""
    number, size = damaged_size(feature)
    if number:
        yield (
            f"{feature / DAMAGED}: {number} files ({size:,} bytes) that repair moved away: once nothing of them is"
            f" wanted, remove them with `rm -r {feature / DAMAGED}`"
        )


def damaged_size(feature: Path) -> tuple[int, int]:
    """(how many files, how many bytes) are in `.damaged`, as far as that can be told."""
    number, size = 0, 0
    for place, _, files in os.walk(feature / DAMAGED):
        for name in files:
            with suppress(OSError):
                size += (Path(place) / name).lstat().st_size
                number += 1
    return number, size


def remove_damaged(feature: Path) -> None:
    """Remove `.damaged` with all that is in it: for a feature that goes as a whole."""
    if (feature / DAMAGED).is_dir():
        shutil.rmtree(feature / DAMAGED)
