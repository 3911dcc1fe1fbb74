"""A film, of which a few pictures are wanted."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_film(path: Path, seconds: int, height: int, rate: int, group: int, b_frames: int) -> None:
    """A scene that moves sideways, under the grain of a camera."""
    import av
    from PIL import Image

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
