"""Contenders for tests, run in processes of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np


class Counting:
    """Appends a line to a file at each call; its outcome is `value` three times. It says that a call took `seconds`."""

    def __init__(self, log: str, name: str, seconds: float, value: float = 1.0) -> None:
        self._log, self._name, self._seconds, self._value = Path(log), name, seconds, value

    def _note(self, what: str) -> None:
        with self._log.open("a", encoding="utf-8") as file:
            file.write(f"{self._name} {what}\n")

    def before(self) -> None:
        self._note("before")

    def warm(self) -> None:
        self._note("warm")

    def __call__(self) -> float:
        self._note("run")
        print("what a library prints is no answer")
        return self._seconds

    def rows(self) -> np.ndarray:
        return np.full(3, self._value)


class Failing:
    def __call__(self) -> None:
        raise ValueError("the disk is full")


def lacking() -> None:
    raise ModuleNotFoundError("no", name="ray.data")


def lacking_another() -> None:
    raise ModuleNotFoundError("no module named 'torhc'", name="torhc")
