"""Cuts of one long recording: a proven seek for each, against decoding the recording once from beginning to end.

    python benchmarks/cuts.py [--seconds 1800] [--cuts 100] [--length 3.5] [--format wav --format mp3 ...]

The recordings are made first: a tone that glides, under noise. The cuts lie evenly in it; their file's digest is
remembered. The pass from beginning to end keeps nothing but the samples at 16 kHz: cutting them would come on top.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import av
import click
import numpy as np
from timing import compare, machine

from features.manifest import Utterance
from features.media.clip import decode_clip
from features.media.needs import AudioNeed, ClipNeeds

RATE_HZ = 16000
# ending -> codec, sample format, sampling rate
FORMATS = {
    "wav": ("pcm_s16le", "s16", RATE_HZ),
    "flac": ("flac", "s16", RATE_HZ),
    "m4a": ("aac", "fltp", RATE_HZ),
    "ogg": ("libopus", "s16", 48000),
    "mp3": ("libmp3lame", "s16p", RATE_HZ),
}


def write_recording(path: Path, seconds: int) -> None:
    codec, form, rate_hz = FORMATS[path.suffix.removeprefix(".")]
    noise = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz, layout="mono")
        resampler = av.AudioResampler(form, "mono", rate_hz)
        for second in range(seconds):
            times = second + np.arange(RATE_HZ) / RATE_HZ
            sound = 0.3 * np.sin(1300 * times + 2000 * np.sin(times / 7)) + 0.05 * noise.standard_normal(RATE_HZ)
            frame = av.AudioFrame.from_ndarray((32767 * sound).astype(np.int16)[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE_HZ, second * RATE_HZ
            for resampled in resampler.resample(frame):
                container.mux(stream.encode(resampled))
        for resampled in [*resampler.resample(None), None]:
            container.mux(stream.encode(resampled))


@click.command()
@click.option("--seconds", default=1800, show_default=True, help="Length of the recording.")
@click.option("--cuts", default=100, show_default=True)
@click.option("--length", default=3.5, show_default=True, help="Of a cut, in seconds.")
@click.option("--format", "formats", multiple=True, type=click.Choice(list(FORMATS)), default=list(FORMATS))
@click.option("--rounds", default=3, show_default=True)
def main(seconds: int, cuts: int, length: float, formats: tuple[str, ...], rounds: int) -> None:
    click.echo(f"{machine()}\n{cuts} cuts of {length} s, in {seconds} s of sound")
    step = (seconds - length) / cuts
    starts = [step * number for number in range(cuts)]
    with tempfile.TemporaryDirectory() as folder:
        for ending in formats:
            path = Path(folder) / f"recording.{ending}"
            write_recording(path, seconds)

            def decode(start: float | None, end: float | None, path: Path = path) -> None:
                utterance = Utterance("u", "x", "train", "d", 0, "Ann", "Hello.", media="r", start=start, end=end)
                need = AudioNeed(RATE_HZ, float(seconds))
                decode_clip(path, utterance, [ClipNeeds(audio=need)]).sound(need)

            def all_cuts() -> None:
                for start in starts:
                    decode(start, start + length)

            click.echo(f"{ending}: against one pass: {compare(lambda: decode(None, None), all_cuts, rounds)}")


if __name__ == "__main__":
    main()
