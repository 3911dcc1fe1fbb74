"""`ingest_emorynlp`: the real dev table, scenes keyed by episode, several speakers."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.errors import ManifestError
from pipeline.ingest.emorynlp import ingest_emorynlp

HEADER = "Utterance,Speaker,Emotion,Scene_ID,Utterance_ID,Season,Episode,Start_Time,End_Time\n"


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.mark.shared_data
def test_the_real_dev_table(shared_data: Path) -> None:
    for given in (shared_data, shared_data / "emorynlp_dev_final.csv"):
        manifest, summary = ingest_emorynlp([given])
        assert {name: (split.utterances, split.dialogues) for name, split in summary.splits.items()} == {
            "dev": (954, 89)
        }
        assert summary.differences == ()
        assert {item.name: item.count for item in summary.findings if item.count} == {"several-speakers": 4}
    first = manifest.utterances(0, 1)[0]
    assert first.utterance_id == "emorynlp/dev/s01e15_scene1_utt1"
    assert (first.dialogue_id, first.turn) == ("emorynlp/dev/s01e15_scene1", 1)
    assert (first.text, first.speaker, first.label, first.group) == ("Coffee.", "Rachel Green", "neutral", "s01e15")
    assert first.duration == pytest.approx(1.209)
    assert set(manifest.frame["label"]) == set(manifest.card.labels)
    assert manifest.frame["group"].n_unique() == 11


def test_a_scene_belongs_to_its_episode(tmp_path: Path) -> None:
    for split in ("dev", "train"):
        write(
            tmp_path / f"emorynlp_{split}_final.csv",
            f"{split} 1,['Ann'],Mad,1,2,1,15,00:00:03.795,00:00:05.004",
            f"{split} 2,\"['Ann', 'Bo']\",Joyful,1,2,2,15,00:00:03.795,00:00:02.004",
            f"{split} 3,Bo,Sad,2,1,1,15,x,00:00:02.004",
        )
    (tmp_path / "emorynlp_dev_final_old.csv").write_text("not one of them")
    manifest, summary = ingest_emorynlp([tmp_path])
    assert manifest.frame["split"].unique(maintain_order=True).to_list() == ["train", "dev"]
    assert manifest.frame["dialogue_id"].to_list()[:3] == [
        "emorynlp/train/s01e15_scene1",
        "emorynlp/train/s02e15_scene1",
        "emorynlp/train/s01e15_scene2",
    ]
    assert manifest.frame["speaker"].to_list()[:3] == ["Ann", "Ann and Bo", "Bo"]
    assert manifest.frame["note"].to_list()[:3] == [
        None,
        "annotated end 00:00:02.004 is before start 00:00:03.795",
        "annotated time 'x' cannot be read",
    ]
    assert (summary.count("unusable-times"), summary.count("several-speakers"), summary.count("other-tables")) == (
        4,
        2,
        2,
    )
    assert summary.differences[0] == "train has 3 utterances, published 7,551 (7,548 fewer)"


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"holds no emorynlp_train_final\.csv"):
        ingest_emorynlp([tmp_path])
    other = write(tmp_path / "mine.csv")
    with pytest.raises(ManifestError, match=r"mine\.csv is not named like emorynlp_train_final\.csv"):
        ingest_emorynlp([other])
    one = write(tmp_path / "a" / "emorynlp_dev_final.csv", "x,['A'],Mad,1,2,1,15,0:00:03.795,0:00:05.004")
    two = write(tmp_path / "b" / "emorynlp_dev_final.csv")
    with pytest.raises(ManifestError, match="two files for split 'dev': "):
        ingest_emorynlp([one, two])
    assert len(ingest_emorynlp([one, one.parent])[0]) == 1
    with pytest.raises(ManifestError, match="cannot be read: No such file"):
        ingest_emorynlp([tmp_path / "emorynlp_test_final.csv"])
    write(one, "x,['A'],Mad,one,2,1,15,x,y", "x,['A'],Mad,1,2,,15,x,y")
    with pytest.raises(ManifestError, match=r"csv:2: Season '1', .*Scene_ID 'one'.*csv:3: Season '', ") as caught:
        ingest_emorynlp([one])
    assert len(caught.value.problems) == 2
