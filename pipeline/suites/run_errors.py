"""An error as one line of what a command says."""

from __future__ import annotations

from features.errors import ErcError


def failure_line(error: BaseException) -> str:
    """The message of an error of ours; of any other, which may say little by itself, its type before it."""
    text = " ".join(str(error).split())
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which need not be loaded here
        return f"the GPU's memory is full ({text}): run again with fewer --jobs, a smaller batch.size, or --device cpu"
    return text if isinstance(error, ErcError) else f"{type(error).__name__}: {text}"
