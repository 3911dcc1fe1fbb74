"""`ingest_mmsa`: classes of scores as MMSA's metrics make them, clips, and label.csv as people have it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.cards import load_card
from features.errors import ManifestError, UsageError
from pipeline.ingest.mmsa import ingest_mmsa
from pipeline.ingest.sentiment_scores import FIVE, SCALES, SEVEN, THREE, TWO

COLUMNS = ("video_id", "clip_id", "text", "label", "annotation", "mode")


def write(root: Path, *rows: tuple[object, ...]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    with (root / "label.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return root


def test_mosei(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        ("-abc", 10, "last", 2.6666667, "Positive", "train"),
        ("-abc", 2, "first", -0.33333334, "Negative", "train"),
        ("x$y", 0, "one, two", 0.0, "Neutral", "valid"),
        ("z", 1, "other", 1.0, "Negative", "test"),
    )
    manifest, summary = ingest_mmsa(root, "mosei")
    assert manifest.ids == ["mosei/train/-abc/2", "mosei/train/-abc/10", "mosei/dev/x$y/0", "mosei/test/z/1"]
    assert manifest.frame["dialogue_id"].to_list()[:3] == ["mosei/train/-abc", "mosei/train/-abc", "mosei/dev/x$y"]
    assert manifest.frame["label"].to_list() == ["neutral", "highly positive", "neutral", "weakly positive"]
    assert manifest.frame["sentiment"].to_list() == ["negative", "positive", "neutral", "positive"]
    assert manifest.frame["note"].to_list()[:2] == ["score -0.333333", "score 2.66667"]
    assert manifest.frame["speaker"].to_list() == manifest.frame["group"].to_list() == ["-abc", "-abc", "x$y", "z"]
    assert (manifest.media_root, summary.count("no-clip-folder"), summary.count("annotation-differs")) == (None, 1, 1)
    two, told = ingest_mmsa(root / "label.csv", "mosei", 2)
    assert two.frame["label"].to_list() == ["negative", "positive", None, "positive"]
    assert (two.card.labels, two.card.neutral, told.count("outside-classes")) == (TWO, None, 1)
    assert two.card.polarity == {"negative": ["negative"], "positive": ["positive"]}
    three, _ = ingest_mmsa(root, "mosei", 3)
    assert three.frame["label"].to_list() == ["negative", "positive", "neutral", "positive"]


def test_ch_sims_and_its_clips(tmp_path: Path) -> None:
    root = write(
        tmp_path / "SIMS",
        ("video_0001", "1", "早", 0.8, "", "train"),  # a spreadsheet took 0001 for a number
        ("video_0001", "0002", "好", -0.2, "", "test"),
        ("video_0002", "0001", "", "", "", "valid"),
    )
    for name in ("video_0001/0001.mp4", "video_0002/0001.mp4"):
        (root / "Raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "Raw" / name).touch()
    manifest, summary = ingest_mmsa(root, "ch-sims")
    assert manifest.ids == [
        "ch-sims/train/video_0001/0001",
        "ch-sims/test/video_0001/0002",
        "ch-sims/dev/video_0002/0001",
    ]
    assert manifest.frame["media"].to_list() == ["Raw/video_0001/0001.mp4", None, "Raw/video_0002/0001.mp4"]
    assert manifest.frame["note"][1] == "score -0.2; no file Raw/video_0001/0002.mp4"
    assert manifest.frame["label"].to_list() == ["positive", "weakly negative", None]
    assert manifest.frame["dialogue_id"].to_list() == manifest.ids
    assert set(manifest.frame["speaker"]) == {"unknown"}
    (several,) = [item for item in summary.findings if item.name == "videos-in-several-splits"]
    assert several.examples == ("video_0001: test, train",)
    assert (summary.count("unscored"), summary.count("missing-clips")) == (1, 1)
    assert ingest_mmsa(root, "ch-sims", 2, root)[0].frame["label"].to_list() == ["positive", "negative", None]


@given(st.floats(-3, 3, width=32))
def test_seven_classes_round_as_numpy_does(score: float) -> None:
    labels, label_of = SCALES["mosei"].classes[7]
    assert labels == SEVEN
    assert label_of(score) == SEVEN[int(np.round(np.float32(score))) + 3]


@pytest.mark.parametrize(
    ("score", "five", "three", "two"),
    [
        (-1.0, "negative", "negative", "negative"),
        (-0.8, "negative", "negative", "negative"),
        (-0.6, "weakly negative", "negative", "negative"),
        (-0.2, "weakly negative", "negative", "negative"),
        (-0.1, "weakly negative", "negative", "negative"),
        (0.0, "neutral", "neutral", "negative"),
        (0.1, "neutral", "neutral", "positive"),
        (0.2, "weakly positive", "positive", "positive"),
        (0.7, "weakly positive", "positive", "positive"),
        (0.8, "positive", "positive", "positive"),
        (1.0, "positive", "positive", "positive"),
    ],
)
def test_edges_of_ch_sims_belong_to_the_class_below(score: float, five: str, three: str, two: str) -> None:
    classes = SCALES["ch-sims"].classes
    assert tuple(classes[number][1](score) for number in (5, 3, 2)) == (five, three, two)
    assert tuple(classes[number][0] for number in (5, 3, 2)) == (FIVE, THREE, TWO)


def test_the_polarity_of_the_cards_is_that_of_two_classes() -> None:
    for dataset, most in (("mosei", 7), ("ch-sims", 5)):
        card, classes = load_card(dataset), SCALES[dataset].classes
        assert card.labels == classes[most][0]
        for score in np.linspace(-SCALES[dataset].limit, SCALES[dataset].limit, 121):
            label = classes[most][1](float(score))
            sides = [side for side, labels in card.polarity.items() if label in labels]
            expected = classes[2][1](float(score))
            if dataset == "mosei" and label == "neutral":
                assert sides == []  # what rounds to 0 is left out, a little more than the score 0
            else:
                assert sides == [expected] or (dataset == "ch-sims" and 0 < score <= 0.1)


def test_all_problems_are_told_with_row_and_mend(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        ("#NAME?", 1, "a", 0, "", "train"),
        ("v", "x", "b", 3.5, "", "tarin"),
        ("v", 2, "c", "good", "", "test"),
    )
    with pytest.raises(ManifestError) as caught:
        ingest_mmsa(root, "mosei")
    assert caught.value.problems == (
        "label.csv:2: video_id '#NAME?': a spreadsheet read it as a formula: get the file again",
        "label.csv:3: mode 'tarin': did you mean 'train'? known: dev, test, train, val, valid, validation",
        "label.csv:3: clip_id 'x' is not a whole number",
        "label.csv:3: label '3.5' is not a score from -3 to 3",
        "label.csv:4: label 'good' is not a score from -3 to 3",
    )
    write(root, ("v", 1, "a", 2.0, "", "train"))
    with pytest.raises(ManifestError, match=r"label '2\.0' is not a score from -1 to 1"):
        ingest_mmsa(root, "ch-sims")
    write(root, ("../../v", 1, "a", 1.0, "", "train"))
    (root / "Raw").mkdir()
    (root / "Raw" / "1").mkdir()
    assert ingest_mmsa(root, "mosei")[0].frame["media"].to_list() == [None]
    outside = tmp_path.parent / "v" / "1.mp4"
    outside.parent.mkdir(exist_ok=True)
    outside.touch()
    with pytest.raises(ManifestError, match="leaves media_root"):
        ingest_mmsa(root, "mosei")


def test_choices_that_do_not_fit(tmp_path: Path) -> None:
    root = write(tmp_path, ("v", 1, "a", 1, "", "train"))
    with pytest.raises(UsageError, match=r"classes \(5\) of mosei must be one of 7, 3, 2"):
        ingest_mmsa(root, "mosei", 5)
    with pytest.raises(ManifestError, match="holds no folder Raw: give the folder that holds Raw/VIDEO"):
        ingest_mmsa(root, "mosei", media_root=root)
    with pytest.raises(ManifestError, match=r"no .*Raw: give the folder that holds label\.csv"):
        ingest_mmsa(root / "Raw", "mosei")
