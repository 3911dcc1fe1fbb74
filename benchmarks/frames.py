"""Five pictures out of a film: groups of pictures passed over against decoding all frames up to the last one wanted.

    python benchmarks/frames.py [--seconds 20] [--height 1080] [--rate 60] [--group 60] [--b-frames 0]

The film is made first: H.264 with a key frame each `--group` frames. Both are the whole of `decode_clip`, the survey of
the packets included; the file's digest is remembered. The pictures must be the same, bit for bit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import click
import numpy as np
from PIL import Image
from timing import compare, machine

from features.manifest import Utterance
from features.media.clip import decode_clip
from features.media.frame_reader import FrameReader
from features.media.needs import ClipNeeds, FramesNeed

NEED = FramesNeed(5, 600.0)


def write_film(path: Path, seconds: int, height: int, rate: int, group: int, b_frames: int) -> None:
    """A scene that moves sideways, under the grain of a camera."""
    width = height * 16 // 9
    noise = np.random.default_rng(0)
    coarse = noise.integers(0, 220, (height // 24 + 1, width // 12 + 1, 3), dtype=np.uint8)
    scene = np.array(Image.fromarray(coarse).resize((2 * width, height), Image.Resampling.BICUBIC))
    grain = noise.integers(0, 8, (height, 2 * width, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        options = {"preset": "veryfast", "g": str(group), "bf": str(b_frames), "sc_threshold": "0"}
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(seconds * rate):
            first, grained = 2 * number % width, 997 * number % width
            picture = scene[:, first : first + width] // 2 + 64 + grain[:, grained : grained + width]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


@contextmanager
def all_groups() -> Iterator[None]:
    """Decode as if no group might be passed over."""
    jumps_to = FrameReader.jumps_to
    FrameReader.jumps_to = frozenset()  # type: ignore[assignment]
    try:
        yield
    finally:
        FrameReader.jumps_to = jumps_to  # type: ignore[method-assign]


@click.command()
@click.option("--seconds", default=20, show_default=True)
@click.option("--height", default=1080, show_default=True)
@click.option("--rate", default=60, show_default=True)
@click.option("--group", default=60, show_default=True)
@click.option("--b-frames", default=0, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(seconds: int, height: int, rate: int, group: int, b_frames: int, rounds: int) -> None:
    utterance = Utterance("u", "x", "train", "d", 0, "Ann", "Hello.", media="film.mp4")
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.mp4"
        write_film(film, seconds, height, rate, group, b_frames)

        def pictures() -> np.ndarray:
            return np.stack(decode_clip(film, utterance, [ClipNeeds(frames=NEED)]).frames(NEED).pixels)

        def all_pictures() -> np.ndarray:
            with all_groups():
                return pictures()

        np.testing.assert_array_equal(pictures(), all_pictures())
        click.echo(f"{machine()}\n{seconds} s of {height}p{rate}, groups of {group}, {b_frames} B-frames")
        click.echo(f"against decoding all groups: {compare(all_pictures, pictures, rounds)}")


if __name__ == "__main__":
    main()
