"""The other end of `contender.Process`: python -m benchmarks.harness.worker MODULE:FACTORY JSON."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

# What a contender may need that the project itself does not: without it the contender is left out, and that is said.
OPTIONAL = {"ray", "sentence_transformers", "datasets", "lance", "imageio_ffmpeg", "accelerate"}


def main(target: str, options: dict[str, Any]) -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is not an answer

    def answer(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    module, _, factory = target.partition(":")
    try:
        work = getattr(importlib.import_module(module), factory)(**options)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in OPTIONAL:
            raise
        answer(absent=error.name)
        return
    answer(ready=True)
    for line in sys.stdin:
        command, _, path = line.strip().partition(" ")
        if command == "rows":
            rows = getattr(work, "rows", None)
            if rows is not None:
                np.save(path, rows())
            answer(rows=rows is not None)
            continue
        getattr(work, "before", lambda: None)()
        started = time.perf_counter()
        own = work()
        seconds = time.perf_counter() - started
        answer(seconds=seconds if own is None else own, peak_mib=getattr(work, "peak_mib", peak_mib)())


def peak_mib() -> float:
    """Of this process alone: getrusage would count the parent's from before the program was started."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
