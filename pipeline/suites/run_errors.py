"""An error as one line of what a command says."""

from __future__ import annotations

from features.errors import ErcError


def failure_line(error: BaseException) -> str:
    """The message of an error of ours; of any other, which may say little by itself, its type before it."""
    text = " ".join(str(error).split())
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which need not be loaded here
        mend = "a smaller batch.size, fewer heads at a time (--jobs, --ray-actors), or --device cpu"
        return f"the GPU's memory is full ({text}): run again with {mend}"
    return text if isinstance(error, ErcError) else f"{type(error).__name__}: {text}"
