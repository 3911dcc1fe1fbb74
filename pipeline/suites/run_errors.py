"""An error as one line of what a command says."""

from __future__ import annotations

import sys

from features.errors import ErcError
from features.hardware import is_out_of_memory


def failure_line(error: BaseException) -> str:
    """The message of an error of ours; of any other, which may say little by itself, its type before it."""
    text = " ".join(str(error).split())
    if isinstance(error, Exception) and "torch" in sys.modules and is_out_of_memory(error):
        mend = "a smaller batch.size, fewer heads at a time (--jobs, --ray-actors) or, for a GPU, --device cpu"
        return f"memory is full ({text}): run again with {mend}"
    return text if isinstance(error, ErcError) else f"{type(error).__name__}: {text}"
