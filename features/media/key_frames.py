"""Key frames that decoding may start at: whatever is decoded after one refers to nothing before it."""

from __future__ import annotations

from collections.abc import Iterator

from av.packet import Packet
from av.stream import Stream

# Of these codecs a frame that is marked as a key is enough. For pictures that follow it and are shown before it, which
# may refer further back, see `StreamPackets.ranges`.
_BY_MARK = frozenset(("mjpeg", "mpeg1video", "mpeg2video", "mpeg4", "png", "vp8", "vp9"))
# Of these also frames are marked where a picture is only whole some time later: the first slice must say that it is a
# real one (IDR). codec -> (bits to shift the first byte of a unit by, mask, types of slices, those of real key frames)
_BY_UNIT = {
    "h264": (0, 0x1F, range(1, 6), range(5, 6)),
    "hevc": (1, 0x3F, range(32), range(19, 21)),
}
_LENGTH_BYTE = {"h264": 4, "hevc": 21}  # of the extradata: its last two bits + 1 are the size of a unit's length


class KeyFrames:
    """Tells which packets of one video stream decoding may start at."""

    def __init__(self, stream: Stream) -> None:
        context = stream.codec_context
        self._codec = context.name if context is not None else ""
        extradata = (context.extradata if context is not None else None) or b""
        at = _LENGTH_BYTE.get(self._codec, 0)
        has_lengths = extradata[:1] == b"\x01" and len(extradata) > at  # else units begin with 00 00 01
        self._length_size = (extradata[at] & 3) + 1 if has_lengths else 0

    def may_start(self, packet: Packet) -> bool:
        """Whether all that is decoded from this packet on is right, but for pictures that are shown before it."""
        if not packet.is_keyframe or self._codec not in (_BY_MARK | _BY_UNIT.keys()):
            return False
        if self._codec in _BY_MARK:
            return True
        shift, mask, slices, real = _BY_UNIT[self._codec]
        data = bytes(packet)
        units = _by_length(data, self._length_size) if self._length_size else _by_start_code(data)
        kinds = (data[at] >> shift & mask for at in units)
        return next((kind in real for kind in kinds if kind in slices), False)


def _by_length(data: bytes, size: int) -> Iterator[int]:
    """Where units begin that are each preceded by their length in `size` bytes."""
    at = 0
    while at + size < len(data):
        yield at + size
        at += size + int.from_bytes(data[at : at + size], "big")


def _by_start_code(data: bytes) -> Iterator[int]:
    """Where units begin that are each preceded by 00 00 01."""
    at = data.find(b"\0\0\1")
    while at >= 0 and at + 3 < len(data):
        yield at + 3
        at = data.find(b"\0\0\1", at + 3)
