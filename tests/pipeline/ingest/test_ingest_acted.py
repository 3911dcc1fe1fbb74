"""RAVDESS, CREMA-D and ESD, on stand-ins named as their files are."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from features.cards import load_card
from features.errors import ManifestError
from pipeline.ingest.acted import CREMA_D, ESD, RAVDESS, ingest_crema_d, ingest_esd, ingest_ravdess
from pipeline.ingest.speaker_splits import SplitChoice


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(path.name, encoding="utf-8")


@pytest.fixture
def ravdess(tmp_path: Path) -> Path:
    """The speech of all 24 actors as sound, as the archive unpacks: 60 files an actor."""
    for actor, emotion, intensity, statement, take in product(range(1, 25), range(1, 9), (1, 2), (1, 2), (1, 2)):
        if not (emotion == 1 and intensity == 2):
            touch(
                tmp_path
                / f"Actor_{actor:02d}"
                / f"03-01-{emotion:02d}-{intensity:02d}-{statement:02d}-{take:02d}-{actor:02d}.wav"
            )
    return tmp_path


def test_ravdess_whole(ravdess: Path) -> None:
    manifest, summary = ingest_ravdess(ravdess)
    assert (len(manifest), summary.differences) == (1440, ())
    assert manifest.frame["label"].value_counts().sort("label").rows() == [
        ("angry", 192), ("calm", 192), ("disgust", 192), ("fearful", 192),
        ("happy", 192), ("neutral", 96), ("sad", 192), ("surprised", 192),
    ]  # fmt: skip
    row = manifest.utterances()[manifest.positions["ravdess/03-01-06-01-02-01-12"]]
    assert (row.label, row.speaker, row.group, row.text) == ("fearful", "12", "12", "Dogs are sitting by the door.")
    assert row.media == "Actor_12/03-01-06-01-02-01-12.wav"
    actors: dict[str, set[str]] = {}
    for speaker, split in manifest.frame.select("speaker", "split").iter_rows():
        actors.setdefault(split, set()).add(speaker)
    assert {split: len(names) for split, names in actors.items()} == {"train": 17, "dev": 2, "test": 5}
    assert len(set().union(*actors.values())) == 24


def test_ravdess_of_one_kind(tmp_path: Path) -> None:
    for name in (
        "01-01-03-01-01-01-01.mp4",
        "02-01-03-01-01-01-01.mp4",
        "03-01-03-01-01-01-01.wav",
        "03-02-03-01-01-01-01.wav",
    ):
        touch(tmp_path / name)
    every = SplitChoice(all_in="test")
    assert ingest_ravdess(tmp_path, choice=every)[0].ids == ["ravdess/03-01-03-01-01-01-01"]
    manifest, summary = ingest_ravdess(tmp_path, "audio-video", choice=every)
    assert manifest.frame["media"].to_list() == ["01-01-03-01-01-01-01.mp4"]
    assert (summary.count("other-modality"), summary.differences) == (3, ())
    assert len(ingest_ravdess(tmp_path, vocal=["speech", "song"], choice=every)[0]) == 2
    with pytest.raises(ManifestError, match=r"no file is left of 4, which have modality=01 \(1\), .* vocal=02 \(1\)"):
        ingest_ravdess(tmp_path, "audio-video", ["song"], every)


def test_a_copy_within_the_copy(ravdess: Path) -> None:
    """A copy of RAVDESS that circulates holds every actor once more, in a folder of its own."""
    twin = ravdess / "audio_speech_actors_01-24" / "Actor_01" / "03-01-06-01-02-01-01.wav"
    touch(twin)
    manifest, summary = ingest_ravdess(ravdess)
    assert (len(manifest), summary.count("repeated-files")) == (1440, 1)


def test_crema_d(tmp_path: Path) -> None:
    for kind, ending in (("AudioWAV", "wav"), ("AudioMP3", "mp3"), ("VideoFlash", "flv")):
        for name in ("1001_DFA_ANG_XX", "1002_IEO_HAP_LO", "1076_MTI_SAD_XX", "1064_TIE_SAD_XX"):
            touch(tmp_path / kind / f"{name}.{ending}")
    touch(tmp_path / "AudioWAV" / "1001_DFA_ANG.wav")
    named = SplitChoice(test_speakers=("1064",), dev_speakers=("1076",))
    manifest, summary = ingest_crema_d(tmp_path, choice=named)
    first = manifest.utterances(0, 1)[0]
    assert (first.utterance_id, first.label, first.text) == (
        "crema-d/1001_DFA_ANG_XX",
        "anger",
        "Don't forget a jacket.",
    )
    assert (first.media, first.split, first.speaker) == ("AudioWAV/1001_DFA_ANG_XX.wav", "train", "1001")
    assert manifest.frame["split"].to_list() == ["train", "train", "test", "dev"]
    assert (summary.count("unmatched"), summary.count("known-bad"), summary.count("other-media")) == (1, 1, 8)
    assert manifest.card.headline == "unweighted_average_recall"
    films, told = ingest_crema_d(tmp_path, "flv", named)
    assert set(films.frame["media"].str.slice(0, 10)) == {"VideoFlash"}
    assert (films.ids, told.count("known-bad")) == (manifest.ids, 2)
    assert set(films.card.known_bad) > set(manifest.card.known_bad)


def esd(root: Path, folders: bool, speakers: tuple[str, ...] = ("0010", "0011", "0012", "0013")) -> Path:
    for speaker in speakers:
        for number, split in enumerate(("evaluation", "test", "train")):
            touch(root / speaker / "Angry" / (split if folders else "") / f"{speaker}_00035{number}.wav")
        lines = "".join(f"{speaker}_00035{number}\tText {number}, {speaker}.\tAngry\n" for number in range(3))
        (root / speaker / f"{speaker}.txt").write_text("\ufeff" + lines + "\nodd\n", encoding="utf-8")
    return root


def test_esd_with_its_own_splits(tmp_path: Path) -> None:
    manifest, summary = ingest_esd(esd(tmp_path / "ESD", folders=True), "english")
    assert manifest.ids[:3] == [
        "esd/dev/0011/Angry/0011_000350",
        "esd/test/0011/Angry/0011_000351",
        "esd/train/0011/Angry/0011_000352",
    ]
    assert manifest.frame["text"].to_list()[:2] == ["Text 0, 0011.", "Text 1, 0011."]
    assert set(manifest.frame["label"]) == {"angry"}
    assert (len(manifest), summary.count("other-speaker"), summary.count("speakers-in-several-splits")) == (9, 3, 3)


@pytest.mark.parametrize("folders", [True, False])
def test_esd_by_speaker(tmp_path: Path, folders: bool) -> None:
    root = esd(tmp_path, folders)
    manifest, summary = ingest_esd(root, choice=SplitChoice(test_speakers=("0013",), dev=0))
    assert dict(manifest.frame.select("speaker", "split").iter_rows()) == {
        "0010": "train", "0011": "train", "0012": "train", "0013": "test",
    }  # fmt: skip
    assert (len(manifest), summary.count("speakers-in-several-splits"), summary.count("no-text")) == (12, 0, 0)
    assert (ingest_esd(root)[1].count("chosen-splits") == 0) is folders


def test_texts_in_another_encoding_are_not_guessed(tmp_path: Path) -> None:
    root = esd(tmp_path, folders=True)
    (root / "0010" / "0010.txt").write_bytes("0010_000350\t打远一看\t生气\n".encode("gb18030"))
    manifest, summary = ingest_esd(root)
    assert (summary.count("texts-not-utf8"), summary.count("no-text")) == (1, 3)
    assert set(manifest.frame.filter(manifest.frame["speaker"] == "0010")["text"]) == {""}


def test_what_codes_mean_is_what_cards_list() -> None:
    for name, names in (("ravdess", RAVDESS), ("crema-d", CREMA_D), ("esd", ESD)):
        assert sorted(names.values["emotion"].values()) == sorted(load_card(name).labels)
