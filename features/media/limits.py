"""What one clip may cost: limits that hold before memory is allocated or time is spent. Above them it is `too-large`.

All are far above what a clip of a conversation needs; a small file can ask for any amount of memory. What FFmpeg
allocates while it reads a file's index is beyond them (2 KB of mp4 can ask for 4 GB): that is bounded in worker
processes alone, by `limit_memory`.
"""

from __future__ import annotations

import re
from pathlib import Path

from features.errors import Reason, UnavailableError

MAX_STREAMS = 256
MAX_PACKETS = 2_000_000  # of the streams that are read: ten hours of sound and pictures
MAX_LISTED_PACKETS = 5_000_000  # of a file that is cut: a day
MAX_PIXELS = 8192 * 4352  # of one picture: 8K. An H.264 decoder may hold 17 of them
MAX_KEPT_BYTES = 1 << 30  # of decoded sound, and of decoded pictures
MAX_CHANNELS = 64
MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 768_000  # of sound as it is stored: a low one makes many samples out of one
MAX_WORKER_BYTES = 4 << 30  # of memory in one worker process, beside what it has at its start


def limit_memory() -> None:
    """Let this process take no more than MAX_WORKER_BYTES of further memory; then allocating fails. Linux only."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return
    try:
        import resource
    except ImportError:
        return
    taken = re.search(r"^VmData:\s*(\d+) kB$", status.read_text(encoding="ascii", errors="replace"), re.MULTILINE)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = (int(taken[1]) << 10 if taken else 0) + MAX_WORKER_BYTES
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def check_picture_size(width: int, height: int) -> None:
    """Raises UnavailableError (too-large) above MAX_PIXELS."""
    if width * height > MAX_PIXELS:
        raise UnavailableError(Reason.TOO_LARGE, f"{width}x{height} pixels (at most {MAX_PIXELS:,})")


def check_sound_form(rate_hz: int, num_channels: int) -> None:
    """Raises UnavailableError (too-large) for a sample rate or a number of channels that no clip has."""
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise UnavailableError(
            Reason.TOO_LARGE, f"sound at {rate_hz:,} Hz ({MIN_RATE_HZ:,} to {MAX_RATE_HZ:,} are read)"
        )
    if num_channels > MAX_CHANNELS:
        raise UnavailableError(Reason.TOO_LARGE, f"sound of {num_channels} channels (at most {MAX_CHANNELS})")


def check_kept(num_bytes: int, what: str, mend: str) -> None:
    """Raises UnavailableError (too-large) where what is kept of a clip is above MAX_KEPT_BYTES."""
    if num_bytes > MAX_KEPT_BYTES:
        raise UnavailableError(Reason.TOO_LARGE, f"{what} of {num_bytes:,} bytes (at most {MAX_KEPT_BYTES:,}): {mend}")


def check_count(count: int, limit: int, what: str, mend: str = "") -> None:
    """Raises UnavailableError (too-large) above `limit`."""
    if count > limit:
        raise UnavailableError(Reason.TOO_LARGE, f"{count:,} {what} (at most {limit:,}){mend}")
