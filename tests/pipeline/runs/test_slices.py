"""Slices of a split: which utterance lies in which, and their scores against scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from features.cards import DatasetCard
from features.manifest import Manifest, build_manifest, frame_of
from pipeline.runs.slices import attributes, score_slices

LABELS = ("joy", "anger", "neutral")


def manifest(turns: list[dict[str, Any]], leads: tuple[str, ...] = ()) -> Manifest:
    """Of rows with any of split, dialogue, speaker, text, label, duration, start, end; turns are numbered by tens."""
    rows = []
    for number, given_row in enumerate(turns):
        row = {"split": "dev", "dialogue": "d", "speaker": "Ann", "text": f"text {number}", "label": "joy"} | given_row
        dialogue = f"{row['split']}/{row.pop('dialogue')}"
        rows.append(row | {"utterance_id": f"u{number}", "dataset": "x", "dialogue_id": dialogue, "turn": 10 * number})
    return build_manifest(frame_of(rows), DatasetCard("x", labels=LABELS, leads=leads))


def column(turns: list[dict[str, Any]], group: str, **options: Any) -> list[str | None]:
    found: list[str | None] = attributes(manifest(turns, **options), "dev")[group].to_list()
    return found


def test_a_shift_is_from_the_same_speakers_previous_utterance_in_the_dialogue() -> None:
    turns = [
        {"label": "joy"},
        {"label": "anger", "speaker": "Bob"},
        {"label": "joy"},
        {"label": "neutral", "speaker": "Bob "},
        {"label": "anger"},
        {"label": "joy", "dialogue": "other"},
    ]
    first = "first-turn-of-speaker"
    assert column(turns, "emotion-shift") == [first, first, "no-shift", "shift", "shift", first]


def test_without_a_label_or_a_speaker_there_is_neither_shift_nor_none() -> None:
    turns = [{"label": "joy"}, {"label": None}, {"label": "joy"}, {"label": "anger"}]
    assert column(turns, "emotion-shift") == ["first-turn-of-speaker", None, None, "shift"]
    assert column([{"speaker": ""}, {"speaker": ""}], "emotion-shift") == [None, None]


def test_turns_are_places_within_the_dialogue_whatever_their_numbers() -> None:
    turns = [{} for _ in range(12)] + [{"dialogue": "other"}]
    assert column(turns, "turn") == ["0"] + ["1-4"] * 4 + ["5-9"] * 5 + ["10-"] * 2 + ["0"]


def test_durations_come_from_the_manifest_or_from_start_and_end() -> None:
    turns = [
        {"duration": 0.99},
        {"duration": 1.0},
        {"duration": 2.0, "start": 0.0, "end": 9.0},
        {"start": 1.0, "end": 5.5},
        {"duration": 4.0},
        {},
    ]
    found = column(turns, "duration")
    assert found == ["under 1 s", "1-2 s", "2-4 s", "4 s and more", "4 s and more", "unknown"]


def test_leads_are_the_cards_and_who_and_what_was_in_train_is_looked_up_there() -> None:
    turns = [
        {"split": "train", "text": "Hi there!", "speaker": "Ann"},
        {"split": "train", "text": "Bye.", "speaker": "Bob"},
        {"text": " Hi there! ", "speaker": "Ann"},
        {"text": "hi there!", "speaker": "Bob"},
        {"text": "Bye.", "speaker": "Cy"},
        {"text": "What?", "speaker": ""},
        {"split": "train", "text": " "},
        {"text": ""},
    ]
    seen, unseen = "seen in train", "not seen in train"
    assert column(turns, "speaker", leads=("Ann",)) == ["lead", "other", "other", None, "lead"]
    assert column(turns, "speaker") == [None] * 5
    assert column(turns, "speaker-in-train") == [seen, seen, unseen, None, seen]
    assert column(turns, "text-in-train") == ["verbatim", "new", "verbatim", "new", None]
    on_train = attributes(manifest(turns), "train")
    assert on_train["text-in-train"].to_list() == on_train["speaker-in-train"].to_list() == [None] * 3
    assert column(turns[2:6], "text-in-train") == [None] * 4


def test_a_placeholder_is_nobody_known() -> None:
    """Ingest once wrote `unknown` for a table without speakers: all of them were one person, seen in train."""
    turns = [
        {"split": "train", "speaker": "unknown"},
        {"split": "train", "speaker": "Ann"},
        {"speaker": "unknown", "label": "joy"},
        {"speaker": " unknown ", "label": "anger"},
        {"speaker": "Ann", "label": "joy"},
    ]
    assert column(turns, "speaker-in-train") == [None, None, "seen in train"]
    assert column(turns, "emotion-shift") == [None, None, "first-turn-of-speaker"]
    assert column(turns, "speaker", leads=("unknown", "Ann")) == [None, None, "lead"]


def predictions(count: int, missing: list[list[str]] | None = None) -> pl.DataFrame:
    lists = missing or [[]] * count
    return pl.DataFrame(
        {
            "utterance_id": [f"u{number}" for number in range(count)],
            "no_input": [set(names) >= {"text", "audio"} for names in lists],
            "missing": lists,
        },
        schema_overrides={"missing": pl.List(pl.String)},
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.booleans()), min_size=1, max_size=40))
def test_scores_of_a_slice_are_scikit_learns_on_its_utterances(drawn: list[tuple[int, int, bool]]) -> None:
    gold, predicted, short = np.array(drawn).T
    table = pl.DataFrame({"utterance_id": [f"u{number}" for number in range(len(drawn))]}).with_columns(
        pl.lit(None, pl.String).alias(name)
        for name in ("emotion-shift", "turn", "speaker", "speaker-in-train", "text-in-train")
    )
    table = table.with_columns(duration=pl.Series(["under 1 s" if item else "1-2 s" for item in short]))
    found = score_slices(table.reverse(), predictions(len(drawn)), gold, [predicted, gold], 3)
    by_name = {item["name"]: item for item in found if item["group"] == "duration"}
    assert set(by_name) == {"under 1 s" if item else "1-2 s" for item in short}
    for name, item in by_name.items():
        inside = short == (name == "under 1 s")
        expected = f1_score(gold[inside], predicted[inside], labels=range(3), average="weighted", zero_division=0)
        assert item["utterances"] == inside.sum()
        assert item["weighted_f1"]["values"] == pytest.approx([expected, 1.0])
        assert item["accuracy"]["values"] == pytest.approx([np.mean(gold[inside] == predicted[inside]), 1.0])


def test_slices_by_input_and_none_that_is_empty() -> None:
    gold = np.array([0, 1, 2, 0])
    frame = predictions(4, [[], ["audio"], ["text", "audio"], []])
    found = score_slices(None, frame, gold, [gold], 3)
    assert [(item["group"], item["name"], item["utterances"]) for item in found] == [
        ("input", "all there", 2),
        ("input", "text missing", 1),
        ("input", "audio missing", 2),
        ("input", "nothing there", 1),
    ]
    assert [item["name"] for item in score_slices(None, predictions(2), gold[:2], [gold[:2]], 3)] == ["all there"]


@pytest.mark.shared_data
def test_melds_emotion_shifts_are_as_counted_from_the_tables(shared_data: Path, tmp_path: Path) -> None:
    """Against a plain walk over the published CSV files."""
    import csv

    from pipeline.cli import erc, run

    made = tmp_path / "M.parquet"
    assert (
        run(erc, ["ingest", "meld", str(shared_data / "meld"), "--splits", "train,dev", "--out", str(made)], "erc") == 0
    )
    from features.manifest import read_manifest

    whole = read_manifest(made)
    counted = {}
    for split in ("train", "dev"):
        last: dict[tuple[str, str], str] = {}
        shifts = same = 0
        with (shared_data / "meld" / f"{split}_sent_emo.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                key = (row["Dialogue_ID"], row["Speaker"])
                shifts += key in last and last[key] != row["Emotion"]
                same += key in last and last[key] == row["Emotion"]
                last[key] = row["Emotion"]
        names = attributes(whole, split)["emotion-shift"]
        counted[split] = ((names == "shift").sum(), (names == "no-shift").sum())
        assert counted[split] == (shifts, same)
    assert counted == {"train": (4001, 3173), "dev": (427, 339)}
    dev = attributes(whole, "dev")
    assert (dev["text-in-train"] == "verbatim").sum() == 135
    assert (dev["speaker"] == "lead").sum() == 953
