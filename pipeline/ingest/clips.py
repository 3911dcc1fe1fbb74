"""MELD's folders: where the tables and the clips of a split are, and what lies in the clip folders."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# As MELD.Raw.tar.gz and its inner archives unpack, as the repository has the tables, and as the Kaggle copy nests them.
_PARENTS = ("", "MELD.Raw", "MELD", "data/MELD", "MELD/data/MELD", "MELD-RAW/MELD.Raw")
_CLIP = re.compile(r"dia(\d+)_utt(\d+)\.mp4")


@dataclass(frozen=True)
class ClipFolder:
    """What a clip folder holds.

    path:         relative to the root it was found under, with forward slashes
    clips:        (dialogue, utterance) -> file name
    apple_double: names beginning `._`, which macOS leaves in archives: not clips
    final_videos: `final_videos_test*`: see the MELD card
    others:       anything else
    """

    path: str
    clips: dict[tuple[int, int], str]
    apple_double: tuple[str, ...]
    final_videos: tuple[str, ...]
    others: tuple[str, ...]


def places(split: str) -> list[str]:
    """Folders below ROOT where a split's table or clip folder may stand, the most direct first."""
    return [place for parent in _PARENTS for place in (parent, f"{parent}/{split}".lstrip("/"))]


def find_table(root: Path, split: str) -> Path | None:
    """The split's `*_sent_emo.csv`, at the first place that has one."""
    candidates = (root / place / f"{split}_sent_emo.csv" for place in places(split))
    return next((path for path in candidates if path.is_file()), None)


def find_clips(root: Path, split: str, names: list[str]) -> ClipFolder | None:
    """The split's clip folder, at the first place that has one of these names; None where there is none."""
    for place in places(split):
        for name in names:
            path = root / place / name
            if path.is_dir():
                return _scan(path, f"{place}/{name}".lstrip("/"))
    return None


def unpack_commands(root: Path, splits: Iterable[str]) -> list[str]:
    """What unpacks the archives that hold these splits' clips, beside themselves, where they lie still packed."""
    archives: dict[Path, None] = {}
    for split in splits:
        inner = [root / place / f"{split}.tar.gz" for place in places(split)]
        outer = [root / place / "MELD.Raw.tar.gz" for place in places(split)]
        archives |= dict.fromkeys([path for path in [*inner, *outer] if path.is_file()][:1])
    return [f"tar -xzf {shlex.quote(str(path))} -C {shlex.quote(str(path.parent))}" for path in archives]


def unpack_hint(commands: Sequence[str]) -> str:
    """The end of a message on what was not found; '' where nothing is packed."""
    return f"; still packed there: {' && '.join(commands)}" if commands else ""


def _scan(folder: Path, relative: str) -> ClipFolder:
    clips: dict[tuple[int, int], str] = {}
    apple_double, final_videos, others = [], [], []
    for name in sorted(entry.name for entry in os.scandir(folder)):
        match = _CLIP.fullmatch(name)
        if name.startswith("._"):
            apple_double.append(name)
        elif name.startswith("final_videos_test"):
            final_videos.append(name)
        elif match:
            clips[int(match[1]), int(match[2])] = name
        else:
            others.append(name)
    return ClipFolder(relative, clips, tuple(apple_double), tuple(final_videos), tuple(others))
