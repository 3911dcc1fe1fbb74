"""`erc` in processes that start fast: forked from a server that has imported what extraction needs, and run nothing.

They are whole processes all the same: killing one takes everything that it has not written.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_PRELOADED = [
    "pipeline.commands.extract",
    "pipeline.commands.extraction",
    "features.encoders.text.surface",
    "features.encoders.visual.hog_colour",
    "features.media.clip",
    "pyarrow.parquet",
]


def start_erc(arguments: list[str], errors: Path, point: str | None = None, count: int = 0) -> ForkServerProcess:
    """Start `erc ARGUMENTS`; stderr goes to a file.

    point, count: the process kills itself, as the kernel does when memory runs out, at the COUNT-th time that a commit
    comes to POINT
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["erc_process", "pipeline.commands.extract", "pipeline.commands.extraction", "pyarrow.parquet"]
    )
    process = context.Process(target=_main, args=(arguments, errors, point, count))
    process.start()
    return process


def run_erc(arguments: list[str], errors: Path, point: str | None = None, count: int = 0) -> tuple[int, str]:
    """The exit status (minus the signal's number where one ended it) and what was printed on stderr."""
    process = start_erc(arguments, errors, point, count)
    process.join()
    return process.exitcode or 0, errors.read_text(encoding="utf-8")


def _main(arguments: list[str], errors: Path, point: str | None, count: int) -> None:
    for number, path in ((1, os.devnull), (2, str(errors))):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, number)
    from pipeline.cli import main

    if point is not None:
        _kill_at(point, count)
    sys.argv = ["erc", *arguments]
    main()


def _kill_at(point: str, count: int) -> None:
    from features.store import commit

    seen = 0

    def at_point(reached: str) -> None:
        nonlocal seen
        seen += reached == point
        if seen == count:
            os.kill(os.getpid(), signal.SIGKILL)

    commit.at_point = at_point
