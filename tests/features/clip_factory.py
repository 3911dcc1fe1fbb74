"""Makes small clips whose every frame says its own number, and odd ones out of them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from features.utterances import Utterance

BITS = 10
_TICKS = 1000  # video time base: milliseconds


def numbered_picture(number: int, width: int = 160, height: int = 48) -> np.ndarray:
    """uint8 RGB [h, w, 3]: BITS vertical bars, white for the one bits of `number`, lowest on the left."""
    bars = [255 * (number >> bit & 1) for bit in range(BITS)]
    row = np.repeat(np.array(bars, np.uint8), width // BITS)
    return np.broadcast_to(row[None, :, None], (height, row.size, 3)).copy()


def number_of(picture: np.ndarray) -> int:
    """The number that a picture of `numbered_picture` shows."""
    bars = np.array_split(picture.mean(axis=(0, 2)), BITS)
    return sum((float(np.median(bar)) > 127) << bit for bit, bar in enumerate(bars))


def sine(seconds: float, rate_hz: int, frequency_hz: float = 440.0, amplitude: float = 0.5) -> np.ndarray:
    """float32 [1, n]."""
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    return (amplitude * np.sin(2 * np.pi * frequency_hz * times)).astype(np.float32)[None]


def write_clip(
    path: Path,
    *,
    times_ms: Sequence[int] | None = None,
    samples: np.ndarray | None = None,
    rate_hz: int = 48000,
    layout: str = "mono",
    video_codec: str = "libx264",
    audio_codec: str = "aac",
    size: tuple[int, int] = (160, 48),
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    video_time_base: Fraction = Fraction(1, _TICKS),
    rate: int | None = None,
    sound_start_ms: int = 0,
    sample_aspect: Fraction | None = None,
    pixel_format: str = "yuv420p",
    draw: Callable[[int, int, int], np.ndarray] = numbered_picture,
) -> Path:
    """Write a clip.

    times_ms: when each numbered frame is shown, in milliseconds, or None for no video
    samples:  float32 [channels, n], or None for no audio
    rate:     nominal frames per second, for codecs and containers that know no other times
    """
    with av.open(str(path), "w", options=container_options or {}) as container:
        video = audio = None
        if times_ms is not None:
            video = container.add_stream(video_codec, rate=rate or 25, options=options or {})
            video.width, video.height = size
            video.pix_fmt = pixel_format
            if sample_aspect is not None:
                video.codec_context.sample_aspect_ratio = sample_aspect
            video.codec_context.time_base = Fraction(1, rate) if rate else video_time_base
        if samples is not None:
            audio = container.add_stream(audio_codec, rate=rate_hz, layout=layout)
        waiting = []  # (seconds, stream, frame): muxed in the order of time, so that the file is interleaved
        for number, time_ms in enumerate(times_ms or []):
            frame = av.VideoFrame.from_ndarray(draw(number, *size), format="rgb24")
            frame.time_base = Fraction(1, rate) if rate else video_time_base
            frame.pts = number if rate else time_ms
            waiting.append((frame.pts * frame.time_base, video, frame))
        for start in range(0, 0 if samples is None else samples.shape[1], 1024):
            chunk = np.ascontiguousarray(samples[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(chunk, format="fltp", layout=layout)
            frame.sample_rate, frame.time_base = rate_hz, Fraction(1, rate_hz)
            frame.pts = start + sound_start_ms * rate_hz // 1000
            waiting.append((frame.pts * frame.time_base, audio, frame))
        for _, stream, frame in sorted(waiting, key=lambda item: item[0]):
            container.mux(stream.encode(frame))
        for stream in (video, audio):
            if stream is not None:
                container.mux(stream.encode(None))
    return path


def every(step_ms: int, count: int, start_ms: int = 0) -> list[int]:
    """Times of `count` frames, `step_ms` apart."""
    return [start_ms + step_ms * number for number in range(count)]


def without_codec(source: Path, target: Path, code: bytes) -> Path:
    """A copy of an mp4 file whose stream with sample entry `code` (avc1, mp4a) names a codec that does not exist."""
    data = source.read_bytes()
    at = data.index(b"stsd", data.index(b"moov"))
    entry = data.index(code, at)
    target.write_bytes(data[:entry] + b"zzzz" + data[entry + 4 :])
    return target


def with_matrix(source: Path, target: Path, a: int, b: int, c: int, d: int) -> Path:
    """A copy of an mp4 file whose video track says: show me with x' = a x + c y, y' = b x + d y."""
    data = bytearray(source.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 4 * 5 + 8 + 8  # version, times and ids, reserved, layer to volume
    one = 1 << 16
    matrix = [a * one, b * one, 0, c * one, d * one, 0, 160 << 16, 0, 1 << 30]
    data[at : at + 36] = b"".join((value & 0xFFFFFFFF).to_bytes(4, "big") for value in matrix)
    target.write_bytes(bytes(data))
    return target


def turned(source: Path, target: Path) -> Path:
    """A copy of an mp4 file whose video track says: show me turned clockwise by a quarter (as telephones write it)."""
    return with_matrix(source, target, 0, 1, -1, 0)


def write_wav(
    path: Path, samples: np.ndarray, rate_hz: int = 16000, *, mask: int = 0, length: int | None = None
) -> Path:
    """Write a WAV of int16 or float32 samples [channels, n], byte for byte.

    mask:   which loudspeakers the channels are for, 0 where that is not known
    length: what the header says of the sound's bytes; None: the truth. 0xFFFFFFFF is what a pipe gets
    """
    size = samples.dtype.itemsize
    block = size * len(samples)
    kind = 3 if samples.dtype.kind == "f" else 1
    form = struct.pack(
        "<HHIIHHHHI", 0xFFFE, len(samples), rate_hz, rate_hz * block, block, 8 * size, 22, 8 * size, mask
    )
    form += struct.pack("<H", kind) + bytes.fromhex("000000001000800000aa00389b71")
    data = np.ascontiguousarray(samples.T).tobytes()
    head = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data"
    whole = len(head) + 4 + len(data) if length is None else length
    path.write_bytes(b"RIFF" + struct.pack("<I", whole) + head + struct.pack("<I", length or len(data)) + data)
    return path


def utterance(start: float | None = None, end: float | None = None, media: str = "clip.mp4") -> Utterance:
    return Utterance("x/dev/d0_u0", "x", "dev", "x/dev/d0", 0, "Ann", "Hello.", media=media, start=start, end=end)


def damaged(source: Path, target: Path, kind: str, first: int = 0) -> Path:
    """A copy whose audio or video packets, from the `first` on (in the file's order), are overwritten with 0xFF."""
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        spans = [(packet.pos, packet.size) for packet in container.demux(stream) if packet.size]
    for position, length in spans[first:]:
        data[position : position + length] = b"\xff" * length
    target.write_bytes(bytes(data))
    return target
