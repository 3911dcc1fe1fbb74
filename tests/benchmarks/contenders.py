"""Contenders for tests, run in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
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

    def __call__(self) -> float:
        self._note("run")
        print("what a library prints is no answer")
        return self._seconds

    def rows(self) -> np.ndarray:
        return np.full(3, self._value)


class Talking:
    def __init__(self, fails: bool = False) -> None:
        self._fails = fails

    def __call__(self) -> None:
        print("a library's warning " * 20_000)
        if self._fails:
            raise ValueError("the end of a long story")


class Holding:
    """A process of its own holds so much memory for a second."""

    def __init__(self, mib: int) -> None:
        self._code = f"import time; held = b'1' * ({mib} << 20); time.sleep(1)"

    def __call__(self) -> None:
        subprocess.run([sys.executable, "-c", self._code], check=True)


class Leaving:
    """It leaves a temporary folder, whose path it writes to a file."""

    def __init__(self, log: str) -> None:
        Path(log).write_text(tempfile.mkdtemp(), encoding="utf-8")

    def __call__(self) -> None:
        pass


class Failing:
    def __call__(self) -> None:
        raise ValueError("the disk is full")


def lacking() -> None:
    raise ModuleNotFoundError("no", name="ray.data")


def lacking_another() -> None:
    raise ModuleNotFoundError("no module named 'torhc'", name="torhc")
