"""`ingest_dailydialog`, on stand-ins of its layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.errors import ManifestError
from pipeline.ingest.dailydialog import ingest_dailydialog


def write(folder: Path, split: str, texts: str, emotions: str | None, named: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / (f"dialogues_{split}.txt" if named else "dialogues_text.txt")).write_text(texts, encoding="utf-8")
    if emotions is not None:
        (folder / (f"dialogues_emotion_{split}.txt" if named else "dialogues_emotion.txt")).write_text(emotions)
    (folder / "dialogues_act.txt").write_text("not read")
    return folder


def test_a_dialogue_a_line(tmp_path: Path) -> None:
    write(
        tmp_path / "train",
        "train",
        "Hi . __eou__ Ho ! __eou__ Hi ’ s __eou__\r\nOne__eou__Two__eou__\n",
        "0 4 6 \n1 2 \n",
    )
    write(tmp_path / "validation", "validation", "Hm . __eou__\n\n", "0\n")
    manifest, summary = ingest_dailydialog(tmp_path)
    assert manifest.ids == [
        "dailydialog/train/dia1_utt0",
        "dailydialog/train/dia1_utt1",
        "dailydialog/train/dia1_utt2",
        "dailydialog/train/dia2_utt0",
        "dailydialog/train/dia2_utt1",
        "dailydialog/dev/dia1_utt0",
    ]
    assert manifest.frame["text"].to_list() == ["Hi .", "Ho !", "Hi ’ s", "One", "Two", "Hm ."]
    assert manifest.frame["label"].to_list() == [
        "no emotion", "happiness", "surprise", "anger", "disgust", "no emotion",
    ]  # fmt: skip
    assert manifest.frame["speaker"].to_list() == ["A", "B", "A", "A", "B", "A"]
    assert manifest.frame["turn"].to_list() == [0, 1, 2, 0, 1, 0]
    assert (manifest.card.neutral, manifest.card.headline) == ("no emotion", "micro_f1_without_neutral")
    assert {item.name for item in summary.findings if item.count} == set()


@pytest.mark.parametrize(
    ("place", "split", "named"),
    [
        ("train", "train", True),
        ("train/train", "train", True),
        ("", "train", True),
        ("train", "train", False),
        ("ijcnlp_dailydialog/train", "train", True),
        ("dev", "dev", False),
        ("ijcnlp_dailydialog/validation/validation", "validation", True),
        ("valid", "valid", True),
    ],
)
def test_the_places_that_copies_have(tmp_path: Path, place: str, split: str, named: bool) -> None:
    write(tmp_path / place, split, "a __eou__", "3", named)
    manifest, _ = ingest_dailydialog(tmp_path)
    assert manifest.ids == [f"dailydialog/{'train' if split == 'train' else 'dev'}/dia1_utt0"]
    assert manifest.frame["label"].to_list() == ["fear"]


def test_labels_that_do_not_fit_are_nobodys(tmp_path: Path) -> None:
    write(tmp_path / "test", "test", "a __eou__ b __eou__\nc __eou__ d __eou__\n", "1 2 3\n4 5\n")
    manifest, summary = ingest_dailydialog(tmp_path)
    assert manifest.frame["label"].to_list() == [None, None, "happiness", "sadness"]
    assert manifest.frame["note"][0] == "dialogues_emotion_test.txt:1 has 3 labels for 2 utterances"
    assert manifest.frame["note"][2] is None
    (told,) = [item for item in summary.findings if item.name == "labels-do-not-fit"]
    assert told.examples == ("dialogues_emotion_test.txt:1",)


def test_dialogues_that_are_repeated_are_named(tmp_path: Path) -> None:
    write(tmp_path / "train", "train", "a __eou__ b __eou__\nc __eou__\nc  __eou__\n", "0 0\n0\n0\n")
    write(tmp_path / "test", "test", "a __eou__  b __eou__\na __eou__ b c __eou__\n", "0 0\n0 0\n")
    _, summary = ingest_dailydialog(tmp_path)
    told = {item.name: item.examples for item in summary.findings if item.count}
    assert told == {
        "repeated-across-splits": ("dailydialog/test/dia1 = dailydialog/train/dia1",),
        "repeated-within-splits": ("dailydialog/train/dia3 = dailydialog/train/dia2",),
    }


def test_what_is_still_packed(tmp_path: Path) -> None:
    root = tmp_path / "my corpus"
    write(root, "whole", "a __eou__", "0", named=False)
    with pytest.raises(
        ManifestError, match=r"test with .*, only the whole corpus without its splits: get it from http"
    ):
        ingest_dailydialog(root)
    with pytest.raises(ManifestError, match=r"no folder train, validation or test with dialogues_SPLIT\.txt: get it"):
        ingest_dailydialog(tmp_path)
    (root / "train.zip").touch()
    command = f"unzip '{root}/train.zip' -d '{root}'"
    with pytest.raises(ManifestError) as caught:
        ingest_dailydialog(root)
    assert str(caught.value).endswith(f"unpack it: {command}")
    write(root / "test", "test", "a __eou__", "0")
    _, summary = ingest_dailydialog(root)
    assert [item.examples for item in summary.findings if item.name == "still-packed"] == [(command,)]


def test_what_cannot_be_used_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "test", "test", "a __eou__\nb __eou__\nc __eou__", "7\n0\nx")
    with pytest.raises(ManifestError, match=r"emotion_test\.txt: line 1: '7': emotions are 0 to 6; line 3: 'x'"):
        ingest_dailydialog(tmp_path)
    write(folder, "test", "a __eou__\nb __eou__", "0")
    with pytest.raises(ManifestError, match=r"dialogues_test\.txt has 2 lines, dialogues_emotion_test\.txt 1: they do"):
        ingest_dailydialog(tmp_path)
    (folder / "dialogues_emotion_test.txt").unlink()
    with pytest.raises(ManifestError, match=r"dialogues_test\.txt has no labels: put dialogues_emotion_test\.txt"):
        ingest_dailydialog(tmp_path)
