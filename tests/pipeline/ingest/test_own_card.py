"""A dataset card of one's own: begun from what was found, read back, checked as the shipped ones are."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from manifest_rows import build, row

from features.cards import DatasetCard, load_card, neutral_of, read_card, shipped_cards
from features.errors import ManifestError, UsageError
from features.manifest import read_manifest, write_manifest
from pipeline.ingest.card_template import check_is_new, write_card_template
from pipeline.ingest.table import ingest_table

ROWS = "a,Ann,NEU,1,train\nb,Bo,joy,1,train\nc,Ann,Joy,2,dev\n"
CARD = """
dataset: mine
title: My corpus
labels: [joy, NEU, "3"]
neutral: NEU
leads: [Ann, Zoe]
known_bad: {mine/train/1_utt1: cut wrongly, mine/train/9_utt9: gone}
licence: CC BY 4.0
citation: Nobody 2026
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "talk.csv"
    path.write_text("text,speaker,label,dialogue,split\n" + ROWS)
    return path


@pytest.fixture
def card(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(CARD)
    return path


def test_the_card_holds(table: Path, card: Path, tmp_path: Path) -> None:
    manifest, summary = ingest_table(table, card=card)
    assert manifest.ids == ["mine/train/1_utt0", "mine/train/1_utt1", "mine/dev/2_utt0"]
    assert manifest.card == read_card(card)
    assert manifest.frame["label"].to_list() == ["NEU", "joy", "joy"]  # the card's spelling
    assert {item.name: item.examples for item in summary.findings if item.count} == {
        "label-spellings": ("'Joy' 1 -> joy",),
        "known-bad": ("mine/train/1_utt1",),
        "known-bad-without-rows": ("mine/train/9_utt9",),
        "leads-without-rows": ("Zoe",),
    }
    write_manifest(manifest, tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet").card == manifest.card


def test_options_go_before_the_card(table: Path, card: Path) -> None:
    manifest, _ = ingest_table(table, card=card, labels=["NEU", "joy"], neutral="joy")
    assert (manifest.card.labels, manifest.card.neutral) == (("NEU", "joy"), "joy")
    with pytest.raises(UsageError, match=r"mine\.yaml is the card of 'mine', and --dataset says 'talk'"):
        ingest_table(table, dataset="talk", card=card)


def test_a_shipped_cards_neutral_stays_where_it_is_spelt_otherwise(table: Path, card: Path) -> None:
    """It was lost wherever it was not the word `neutral`."""
    card.write_text("dataset: mine\nlabels: [joy, NEU]\nneutral: NEU\n", encoding="utf-8")
    assert ingest_table(table, card=card)[0].card.neutral == "NEU"


def test_a_label_that_the_card_lacks_is_refused(table: Path, card: Path) -> None:
    card.write_text("dataset: mine\nlabels: [joy]\n", encoding="utf-8")
    with pytest.raises(
        ManifestError, match=r"row 1, label: 'NEU' is not on the dataset card: known: joy: name every label"
    ):
        ingest_table(table, card=card)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset: x\nlables: [a]\n", "unknown key 'lables': did you mean 'labels'"),
        ("labels: [a]\n", "no 'dataset' key: give the corpus a name"),
        ("dataset: x\nlabels: [1, 2]\n", r"labels must be a list of texts, not \[1, 2\]: put quotes around numbers"),
        ("dataset: x\nlabels: [yes, no]\n", "put quotes around numbers, yes and no"),
        ("dataset: x\nlabels: [a, a]\n", "labels hold 'a' more than once"),
        ("dataset: x\nlabels: [a]\nneutral: b\n", "neutral 'b' is not one of the labels: known: a"),
        ("- a\n", "is not a mapping of keys to values"),
        ("dataset: [\n", "is not YAML"),
        ("dataset: x\nleads: Ann\n", "leads must be a list of texts, not 'Ann'"),
    ],
)
def test_a_card_is_refused_as_a_shipped_one_is(text: str, message: str, table: Path, card: Path) -> None:
    card.write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match=message) as caught:
        ingest_table(table, card=card)
    assert str(caught.value).startswith(f"{card}: ")


def test_a_card_that_is_not_there(table: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ManifestError, match=r"none\.yaml: cannot be read: No such file or directory: give a dataset card"
    ):
        ingest_table(table, card=tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"dataset: caf\xe9\n")
    with pytest.raises(ManifestError, match=r"latin\.yaml: cannot be read: is not UTF-8 text"):
        read_card(tmp_path / "latin.yaml")


def test_the_template_is_the_manifests_card_with_what_was_found(table: Path, tmp_path: Path) -> None:
    manifest, _ = ingest_table(table)
    write_card_template(manifest, tmp_path / "new" / "talk.yaml")
    text = (tmp_path / "new" / "talk.yaml").read_text()
    assert read_card(tmp_path / "new" / "talk.yaml") == manifest.card
    lines = [
        "labels: [NEU, joy]",
        "# Found: NEU 1, joy 2",
        "# Found: train 2, dev 1",
        "# Found: Ann 2, Bo 1",
        "neutral:",
    ]
    assert [line for line in lines if line not in text.splitlines()] == []
    assert [field.name for field in fields(DatasetCard) if f"\n{field.name}:" not in text] == []
    again, _ = ingest_table(table, card=tmp_path / "new" / "talk.yaml")
    assert (again.ids, again.card) == (manifest.ids, manifest.card)


@pytest.mark.parametrize("name", shipped_cards())
def test_a_template_of_a_shipped_card_reads_back(name: str, tmp_path: Path) -> None:
    manifest = replace(build(row()), card=load_card(name))
    write_card_template(manifest, tmp_path / "card.yaml")
    assert read_card(tmp_path / "card.yaml") == load_card(name)
    assert read_card(tmp_path / "card.yaml").downloads == load_card(name).downloads


WORD = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="\ufeff\x85"), min_size=1, max_size=9
)


@settings(max_examples=60, deadline=None)
@given(st.lists(WORD, min_size=1, max_size=4, unique=True), WORD, st.dictionaries(WORD, WORD, max_size=2))
def test_any_card_reads_back(
    tmp_path_factory: pytest.TempPathFactory, labels: list[str], word: str, bad: dict[str, str]
) -> None:
    card = DatasetCard(
        word, title=word, labels=tuple(labels), neutral=labels[0], leads=(word,), known_bad=bad, notes=(word * 9,)
    )
    path = tmp_path_factory.mktemp("card") / "card.yaml"
    write_card_template(replace(build(row()), card=card), path)
    assert read_card(path) == card


def test_a_card_is_not_overwritten(tmp_path: Path) -> None:
    check_is_new(None)
    check_is_new(tmp_path / "new.yaml")
    (tmp_path / "old.yaml").write_text("dataset: mine\n")
    with pytest.raises(UsageError, match=r"old\.yaml: already exists, and is not overwritten: give another file"):
        check_is_new(tmp_path / "old.yaml")


def test_neutral_in_any_case() -> None:
    assert neutral_of(["joy", "Neutral"]) == "Neutral"
    assert neutral_of(["Neutral", "neutral"]) == "neutral"
    assert neutral_of(["Neutral", "NEUTRAL"]) is None
    assert neutral_of(["NEU", "joy"]) is None
