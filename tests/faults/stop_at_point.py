"""`erc` with a commit that stops: python stop_at_point.py POINT COUNT ARGUMENTS...

At the COUNT-th time that a commit comes to POINT the process is killed, as the kernel does when memory runs out.
"""

from __future__ import annotations

import os
import signal
import sys

from features.store import commit
from pipeline.cli import main


def kill_at(point: str, count: int) -> None:
    seen = 0

    def at_point(reached: str) -> None:
        nonlocal seen
        seen += reached == point
        if seen == count:
            os.kill(os.getpid(), signal.SIGKILL)

    commit.at_point = at_point


if __name__ == "__main__":
    kill_at(sys.argv[1], int(sys.argv[2]))
    sys.argv = ["erc", *sys.argv[3:]]
    main()
