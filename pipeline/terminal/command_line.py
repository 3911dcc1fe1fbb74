"""The command line that a user gave, as files and pages record it."""

from __future__ import annotations

import shlex
import sys


def given_command() -> str:
    """`erc ...`, quoted so that it can be typed again."""
    return shlex.join(["erc", *sys.argv[1:]])
