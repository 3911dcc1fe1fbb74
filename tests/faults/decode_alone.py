"""Decodes one clip in a process of its own: python decode_alone.py PATH [LIMIT_BYTES]; prints JSON.

grown_mb: how much memory the process took at its most, beside what it had before
LIMIT_BYTES: take the limit of worker processes, with this many bytes
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from clip_factory import utterance

import features.media.decode
from features.errors import UnavailableError
from features.media import limits
from features.media.clip import decode_clip
from features.media.needs import AudioNeed, ClipNeeds, FramesNeed

AUDIO, FRAMES = AudioNeed(16000, 30.0), FramesNeed(5, 30.0)


def peak_kb() -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])


def main() -> None:
    if len(sys.argv) > 2:
        limits.MAX_WORKER_BYTES = int(sys.argv[2])
        limits.limit_memory()
    before = peak_kb()
    said = {}
    try:
        clip = decode_clip(Path(sys.argv[1]), utterance(), [ClipNeeds(AUDIO, FRAMES)])
        for name, read in (("sound", lambda: clip.sound(AUDIO)), ("frames", lambda: clip.frames(FRAMES))):
            try:
                said[name] = f"{read().seconds:.2f} s"
            except UnavailableError as error:
                said[name] = str(error)
    except UnavailableError as error:
        said["clip"] = str(error)
    print(json.dumps({"said": said, "grown_mb": (peak_kb() - before) / 1024}))


if __name__ == "__main__":
    assert features.media.decode
    main()
