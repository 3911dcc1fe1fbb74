"""`erc ingest merge`: ids stay and never collide, cards agree or are refused, clips are found under one root."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from manifest_rows import row

from features.cards import DatasetCard, load_card
from features.errors import ManifestError, UsageError
from features.manifest import build_manifest, frame_of, write_manifest
from pipeline.ingest.merge import merge_manifests
from pipeline.ingest.merge_cards import merge_cards

LABELS = ("joy", "neutral")


def save(path: Path, *rows: dict[str, Any], root: Path | None = None, **card: Any) -> Path:
    facts = {"dataset": "toy", "labels": LABELS, "neutral": "neutral"} | card
    return write_manifest(build_manifest(frame_of(rows), DatasetCard(**facts), root), path)


def of(dataset: str, dialogue: int = 0, split: str = "train", **values: Any) -> dict[str, Any]:
    name = f"{dataset}/{split}/d{dialogue}"
    return row(dialogue, 0, split, dataset=dataset, dialogue_id=name, utterance_id=f"{name}_u0", label="joy") | values


def test_rows_follow_one_another_and_keep_their_ids(tmp_path: Path) -> None:
    first = save(
        tmp_path / "a.parquet", of("a", 1), of("a", 0), dataset="a", licence="CC0", leads=("Bo",), counts={"train": 2}
    )
    second = save(
        tmp_path / "b.parquet", of("b", 0, "test"), dataset="b", known_bad={"b/test/d0_u0": "cut"}, licence="MIT"
    )
    manifest, summary = merge_manifests([first, second])
    assert manifest.ids == ["a/train/d1_u0", "a/train/d0_u0", "b/test/d0_u0"]
    assert manifest.frame["dataset"].to_list() == ["a", "a", "b"]
    assert manifest.card == DatasetCard(
        "a+b", labels=LABELS, neutral="neutral", licence="CC0; MIT", known_bad={"b/test/d0_u0": "cut"}, leads=("Bo",)
    )
    assert {item.name: item.examples for item in summary.findings} == {"shared-speakers": ("Bo",)}
    assert merge_manifests([first, second], dataset="both")[0].card.dataset == "both"


def test_splits_of_one_corpus(tmp_path: Path) -> None:
    card = load_card("meld").to_dict()
    first = save(tmp_path / "a.parquet", of("meld"), **card)
    second = save(tmp_path / "b.parquet", of("meld", split="test"), **card)
    manifest, summary = merge_manifests([first, second])
    assert manifest.card == load_card("meld")
    assert summary.findings == ()


def test_ids_and_dialogues_must_not_collide(tmp_path: Path) -> None:
    first = save(tmp_path / "a.parquet", of("toy"))
    with pytest.raises(
        ManifestError, match=r"a\.parquet, utterance_id: 'toy/train/d0_u0' is also in a\.parquet: leave"
    ):
        merge_manifests([first, first])
    second = save(tmp_path / "b.parquet", of("toy", utterance_id="another", turn=1))
    with pytest.raises(
        ManifestError, match=r"b\.parquet, dialogue_id: 'toy/train/d0' is also in a\.parquet: .*--dataset"
    ):
        merge_manifests([first, second])
    with pytest.raises(UsageError, match="merging needs two manifests"):
        merge_manifests([first])


def test_labels_that_differ_are_chosen_by_the_user(tmp_path: Path) -> None:
    first = save(tmp_path / "a.parquet", of("a"), dataset="a")
    second = save(
        tmp_path / "b.parquet",
        of("b", label="Joy"),
        of("b", 1, label="sad"),
        dataset="b",
        labels=("Joy", "sad"),
        neutral=None,
    )
    with pytest.raises(
        UsageError, match=r"not have the same labels in the same order \(joy, neutral; Joy, sad\): give --labels"
    ):
        merge_manifests([first, second])
    manifest, summary = merge_manifests([first, second], labels=["neutral", "joy", "sad"])
    assert (manifest.card.labels, manifest.card.neutral) == (("neutral", "joy", "sad"), "neutral")
    assert manifest.frame["label"].to_list() == ["joy", "joy", "sad"]
    assert summary.count("label-spellings") == 1
    with pytest.raises(
        ManifestError, match=r"a\.parquet, b\.parquet: 1 problem: b\.parquet row 2, label: 'sad' is not on"
    ):
        merge_manifests([first, second], labels=["neutral", "joy"])
    card = tmp_path / "both.yaml"
    card.write_text("dataset: both\nlabels: [sad, joy, neutral]\nneutral: sad\n")
    manifest, _ = merge_manifests([first, second], card=card)
    assert (manifest.card.dataset, manifest.card.labels, manifest.card.neutral) == (
        "both",
        ("sad", "joy", "neutral"),
        "sad",
    )


def test_a_card_with_all_labels_of_the_other_leads(tmp_path: Path) -> None:
    first = save(tmp_path / "a.parquet", of("toy"), labels=("joy",), neutral=None)
    second = save(tmp_path / "b.parquet", of("toy", 1))
    card = merge_manifests([first, second])[0].card
    assert (card.labels, card.neutral) == (LABELS, "neutral")


def test_cards_that_contradict_each_other() -> None:
    one = DatasetCard("a", labels=LABELS, neutral="joy", known_bad={"x": "cut"}, checksums={"t.csv": "1"})
    other = replace(one, neutral="neutral")
    with pytest.raises(UsageError, match="name different labels neutral, 'joy' and 'neutral': give --neutral LABEL"):
        merge_cards([one, other])
    assert merge_cards([one, other], neutral="joy").known_bad == {"x": "cut"}
    with pytest.raises(UsageError, match=r"different things of checksums, .*: give one --card FILE\.yaml"):
        merge_cards([one, replace(one, checksums={"t.csv": "2"})])
    with pytest.raises(UsageError, match="not have the same labels in the same order"):
        merge_cards([one, replace(one, labels=LABELS[::-1])])
    assert merge_cards([one, replace(one, synthetic=True)]).synthetic


def test_one_media_root_leaves_paths_alone(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    first = save(tmp_path / "a.parquet", of("a", media="x/1.mp4"), root=clips, dataset="a")
    second = save(tmp_path / "b.parquet", of("b", media="y/2.mp4"), root=clips, dataset="b")
    third = save(tmp_path / "c.parquet", of("c"), root=tmp_path / "nothing", dataset="c")
    manifest, summary = merge_manifests([first, second, third])
    assert manifest.media_root == clips
    assert manifest.frame["media"].to_list() == ["x/1.mp4", "y/2.mp4", None]
    assert summary.count("media-paths-changed") == 0


def test_media_roots_that_differ_are_told_since_features_hang_on_paths(tmp_path: Path) -> None:
    first = save(tmp_path / "a.parquet", of("a", media="1.mp4"), root=tmp_path / "clips" / "a", dataset="a")
    second = save(
        tmp_path / "b.parquet", of("b", media="1.mp4"), of("b", 1), root=tmp_path / "clips" / "b", dataset="b"
    )
    manifest, summary = merge_manifests([first, second])
    assert manifest.media_root == tmp_path / "clips"
    assert manifest.frame["media"].to_list() == ["a/1.mp4", "b/1.mp4", None]
    assert summary.count("media-paths-changed") == 2
    assert merge_manifests([first, second], media_root=tmp_path)[0].frame["media"][0] == "clips/a/1.mp4"
    with pytest.raises(
        UsageError, match=r"--media-root .* does not hold .*clips/a: give a folder that all clips lie in"
    ):
        merge_manifests([first, second], media_root=tmp_path / "clips" / "b")
    far = save(tmp_path / "c.parquet", of("c", media="1.mp4"), root=Path("/elsewhere"), dataset="c")
    with pytest.raises(UsageError, match="which have no folder in common: link or move them into one"):
        merge_manifests([first, far])


def test_dev_is_cut_from_the_whole(tmp_path: Path) -> None:
    first = save(tmp_path / "a.parquet", *(of("a", number) for number in range(5)), dataset="a")
    second = save(tmp_path / "b.parquet", *(of("b", number) for number in range(5)), dataset="b")
    manifest, _ = merge_manifests([first, second], dev=0.2)
    assert manifest.frame.group_by("split").len().sort("split").rows() == [("dev", 2), ("train", 8)]
