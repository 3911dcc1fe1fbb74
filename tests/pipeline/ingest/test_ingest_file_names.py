"""`ingest_files`: codes, columns, splits and ids of files whose names tell everything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from features.cards import DatasetCard
from features.errors import ManifestError, UsageError
from pipeline.ingest.file_names import FileNames, ingest_files
from pipeline.ingest.speaker_splits import SplitChoice
from pipeline.ingest.summary import IngestSummary

CARD = DatasetCard("mine")
ALL_TRAIN = SplitChoice(all_in="train")


def touch(root: Path, *paths: str) -> Path:
    for number, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"{number}")
    return root


def told(summary: IngestSummary) -> dict[str, tuple[str, ...]]:
    return {item.name: item.examples for item in summary.findings if item.count}


def test_codes_fill_columns(tmp_path: Path) -> None:
    touch(tmp_path, "x/ann-1-p-a.wav", "y/bo-2-q-b.WAV", "bo-3-q-c.mp3", "notes.txt")
    names = FileNames(
        "{speaker}-{emotion}-{sentence}-{take}",
        values={"emotion": {"1": "joy", "2": "", "3": "neutral"}, "sentence": {"p": "Well, well.", "q": "No."}},
        columns={"text": "sentence"},
    )
    manifest, summary = ingest_files(tmp_path, names, CARD, ALL_TRAIN)
    assert manifest.ids == ["mine/bo-3-q-c", "mine/ann-1-p-a", "mine/bo-2-q-b"]
    assert manifest.frame["dialogue_id"].to_list() == manifest.ids
    assert manifest.frame["label"].to_list() == ["neutral", "joy", None]
    assert manifest.frame["text"].to_list() == ["No.", "Well, well.", "No."]
    assert manifest.frame["speaker"].to_list() == manifest.frame["group"].to_list() == ["bo", "ann", "bo"]
    assert manifest.frame["media"].to_list() == ["bo-3-q-c.mp3", "x/ann-1-p-a.wav", "y/bo-2-q-b.WAV"]
    assert (manifest.card.labels, manifest.card.neutral) == (("joy", "neutral"), "neutral")
    assert manifest.media_root == tmp_path
    assert told(summary) == {"unused-fields": ("take",)}


def test_folders_tell_speaker_split_and_dialogue(tmp_path: Path) -> None:
    touch(tmp_path, "c/ann/val/d1_2.wav", "c/ann/val/d1_10.wav", "c/ann/train/d1_1.wav", "c/bo/test/d1_1.wav")
    manifest, summary = ingest_files(tmp_path, FileNames("{speaker}/{split}/{dialogue}_{turn}.wav"), CARD)
    assert manifest.ids == ["mine/train/ann/d1_1", "mine/dev/ann/d1_2", "mine/dev/ann/d1_10", "mine/test/bo/d1_1"]
    assert manifest.frame["dialogue_id"].to_list()[1:3] == ["mine/dev/d1", "mine/dev/d1"]
    assert manifest.frame["turn"].to_list() == [1, 2, 10, 1]
    assert set(manifest.frame["label"]) == {None}
    assert told(summary) | {"no-text": ()} == {
        "splits-renamed": ("val -> dev 2",),
        "speakers-in-several-splits": ("ann: dev, train",),
        "no-text": (),
    }


def test_dialogues_restart_in_every_group(tmp_path: Path) -> None:
    touch(tmp_path, "s1/d1_ann_b.wav", "s1/d1_bo_a.wav", "s2/d1_cy_a.wav")
    manifest, _ = ingest_files(tmp_path, FileNames("{group}/{dialogue}_{speaker}_{take}"), CARD, ALL_TRAIN)
    assert manifest.frame["dialogue_id"].to_list() == ["mine/s1/d1", "mine/s1/d1", "mine/s2/d1"]
    assert manifest.frame["turn"].to_list() == [0, 1, 0]
    assert manifest.frame["group"].to_list() == ["s1", "s1", "s2"]


def test_speakers_are_drawn_and_ids_do_not_depend_on_it(tmp_path: Path) -> None:
    touch(tmp_path, *(f"s{speaker}_{take}.wav" for speaker in range(10) for take in "ab"))
    names = FileNames("{speaker}_{take}")
    manifest, summary = ingest_files(tmp_path, names, CARD)
    by_speaker = manifest.frame.group_by("speaker").agg("split")
    assert all(len(set(splits)) == 1 for splits in by_speaker["split"])
    assert manifest.frame["split"].value_counts(sort=True)["count"].to_list() == [14, 4, 2]
    other, _ = ingest_files(tmp_path, names, CARD, SplitChoice(seed=1))
    assert sorted(other.ids) == sorted(manifest.ids)
    assert other.frame["split"].to_list() != manifest.frame["split"].to_list()
    test, dev = told(summary)["chosen-splits"]
    held = sorted(set(manifest.frame.filter(manifest.frame["split"] == "test")["speaker"]))
    assert (test, dev.startswith("dev: s")) == (f"test: {', '.join(held)}", True)
    assert test in manifest.card.notes[-1]
    assert "seed 0" in manifest.card.notes[-1]


def test_what_is_left_out_is_counted_and_named(tmp_path: Path) -> None:
    touch(tmp_path, "ann_1.wav", "ann_2.wav", "ann-3.wav", "._ann_4.wav", "b/ann_5.mp4", ".ann_6.wav")
    (tmp_path / "b" / "ann_1.wav").write_bytes((tmp_path / "ann_1.wav").read_bytes())
    (tmp_path / "ann_7.wav").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    card = DatasetCard("mine", known_bad={"mine/ann_7": "it is silent"})
    names = FileNames(
        "{speaker}_{emotion}.wav", keep={"emotion": ["1", "seven"]}, values={"emotion": {"7": "seven", "1": "one"}}
    )
    manifest, summary = ingest_files(tmp_path, names, card, ALL_TRAIN)
    assert manifest.ids == ["mine/ann_1", "mine/ann_7"]
    assert manifest.frame["note"].to_list() == [None, "known-bad clip: it is silent"]
    assert told(summary) == {
        "unmatched": ("ann-3.wav",),
        "other-emotion": ("ann_2.wav",),
        "other-media": (".ann_6.wav", "b/ann_5.mp4"),
        "apple-double": ("._ann_4.wav",),
        "repeated-files": ("b/ann_1.wav",),
        "not-fetched": ("ann_7.wav",),
        "no-text": ("mine/ann_1", "mine/ann_7"),
        "known-bad": ("mine/ann_7",),
    }


def test_links_are_followed_once_and_told(tmp_path: Path) -> None:
    elsewhere = touch(tmp_path / "elsewhere", "ann_1.wav")
    root = touch(tmp_path / "root", "bo_2.wav")
    (root / "linked").symlink_to(elsewhere)
    (root / "loop").symlink_to(root)
    (root / "cy_3.wav").symlink_to(elsewhere / "ann_1.wav")
    manifest, summary = ingest_files(root, FileNames("{speaker}_{take}"), CARD, ALL_TRAIN)
    assert manifest.frame["media"].to_list() == ["bo_2.wav", "cy_3.wav", "linked/ann_1.wav"]
    assert told(summary)["links-outside"] == ("cy_3.wav", "linked/ann_1.wav")


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX alone")
def test_names_that_no_manifest_can_hold(tmp_path: Path) -> None:
    touch(tmp_path, "ann_1.wav")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xf6_1.wav")).touch()
    manifest, summary = ingest_files(tmp_path, FileNames("{speaker}_{take}"), CARD, ALL_TRAIN)
    assert (len(manifest), told(summary)["names-not-utf8"]) == (1, ("'b\\udcf6_1.wav'",))


def test_all_codes_without_a_meaning_are_told_at_once(tmp_path: Path) -> None:
    touch(tmp_path, "a/x_1.wav", "a/x_2.wav", "a/y_2.wav", "b/x_1.wav")
    names = FileNames("{sentence}_{emotion}", values={"emotion": {"1": "joy"}, "sentence": {"x": "Oh."}})
    with pytest.raises(ManifestError) as caught:
        ingest_files(tmp_path, names, CARD, ALL_TRAIN)
    assert caught.value.problems == (
        "a/x_1.wav and b/x_1.wav differ, but are both x_1: name what parts them in --pattern",
        "emotion '2' (2 files, a/x_2.wav) means nothing, known: 1: add --values emotion:2=VALUE",
        "sentence 'y' (1 files, a/y_2.wav) means nothing, known: x: add --values sentence:y=VALUE",
    )
    parted = FileNames("{room}/{sentence}_{emotion}", values={"emotion": {"1": "joy", "2": "no"}})
    assert ingest_files(tmp_path, parted, CARD, ALL_TRAIN)[0].ids == [
        "mine/a/x_1", "mine/a/x_2", "mine/a/y_2", "mine/b/x_1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (FileNames("{a}-{b}"), ManifestError, r"none of 1 files is named like \{a\}-\{b\}: the first is ann_1\.wav"),
        (
            FileNames("{a}_{b}.mp4"),
            ManifestError,
            r"holds no files ending in \.mp4, though 1 others, like ann_1\.wav: ask for",
        ),
        (FileNames("{a}_{b}", keep={"b": ["2"]}), ManifestError, r"no file is left of 1, which have b=1 \(1\): choose"),
        (FileNames("{a}_{b}", keep={"c": ["2"]}), UsageError, r"--keep: no field 'c' in '\{a\}_\{b\}'"),
        (FileNames("{a}_{b}", values={"c": {}}), UsageError, "--values: no field 'c'"),
        (FileNames("{a}_{b}", columns={"label": "c"}), UsageError, "--map: no field 'c'"),
        (
            FileNames("{a}_{b}", columns={"lable": "a"}),
            UsageError,
            "no column 'lable' that a name can fill: did you mean",
        ),
        (FileNames("{dialogue}_{x}", columns={"turn": "dialogue"}), ManifestError, "turn 'ann' is not a whole number"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, names: FileNames, error: type[Exception], message: str) -> None:
    touch(tmp_path, "ann_1.wav")
    with pytest.raises(error, match=message):
        ingest_files(tmp_path, names, CARD, ALL_TRAIN)


def test_splits_are_told_once(tmp_path: Path) -> None:
    touch(tmp_path, "train/ann_1.wav")
    with pytest.raises(
        UsageError, match=r"\{split\}/\{speaker\}_\{b\} tells the split of every file: choose no speakers"
    ):
        ingest_files(tmp_path, FileNames("{split}/{speaker}_{b}"), CARD, SplitChoice(test_speakers=("ann",)))
    with pytest.raises(UsageError, match="--split train puts all rows in one split: choose no speakers and no shares"):
        ingest_files(tmp_path, FileNames("{speaker}_{b}"), CARD, SplitChoice(all_in="train", dev=0))


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no folder .*/none: give the folder"):
        ingest_files(tmp_path / "none", FileNames("{a}"), CARD)
    with pytest.raises(ManifestError, match=r"holds no media files$"):
        ingest_files(tmp_path, FileNames("{a}"), CARD)


def test_spellings_of_a_label_are_one(tmp_path: Path) -> None:
    touch(tmp_path, "Joy/a.wav", "joy/b.wav", "joy/c.wav", "NEUTRAL/d.wav")
    manifest, summary = ingest_files(tmp_path, FileNames("{label}/{take}"), CARD, ALL_TRAIN)
    assert sorted(manifest.frame["label"]) == ["NEUTRAL", "joy", "joy", "joy"]
    assert (manifest.card.labels, manifest.card.neutral) == (("NEUTRAL", "joy"), "NEUTRAL")
    assert any("Joy" in example for examples in told(summary).values() for example in examples)
    with pytest.raises(ManifestError, match="a score, no class"):
        ingest_files(touch(tmp_path / "scores", "0.5/a.wav"), FileNames("{label}/{take}"), CARD, ALL_TRAIN)
