"""Peak memory of extracting many short clips against that of few: it must not grow with the corpus.

    python benchmarks/memory.py [--few 2000] [--many 20000]

A handful of generated clips (0.4 s of sound and picture) stand under many utterance ids. Each size runs in a process of
its own, `logmel` and `hog-colour` with two decoding processes; what is compared is the peak of the process that encodes
and writes, plus that of the largest decoding process.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import polars as pl

from features.cards import DatasetCard
from features.encoders.for_store import build_encoders
from features.encoders.protocol import EncoderRequest
from features.engines.decode_pool import DecodeOptions
from features.extract import extract_features
from features.manifest import Manifest, build_manifest

_CLIPS = 20
_TURNS = 10


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


def make_table(folder: Path, count: int) -> Manifest:
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
    return build_manifest(frame.drop("row"), DatasetCard("many"), folder)


def measure(clips: Path, count: int) -> None:
    """Extract, and print the peak of this process and of its largest child, in MiB."""
    manifest = make_table(clips, count)
    with tempfile.TemporaryDirectory() as store:
        requests = [EncoderRequest(encoder=name) for name in ("logmel", "hog-colour")]
        encoders, implied = build_encoders(requests, Path(store), "auto")
        extract_features(manifest, Path(store), encoders, implied=implied, decoding=DecodeOptions(workers=2))
    status = Path("/proc/self/status").read_text(encoding="ascii")
    own = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    click.echo(f"{own / 1024:.1f} {child / 1024:.1f}")


@click.command()
@click.option("--few", default=2_000, show_default=True)
@click.option("--many", default=20_000, show_default=True)
def main(few: int, many: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        make_clips(Path(folder))
        totals = []
        for count in (few, many):
            started = time.perf_counter()
            command = [sys.executable, __file__, "--measure", folder, str(count)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            own, child = map(float, done.stdout.split())
            totals.append(own + child)
            seconds = time.perf_counter() - started
            click.echo(f"{count} clips: {own:.0f} MiB, a decoding process {child:.0f} MiB, in {seconds:.0f} s")
    click.echo(f"ratio {totals[1] / totals[0]:.3f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
