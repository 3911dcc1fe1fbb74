"""What a manifest refuses: every problem at once, with row and column, and media paths that leave the root."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from manifest_rows import CARD, build, row

from features.cards import DatasetCard
from features.errors import ManifestError
from features.manifest import build_manifest, frame_of
from features.schema import SCHEMA, media_path_problem


def problems_of(frame: pl.DataFrame, card: DatasetCard = CARD) -> tuple[str, ...]:
    with pytest.raises(ManifestError, match="manifest: ") as caught:
        build_manifest(frame, card)
    return caught.value.problems


def test_every_problem_is_told_at_once_with_row_and_column() -> None:
    frame = pl.DataFrame(
        {
            "utterance_id": ["a", "a", "c", " ", "e", "f\n"],
            "dataset": ["toy"] * 6,
            "split": ["train", "train", "dev", "train", "train", "train"],
            "dialogue_id": ["d", "d", "d", "g", "g", "h"],
            "turn": ["0", "1", "0", "x", None, "1.5"],
            "speaker": ["Ann", None, "Bo", "Bo", "Bo", "Bo"],
            "text": ["", "b", "c", "d", "e", "f"],
            "label": ["joy", "jooy", None, "", None, "neutral"],
            "media": ["ok.mp4", "../x.mp4", "/x.mp4", None, "", "  "],
            "start": ["1", "2", "-1", "nan", None, None],
            "end": ["2", "2", None, None, "soon", "inf"],
        }
    )
    assert set(problems_of(frame)) == {
        "row 1, utterance_id: 'a' occurs more than once",
        "row 2, utterance_id: 'a' occurs more than once",
        "row 4, utterance_id: ' ' is blank or has control characters",
        "row 6, utterance_id: 'f\\n' is blank or has control characters",
        "row 3, turn: turn 0 of dialogue 'd' occurs more than once",
        "row 4, turn: 'x' is not a whole number",
        "row 5, turn: empty",
        "row 6, turn: '1.5' is not a whole number",
        "row 2, speaker: empty",
        "row 3, split: dialogue 'd' lies in 'train' and in 'dev'",
        "row 2, label: 'jooy' is not on the dataset card: did you mean 'joy'? known: joy, neutral",
        "row 2, media: '../x.mp4' leaves media_root: a path may not hold '..'",
        "row 3, media: '/x.mp4' is absolute: make it relative to media_root",
        "row 6, media: '  ' is blank: leave it null where there is no clip",
        "row 2, end: 2.0 is not after start 2.0",
        "row 3, start: -1.0 is not a number of seconds from 0 up",
        "row 4, start: nan is not a number of seconds from 0 up",
        "row 5, end: 'soon' is not a number",
        "row 6, end: inf is not a number of seconds from 0 up",
    }


def test_columns_are_told_before_rows_and_long_lists_are_cut_in_the_message_only() -> None:
    told = problems_of(pl.DataFrame({"utterance_id": ["a"], "txt": ["b"], "Turn": [0]}))
    assert told[:2] == (
        "column 'txt' is not in the schema: did you mean 'text'? known: " + ", ".join(sorted(SCHEMA)),
        "column 'Turn' is not in the schema: did you mean 'turn'? known: " + ", ".join(sorted(SCHEMA)),
    )
    assert told[2:] == tuple(
        f"column {name!r} is missing" for name in ("dataset", "split", "dialogue_id", "turn", "speaker", "text")
    )
    rows = [row(turn=turn) | {"utterance_id": "same"} for turn in range(50)]
    with pytest.raises(ManifestError, match=r"^manifest: 50 problems: .*; and 30 more$") as caught:
        build(*rows)
    assert len(caught.value.problems) == 50
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("values", [[True], [[1]], [{"a": 1}], [b"1"], [1.5], [float("inf")], ["9" * 30], [2.0**60]])
def test_nothing_is_rounded_or_coerced_into_a_turn(values: list[Any]) -> None:
    frame = frame_of([row()]).with_columns(pl.Series("turn", values))
    assert [line.split(":")[0] for line in problems_of(frame)] == ["row 1, turn"]


@pytest.mark.parametrize("value", [3, 3.0, "3", "3.0"])
def test_a_whole_number_may_be_written_in_several_ways(value: Any) -> None:
    frame = frame_of([row()]).with_columns(pl.Series("turn", [value]))
    assert build_manifest(frame, CARD).utterances()[0].turn == 3


def test_a_card_without_labels_takes_any_label() -> None:
    assert build(row(label="whatever"), card=DatasetCard("toy")).utterances()[0].label == "whatever"


REFUSED_MEDIA = {
    "../a.mp4": "leaves media_root",
    "a/../../b.mp4": "leaves media_root",
    "a/..": "leaves media_root",
    "/a.mp4": "is absolute",
    "~/a.mp4": "is absolute",
    "~user/a.mp4": "is absolute",
    "C:/a.mp4": "is absolute",
    "c:a.mp4": "is absolute",
    "\\\\server\\share\\a.mp4": "is absolute",
    "\\a.mp4": "is absolute",
    "a\\..\\..\\b.mp4": "leaves media_root",
    "a\\b.mp4": "has a backslash",
    "a\x00.mp4": "has control characters",
    "a\n.mp4": "has control characters",
    "a\x7f.mp4": "has control characters",
    " ": "is blank",
    ".": "names no file",
    "./": "names no file",
}


@pytest.mark.parametrize("media", REFUSED_MEDIA)
def test_media_that_leave_the_root_are_refused(media: str) -> None:
    problem = media_path_problem(media)
    assert problem is not None
    assert problem.startswith(REFUSED_MEDIA[media])
    with pytest.raises(ManifestError, match=r"row 1, media: ") as caught:
        build(row(media=media))
    assert len(caught.value.problems) == 1


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=10) | st.text("./\\~:aC ", min_size=1, max_size=6))
@settings(max_examples=80, deadline=None)
def test_the_table_and_the_single_path_agree_and_what_passes_stays_below_the_root(media: str) -> None:
    root = Path("/some/root")
    problem = media_path_problem(media)
    if problem is None:
        manifest = build(row(media=media))
        path = manifest.media_path(media)
        assert path.is_relative_to("/media")
        assert ".." not in (root / media).parts
        assert root / media != root
    else:
        with pytest.raises(ManifestError, match="row 1, media: "):
            build(row(media=media))


def test_media_path_without_a_root_names_the_mend() -> None:
    with pytest.raises(ManifestError, match="names clips but no media_root: give --media-root DIR"):
        build_manifest(frame_of([row(media="a.mp4")]), CARD).media_path("a.mp4")
