"""Labels: one spelling each, none where a cell says so, and no classes of scores or of several labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from features.errors import ManifestError, UsageError
from pipeline.ingest.labels import clean_labels
from pipeline.ingest.summary import Finding
from pipeline.ingest.table import ingest_table


def clean(values: list[Any], *known: str) -> list[str | None]:
    return clean_labels(values, [f"row {number + 1}" for number in range(len(values))], known)[0]


def told(values: list[Any], *known: str) -> dict[str, Finding]:
    _, findings = clean_labels(values, [str(number) for number in range(len(values))], known)
    return {item.name: item for item in findings}


def refused(values: list[Any], *known: str) -> str:
    with pytest.raises(ManifestError) as caught:
        clean(values, *known)
    return str(caught.value)


def write(folder: Path, labels: list[str], split: str = "train") -> Path:
    path = folder / "talk.csv"
    path.write_text("text,label,split\n" + "".join(f"t,{label},{split}\n" for label in labels))
    return path


def test_the_most_frequent_spelling_stays_and_is_told() -> None:
    assert clean(["Joy", "joy", "joy ", "JOY", "sad"]) == ["joy", "joy", "joy", "joy", "sad"]
    assert clean(["Joy", "joy"]) == ["Joy", "Joy"]  # the first of equals
    assert clean(["no  emotion", "No Emotion", "No Emotion"]) == ["No Emotion"] * 3
    found = told(["Joy", "joy", "joy ", "JOY", "sad"])
    assert list(found) == ["label-spellings"]
    assert (found["label-spellings"].count, found["label-spellings"].examples) == (
        3,
        ("'Joy' 1 -> joy", "'joy ' 1 -> joy", "'JOY' 1 -> joy"),
    )
    assert told(["joy", "sad"]) == {}


def test_the_spelling_of_a_known_label_stays_however_rare() -> None:
    assert clean(["joy", "joy", "Sad"], "Joy", "sad") == ["Joy", "Joy", "sad"]
    assert clean(["joy", "Joy"], "Joy", "joy") == ["joy", "Joy"]


def test_words_for_no_label() -> None:
    nothing = ["NaN", "nan", "-", "None", "null", "n/a", "?", "", "  ", None, float("nan"), "N/A", "<NA>"]
    assert clean([*nothing, "joy"]) == [None] * len(nothing) + ["joy"]
    found = told(["NaN", "NaN", "-", "", "joy"])
    assert (found["no-label"].count, found["no-label"].examples) == (3, ("'NaN' 2", "'-' 1"))
    assert str(found["no-label"]).endswith("('NaN' 2, '-' 1)")  # all of them: no dots


def test_a_word_that_is_named_as_a_label_is_one() -> None:
    assert clean(["none", "None", "joy", "-"], "none", "joy") == ["none", "none", "joy", None]


def test_scores_are_no_classes() -> None:
    message = refused(["-0.8", "0.2", "1.0", "", "-1.0"])
    assert message.startswith(
        "column 'label': row 1 '-0.8', row 2 '0.2', row 3 '1.0', row 5 '-1.0': a score, no class."
    )
    assert "not supported (regression): add a column that makes classes of them" in message
    for values in ([0.5], ["1e-3"], ["+.5"], ["-0,8", "0,2"], ["joy", "1.0"], ["1", "2.5"]):
        assert "regression" in refused(values)


def test_whole_numbers_are_classes_and_told() -> None:
    assert clean(["3", "-1", "3"]) == ["3", "-1", "3"]
    assert clean(["3.0", "1.0", "", "1"]) == ["3", "1", None, "1"]
    assert clean([3, 1.0, None]) == ["3", "1", None]
    found = told(["3", "-1", "3"])
    assert (found["whole-number-labels"].count, list(found)) == (3, ["whole-number-labels"])


def test_whole_numbers_stand_in_their_order(tmp_path: Path) -> None:
    manifest, _ = ingest_table(write(tmp_path, ["10", "9", "-1", "2"]))
    assert manifest.card.labels == ("-1", "2", "9", "10")


@pytest.mark.parametrize(
    "cell", ["joy,anger", "3|5", "3,5", "joy;anger", "[joy, anger]", "['joy']", ["joy"], {"joy": 1}, "[]", "joy\nanger"]
)
def test_several_labels_are_no_class(cell: Any) -> None:
    message = refused(["joy", cell])
    assert message.startswith("column 'label': row 2 ")
    assert "not supported (multi-label): keep one a row" in message


def test_a_comma_is_of_labels_where_others_have_several() -> None:
    assert "multi-label" in refused(["0,27", "3", "4,5,6"])
    assert "regression" not in refused(["0,27", "3", "4,5,6"])


def test_a_slash_joins_labels_only_where_its_parts_are_labels() -> None:
    assert clean(["happy/joy", "sad"]) == ["happy/joy", "sad"]
    assert "row 3 'joy + sad'" in refused(["joy", "sad", "joy + sad"])


def test_a_label_with_a_comma_is_one_where_it_is_named() -> None:
    assert clean(["joy, mostly", "Joy, mostly"], "joy, mostly") == ["joy, mostly"] * 2


def test_a_text_is_no_label() -> None:
    message = refused([f"This is sentence {number}" for number in range(40)])
    assert message.startswith("column 'label': 40 different labels in 40 rows, such as 'This is sentence 0'")
    assert "map another column" in message
    many = [f"emotion {number % 30}" for number in range(70)]
    assert clean(many) == many
    commas = [f"Well, this is sentence {number}, isn't it" for number in range(40)]
    assert '40 different labels in 40 rows, such as "Well, this is' in refused(commas)
    assert "300 different labels" in refused([f"speaker {number % 300}" for number in range(3000)])
    assert len(clean([f"e{number}" for number in range(40)], *(f"e{number}" for number in range(40)))) == 40


def test_the_files_name_and_column_lead_the_message(tmp_path: Path) -> None:
    path = tmp_path / "talk.csv"
    path.write_text("text,mood,split\na,joy,train\nb,0.5,train\n")
    with pytest.raises(ManifestError, match=r"talk\.csv: column 'mood': row 2 '0\.5': a score") as caught:
        ingest_table(path, {"label": "mood"})
    assert caught.value.problems == ("row 2, mood: '0.5' is a score, no class",)


def test_the_summary_counts_labels_by_split_and_warns(tmp_path: Path) -> None:
    path = tmp_path / "talk.csv"
    path.write_text("text,label,split\na,joy,train\nb,sad,dev\nc,,dev\nd,joy,dev\ne,joy,train\n")
    _, summary = ingest_table(path, labels=["sad", "joy", "fear"])
    assert summary.label_counts == {
        "sad": {"train": 0, "dev": 1},
        "joy": {"train": 2, "dev": 1},
        "fear": {"train": 0, "dev": 0},
        "": {"train": 0, "dev": 1},
    }
    assert {item.name: item.examples for item in summary.warnings} == {
        "labels-not-in-train": ("sad: dev 1",),
        "labels-without-rows": ("fear",),
    }
    lines = summary.lines()
    table = lines[lines.index("  label       train  dev") :][:5]
    assert table[1:] == [
        "  sad             0    1",
        "  joy             2    1",
        "  fear            0    0",
        "  (no label)      0    1",
    ]
    assert any(line.startswith("  warning: labels not in train: 1. ") for line in lines)
    assert json.loads(json.dumps(summary.to_dict()))["label_counts"]["joy"] == {"train": 2, "dev": 1}


def test_more_labels_than_emotions_are_warned_of(tmp_path: Path) -> None:
    assert ingest_table(write(tmp_path, [f"e{number % 28}" for number in range(84)]))[1].warnings == ()
    for labels in ([f"e{number % 28}" for number in range(83)], [f"e{number % 41}" for number in range(999)]):
        warned = ingest_table(write(tmp_path, labels))[1].warnings
        assert [(item.name, item.count) for item in warned] == [("many-labels", len(set(labels)))]
    assert "is this the column of the emotion?" in str(warned[0])


def test_neutral_is_found_in_any_case_and_not_guessed(tmp_path: Path) -> None:
    for spelling in ("neutral", "Neutral", "NEUTRAL"):
        manifest, summary = ingest_table(write(tmp_path, ["joy", spelling]))
        assert (manifest.card.neutral, summary.neutral) == (spelling, spelling)
    for spelling in ("NEU", "neutre", "0"):
        manifest, summary = ingest_table(write(tmp_path, ["joy", spelling]))
        assert manifest.card.neutral is None
        assert [line for line in summary.lines() if "majority: --neutral LABEL" in line]


def test_neutral_is_checked_against_the_labels(tmp_path: Path) -> None:
    path = write(tmp_path, ["joy", "NEU"])
    assert ingest_table(path, neutral="NEU")[0].card.neutral == "NEU"
    assert ingest_table(path, neutral="neu")[0].card.neutral == "NEU"
    with pytest.raises(UsageError, match=r"--neutral 'neutral' is not one of the labels: .*known: NEU, joy$"):
        ingest_table(path, neutral="neutral")


def test_sentiments_are_cleaned_too_and_scores_left_out_where_nobody_asked(tmp_path: Path) -> None:
    path = tmp_path / "talk.csv"
    path.write_text("text,sentiment,score,split\na,Positive,0.5,train\nb,positive,0.1,train\nc,positive,NaN,train\n")
    assert ingest_table(path)[0].frame["sentiment"].to_list() == ["positive"] * 3
    with pytest.raises(ManifestError, match=r"column 'score': row 1 '0\.5'.*regression"):
        ingest_table(path, {"sentiment": "score"})
    path.write_text("text,sentiment,split\na,0.5,train\n")
    manifest, summary = ingest_table(path)
    assert manifest.frame["sentiment"].to_list() == [None]
    assert summary.count("sentiment-left-out") == 1
