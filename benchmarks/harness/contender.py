"""A contender: one way of doing a thing, in a process of its own that is told when to do it.

So each has its own threads, memory and caches, the start of none is timed, and rounds can go in turns.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from benchmarks.harness.memory import MemoryWatch

ROOT = Path(__file__).resolve().parents[2]


class Work(Protocol):
    """What a worker's factory returns. Each call does the whole work once and is timed.

    It may return seconds that it has timed itself. Optional attributes, called untimed: `before()` makes ready for a
    call, `rows()` gives the outcome as one array, `peak_mib()` the memory of a process that may have ended. The first
    call is not counted.
    """

    def __call__(self) -> float | None: ...


class BenchmarkError(Exception):
    """A contender failed: its name and the end of what it said."""


@dataclass(frozen=True)
class Contender:
    """name: as the page has it; target: `module:factory`, called with options (JSON values) in its process"""

    name: str
    target: str
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Round:
    """seconds: of the work; peak_mib: the most memory that its process, and those that it started, had until then"""

    seconds: float
    peak_mib: float


class Process:
    """A contender's process, ready to work. As a context manager it ends with the block, and so do its temporary files:
    it is killed, and cannot remove them itself.
    """

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        self.absent = ""
        self._files = tempfile.TemporaryDirectory(prefix="erc-benchmark-", ignore_cleanup_errors=True)
        # OMP_WAIT_POLICY as `erc` sets it, for all: idle threads of one contender must not spin beside another
        environment = {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  # a pipe may fill
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.harness.worker", contender.target, json.dumps(dict(contender.options))],
            env=os.environ | environment | {"TMPDIR": self._files.name} | dict(contender.environment),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )

    def __enter__(self) -> Process:
        """Wait until it is ready. `absent` is the package that it lacks, if it lacks one."""
        self.absent = self._answer().get("absent", "")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._said.close()
        self._files.cleanup()

    def run(self) -> Round:
        with MemoryWatch(self._process.pid) as watch:
            answer = self._tell("run")
        return Round(answer["seconds"], max(answer["peak_mib"], watch.peak_mib))

    def rows(self, path: Path) -> bool:
        """Save what came of the work as .npy; False where the contender has nothing to compare."""
        return bool(self._tell(f"rows {path}")["rows"])

    def _tell(self, line: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.communicate()
            self._said.seek(0)
            said = self._said.read()[-2000:].strip()
            raise BenchmarkError(f"{self.contender.name} ({self.contender.target}) failed: {said}")
        answer: dict[str, Any] = json.loads(line)
        return answer
