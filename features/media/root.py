"""The folder that a manifest's clips lie in, looked at before anything is done: one that is not there has no clips."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from features.errors import ManifestError
from features.manifest import Manifest


def check_media_root(manifest: Manifest, *, may_be_empty: bool = False) -> None:
    """See that the clips which a manifest names can be looked for; a manifest without clips needs no folder.

    may_be_empty: a folder with nothing in it will do. A disk that is not mounted leaves such a one
    Raises ManifestError where the media root is not known, not there, no folder, empty, or cannot be looked at.
    """
    if manifest.frame["media"].null_count() == len(manifest):
        return
    root = manifest.media_path("")
    trouble = _trouble(root) or ("" if may_be_empty or not _is_empty(root) else "is an empty folder")
    if trouble:
        raise ManifestError(
            f"media root {root}: {trouble}, and {manifest.path or 'the manifest'} names clips in it: mount the disk"
            " that holds them, or give --media-root DIR"
        )


def _trouble(root: Path) -> str:
    try:
        mode = root.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist"
    except OSError as error:
        return f"cannot be looked at ({error.strerror or error})"
    return "" if stat.S_ISDIR(mode) else "is no folder"


def _is_empty(root: Path) -> bool:
    """False, too, where that cannot be told: who may not list a folder may read what is in it."""
    with suppress(OSError), os.scandir(root) as entries:
        return next(entries, None) is None
    return False
