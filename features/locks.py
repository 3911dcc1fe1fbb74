"""Locks of open files between processes: `flock` where the system has it, and LockFileEx, by portalocker, on Windows.

The system releases a lock when its process dies. On Linux and macOS the call is `flock`, as in every version of this
program, so that old and new ones keep each other out. On Windows others cannot read a file that is locked exclusively,
and nobody can remove one that is open.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_HELD = {errno.EWOULDBLOCK, errno.EACCES}
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_BINARY = getattr(os, "O_BINARY", 0)  # of Windows: line ends are written as they are


class NoLocksError(OSError):
    """The file system, or this Python, has no locks."""


def lock(descriptor: int, *, shared: bool = False, wait: bool = False) -> bool:
    """Lock an open file; gives False where another process holds it. Closing the file releases the lock.

    wait: until others have let go, instead
    Raises NoLocksError where there are none, OSError for any other error.
    """
    try:
        if fcntl is None:
            return _lock_on_windows(descriptor, shared, wait)
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in _HELD:
            return False
        if error.errno in _NO_LOCKS:
            raise NoLocksError(error.errno, error.strerror) from error
        raise
    return True


def share(descriptor: int) -> None:
    """Make an exclusive lock that is held a shared one. Raises OSError."""
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return
    # A handle may hold both; of the two, the first release ends the exclusive one (Microsoft's page on LockFileEx).
    if _lock_on_windows(descriptor, shared=True, wait=True):
        _windows_locker().unlock(descriptor)


def open_lock(path: Path) -> int:
    """A descriptor of the file, which is made where it is not there. Raises OSError."""
    return os.open(path, os.O_RDWR | os.O_CREAT | _BINARY, 0o666)


@contextmanager
def holding(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold a lock's file, which is there only while it is held; gives False where another process has it and it is not
    to be waited for. Where the file system has no locks everyone gets it. Raises OSError where it cannot be made."""
    descriptor = _take(path, wait)
    if descriptor is None:
        yield False
        return
    try:
        yield True
    finally:
        remove_lock(descriptor, path)


def _take(path: Path, wait: bool) -> int | None:
    """A descriptor of the file that now stands at `path`, locked; None where that is not to be waited for."""
    while True:
        descriptor = open_lock(path)
        try:
            if not lock(descriptor, wait=wait):
                os.close(descriptor)
                return None
        except NoLocksError:
            return descriptor
        except OSError:
            os.close(descriptor)
            raise
        if _stands_at(descriptor, path):
            return descriptor
        os.close(descriptor)


def _stands_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def remove_lock(descriptor: int, path: Path) -> None:
    """Close a lock's file and remove it; while it is held where the system can: whoever waits for it sees that it is
    gone. On Windows it stays where another process has opened it by then."""
    if fcntl is not None:
        path.unlink(missing_ok=True)
        os.close(descriptor)
        return
    os.close(descriptor)
    try:
        path.unlink(missing_ok=True)
    except PermissionError:
        return


def is_alive(pid: int) -> bool | None:
    """Whether a process of this host lives; None where that is not known, as on Windows, whose os.kill ends it."""
    if os.name == "nt":
        return None
    try:
        os.kill(pid, 0)
    except PermissionError:  # it lives, and is another user's
        return True
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return None
    return True


def _lock_on_windows(descriptor: int, shared: bool, wait: bool) -> bool:
    locker = _windows_locker()
    from portalocker import LockFlags
    from portalocker.exceptions import AlreadyLocked, LockException

    flags = LockFlags.SHARED if shared else LockFlags.EXCLUSIVE
    try:
        locker.lock(descriptor, flags if wait else flags | LockFlags.NON_BLOCKING)
    except AlreadyLocked:
        return False
    except LockException as error:
        raise OSError(errno.EIO, f"cannot be locked: {error}") from error
    return True


def _windows_locker() -> Any:
    """Raises NoLocksError where portalocker or pywin32 is not installed."""
    try:
        from portalocker.portalocker import Win32Locker

        return Win32Locker()
    except ImportError as error:
        raise NoLocksError(errno.ENOLCK, "portalocker and pywin32 are not installed") from error
