"""Dataset cards: checked when they are read, and the shipped ones true of the real files."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from features.cards import HEADLINES, DatasetCard, load_card, shipped_cards
from features.digests import sha256_file
from features.errors import ManifestError

SEVEN = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")


def test_the_shipped_cards() -> None:
    assert shipped_cards() == [
        "ch-sims", "crema-d", "dailydialog", "emorynlp", "esd", "iemocap", "m3ed", "meld", "mosei", "ravdess", "sample",
    ]  # fmt: skip
    for name in shipped_cards():
        card = load_card(name)
        assert card.dataset == name
        assert card.neutral in card.labels
        assert card.title
        assert card.licence
        assert card.notes
        assert card.synthetic == (name == "sample")
        assert bool(card.url) != card.synthetic
        assert all(utterance_id.startswith(f"{name}/") and reason for utterance_id, reason in card.known_bad.items())
        assert DatasetCard.from_dict(json.loads(json.dumps(card.to_dict()))) == card


def test_label_orders_are_those_of_the_papers() -> None:
    assert load_card("meld").labels == load_card("sample").labels == SEVEN
    assert load_card("emorynlp").labels == ("joyful", "mad", "neutral", "peaceful", "powerful", "sad", "scared")
    assert load_card("iemocap").labels == ("angry", "excited", "frustrated", "happy", "neutral", "sad")


def test_headlines_are_what_the_field_prints() -> None:
    assert {name: load_card(name).headline for name in shipped_cards()} == {
        "ch-sims": "accuracy",
        "crema-d": "unweighted_average_recall",
        "dailydialog": "micro_f1_without_neutral",
        "emorynlp": "weighted_f1",
        "esd": "accuracy",
        "iemocap": "unweighted_average_recall",
        "m3ed": "weighted_f1",
        "meld": "weighted_f1",
        "mosei": "accuracy",
        "ravdess": "accuracy",
        "sample": "weighted_f1",
    }
    for name in shipped_cards():
        card = load_card(name)
        assert {label for labels in card.polarity.values() for label in labels} <= set(card.labels)
        assert bool(card.polarity) == (name in {"ch-sims", "mosei"})


def test_melds_known_bad_clips() -> None:
    assert set(load_card("meld").known_bad) == {
        "meld/train/dia125_utt3",
        "meld/dev/dia110_utt7",
        "meld/test/dia279_utt15",
        "meld/test/dia38_utt4",
        "meld/test/dia220_utt0",
        "meld/train/dia309_utt0",
        "meld/train/dia485_utt0",
        "meld/train/dia241_utt1",
        "meld/train/dia241_utt2",
        "meld/train/dia241_utt3",
        "meld/train/dia757_utt7",
    }


@pytest.mark.shared_data
def test_melds_card_is_true_of_the_real_tables(shared_data: Path) -> None:
    card = load_card("meld")
    ids, labels = set(), set()
    for split in ("train", "dev"):
        path = shared_data / "meld" / f"{split}_sent_emo.csv"
        assert card.checksums[path.name] == sha256_file(path)
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert card.counts[split] == len(rows)
        ids |= {f"meld/{split}/dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}" for row in rows}
        labels |= {row["Emotion"] for row in rows}
    assert {utterance_id for utterance_id in card.known_bad if "/test/" not in utterance_id} <= ids
    assert labels == set(card.labels)


@pytest.mark.shared_data
def test_emorynlps_card_is_true_of_the_real_dev_table(shared_data: Path) -> None:
    path = shared_data / "emorynlp_dev_final.csv"
    card = load_card("emorynlp")
    assert card.checksums[path.name] == sha256_file(path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert card.counts["dev"] == len(rows)
    assert {row["Emotion"].lower() for row in rows} == set(card.labels)


def test_an_unknown_card_names_the_nearest() -> None:
    with pytest.raises(ManifestError, match="no dataset card 'medl' in data_manifests/: did you mean 'meld'"):
        load_card("medl")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dataset": "a", "label": []}, "unknown key 'label': did you mean 'labels'"),
        ({"dataset": "a", 1: []}, "unknown key 1: "),
        ({"title": "a"}, "no 'dataset' key"),
        ({"dataset": None}, "no 'dataset' key"),
        ({"dataset": "a", "labels": "joy"}, "labels must be a list of texts, not 'joy'"),
        ({"dataset": "a", "labels": ["joy", True]}, "labels must be a list of texts"),
        ({"dataset": "a", "labels": ["joy", "joy"]}, "labels hold 'joy' more than once"),
        ({"dataset": "a", "labels": ["joy"], "neutral": "neutral"}, "neutral 'neutral' is not one of the labels"),
        ({"dataset": "a", "counts": {"train": "many"}}, "counts must be a mapping of splits to whole numbers"),
        ({"dataset": "a", "counts": {"train": True}}, "counts must be"),
        ({"dataset": "a", "folders": {"train": "clips"}}, "folders must be a mapping of splits to lists"),
        ({"dataset": "a", "known_bad": ["x"]}, "known_bad must be a mapping of utterance ids to reasons"),
        ({"dataset": "a", "synthetic": "no"}, "synthetic must be true or false, not 'no'"),
        (["dataset"], "is not a mapping"),
    ],
)
def test_cards_that_are_refused(values: Any, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        DatasetCard.from_dict(values)


def test_all_problems_of_a_card_are_told_at_once() -> None:
    with pytest.raises(ManifestError, match=r"^x\.yaml: .*labels must be .*; no 'dataset' key") as caught:
        DatasetCard.from_dict({"labels": 3, "neutrl": "a"}, "x.yaml")
    assert len(caught.value.problems) == 3


def test_a_key_left_empty_takes_its_default() -> None:
    card = DatasetCard.from_dict({"dataset": "a", "labels": None, "known_bad": None, "neutral": None})
    assert card == DatasetCard("a")


BARE: dict[str, Any] = {"dataset": "mine", "labels": ["bad", "so-so", "good"]}
POLARITY = {"negative": ["bad"], "positive": ["good"]}


def test_a_headline_is_read_and_written_and_weighted_f1_where_there_is_none() -> None:
    assert DatasetCard.from_dict(BARE).headline == "weighted_f1"
    assert not {"headline", "polarity"} & DatasetCard.from_dict(BARE).to_dict().keys()
    for headline in HEADLINES:
        card = DatasetCard.from_dict(BARE | {"neutral": "so-so", "headline": headline, "polarity": POLARITY})
        assert card.headline == headline
        assert DatasetCard.from_dict(json.loads(json.dumps(card.to_dict()))) == card
    assert len(HEADLINES) == 6


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"headline": "weighted-f1"}, "headline 'weighted-f1' is no score: did you mean 'weighted_f1'"),
        ({"headline": ["accuracy"]}, "headline must be text"),
        ({"headline": "micro_f1_without_neutral"}, "needs to know the neutral label: add `neutral: LABEL`"),
        (
            {"labels": ["calm"], "neutral": "calm", "headline": "micro_f1_without_neutral"},
            "nothing to score: 'calm' is the only label",
        ),
        ({"headline": "binary_accuracy"}, "needs to know the labels of either side: add `polarity: {negative:"),
        ({"headline": "binary_accuracy", "polarity": {}}, "needs to know the labels of either side"),
        ({"polarity": {"negative": ["bad"]}}, "polarity gives no positive label"),
        ({"polarity": {"negative": ["bad"], "positive": []}}, "polarity gives no positive label"),
        ({"polarity": POLARITY | {"neutral": ["so-so"]}}, "polarity has no side 'neutral'"),
        ({"polarity": {"negative": ["bad"], "positive": ["god"]}}, "polarity 'god' is not one of the labels: did you"),
        ({"polarity": {"negative": ["bad"], "positive": ["good", "bad"]}}, "polarity holds 'bad' more than once"),
        ({"polarity": {"negative": "bad", "positive": "good"}}, "polarity must be a mapping of negative and positive"),
    ],
)
def test_a_headline_that_cannot_be_computed_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ManifestError, match=re.escape(message)):
        DatasetCard.from_dict(BARE | more)
