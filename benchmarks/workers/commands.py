"""Whole commands, from their start to their end, or to their first sign of success."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_ERC = "from pipeline.cli import main; main()"
_LOOK_S = 0.005
_LONGEST_S = 600


class Command:
    """A Python process with these arguments."""

    def __init__(self, arguments: list[str]) -> None:
        self._arguments = [sys.executable, *arguments]

    def __call__(self) -> None:
        subprocess.run(self._arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def peak_mib(self) -> float:
        """Of the largest process that it started."""
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


class Erc(Command):
    """`erc` with these arguments. Python starts it as the installed script does."""

    def __init__(self, arguments: list[str]) -> None:
        super().__init__(["-c", _ERC, *arguments])


class AgainWithNothingLeft(Erc):
    """`erc extract` of what an earlier call has finished."""

    def __init__(self, arguments: list[str]) -> None:
        super().__init__([*arguments, "--store", tempfile.mkdtemp()])


class FirstEmbedding(Erc):
    """Seconds from the command's start to the first commit record in its store; then the command is stopped."""

    def __init__(self, arguments: list[str]) -> None:
        self._store = Path(tempfile.mkdtemp())
        super().__init__([*arguments, "--store", str(self._store)])

    def before(self) -> None:
        shutil.rmtree(self._store, ignore_errors=True)

    def __call__(self) -> float:  # type: ignore[override]
        started = time.perf_counter()
        with subprocess.Popen(self._arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while not any(self._store.glob("*/*/[0-9]*.json")):
                if process.poll() is not None or time.perf_counter() - started > _LONGEST_S:
                    raise SystemExit("the command ended without an embedding")
                time.sleep(_LOOK_S)
            seconds = time.perf_counter() - started
            process.kill()
        return seconds
