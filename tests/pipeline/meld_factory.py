"""A tiny MELD on disk: tables in MELD's columns, and clips of a given length."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COLUMNS = (
    "Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment",
    "Dialogue_ID", "Utterance_ID", "Season", "Episode", "StartTime", "EndTime",
)  # fmt: skip


def line(dialogue: int = 0, utterance: int = 0, **values: Any) -> dict[str, Any]:
    return {
        "Sr No.": 1,
        "Utterance": f"words {dialogue} {utterance}",
        "Speaker": "Ross",
        "Emotion": "joy",
        "Sentiment": "positive",
        "Dialogue_ID": dialogue,
        "Utterance_ID": utterance,
        "Season": 8,
        "Episode": 21,
        "StartTime": "00:16:16,059",
        "EndTime": "00:16:17,059",
    } | values


def write_table(path: Path, lines: Sequence[dict[str, Any]], encoding: str = "utf-8") -> Path:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.getvalue().encode(encoding))
    return path


def write_clip(path: Path, seconds: float = 1.0, rate: int = 10) -> Path:
    """An mp4 of `seconds` x `rate` black frames of 16 x 16."""
    import av
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        for _ in range(round(seconds * rate)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    return path
