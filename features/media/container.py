"""A media file opened safely, its streams chosen, and their packets read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition, Stream

from features.errors import Reason, UnavailableError
from features.media import limits
from features.media.limits import check_count, check_picture_size, check_sound_form

# Demuxers that open other files than the one they are given: what they give is not what was hashed.
_PLAYLISTS = frozenset(
    ("concat", "dash", "hls", "image2", "imf", "lavfi", "mlv", "rtsp", "sap", "sdp", "vobsub", "webm_dash_manifest")
)
# A still picture may be taken for one of a series by its name (image2). By its first bytes it is one file.
_STILLS = {
    b"\xff\xd8\xff": "jpeg_pipe",
    b"\x89PNG\r\n": "png_pipe",
    b"BM": "bmp_pipe",
    b"GIF8": "gif",
    b"RIFF": "webp_pipe",
    b"II*\0": "tiff_pipe",
    b"MM\0*": "tiff_pipe",
}
_STILL_CODECS = frozenset(("bmp", "gif", "jpegxl", "mjpeg", "png", "tiff", "webp"))
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


@contextmanager
def open_container(path: Path) -> Iterator[InputContainer]:
    """Open a media file and nothing else: no protocol but files, and no playlist that names other files.

    Raises UnavailableError: undecodable for what FFmpeg does not recognise as media, too-large for too many streams,
    out-of-memory where its index alone takes more than there is.
    """
    first = _first_bytes(path)
    if first.startswith(_LFS_POINTER):
        raise UnavailableError(Reason.UNDECODABLE, f"{path} is a git-lfs pointer, not the clip: run `git lfs pull`")
    container = _open(path)
    if container.format.name == "image2" and "%" not in path.name:  # with one it is a pattern of other files' names
        still = next((name for magic, name in _STILLS.items() if first.startswith(magic)), None)
        if still is not None:
            container.close()
            container = _open(path, still)
    with container:
        if _PLAYLISTS & set(container.format.name.split(",")):
            raise UnavailableError(Reason.UNDECODABLE, f"{path} is a playlist ({container.format.name}), not a clip")
        check_count(len(container.streams), limits.MAX_STREAMS, "streams")
        yield container


def _first_bytes(path: Path) -> bytes:
    """Of the file; nothing where it cannot be read, which FFmpeg then says."""
    try:
        with path.open("rb") as file:
            return file.read(len(_LFS_POINTER))
    except OSError:
        return b""


def _open(path: Path, form: str | None = None) -> InputContainer:
    """Raises UnavailableError (undecodable, out-of-memory). form: the demuxer to use, None: as FFmpeg finds"""
    av.logging.set_libav_level(av.logging.PANIC)  # damaged clips are reported by reason, not on stderr
    # FFmpeg decodes a few frames to see what they are: with the same limit on their size.
    options = {"protocol_whitelist": "file", "max_pixels": str(limits.MAX_PIXELS)}
    try:
        return av.open(f"file:{path}", format=form, options=options, metadata_errors="replace")
    except MemoryError:
        raise UnavailableError(Reason.OUT_OF_MEMORY, f"{path}: no memory for what it asks for") from None
    except (FFmpegError, ValueError) as error:
        raise UnavailableError(Reason.UNDECODABLE, f"{path}: {describe(error)}") from None


def describe(error: Exception) -> str:
    """One line on what FFmpeg found wrong."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())


def choose_stream(container: InputContainer, kind: str, passed_over: Collection[int] = ()) -> Stream:
    """The audio or video stream that a player would take: the default one, else the first; cover pictures do not count.

    passed_over: indices of streams that turned out to be cover pictures, though they are not marked as such

    Raises UnavailableError: no-audio or no-video without such a stream; undecodable where it has no decoder.
    """
    streams = [
        stream
        for stream in container.streams
        if stream.type == kind and not stream.disposition & Disposition.attached_pic
    ]
    covers = [stream for stream in streams if stream.index in passed_over]
    streams = [stream for stream in streams if stream.index not in passed_over]
    decodable = [stream for stream in streams if stream.codec_context is not None]
    if decodable:
        return min(decodable, key=lambda stream: (not stream.disposition & Disposition.default, stream.index))
    if streams:
        raise UnavailableError(Reason.UNDECODABLE, f"no decoder for its {kind} stream ({streams[0].index})")
    if covers:
        detail = f"its only picture is a cover: one {covers[0].codec_context.name} in a track beside its sound"
        raise UnavailableError(Reason.NO_VIDEO, detail)
    others = ", ".join(stream.type for stream in container.streams) or "none"
    raise UnavailableError(Reason.NO_AUDIO if kind == "audio" else Reason.NO_VIDEO, f"its streams: {others}")


def may_be_cover(container: InputContainer, stream: Stream) -> bool:
    """Whether a video stream would be a cover picture if it held one frame: a still picture's codec beside sound."""
    return stream.codec_context.name in _STILL_CODECS and bool(container.streams.audio)


def prepare_decoder(stream: Stream) -> None:
    """One thread (worker processes are the parallelism), and nothing above the limits is ever allocated.

    Raises UnavailableError (too-large).
    """
    context = stream.codec_context
    context.thread_count = 1
    if stream.type == "video":
        context.options = {"max_pixels": str(limits.MAX_PIXELS)}
        check_picture_size(context.width, context.height)
    elif context.sample_rate:
        check_sound_form(context.sample_rate, context.channels)


def read_packets(container: InputContainer, streams: Sequence[Stream], seek_to: int | None) -> Iterator[Packet]:
    """The whole packets of these streams, from the key frame at or before `seek_to` microseconds (None: all of them).

    Of PCM also a last one that is shorter than announced: its samples are whole. A file that breaks off ends there,
    without an error. Expects a fresh container. Raises FFmpegError where the file
    has no way to seek.
    """
    waiting: set[int] = set()  # video streams whose first key frame is still to come: what is before it does not decode
    pcm = {stream.index for stream in streams if stream.codec_context.name.startswith("pcm_")}
    if seek_to is not None:
        container.seek(seek_to)
        waiting = {stream.index for stream in streams if stream.type == "video"}
    with suppress(FFmpegError):
        for packet in container.demux(*streams):
            if packet.is_keyframe:
                waiting.discard(packet.stream_index)
            whole = packet.size and (not packet.is_corrupt or packet.stream_index in pcm)
            if whole and packet.stream_index not in waiting:
                yield packet
