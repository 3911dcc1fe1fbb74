"""EmoryNLP's original JSON: ids as the CSV edition's, found where clones of the repositories have the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from features.errors import ManifestError
from pipeline.ingest.emorynlp import ingest_emorynlp

HEADER = "Utterance,Speaker,Emotion,Scene_ID,Utterance_ID,Season,Episode,Start_Time,End_Time\n"


def spoken(number: int, **values: Any) -> dict[str, Any]:
    return {
        "utterance_id": f"s01_e15_c02_u{number:03d}",
        "speakers": ["Ann"],
        "transcript": f"words {number}",
        "tokens": [["words"]],
        "emotion": "Mad",
    } | values


def write(root: Path, name: str, *utterances: dict[str, Any]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    scene = {"scene_id": "s01_e15_c02", "utterances": list(utterances)}
    episode = {"episode_id": "s01_e15", "scenes": [scene]}
    path = root / f"emotion-detection-{name}.json"
    path.write_text(json.dumps({"season_id": name, "episodes": [episode]}))
    return path


def write_csv(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + "words 2,['Ann'],Mad,2,2,1,15,00:00:03.795,00:00:05.004\n", encoding="utf-8")
    return path


def test_both_editions_give_an_utterance_the_same_id(tmp_path: Path) -> None:
    write(tmp_path / "original" / "json", "dev", spoken(1), spoken(2, speakers=["Ann", "Bo"], emotion="Joyful"))
    write_csv(tmp_path / "meld" / "data" / "emorynlp" / "emorynlp_dev_final.csv")
    original, told = ingest_emorynlp([tmp_path / "original"])
    csv, _ = ingest_emorynlp([tmp_path / "meld"])
    assert original.ids == ["emorynlp/dev/s01e15_scene2_utt1", "emorynlp/dev/s01e15_scene2_utt2"]
    assert csv.ids == original.ids[1:]
    second = original.utterances(1, 2)[0]
    assert (second.dialogue_id, second.turn, second.group) == ("emorynlp/dev/s01e15_scene2", 2, "s01e15")
    assert (second.speaker, second.text, second.label) == ("Ann and Bo", "words 2", "joyful")
    assert told.count("several-speakers") == 1
    assert told.differences == ("dev has 2 utterances, published 1,344 (1,342 fewer)",)


@pytest.mark.parametrize("place", ["", "json", "emotion-detection/json"])
def test_the_original_is_found_from_its_clone_on(tmp_path: Path, place: str) -> None:
    for name in ("trn", "dev", "tst"):
        write(tmp_path / place, name, spoken(1))
    manifest, _ = ingest_emorynlp([tmp_path])
    assert manifest.frame["split"].to_list() == ["train", "dev", "test"]


@pytest.mark.parametrize("place", ["", "data/emorynlp", "emorynlp", "MELD/data/emorynlp"])
def test_the_tables_are_found_from_the_clone_of_meld_on(tmp_path: Path, place: str) -> None:
    write_csv(tmp_path / place / "emorynlp_test_final.csv")
    assert ingest_emorynlp([tmp_path])[0].frame["split"].to_list() == ["test"]


def test_editions_are_not_mixed(tmp_path: Path) -> None:
    json_file = write(tmp_path, "trn", spoken(1))
    table = write_csv(tmp_path / "emorynlp_dev_final.csv")
    for given in ([tmp_path], [json_file, table]):
        with pytest.raises(
            ManifestError, match="come from two editions, which have different utterances: give the files of one"
        ):
            ingest_emorynlp(given)
    assert len(ingest_emorynlp([json_file])[0]) == 1
    write(tmp_path, "dev", spoken(1))
    with pytest.raises(ManifestError, match="two files for split 'dev'"):
        ingest_emorynlp([tmp_path])


def test_problems_are_told_by_their_place(tmp_path: Path) -> None:
    path = write(tmp_path, "tst", spoken(1, utterance_id="s1"), spoken(2, speakers="Ann"), {"utterance_id": 3})
    with pytest.raises(ManifestError) as caught:
        ingest_emorynlp([path])
    place = "emotion-detection-tst.json: episodes[0].scenes[0].utterances"
    assert caught.value.problems == (
        f"{place}[0].utterance_id 's1' is not like s01_e15_c01_u001",
        f"{place}[1].speakers is not a list of texts but 'Ann'",
        f"{place}[2].utterance_id is not text but 3",
        f"{place}[2] has no 'speakers'",
        f"{place}[2] has no 'transcript'",
        f"{place}[2] has no 'emotion'",
    )
    write(tmp_path, "tst", spoken(1), spoken(1))
    with pytest.raises(ManifestError, match="'emorynlp/test/s01e15_scene2_utt1' occurs more than once"):
        ingest_emorynlp([path])
