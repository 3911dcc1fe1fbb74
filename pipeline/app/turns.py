"""What is typed, pasted and uploaded, as a talk. Files are those that were uploaded: a name in the table never reaches
another file of the server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from features.errors import UsageError, nearest
from pipeline.predict.transcript import read_transcript, split_speaker
from pipeline.predict.turns import Talk, Turn, turn_problems

COLUMNS = ("speaker", "text", "clip")
TALK = "talk"
MOST_TURNS = 500
_SHOWN_PROBLEMS = 5


def pasted_rows(lines: str) -> list[list[str]]:
    """Rows of COLUMNS, one a line that says something: `Ross: Hi.`, or a text without a speaker."""
    rows = []
    for line in lines.splitlines():
        speaker, text = split_speaker(line)
        if text.strip():
            rows.append([speaker, text.strip(), ""])
    return rows


def typed_talk(rows: Sequence[Sequence[Any]], uploads: Sequence[str | Path] = ()) -> Talk:
    """A turn for each row that is not blank.

    rows:    of COLUMNS; a clip is the name of an uploaded file. Where no row names one, and there are as many as turns
             with neither, they are those turns' in the order of uploading; a single row may leave its only one unnamed
    uploads: files on this machine, as they were uploaded
    Raises UsageError that lists what is wrong, without paths.
    """
    clips = _by_name(uploads)
    cells = [[_text(cell) for cell in (*row, "", "", "")[:3]] for row in rows]
    cells = [row for row in cells if any(row)] or ([["", "", ""]] if len(clips) == 1 else [])
    if not any(name for _, _, name in cells) and len(cells) == len(clips):
        cells = [[speaker, text, name] for (speaker, text, _), name in zip(cells, clips, strict=True)]
    if not cells:
        raise UsageError("there is no turn: write at least one text, or upload a clip")
    _check_number(len(cells))
    turns, problems = [], []
    for number, (speaker, text, name) in enumerate(cells, start=1):
        if name and name not in clips:
            hint = nearest(name, clips) if clips else "upload it first"
            problems.append(f"turn {number}: no uploaded clip is called {name!r}: {hint}")
            continue
        turn = Turn(speaker, text, clips.get(name))
        problems += [f"turn {number} {problem}" for problem in turn_problems(turn)]
        turns.append(turn)
    unused = [name for name in clips if name not in {name for _, _, name in cells}]
    if unused and not problems:
        problems.append(f"{', '.join(unused)}: uploaded, and no turn names it in the column clip")
    if problems:
        raise UsageError("; ".join(problems[:_SHOWN_PROBLEMS]) + ("; ..." if len(problems) > _SHOWN_PROBLEMS else ""))
    return Talk(TALK, tuple(turns))


def recorded_talk(recording: str | Path | None, transcript: str | Path | None) -> Talk:
    """The turns of one recording, by its transcript. Raises UsageError as `read_transcript`, without paths."""
    if recording is None or transcript is None:
        lacking = "a recording" if recording is None else "its transcript (.srt, .vtt or .json)"
        raise UsageError(f"upload {lacking}, too")
    video, subtitles = Path(recording), Path(transcript)
    try:
        talk = read_transcript(subtitles, video)
    except UsageError as error:
        raise UsageError(str(error).replace(str(subtitles), subtitles.name).replace(str(video), video.name)) from error
    _check_number(len(talk.turns))
    return Talk(TALK, talk.turns)


def _check_number(count: int) -> None:
    if count > MOST_TURNS:
        raise UsageError(f"{count} turns are more than {MOST_TURNS}, which the page takes: use `erc predict`")


def _by_name(uploads: Sequence[str | Path]) -> dict[str, Path]:
    names = [Path(item).name for item in uploads]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"{', '.join(twice)}: uploaded twice: give clips names of their own")
    return dict(zip(names, map(Path, uploads), strict=True))


def _text(cell: Any) -> str:
    """A cell of a table; empty ones come as None or NaN."""
    return "" if cell is None or cell != cell else str(cell).strip()
