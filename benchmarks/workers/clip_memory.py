"""Memory of extracting many short clips: a handful of generated ones (0.4 s of sound and picture) under many ids."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl

from benchmarks.harness.worker import peak_mib

_CLIPS = 20
_TURNS = 10


def peaks(clips: Path, count: int) -> tuple[float, float]:
    """MiB: the peak of the process that encodes and writes, and that of the largest of its two decoding processes."""
    command = [sys.executable, "-m", __name__, str(clips), str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    own, child = json.loads(done.stdout.splitlines()[-1])
    return own, child


def make_clips(folder: Path) -> None:
    """Pictures and sound of noise, each clip its own."""
    import av
    import numpy as np

    for number in range(_CLIPS):
        rng = np.random.default_rng(number)
        with av.open(str(folder / f"{number}.mp4"), "w") as container:
            video = container.add_stream("libx264", rate=10)
            video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
            audio = container.add_stream("aac", rate=16_000, layout="mono")
            for _ in range(4):
                picture = rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)
                container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            samples = (0.1 * rng.standard_normal((1, 6_400))).astype(np.float32)
            sound = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            sound.sample_rate = 16_000
            container.mux(audio.encode(sound))
            for stream in (video, audio):
                container.mux(stream.encode(None))


def _extract(clips: Path, count: int) -> None:
    from features.cards import DatasetCard
    from features.encoders.for_store import build_encoders
    from features.encoders.protocol import EncoderRequest
    from features.engines.decode_pool import DecodeOptions
    from features.extract import extract_features
    from features.manifest import build_manifest

    row = pl.DataFrame({"row": pl.int_range(count, eager=True)})
    frame = row.with_columns(
        utterance_id=pl.format("many/train/dia{}_utt{}", pl.col("row") // _TURNS, pl.col("row") % _TURNS),
        dataset=pl.lit("many"),
        split=pl.lit("train"),
        dialogue_id=pl.format("many/train/dia{}", pl.col("row") // _TURNS),
        turn=pl.col("row") % _TURNS,
        speaker=pl.lit("A"),
        text=pl.lit("Hello."),
        media=pl.format("{}.mp4", pl.col("row") % _CLIPS),
    )
    manifest = build_manifest(frame.drop("row"), DatasetCard("many"), clips)
    with tempfile.TemporaryDirectory() as store:
        requests = [EncoderRequest(encoder=name) for name in ("logmel", "hog-colour")]
        encoders, implied = build_encoders(requests, Path(store), "auto")
        extract_features(manifest, Path(store), encoders, implied=implied, decoding=DecodeOptions(workers=2))


if __name__ == "__main__":
    _extract(Path(sys.argv[1]), int(sys.argv[2]))
    print(json.dumps([peak_mib(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024]))
