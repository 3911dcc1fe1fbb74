"""JSON files of dialogues, and transcripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from features.errors import UsageError
from pipeline.predict.transcript import read_transcript, split_speaker
from pipeline.predict.turns import Talk, Turn, read_talks

TURNS = (Turn("Ross", "Hi."), Turn("Rachel", "Go!"))
AS_TURNS = [{"speaker": "Ross", "text": "Hi."}, {"speaker": "Rachel", "text": "Go!"}]
AS_COLUMNS = {"speakers": ["Ross", "Rachel"], "texts": ["Hi.", "Go!"]}


def written(folder: Path, content: object) -> Path:
    path = folder / "talk.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (AS_TURNS, ["0"]),
        (AS_COLUMNS, ["0"]),
        ({"turns": AS_TURNS}, ["0"]),
        ({"dialogue_id": "d", "turns": AS_TURNS}, ["d"]),
        ([AS_TURNS, AS_COLUMNS], ["0", "1"]),
        ({"dialogues": [{"dialogue_id": 7, **AS_COLUMNS}, AS_TURNS]}, ["7", "1"]),
    ],
)
def test_all_forms_of_a_file(tmp_path: Path, content: object, names: list[str]) -> None:
    assert read_talks(written(tmp_path, content)) == [Talk(name, TURNS) for name in names]


def test_clips_are_relative_to_the_file_and_may_be_cut(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    (talk,) = read_talks(written(tmp_path, [{"clip": "a.mp4", "start": 1, "end": 2.5}]))
    assert talk.turns == (Turn("", "", tmp_path / "a.mp4", 1.0, 2.5),)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "holds no turn"),
        ("3", "must be a list of turns"),
        ([{"speeker": "A", "text": "Hi."}], "unknown key 'speeker'"),
        ([{"text": "Hi."}, {"speaker": "A"}], "turn 1: has neither text nor clip"),
        ([{"text": 3}], "text must be text, not 3"),
        ([{"clip": "none.mp4"}], "no clip at"),
        ([{"text": "Hi.", "start": 1}], "there is none"),
        ([{"text": "Hi.", "start": "1"}], "start must be seconds"),
        ([{"text": "Hi.", "end": -1}], "end must be seconds"),
        ({"texts": ["a"], "speakers": ["A", "B"]}, "lists of one length"),
        ({"dialogue_id": "x", "turns": [], "clips": []}, "unknown key 'clips'"),
        ({"dialogues": [{"dialogue_id": "x", "turns": AS_TURNS}] * 2}, "'x' is given twice"),
        ([AS_TURNS, [3]], "dialogue 1, turn 0: must be a mapping"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, content: object, said: str) -> None:
    with pytest.raises(UsageError, match="talk") as raised:
        read_talks(written(tmp_path, content))
    assert said in str(raised.value)


SRT = (
    "1\n00:00:01,000 --> 00:00:02,500\nROSS: Hi there.\n\n2\n00:00:03,000 --> 00:00:04,000\n<i>And</i> you?\nWell?\n\n"
)
VTT = "WEBVTT\n\n00:01.000 --> 00:02.500\n<v Ross>Hi there.\n\n00:03.000 --> 00:04.000\n<i>And</i> you?\nWell?\n"
SEGMENTS = [
    {"start": 3, "end": 4, "text": " And you? Well? "},
    {"start": 1.0, "end": 2.5, "text": "Hi there.", "speaker": "ROSS"},
    {"start": 5.0, "end": 5.0, "text": "no time"},
    {"start": 6.0, "end": 7.0, "text": "  "},
]


@pytest.mark.parametrize(
    ("name", "content"),
    [("t.srt", SRT), ("t.vtt", VTT), ("t.json", json.dumps(SEGMENTS)), ("t.json", json.dumps({"segments": SEGMENTS}))],
)
def test_a_transcript_says_when_who_says_what(tmp_path: Path, name: str, content: str) -> None:
    video = tmp_path / "v.mp4"
    video.touch()
    (tmp_path / name).write_text(content)
    talk = read_transcript(tmp_path / name, video)
    first, second = talk.turns
    assert (first.speaker.upper(), first.text, first.start, first.end) == ("ROSS", "Hi there.", 1.0, 2.5)
    assert (second.speaker, second.text, second.start, second.end) == ("", "And you? Well?", 3.0, 4.0)
    assert first.clip == video


@pytest.mark.parametrize(
    ("line", "speaker", "text"),
    [
        ("ROSS: Hi.", "ROSS", "Hi."),
        ("- Dr. Green: Hi.", "Dr. Green", "Hi."),
        ("[Narrator]: Once", "Narrator", "Once"),
        ("At 10:30 we go.", "", "At 10:30 we go."),
        ("No name here", "", "No name here"),
        ("乔伊: 你好", "乔伊", "你好"),
    ],
)
def test_names_before_a_colon(line: str, speaker: str, text: str) -> None:
    assert split_speaker(line) == (speaker, text)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.txt", "x", "a transcript is one of"),
        ("t.srt", None, "no transcript at"),
        ("t.vtt", "nothing", "cannot be read as .vtt"),
        ("t.json", "[]", "has no segment"),
        ("t.json", '[{"start": 1}]', "is no transcript"),
        ("t.json", "{}", "is no transcript"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, content: str | None, said: str) -> None:
    video = tmp_path / "v.mp4"
    video.touch()
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UsageError) as raised:
        read_transcript(tmp_path / name, video)
    assert said in str(raised.value)
