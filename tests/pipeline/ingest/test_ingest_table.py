"""`ingest_table`: any table by a mapping of columns, with ids and turns built where there are none."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import pytest

from features.errors import ManifestError, UsageError
from pipeline.ingest.table import ingest_table

CSV = """utterance,who,mood,conversation,part
"Hi, you",Ann,joy,1,train
,Bo,,1,train
Again,Ann,anger,2,train
Late,Bo,joy,1,train
Hi,Ann,joy,1,dev
"""
MAPPING = {"text": "utterance", "speaker": "who", "label": "mood", "dialogue": "conversation", "split": "part"}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "talk.csv"
    path.write_text(CSV)
    return path


def test_ids_and_turns_are_built(table: Path) -> None:
    manifest, summary = ingest_table(table, MAPPING)
    assert manifest.frame.select("utterance_id", "text", "speaker", "label").rows() == [
        ("talk/train/1_utt0", "Hi, you", "Ann", "joy"),
        ("talk/train/1_utt1", "", "Bo", None),
        ("talk/train/1_utt2", "Late", "Bo", "joy"),
        ("talk/train/2_utt0", "Again", "Ann", "anger"),
        ("talk/dev/1_utt0", "Hi", "Ann", "joy"),
    ]
    assert (manifest.card.dataset, manifest.card.labels, manifest.card.neutral) == ("talk", ("anger", "joy"), None)
    assert (manifest.path, manifest.media_root) == (None, None)
    assert {name: split.utterances for name, split in summary.splits.items()} == {"train": 4, "dev": 1}
    assert {item.name: item.examples for item in summary.findings if item.count} == {
        "dialogues-in-several-splits": ("1",),
        "scattered-dialogues": ("1",),
    }


def test_the_order_of_labels_is_the_users(table: Path) -> None:
    manifest, _ = ingest_table(table, MAPPING, dataset="mine", labels=["joy", "neutral", "anger"])
    assert (manifest.card.labels, manifest.card.neutral) == (("joy", "neutral", "anger"), "neutral")
    assert manifest.ids[0] == "mine/train/1_utt0"
    with pytest.raises(
        ManifestError, match=r"talk\.csv: 1 problem: row 3, label: 'anger' is not on the dataset card"
    ) as caught:
        ingest_table(table, MAPPING, labels=["joy"])
    assert len(caught.value.problems) == 1


def test_a_manifests_own_columns_need_no_mapping(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    rows = [
        {"utterance_id": f"u{turn}", "dialogue_id": "d", "turn": turn, "text": f"t{turn}", "media": "a.mp4", "more": 1}
        for turn in (4, 2)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "films").mkdir()
    manifest, summary = ingest_table(path, split="all", media_root=tmp_path / "films")
    assert manifest.ids == ["u2", "u4"]
    assert set(manifest.frame["speaker"]) == {""}
    assert manifest.media_root == tmp_path / "films"
    assert {item.name: item.count for item in summary.findings} == {
        "repaired-text": 0,
        "cp1252-lines": 0,
        "unused-columns": 1,
        "no-speakers": 2,
        "missing-clips": 1,
    }
    (tmp_path / "films" / "a.mp4").write_bytes(b"")
    assert ingest_table(path, split="all", media_root=tmp_path / "films")[1].count("missing-clips") == 0


def test_behind_a_link_the_clips_are_beside_the_table_itself(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    table = tmp_path / "data" / "x.jsonl"
    table.write_text(json.dumps({"utterance_id": "u", "text": "t", "media": "a.mp4", "split": "all"}) + "\n")
    (tmp_path / "data" / "a.mp4").write_bytes(b"")
    (tmp_path / "link.jsonl").symlink_to(table)
    manifest, summary = ingest_table(tmp_path / "link.jsonl")
    assert manifest.media_root == tmp_path / "data"
    assert summary.count("missing-clips") == 0


def test_rows_without_dialogues_are_their_own(tmp_path: Path) -> None:
    path = tmp_path / "flat.tsv"
    path.write_bytes(b"text\tspeaker\nit\x92s\tA\nb\xc2\x92s\tB\n")
    manifest, summary = ingest_table(path, split="train")
    assert manifest.ids == ["flat/train/row1_utt0", "flat/train/row2_utt0"]
    assert manifest.frame["text"].to_list() == ["it’s", "b’s"]
    assert {name: summary.count(name) for name in ("no-dialogues", "cp1252-lines", "repaired-text")} == {
        "no-dialogues": 2,
        "cp1252-lines": 1,
        "repaired-text": 1,
    }


def test_whole_dialogue_ids_are_taken_as_they_are(table: Path) -> None:
    with pytest.raises(ManifestError, match="dialogue '1' lies in 'train' and in 'dev'"):
        ingest_table(table, _without("dialogue"))
    manifest, _ = ingest_table(table, _without("dialogue", "split"), split="all")
    assert manifest.ids == ["1_utt0", "1_utt1", "1_utt2", "1_utt3", "2_utt0"]


def _without(*names: str) -> dict[str, str]:
    return {name: column for name, column in MAPPING.items() if name not in names} | {"dialogue_id": "conversation"}


def test_the_given_dataset_and_split_hold_over_columns_of_that_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,speaker,split,dataset\nx,A,old,old\n")
    assert ingest_table(path)[0].ids == ["old/old/row1_utt0"]
    manifest, summary = ingest_table(path, dataset="new", split="test")
    assert manifest.ids == ["new/test/row1_utt0"]
    assert summary.count("unused-columns") == 2


def test_a_shipped_card_is_taken_by_name(table: Path) -> None:
    manifest, summary = ingest_table(table, MAPPING, dataset="meld")
    assert manifest.card.labels[0] == "anger"
    assert summary.differences[0] == "train has 4 utterances, published 9,989 (9,985 fewer)"


def test_every_problem_of_a_mapping_is_told_at_once(table: Path) -> None:
    with pytest.raises(UsageError, match=r"^no manifest column 'txt': did you mean 'text'") as caught:
        ingest_table(table, {"txt": "utterance", "speaker": "whom", "split": "part"}, split="train")
    for part in (
        "talk.csv has no column 'whom': did you mean 'who'? known: conversation, mood, part, utterance, who",
        "split is given twice, as --split train and as --map split=part",
        "no column for the text: give --map text=COLUMN; talk.csv has utterance, who, mood, conversation, part",
    ):
        assert part in str(caught.value)
    with pytest.raises(UsageError, match="no column for the split: give --split NAME or --map split=COLUMN"):
        ingest_table(table, {"text": "utterance"})
    with pytest.raises(UsageError, match=r"map dialogue_id .* or dialogue .*, not both"):
        ingest_table(table, MAPPING | {"dialogue_id": "conversation"})


def test_files_that_are_no_table(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a table ends in one of \.csv, \.tsv, .*\.jsonl, .*, not '\.xls'"):
        ingest_table(tmp_path / "a.xls")
    with pytest.raises(ManifestError, match=r"a\.csv: cannot be read: No such file"):
        ingest_table(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(ManifestError, match=r"a\.csv: cannot be read: "):
        ingest_table(tmp_path / "a.csv")
    (tmp_path / "a.jsonl").write_text("{]\n")
    with pytest.raises(ManifestError, match=r"a\.jsonl: cannot be read: "):
        ingest_table(tmp_path / "a.jsonl")
    (tmp_path / "b.csv").write_text("text,speaker,turn,media\nx,A,one,../x.mp4\n")
    with pytest.raises(
        ManifestError, match=r"b\.csv: 2 problems: row 1, turn: 'one' is not a whole number; row 1, media: "
    ):
        ingest_table(tmp_path / "b.csv", split="train")


def test_cuts_that_end_after_their_clip_are_told(tmp_path: Path) -> None:
    """Once for each utterance, with a note; a clip that does not open is left to extraction."""
    with wave.open(str(tmp_path / "minute.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(60 * 16000))
    (tmp_path / "broken.wav").write_bytes(b"none")
    path = tmp_path / "talk.csv"
    path.write_text(
        "text,media,start,end,note\n"
        "a,minute.wav,1,2,\n"
        "b,minute.wav,57.1,75,loud\n"
        "c,minute.wav,57.1,60.4,\n"
        "d,broken.wav,57.1,75,\n"
        "e,minute.wav,,,\n"
        "f,minute.wav,70,75,\n"
    )
    manifest, summary = ingest_table(path, split="all")
    expected = [
        None,
        "loud; ends at 75.00 s, its clip at 60.00 s",
        None,
        None,
        None,
        "ends at 75.00 s, its clip at 60.00 s",
    ]
    assert manifest.frame["note"].to_list() == expected
    assert summary.count("cuts-outside-clips") == 2
    manifest, summary = ingest_table(path, split="all", probe=False)
    assert manifest.frame["note"].to_list() == [None, "loud", None, None, None, None]
    assert "cuts-outside-clips" not in {item.name for item in summary.findings}
