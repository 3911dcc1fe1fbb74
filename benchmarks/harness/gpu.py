"""How busy a GPU is while something runs, as nvidia-smi says."""

from __future__ import annotations

import shutil
import statistics
import subprocess
from types import TracebackType

_EVERY_MS = 200


class Utilisation:
    """A context manager; afterwards `percent` is the mean over its time, None where nvidia-smi is not there."""

    def __init__(self) -> None:
        self.percent: float | None = None
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Utilisation:
        if shutil.which("nvidia-smi"):
            query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-i", "0", "-lms", str(_EVERY_MS)]
            self._process = subprocess.Popen(["nvidia-smi", *query], stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            said, _ = self._process.communicate()
            values = [float(line) for line in said.split() if line.strip().isdigit()]
            self.percent = statistics.mean(values) if values else None
