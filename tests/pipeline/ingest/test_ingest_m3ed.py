"""`ingest_m3ed`, on a stand-in of the repository's layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from features.errors import ManifestError
from pipeline.ingest.m3ed import ingest_m3ed


def spoken(text: str, speaker: str = "A", main: str = "Neutral", several: str | None = None) -> dict[str, Any]:
    emotions = {"EmoAnnotator1": main, "final_mul_emo": several or main, "final_main_emo": main}
    times = {"StartTime": "00:00:00:01", "EndTime": "00:00:01:03"}
    return {**times, "Text": text, "Speaker": speaker, "EmoAnnotation": emotions}


def dialogue(**utterances: dict[str, Any]) -> dict[str, Any]:
    speakers = {
        "A": {"Name": "母亲", "Age": "mid", "OtherName": []},
        "B": {"Name": "Bo", "Age": "mid", "OtherName": []},
    }
    return {"SpeakerInfo": speakers, "Dialog": utterances}


def clone(root: Path, annotation: dict[str, Any], **lists: str) -> Path:
    (root / "splitInfo").mkdir(parents=True, exist_ok=True)
    for name, series in ({"train": "anjia", "val": "beida", "test": "chuntian"} | lists).items():
        (root / "splitInfo" / f"movie_list_{name}.txt").write_text(series)
    (root / "annotation.json").write_text(json.dumps(annotation, ensure_ascii=False), encoding="utf-8")
    return root


def test_a_clone(tmp_path: Path) -> None:
    anjia = {
        "anjia_1": dialogue(anjia_1_10=spoken("b", "B"), anjia_1_2=spoken("a", main="Happy", several="Happy,Fear"))
    }
    root = clone(tmp_path, {"anjia": anjia, "beida": {"beida_7": dialogue(beida_7_1=spoken("c"))}})
    manifest, summary = ingest_m3ed(root)
    assert manifest.ids == ["m3ed/train/anjia_1_2", "m3ed/train/anjia_1_10", "m3ed/dev/beida_7_1"]
    first, second, third = manifest.utterances()
    assert (first.dialogue_id, first.turn, first.group) == ("m3ed/train/anjia_1", 2, "anjia")
    assert (first.text, first.label, first.media, first.duration) == ("a", "happy", None, None)
    # Who is called `mother` in two series is not one person.
    assert (first.speaker, second.speaker, third.speaker) == ("anjia/母亲", "anjia/Bo", "beida/母亲")
    assert (summary.count("several-emotions"), summary.count("no-clip-folder")) == (1, 1)


def test_who_has_no_name_is_one_person_of_a_dialogue(tmp_path: Path) -> None:
    unnamed = dialogue(anjia_1_1=spoken("a"), anjia_1_2=spoken("b", "B"))
    unnamed["SpeakerInfo"]["A"]["Name"] = None
    manifest, _ = ingest_m3ed(clone(tmp_path, {"anjia": {"anjia_1": unnamed}}))
    assert manifest.frame["speaker"].to_list() == ["anjia/anjia_1/A", "anjia/Bo"]


@pytest.mark.parametrize("place", ["", "modality_speech"])
def test_its_sound(tmp_path: Path, place: str) -> None:
    root = clone(tmp_path / "r", {"anjia": {"anjia_1": dialogue(anjia_1_1=spoken("a", "B"), anjia_1_2=spoken("b"))}})
    clips = tmp_path / "audio" / place
    clips.mkdir(parents=True)
    for name in ("B_anjia_1_1.wav", "._A_anjia_1_2.wav"):
        (clips / name).touch()
    manifest, summary = ingest_m3ed(root, tmp_path / "audio")
    path = f"{place}/".lstrip("/")
    assert manifest.frame["media"].to_list() == [f"{path}B_anjia_1_1.wav", None]
    assert manifest.frame["note"].to_list() == [None, f"no file {path}A_anjia_1_2.wav"]
    assert (manifest.media_root, summary.count("missing-clips")) == (tmp_path / "audio", 1)


def test_what_macos_leaves_is_no_sound(tmp_path: Path) -> None:
    root = clone(tmp_path / "r", {"anjia": {"anjia_1": dialogue(anjia_1_1=spoken("a"))}})
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "._A_anjia_1_1.wav").touch()
    manifest, summary = ingest_m3ed(root, tmp_path / "audio")
    assert (manifest.frame["note"].to_list(), manifest.media_root, summary.count("no-clip-folder")) == ([None], None, 1)


def test_all_problems_are_told_with_their_place(tmp_path: Path) -> None:
    odd = {"anjia_1": dialogue(anjia_1_1=spoken("a", "C"), anjia_b=spoken("b"), anjia_1_3=spoken("c", main="Hapy"))}
    odd["anjia_1"]["Dialog"]["anjia_1_4"] = {"Text": "d", "Speaker": "A"}
    with pytest.raises(ManifestError) as caught:
        ingest_m3ed(clone(tmp_path, {"anjia": odd, "anija": {}}))
    place = "annotation.json: anjia.anjia_1.Dialog"
    assert [problem.replace(place, "...") for problem in caught.value.problems] == [
        "....anjia_1_1.Speaker: no 'C' in SpeakerInfo, which has A, B",
        "....anjia_b: its key does not end in _NUMBER, which is its turn",
        "....anjia_1_3.EmoAnnotation.final_main_emo 'Hapy' is unknown: did you mean 'happy'? known: anger, disgust,"
        " fear, happy, neutral, sad, surprise",
        "....anjia_1_4 has no 'EmoAnnotation'",
        "annotation.json: anija is in no list of splitInfo/: did you mean 'anjia'? known: anjia, beida, chuntian",
    ]


def test_a_series_lies_in_one_split(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"movie_list_val\.txt: line 2: 'anjia' is in train, too"):
        ingest_m3ed(clone(tmp_path, {}, val="beida\nanjia\n"))
    (tmp_path / "splitInfo" / "movie_list_train.txt").unlink()
    with pytest.raises(ManifestError, match=r"movie_list_train\.txt: cannot be read: No such file"):
        ingest_m3ed(tmp_path)
    with pytest.raises(ManifestError, match=r"holds no annotation\.json: give a clone of https://"):
        ingest_m3ed(tmp_path / "splitInfo")
