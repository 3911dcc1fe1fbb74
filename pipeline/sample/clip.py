"""An mp4 clip in memory: H.264 pictures and AAC sound, or one of the two. Equal input gives equal bytes."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np

from pipeline.sample.voice import SAMPLE_RATE_HZ

_SOUND_BITS_PER_SECOND = 48_000
_X264 = {"preset": "superfast", "crf": "24", "x264-params": "threads=1:lookahead-threads=1:sliced-threads=0"}


def encode_clip(frames: np.ndarray | None, samples: np.ndarray | None, frames_per_second: int) -> bytes:
    """The bytes of an mp4 file.

    frames:  uint8 RGB [n, h, w, 3], or None for a clip without a video stream
    samples: float32 [m], mono at SAMPLE_RATE_HZ, in [-1, 1], or None for a clip without an audio stream

    One encoder thread and the bit-exact flags: the bytes depend on the input and on the version of the codecs alone.
    """
    file = io.BytesIO()
    options = {"fflags": "+bitexact"}
    with av.open(file, "w", format="mp4", container_options=options) as container:
        video = _video_stream(container, frames, frames_per_second) if frames is not None else None
        sound = _sound_stream(container) if samples is not None else None
        if video is not None and frames is not None:
            for pixels in frames:
                container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(video.encode(None))
        if sound is not None and samples is not None:
            block = sound.codec_context.frame_size or 1024
            for start in range(0, len(samples), block):
                frame = av.AudioFrame.from_ndarray(samples[None, start : start + block], format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE_HZ, start, Fraction(1, SAMPLE_RATE_HZ)
                container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
    return file.getvalue()


def _video_stream(
    container: av.container.OutputContainer, frames: np.ndarray, frames_per_second: int
) -> av.video.stream.VideoStream:
    stream = container.add_stream("libx264", rate=frames_per_second, options=_X264)
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_count = 1
    stream.codec_context.flags |= av.codec.context.Flags.bitexact
    return stream


def _sound_stream(container: av.container.OutputContainer) -> av.audio.stream.AudioStream:
    stream = container.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono", options={"aac_coder": "fast"})
    stream.bit_rate = _SOUND_BITS_PER_SECOND
    stream.codec_context.thread_count = 1
    stream.codec_context.flags |= av.codec.context.Flags.bitexact
    return stream
