"""Giving a finished file its name: never one that is taken, whatever the file system cannot do or answers wrongly."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

# What `link` answers where a file system, a container or a policy has no hard links between these two names.
_NO_HARD_LINK = {errno.EXDEV, errno.EACCES, errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK}
_HERE = -100  # AT_FDCWD of Linux
_NOREPLACE = 1  # RENAME_NOREPLACE of Linux

_Renamer = Callable[[int, bytes, int, bytes, int], int]


def give_name(temporary: Path, final: Path) -> bool:
    """Give a finished file its final name, or return False where that is taken: no file is ever replaced.

    By a hard link, which cannot replace; where there are none, by a rename that cannot. The temporary name may be left.
    Raises OSError for any other error.
    """
    itself = temporary.stat()
    try:
        os.link(temporary, final)
    except OSError as error:
        if _has_it(final, itself, temporary):
            return True
        if os.path.lexists(final):
            return False
        if error.errno not in _NO_HARD_LINK:
            raise
        return _rename_if_free(temporary, final, itself)
    return True


def _has_it(final: Path, itself: os.stat_result, temporary: Path | None = None) -> bool:
    """Whether a name was given although the system said that it was not.

    NFS sends a request again whose answer was lost, and the server answers the second one that the name is taken.
    """
    try:
        return os.path.samestat(final.stat(), itself)
    except FileNotFoundError:  # or it is not seen yet: a second link tells
        return temporary is not None and _links(temporary) == 2
    except OSError:
        return False


def _links(path: Path) -> int:
    try:
        return path.stat().st_nlink
    except OSError:
        return 0


def _rename_if_free(temporary: Path, final: Path, itself: os.stat_result) -> bool:
    try:
        if not _rename_by_kernel(temporary, final):
            if os.path.lexists(final):
                return _has_it(final, itself)
            temporary.rename(final)
    except FileExistsError:
        return _has_it(final, itself)
    except OSError:
        if not _has_it(final, itself):
            raise
    return True


def _rename_by_kernel(temporary: Path, final: Path) -> bool:
    """Rename without replacing; False where kernel or file system cannot. Raises FileExistsError for a taken name."""
    renamer = _renamer()
    if renamer is None:
        return False
    ctypes.set_errno(0)
    if renamer(_HERE, os.fsencode(temporary), _HERE, os.fsencode(final), _NOREPLACE) == 0:
        return True
    if ctypes.get_errno() == errno.EEXIST:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final))
    return False


@cache
def _renamer() -> _Renamer | None:
    """renameat2 of the C library, where there is one."""
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
