"""Whether a clip is still the one that a row was made from: same, another, gone, or not to be told.

What cannot be told is not acted on: a clip that cannot be looked at is no other clip, and one that is gone does not
take its embedding with it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np

from features.files import size_and_mtime
from features.store.media_digests import MediaDigests

_STATS = 1000  # clips whose state is asked for at once
_SLOW_STAT_S = 50e-6
_STAT_THREADS = 16

# Places among some rows, int64 -> the digest that each row has of its clip, or None
RecordedDigests = Callable[[np.ndarray], list[str | None]]


class ClipState(IntEnum):
    """A clip today against a row's record of it."""

    SAME = 0
    OTHER = 1
    GONE = 2
    UNREADABLE = 3


@dataclass(frozen=True)
class ClipStats:
    """What the file system says of some clips: int64 sizes and mtimes (ns), -1 where there is no such file, -2 where
    that cannot be told."""

    sizes: np.ndarray
    mtimes_ns: np.ndarray


def stat_clips(root: Path, media: Sequence[str]) -> ClipStats:
    """Ask for the state of clips below `root`.

    A network file system answers slowly, but several questions at once; a local disk is asked faster by one thread.
    """
    folder = os.path.join(root, "")  # noqa: PTH118  # a Path a clip would take as long as its state

    def stats(block: Sequence[str]) -> np.ndarray:
        return np.array([size_and_mtime(folder + name) for name in block], np.int64)

    blocks = [media[start : start + _STATS] for start in range(0, len(media), _STATS)]
    started = time.perf_counter()
    tables = [np.zeros((0, 2), np.int64), *map(stats, blocks[:1])]
    is_slow = blocks and time.perf_counter() - started > _SLOW_STAT_S * len(blocks[0])
    with ThreadPoolExecutor(_STAT_THREADS if is_slow else 1) as pool:
        table = np.concatenate([*tables, *pool.map(stats, blocks[1:])])
    return ClipStats(table[:, 0], table[:, 1])


def judge_clips(
    root: Path,
    media: Sequence[str],
    stats: ClipStats,
    sizes: np.ndarray,
    mtimes_ns: np.ndarray,
    digests: RecordedDigests,
    hashes: MediaDigests,
    *,
    compared: np.ndarray | None = None,
    rehash: bool = False,
) -> np.ndarray:
    """ClipState, int8 [n], of clips against the rows that were made from them.

    sizes, mtimes_ns, digests: the rows' record of the clip; -1 and None where they had none. Digests are asked for
              where sizes and times do not tell
    hashes:   has the digests of clips as they are today
    compared: bool [n]: the clips whose bytes may be compared; None: all. Of the others size and time must be the same
    rehash:   compare the bytes of clips, too, whose size and time are the same
    """
    states = np.full(len(media), ClipState.OTHER, np.int8)
    states[(stats.sizes == sizes) & (stats.mtimes_ns == mtimes_ns)] = ClipState.SAME
    states[gone_clips(stats, sizes)] = ClipState.GONE
    states[stats.sizes == -2] = ClipState.UNREADABLE
    suspects = (states == ClipState.OTHER) | ((states == ClipState.SAME) & rehash)
    suspects &= (stats.sizes >= 0) & (stats.sizes == sizes)
    if compared is not None:
        suspects &= compared
    places = np.flatnonzero(suspects).tolist()
    states[places] = ClipState.OTHER
    recorded = dict(zip(places, digests(np.array(places, np.int64)), strict=True))
    places = [place for place in places if recorded[place] is not None]
    if not places:
        return states
    today = hashes.of(
        root,
        [media[place] for place in places],
        list(zip(stats.sizes[places].tolist(), stats.mtimes_ns[places].tolist(), strict=True)),
        fresh=rehash,
    )
    for place, digest in zip(places, today, strict=True):
        if digest is None:
            states[place] = ClipState.UNREADABLE
        else:
            states[place] = ClipState.SAME if digest == recorded[place] else ClipState.OTHER
    return states


def gone_clips(stats: ClipStats, sizes: np.ndarray) -> np.ndarray:
    """bool [n], True where there is no clip any more. sizes: the rows' record of it, -1 where they had none"""
    gone: np.ndarray = (stats.sizes == -1) & (sizes != -1)
    return gone
