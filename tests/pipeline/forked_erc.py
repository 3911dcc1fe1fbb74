"""`erc` in processes that start fast: forked from the server that has imported what training needs, and run nothing."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from pipeline.suites.workers import _PRELOADED


def start_erc(arguments: list[str], output: Path, first: Callable[[], None] | None = None) -> ForkServerProcess:
    """Start `erc ARGUMENTS`; stdout and stderr go to a file. first: what the process does before"""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    process = context.Process(target=_main, args=(arguments, output, first))
    process.start()
    return process


def _main(arguments: list[str], output: Path, first: Callable[[], None] | None) -> None:
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(descriptor, number)
    from pipeline.cli import main

    if first is not None:
        first()
    sys.argv = ["erc", *arguments]
    main()
