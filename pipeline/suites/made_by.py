"""Which machine and which commit make a seed: recorded for readers, and no part of what tells seeds apart."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from features.hardware import processor_name

_WAIT_S = 5.0
_ROOT = Path(__file__).resolve().parents[2]


@cache
def processor_of(device: str) -> str | None:
    """The name of the GPU for cuda and cuda:N, else of the CPU; None where the machine does not tell it."""
    if device.partition(":")[0] == "cuda":
        import torch

        return str(torch.cuda.get_device_name(device))
    return processor_name()


@cache
def source_commit(root: Path = _ROOT) -> str | None:
    """The commit of the clone that this code runs from, with ` and changes` where its files differ from it; None
    where the code is of no clone, or git is not there."""
    if _git(root, "ls-files", "--error-unmatch", str(Path(__file__).relative_to(_ROOT))) is None:
        return None  # a package that is installed within another project's clone
    commit = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return None if commit is None else f"{commit} and changes" if changed else commit


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints; None where it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=_WAIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
