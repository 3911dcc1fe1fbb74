"""The turns of one recording: subtitles (.srt, .vtt) or the JSON of a transcriber.

A speaker is what stands before a colon at the beginning of a subtitle ("ROSS: Hi."), the name of WebVTT's voice tag
(<v Ross>), or `speaker` in JSON. A JSON file is a list of segments, or a mapping with `segments` (Whisper, WhisperX):
each has `start` and `end` in seconds, `text`, and perhaps `speaker`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from features.errors import UsageError
from pipeline.predict.turns import Talk, Turn

_NAMED = re.compile(r"^\s*(?:-\s*)?\[?([^\W\d_][\w.'’ -]{0,39}?)\]?\s*:\s+(?=\S)")
_TAG = re.compile(r"<[^>]*>")
KINDS = (".srt", ".vtt", ".json")


def read_transcript(path: Path, video: Path) -> Talk:
    """One talk: a turn a segment that says something, cut from `video`.

    Raises UsageError for a file that is absent, of another kind, damaged, or without a segment.
    """
    if not video.is_file():
        raise UsageError(f"no recording at {video}: give --video FILE")
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise UsageError(f"{path}: a transcript is one of {', '.join(KINDS)}, not {kind or 'a file without ending'!r}")
    if not path.is_file():
        raise UsageError(f"no transcript at {path}: give --transcript FILE")
    segments = _of_json(path) if kind == ".json" else _of_subtitles(path, kind)
    turns = [
        Turn(speaker, text, video, start, end)
        for start, end, speaker, text in sorted(segments, key=lambda segment: segment[0])
        if text.strip() and end > start
    ]
    if not turns:
        raise UsageError(f"{path}: has no segment with text and a time above 0")
    return Talk(path.stem, tuple(turns))


Segment = tuple[float, float, str, str]  # start and end in seconds, speaker, text


def _of_subtitles(path: Path, kind: str) -> list[Segment]:
    import webvtt
    from webvtt.errors import MalformedFileError

    try:
        captions = list(webvtt.from_srt(str(path)) if kind == ".srt" else webvtt.read(str(path)))
    except (MalformedFileError, UnicodeDecodeError, ValueError, OSError) as error:
        raise UsageError(f"{path}: cannot be read as {kind} ({error or type(error).__name__})") from error
    segments = []
    for caption in captions:
        speaker, text = split_speaker(" ".join(_TAG.sub("", caption.text).split()))
        start, end = (time.in_milliseconds() / 1000 for time in (caption.start_time, caption.end_time))
        segments.append((start, end, caption.voice or speaker, text))
    return segments


def split_speaker(line: str) -> tuple[str, str]:
    """`ROSS: Hi.` -> (`ROSS`, `Hi.`); a line without a name -> ("", line)."""
    match = _NAMED.match(line)
    return (match[1].strip(), line[match.end() :]) if match else ("", line)


def _of_json(path: Path) -> list[Segment]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        items = content["segments"] if isinstance(content, Mapping) else content
        return [_segment(item) for item in items]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"{path}: is no transcript ({type(error).__name__}: {error}): a list of segments with start, end, text"
            " and perhaps speaker, or a mapping with `segments`"
        ) from error


def _segment(item: Any) -> Segment:
    return float(item["start"]), float(item["end"]), str(item.get("speaker") or ""), str(item["text"]).strip()
