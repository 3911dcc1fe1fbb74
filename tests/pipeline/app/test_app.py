"""`erc app` without Gradio: what is typed and uploaded becomes the talk that is meant, and answers are told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.errors import UsageError
from features.extras import install_extra
from pipeline.app.answers import answer
from pipeline.app.turns import MOST_TURNS, pasted_rows, recorded_talk, typed_talk
from pipeline.cli import erc, run
from pipeline.predict import Predicted
from pipeline.predict.temperature import Temperature
from pipeline.predict.turns import Turn

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def clips(tmp_path: Path) -> list[str]:
    paths = [tmp_path / name for name in ("b.mp4", "a.wav")]
    for path in paths:
        path.write_bytes(b"x")
    return list(map(str, paths))


def test_rows_are_turns(clips: list[str]) -> None:
    rows = [["Ross", " Hi. ", "a.wav"], [None, None, None], ["", float("nan"), "b.mp4"], ["Rachel", "Go away!"]]
    assert typed_talk(rows, clips).turns == (
        Turn("Ross", "Hi.", Path(clips[1])),
        Turn("", "", Path(clips[0])),
        Turn("Rachel", "Go away!"),
    )


def test_clips_that_no_row_names_go_to_the_turns_in_their_order(clips: list[str]) -> None:
    found = typed_talk([["Ross", "Hi.", ""], ["Rachel", "", ""]], clips)
    assert [turn.clip for turn in found.turns] == [Path(clip) for clip in clips]
    assert typed_talk([], clips[:1]).turns == (Turn("", "", Path(clips[0])),)


def test_a_name_reaches_no_file_that_was_not_uploaded(clips: list[str], tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(b"x")
    for name in (str(secret), "secret.wav", "../secret.wav", "/etc/passwd"):
        with pytest.raises(UsageError, match="turn 1: no uploaded clip is called"):
            typed_talk([["", "Hi.", name], ["", "Ho.", "a.wav"]], clips)


@pytest.mark.parametrize(
    ("rows", "count", "words"),
    [
        ([], 0, "there is no turn"),
        ([["Ross", "", ""]], 0, "turn 1 has neither text nor clip"),
        ([["Ross", "Hi.", "c.mp4"]], 0, "turn 1: no uploaded clip is called 'c.mp4': upload it first"),
        ([["Ross", "Hi.", "a.wav"]], 2, "b.mp4: uploaded, and no turn names it"),
        ([["Ross", "Hi.", ""]] * (MOST_TURNS + 1), 0, "501 turns are more than 500"),
    ],
)
def test_what_is_wrong_is_told_without_paths(
    rows: list[list[str]], count: int, words: str, clips: list[str], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=words) as told:
        typed_talk(rows, clips[:count])
    assert str(tmp_path) not in str(told.value)


def test_pasted_lines_are_rows() -> None:
    assert pasted_rows("Ross: Hi.\n\n  Go away!\nDr. Green: What: this?\n") == [
        ["Ross", "Hi.", ""],
        ["", "Go away!", ""],
        ["Dr. Green", "What: this?", ""],
    ]


def test_a_recording_is_cut_by_its_transcript(clips: list[str], tmp_path: Path) -> None:
    subtitles = tmp_path / "talk.srt"
    subtitles.write_text("1\n00:00:01,000 --> 00:00:02,500\nROSS: Hi.\n")
    assert recorded_talk(clips[0], subtitles).turns == (Turn("ROSS", "Hi.", Path(clips[0]), 1.0, 2.5),)
    with pytest.raises(UsageError, match="upload its transcript"):
        recorded_talk(clips[0], None)
    subtitles.write_text("nothing")
    with pytest.raises(UsageError, match=r"talk\.srt") as told:
        recorded_talk(clips[0], subtitles)
    assert str(tmp_path) not in str(told.value)


def predicted() -> Predicted:
    names = ["joy", "anger", "sadness"]
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    frame = pl.DataFrame(
        {
            "utterance_id": ["predict/talk_utt0", "predict/talk_utt1"],
            "speaker": ["Ross", ""],
            "text": ["Hi.", "Go | away"],
            "missing": [[], ["audio", "visual"]],
            **{f"p_{name}": [0.0, 0.0] for name in names},
            **{f"calibrated_{name}": p[:, place] for place, name in enumerate(names)},
        }
    )
    without = {"text": np.array([[0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])}
    notes = (("predict/talk_utt1", "audio/logmel-12345678", "no-audio"),)
    return Predicted(frame, tuple(names), Temperature(1.5, 10, 1.0, 0.9), None, without, notes)


def test_answers_are_calibrated_and_told_turn_by_turn() -> None:
    found = answer(predicted())
    assert dict(zip(found.header, found.rows[1], strict=True)) == {
        **{"turn": "2", "speaker": "", "text": "Go | away", "emotion": "sadness", "probability": "60 %"},
        **{"then": "anger 30 %", "missing": "audio, visual", "without text": "sadness 60 %"},
    }
    assert found.rows[0][-1] == "anger 80 %"
    assert found.curves.filter(pl.col("emotion") == "sadness")["probability"].to_list() == [0.1, 0.6]
    assert found.curves["turn"].unique().sort().to_list() == [1, 2]
    assert "temperature 1.50" in found.words
    assert "Turn 2: audio could not be used (the clip has no audio stream)." in found.words


def test_without_gradio_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipeline.app.page.find_spec", lambda name: None)
    assert run(erc, ["app", str(tmp_path)], "erc") == 2
    assert capsys.readouterr().err == f"erc: the app needs Gradio: {install_extra('app')}\n"


def test_gradio_is_loaded_by_the_page_alone() -> None:
    code = (
        "import sys, pipeline.app.page, pipeline.app.turns, pipeline.app.answers, pipeline.commands.app\n"
        "sys.exit('gradio' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
