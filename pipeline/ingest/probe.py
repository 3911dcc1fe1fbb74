"""How long clips are, read from their containers' headers, without decoding."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from features.errors import UnavailableError
from features.media.clip import check_inside
from pipeline.terminal.progress import progress_bar


def clip_seconds(path: Path, root: Path | None = None) -> float | str:
    """The clip's duration in seconds, or why it cannot be told.

    root: the folder that it must lie in when links are followed; None: it may lie anywhere
    """
    import av

    from features.media.container import open_container

    try:
        if root is not None:
            check_inside(path, root)
        if not stat.S_ISREG(path.stat().st_mode):
            return "not a regular file"
        with open_container(path) as container:
            if container.duration is not None:
                return float(container.duration / av.time_base)
            seconds = [
                float(stream.duration * stream.time_base)
                for stream in container.streams
                if stream.duration is not None and stream.time_base is not None
            ]
            return max(seconds) if seconds else "its header tells no duration"
    except UnavailableError as error:
        return f"{error.reason}: {error.detail.removeprefix(f'{path}: ')}"
    except (av.FFmpegError, OSError, ValueError) as error:
        return f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}"


def probe_clips(paths: Sequence[Path], root: Path | None = None) -> list[float | str]:
    """`clip_seconds` of every path, in order, with a progress bar on stderr where that is a terminal.

    Threads, since PyAV lets go of the interpreter while it opens a file.
    """
    workers = min(8, 2 * (os.cpu_count() or 1))
    found = []
    with ThreadPoolExecutor(workers) as pool, progress_bar(len(paths), "clip", "clip lengths") as bar:
        for seconds in pool.map(clip_seconds, paths, [root] * len(paths)):
            found.append(seconds)
            bar.update()
    return found
