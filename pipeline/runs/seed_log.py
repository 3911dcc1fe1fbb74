"""train.log of a seed's folder: a line an epoch while it is trained, for people and for who watches the training."""

from __future__ import annotations

import time
from pathlib import Path
from typing import IO, Protocol, Self

NAME = "train.log"


class EpochLine(Protocol):
    """What is told of an epoch: `heads.training.trainer.Epoch`."""

    @property
    def epoch(self) -> int: ...
    @property
    def train_loss(self) -> float: ...
    @property
    def dev_loss(self) -> float: ...
    @property
    def dev_headline(self) -> float: ...
    @property
    def seconds(self) -> float: ...


class SeedLog:
    """Begun anew with each training of the seed. A line that cannot be written is left out: nothing depends on it."""

    def __init__(self, folder: Path, score: str, epochs: int) -> None:
        """score: what dev is judged by, in words; epochs: at most"""
        self._path, self._score, self._epochs = folder / NAME, score, epochs
        self._file: IO[str] | None = None
        self._best: tuple[float, int] | None = None

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("w", encoding="utf-8", buffering=1)
        except OSError:
            self._file = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def say(self, text: str) -> None:
        if self._file is not None:
            try:
                self._file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")
            except OSError:
                self._file = None

    def epoch(self, found: EpochLine) -> None:
        if self._best is None or found.dev_headline > self._best[0]:
            self._best = (found.dev_headline, found.epoch)
        self.say(
            f"epoch {found.epoch} of {self._epochs}: dev {self._score} {100 * found.dev_headline:.1f} %"
            f" (best {100 * self._best[0]:.1f}, epoch {self._best[1]}), loss {found.train_loss:.4g} on train,"
            f" {found.dev_loss:.4g} on dev, {found.seconds:.1f} s"
        )


class LogReader:
    """The lines that a log has got since they were last asked for; of a log that was begun anew, from its beginning."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._place = 0

    def new_lines(self) -> list[str]:
        try:
            with self._path.open(encoding="utf-8") as file:
                if self._path.stat().st_size < self._place:
                    self._place = 0
                file.seek(self._place)
                text = file.read()
        except OSError:
            return []
        whole = text[: text.rfind("\n") + 1]
        self._place += len(whole.encode("utf-8"))
        return whole.splitlines()
