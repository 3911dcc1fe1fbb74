"""Reading a store's files with plain reads, so that what is damaged and what merely cannot be read are told apart.

A file that a commit names and that is not there is damaged; so is one whose bytes were read and are wrong. Whatever
else stands in the way of reading (rights, limits, a disk, a server) says nothing of the bytes: they may be sound.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from features.errors import ShardError, StoreError, UnreadableError

# The mend of every damaged shard.
REPAIR = "`erc store verify STORE --repair` moves its shard away, and `erc extract` makes it again"

_MENDS = {
    errno.EACCES: "ask for the right to read it, or mend its rights and those of its folders",
    errno.EPERM: "ask for the right to read it, or mend its rights and those of its folders",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    errno.ENFILE: "too many files are open on this machine: close some",
    errno.ENOMEM: "make memory free",
    errno.ENOENT: "it is a symbolic link to what is not there: mount that, or mend the link",
    errno.EISDIR: "a folder has its name: move it away",
    errno.ELOOP: "its symbolic links lead in a circle: mend them",
    errno.ESTALE: "mount its file system again",
    errno.ENOTCONN: "mount its file system again",
}


def read_error(path: Path, error: OSError, mend: str = REPAIR) -> StoreError:
    """What to raise where a file or folder of a store cannot be read.

    ShardError, with the mend, where it is absent; for any other reason UnreadableError, which recommends no repair.
    """
    if isinstance(error, FileNotFoundError | NotADirectoryError) and not is_link(path):
        return ShardError(f"{path}: is gone: {mend}")
    way_out = _MENDS.get(error.errno or 0, "see to the disk or the server that holds it")
    return UnreadableError(
        f"{path}: cannot be read ({error.strerror or error}): {way_out}, then run the same command again; nothing is"
        " lost"
    )


def is_link(path: Path) -> bool:
    return os.path.islink(path)  # noqa: PTH114  # Path.is_symlink may raise


def is_there(path: Path) -> bool:
    """Whether a name is taken, by whatever. Raises UnreadableError where that cannot be told."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise read_error(path, error) from error
    return True


def read_bytes(path: Path, mend: str = REPAIR) -> bytes:
    """A whole file. Raises ShardError where it is absent, and UnreadableError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise read_error(path, error, mend) from error


def folder_entries(path: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, by name. Raises ShardError where it is absent, UnreadableError where it cannot be listed."""
    try:
        with os.scandir(path) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise read_error(path, error, "look for it, or take another --store") from error


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one. Raises UnreadableError where that cannot be told."""
    try:
        return entry.is_dir()
    except OSError as error:
        raise read_error(Path(entry.path), error) from error


def check_store(root: Path) -> None:
    """Raises StoreError where there is no folder `root`, and UnreadableError where that cannot be told."""
    try:
        os.listdir(root)  # noqa: PTH208  # that it can be listed is all that is asked
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreError(f"no store at {root}: make one with `erc extract --modality text --store {root}`") from error
    except OSError as error:
        raise read_error(root, error) from error
