"""Small files that ask for much: pictures of any size, tables of any length, sound of any form."""

from __future__ import annotations

import io
import struct
import wave
import zlib
from pathlib import Path

import av
from clip_factory import every, numbered_picture, sine, write_clip


def png(path: Path, width: int, height: int) -> Path:
    """A black picture: a thousandth of its size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(1)
    row = bytes(1 + 3 * width)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def growing_pictures(path: Path, count: int, width: int, height: int) -> Path:
    """A stream of `count` numbered JPEG pictures, 160x48, and a grey one of another size."""
    from PIL import Image

    data = io.BytesIO()
    for number in range(count):
        Image.fromarray(numbered_picture(number)).save(data, "jpeg", quality=95)
    Image.new("L", (width, height)).save(data, "jpeg")
    path.write_bytes(data.getvalue())
    return path


def one_picture(path: Path, width: int, height: int) -> Path:
    """A QuickTime file with one grey picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "gray"
        container.mux(stream.encode(av.VideoFrame(width, height, "gray")))
        container.mux(stream.encode(None))
    return path


def long_index(path: Path, num_samples: int) -> Path:
    """2 KB of mp4 whose tables say that it has so many pictures of one byte."""
    source = write_clip(path.with_name("_source.mp4"), times_ms=every(40, 25), options={"bf": "0"})
    data = bytearray(source.read_bytes())
    source.unlink()
    count = num_samples.to_bytes(4, "big")

    def put(table: bytes, offset: int, value: bytes) -> None:
        at = data.index(table, data.index(b"moov")) + 4 + offset
        data[at : at + len(value)] = value

    put(b"stsz", 4, (1).to_bytes(4, "big") + count)  # each of one byte
    put(b"stts", 4, (1).to_bytes(4, "big") + count)  # all as long as the first
    put(b"stsc", 12, count)  # all in one piece
    path.write_bytes(data)
    return path


def endless_sound(path: Path, seconds: float, claimed_ticks: int) -> Path:
    """Sound in mp4 whose table says that each packet (1024 samples) lasts so many samples."""
    write_clip(path, samples=sine(seconds, 8000), rate_hz=8000, container_options={"use_editlist": "0"})
    data = bytearray(path.read_bytes())
    at = data.index(b"stts", data.index(b"moov")) + 4
    data[at + 12 : at + 16] = claimed_ticks.to_bytes(4, "big")
    path.write_bytes(data)
    return path


def wav(path: Path, rate_hz: int, num_channels: int, num_samples: int = 20_000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(num_channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(bytes(2 * num_channels * num_samples))
    return path
