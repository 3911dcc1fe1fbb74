"""An error as one line of what a command says."""

from __future__ import annotations

from features.errors import ErcError


def failure_line(error: BaseException) -> str:
    """The message of an error of ours; of any other, which may say little by itself, its type before it."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ErcError) else f"{type(error).__name__}: {text}"
