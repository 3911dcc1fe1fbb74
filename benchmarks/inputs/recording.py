"""One long recording with sound and picture, made for the purpose, and its cuts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from features.cards import DatasetCard
from features.manifest import build_manifest, write_manifest

RATE_HZ = 16_000
_WIDTH, _HEIGHT, _FRAMES_A_SECOND = 320, 240, 10
_TURNS = 10


def write_recording(path: Path, seconds: int) -> None:
    """A tone that glides, under noise, and a shade that wanders. mp4: H.264 and AAC, a key frame each five seconds."""
    import av

    noise = np.random.default_rng(0)
    grain = noise.integers(0, 32, (_HEIGHT, 2 * _WIDTH, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=_FRAMES_A_SECOND, options={"preset": "veryfast", "g": "50"})
        video.width, video.height, video.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        audio = container.add_stream("aac", rate=RATE_HZ, layout="mono")
        for second in range(seconds):
            for number in range(_FRAMES_A_SECOND):
                first = (37 * (second * _FRAMES_A_SECOND + number)) % _WIDTH
                picture = grain[:, first : first + _WIDTH] + np.uint8(second % 200)
                container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            times = second + np.arange(RATE_HZ) / RATE_HZ
            samples = 0.3 * np.sin(1300 * times + 2000 * np.sin(times / 7)) + 0.05 * noise.standard_normal(RATE_HZ)
            sound = av.AudioFrame.from_ndarray(samples.astype(np.float32)[None], format="fltp", layout="mono")
            sound.sample_rate, sound.pts = RATE_HZ, second * RATE_HZ
            container.mux(audio.encode(sound))
        for stream in (video, audio):
            container.mux(stream.encode(None))


def cuts_of(seconds: float, count: int, length: float) -> list[tuple[float, float]]:
    """So many cuts, evenly spread, to the millisecond."""
    step = (seconds - length) / count
    return [(round(number * step, 3), round(number * step + length, 3)) for number in range(count)]


def write_cuts(path: Path, root: Path, media: Sequence[str], cuts: Sequence[tuple[float, float]] | None) -> Path:
    """A manifest of an utterance a name in `media`. cuts: where each begins and ends, or None where files are whole."""
    row = pl.int_range(len(media), eager=True)
    frame = pl.DataFrame({"row": row, "media": list(media)}).with_columns(
        utterance_id=pl.format("cuts/{}", pl.col("row")),
        dataset=pl.lit("cuts"),
        split=pl.lit("train"),
        dialogue_id=pl.format("cuts/dia{}", pl.col("row") // _TURNS),
        turn=pl.col("row") % _TURNS,
        speaker=pl.lit("A"),
        text=pl.lit("Hello."),
    )
    if cuts is not None:
        frame = frame.with_columns(
            start=pl.Series([start for start, _ in cuts]), end=pl.Series([end for _, end in cuts])
        )
    return write_manifest(build_manifest(frame.drop("row"), DatasetCard("cuts"), root), path)
