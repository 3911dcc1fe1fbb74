"""Finding the processes that a test started, whoever their parent is by now."""

from __future__ import annotations

import os
import time
from pathlib import Path

MARK = "ERC_TEST_MARK"


def marked(mark: str) -> list[int]:
    """Ids of the processes that were started with this value of MARK in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            environment = (entry / "environ").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if f"{MARK}={mark}".encode() in environment.split(b"\0") and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found


def workers(mark: str) -> list[int]:
    """Those of them that are worker processes."""
    found = []
    for process in marked(mark):
        try:
            if b"spawn_main" in Path(f"/proc/{process}/cmdline").read_bytes():
                found.append(process)
        except OSError:
            continue
    return found


def survivors(mark: str, patience_s: float = 120.0) -> list[int]:
    """Those that are still there after so long; none as soon as none is left."""
    deadline = time.monotonic() + patience_s
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def is_running(process: int) -> bool:
    """Whether there is such a process, other than as a zombie."""
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
