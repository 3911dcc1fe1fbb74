"""The digest of a model folder's weights, taken once as long as none of its files changes: hashing half a gigabyte
takes as long as encoding a dozen dialogues."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from features.digests import weights_digest
from features.remembered import remembered

if TYPE_CHECKING:
    import torch

_SETTLED_NS = 2_000_000_000  # a file that changed just now may change again within one tick of its clock


def folder_digest(folder: Path, network: torch.nn.Module, part: str | None) -> str:
    """`weights_digest` of a network that was loaded from this folder, in the checkpoint's dtypes.

    What is remembered (see `features.remembered`) is of these very files (name, inode, size, times of content and
    state), of this part of the model, and of these versions of the libraries, which name the tensors.
    """
    import torch
    import transformers

    files = _files(folder)
    if files is None:
        return weights_digest(network.state_dict())
    question = [str(folder.resolve()), files, part, type(network).__name__, torch.__version__, transformers.__version__]
    return remembered("weights", question, lambda: weights_digest(network.state_dict()))


def _files(folder: Path) -> list[tuple[str, int, int, int, int]] | None:
    """What tells the folder's files from changed ones; None where that cannot be told, or not yet."""
    latest = time.time_ns() - _SETTLED_NS
    try:
        states = [(path.name, path.stat()) for path in sorted(folder.iterdir())]
    except OSError:
        return None
    if any(state.st_ctime_ns > latest for _, state in states):
        return None
    return [(name, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns) for name, state in states]
