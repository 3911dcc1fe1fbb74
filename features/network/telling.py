"""What a download says before it begins and while it goes on; on stderr."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from features.errors import NetworkError
from features.units import bytes_text


def say_download(what: str, size: int | None, to: Path) -> None:
    """`erc: downloading gpt2 (548 MB) to ~/.cache/...`. size: bytes that are still to come, None where not known"""
    known = f"{bytes_text(size)}" if size is not None else "of unknown size"
    print(f"erc: downloading {what} ({known}) to {to}", file=sys.stderr, flush=True)


def byte_bar(total: int | None, what: str, initial: int = 0) -> Any:
    """A tqdm bar of bytes, quiet where stderr is no terminal; use it in a `with` and call update(n)."""
    from tqdm import tqdm

    return tqdm(
        total=total,
        initial=initial,
        unit="B",
        unit_scale=True,
        desc=what,
        file=sys.stderr,
        disable=None,
        dynamic_ncols=True,
    )


def check_space(folder: Path, needed: int, what: str) -> None:
    """Raises NetworkError where a folder's disk has fewer bytes free than `needed`. The folder need not exist yet."""
    free = free_bytes(folder)
    if needed > free:
        raise NetworkError(
            f"{what} needs {bytes_text(needed)}, and {bytes_text(free)} are free at {folder}: make room, or choose"
            " another disk"
        )


def free_bytes(folder: Path) -> int:
    """Free bytes of the disk that a folder is, or would be, on."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free
