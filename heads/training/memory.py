"""Memory that one training step frees and the next one asks for again."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
_KEPT_BYTES = 1 << 30
_LARGEST_BYTES = (256 << 20, 32 << 20)  # older glibc takes no more than the second


@cache
def keep_freed_memory() -> bool:
    """Have glibc's malloc keep up to 1 GiB that was freed, instead of giving it back to the system at once. Says
    whether it does; for the whole process, and once is enough. Elsewhere than on Linux with glibc nothing changes.

    Gradients of a few megabytes are freed and asked for at every step, and each of their pages, when it comes fresh
    from the system, is a fault and has to be zeroed: up to half of the time of forward and backward passes
    (docs/heads.md). What is larger than 256 MiB (32 MiB before glibc 2.35) still comes from the system. See mallopt(3).
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    keeps = bool(mallopt(_TRIM_THRESHOLD, _KEPT_BYTES))
    return any(mallopt(_MMAP_THRESHOLD, size) for size in _LARGEST_BYTES) and keeps
