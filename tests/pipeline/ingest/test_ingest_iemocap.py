"""`ingest_iemocap` on a tiny folder of the corpus' public layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from features.errors import ManifestError, UsageError
from features.manifest import Manifest, read_manifest, write_manifest
from pipeline.ingest.iemocap import ingest_iemocap

# name, start, end, code
LINES = [
    ("F000", 6.2901, 8.2357, "neu"),
    ("M000", 7.5712, 10.4750, "xxx"),  # begins before F000 ends
    ("F001", 10.0100, 11.3925, "exc"),
    ("M001", 11.5000, 12.5000, "fru"),
    ("F002", 13.0000, 14.0000, "hap"),
    ("M002", 15.0000, 16.0000, "ang"),
    ("F003", 17.0000, 18.0000, "sad"),
    ("M003", 19.0000, 19.0000, "sur"),
]


def make_corpus(root: Path, sessions: tuple[int, ...] = (1, 2, 3, 4, 5), avi: bool = True, wav: bool = True) -> Path:
    for session in sessions:
        for scene in ("F_impro01", "M_script01_2"):
            dialogue = f"Ses{session:02d}{scene}"
            base = root / f"Session{session}"
            evaluation = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
            spoken = []
            for name, start, end, code in reversed(LINES):  # files are not always in the order of time
                evaluation += [
                    f"[{start:.4f} - {end:.4f}]\t{dialogue}_{name}\t{code}\t[2.5000, 2.5000, 2.5000]",
                    "C-E2:\tNeutral;\t()",
                    "A-E3:\tval 3; act 2; dom  2;\t()",
                    "",
                ]
                spoken.append(f"{dialogue}_{name} [{start:08.4f}-{end:08.4f}]: {name} says: hello [LAUGHTER].")
            spoken += [f"{dialogue}_FXX0 [020.0000-021.0000]: [BREATHING]", "M: Where is it?"]
            for folder, lines in (("EmoEvaluation", evaluation), ("transcriptions", spoken)):
                path = base / "dialog" / folder / f"{dialogue}.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("\n".join(lines) + "\n")
                (path.parent / f"._{dialogue}.txt").write_bytes(b"\x00\x05\x16\x07\n[1 - 2]\txx\n")
            if avi:
                path = base / "dialog" / "avi" / "DivX" / f"{dialogue}.avi"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"")
            for name, *_ in LINES if wav else ():
                path = base / "sentences" / "wav" / dialogue / f"{dialogue}_{name}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("iemocap"))


def first_dialogue(manifest: Manifest, name: str) -> list[Any]:
    return manifest.frame.filter(manifest.frame["dialogue_id"] == "iemocap/session1/Ses01F_impro01")[name].to_list()


def test_a_dialogue_in_the_order_of_time_with_its_context(corpus: Path) -> None:
    manifest, summary = ingest_iemocap(corpus, labels=6)
    assert first_dialogue(manifest, "utterance_id") == [f"iemocap/session1/Ses01F_impro01_{name}" for name, *_ in LINES]
    assert first_dialogue(manifest, "turn") == list(range(8))
    assert first_dialogue(manifest, "speaker") == ["Ses01_F", "Ses01_M"] * 4
    assert first_dialogue(manifest, "text")[0] == "F000 says: hello [LAUGHTER]."
    six = ["neutral", None, "excited", "frustrated", "happy", "angry", "sad", None]
    assert first_dialogue(manifest, "label") == six
    assert first_dialogue(manifest, "note")[1] == "annotated xxx: context only"
    assert first_dialogue(manifest, "duration")[0] == pytest.approx(1.9456)
    assert set(first_dialogue(manifest, "group")) == {"session1"}
    assert manifest.card.labels == ("angry", "excited", "frustrated", "happy", "neutral", "sad")
    assert {item.name: item.count for item in summary.findings if item.count} == {
        "context-only": 20,
        "unusable-times": 10,
    }
    assert summary.differences == ("all has 80 utterances, published 10,039 (9,959 fewer)",)


def test_four_labels_count_excited_as_happy_and_leave_frustrated_out(corpus: Path) -> None:
    manifest, summary = ingest_iemocap(corpus, labels=4)
    assert first_dialogue(manifest, "label") == ["neutral", None, "happy", None, "happy", "angry", "sad", None]
    assert manifest.card.labels == ("angry", "happy", "neutral", "sad")
    assert len(manifest) == 80
    assert {item.name: item.examples for item in summary.findings}["context-only"] == ("fru 10", "sur 10", "xxx 10")


def test_a_film_is_cut_and_a_sentence_is_not(corpus: Path) -> None:
    avi, summary = ingest_iemocap(corpus)
    assert set(first_dialogue(avi, "media")[:7]) == {"Session1/dialog/avi/DivX/Ses01F_impro01.avi"}
    assert (first_dialogue(avi, "start")[0], first_dialogue(avi, "end")[0]) == (6.2901, 8.2357)
    # nothing to cut out: no media, and the note says why
    assert (first_dialogue(avi, "media")[7], first_dialogue(avi, "start")[7], first_dialogue(avi, "duration")[7]) == (
        None,
        None,
        None,
    )
    assert "annotated end 19 s is not after start 19 s" in first_dialogue(avi, "note")[7]
    assert summary.count("unusable-times") == 10
    wav, _ = ingest_iemocap(corpus, media="wav")
    assert first_dialogue(wav, "media")[0] == "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    assert set(first_dialogue(wav, "start")) == {None}
    assert set(first_dialogue(wav, "media")) & {None} == set()
    none, _ = ingest_iemocap(corpus, media="none")
    assert set(first_dialogue(none, "media")) == {None}
    assert none.media_root is None


def test_auto_media_takes_what_is_there_and_counts_what_is_not(tmp_path: Path) -> None:
    root = make_corpus(tmp_path / "sound", (4, 5), avi=False)
    (root / "Session4/sentences/wav/Ses04F_impro01/Ses04F_impro01_M001.wav").unlink()
    manifest, summary = ingest_iemocap(root)
    assert summary.count("missing-clips") == 1
    row = manifest.utterances()[manifest.positions["iemocap/session4/Ses04F_impro01_M001"]]
    assert (row.media, row.note) == (None, "no file Session4/sentences/wav/Ses04F_impro01/Ses04F_impro01_M001.wav")
    text, _ = ingest_iemocap(make_corpus(tmp_path / "text", (4, 5), avi=False, wav=False))
    assert text.media_root is None


def test_ids_and_digests_do_not_depend_on_the_fold_or_the_labels(corpus: Path) -> None:
    one, _ = ingest_iemocap(corpus, 6, test_session=5)
    other, _ = ingest_iemocap(corpus, 4, test_session=1, dev="random-dialogues")
    assert one.ids == other.ids
    for depends in ("text", "dialogue", "media"):
        assert one.source_digests(depends) == other.source_digests(depends)
    assert one.frame["split"].to_list() != other.frame["split"].to_list()


def test_splits(corpus: Path) -> None:
    manifest, _ = ingest_iemocap(corpus, test_session=5, dev="session4")
    pairs = set(manifest.frame.select("group", "split").iter_rows())
    assert pairs == {
        (f"session{n}", split) for n, split in enumerate(["train", "train", "train", "dev", "test"], start=1)
    }
    drawn = [ingest_iemocap(corpus, test_session=2, dev="random-dialogues", seed=seed)[0] for seed in (0, 0, 1, 2, 3)]
    dev = [tuple(m.frame.filter(m.frame["split"] == "dev")["dialogue_id"].unique(maintain_order=True)) for m in drawn]
    assert dev[0] == dev[1]
    assert len(set(dev)) > 1
    assert {len(dialogues) for dialogues in dev} == {1}  # a tenth of eight, at least one
    assert all(set(m.frame.filter(m.frame["split"] == "test")["group"]) == {"session2"} for m in drawn)
    assert (
        drawn[0].card.notes[-1]
        == "This manifest: 6 labels, test is session 2, dev is random-dialogues, drawn with seed 0."
    )


def test_it_survives_parquet_with_its_card(corpus: Path, tmp_path: Path) -> None:
    manifest, _ = ingest_iemocap(corpus, labels=4)
    again = read_manifest(write_manifest(manifest, tmp_path / "m.parquet"))
    assert again.frame.equals(manifest.frame)
    assert again.card == manifest.card
    assert again.media_path(first_dialogue(again, "media")[0]).is_file()


def test_odd_lines_are_counted(tmp_path: Path) -> None:
    root = make_corpus(tmp_path, (4, 5))
    evaluation = root / "Session4/dialog/EmoEvaluation/Ses04F_impro01.txt"
    evaluation.write_text(
        evaluation.read_text() + "[1.0 - 2.0]\tnobody\tneu\n[1.0.0 - 2.0]\tSes04F_impro01_F009\tneu\n"
    )
    transcript = root / "Session4/dialog/transcriptions/Ses04F_impro01.txt"
    lines = transcript.read_bytes().split(b"\n")
    lines[0] = lines[0].replace(b"says:", b"it\x92s")
    transcript.write_bytes(b"\n".join(line for line in lines if b"F001" not in line))
    manifest, summary = ingest_iemocap(root)
    assert {name: summary.count(name) for name in ("unreadable-lines", "no-text", "cp1252-lines")} == {
        "unreadable-lines": 2,
        "no-text": 1,
        "cp1252-lines": 1,
    }
    texts = dict(zip(manifest.ids, manifest.frame["text"], strict=True))
    assert texts["iemocap/session4/Ses04F_impro01_F001"] == ""
    assert texts["iemocap/session4/Ses04F_impro01_M003"] == "M003 it’s hello [LAUGHTER]."


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"labels": 5}, r"labels \(5\) must be 4 or 6"),
        ({"test_session": 6}, r"test session \(6\) must be 1 to 5"),
        ({"dev": "session5"}, r"dev \(session5\) is the test session"),
        ({"dev": "sesion4"}, r"dev \('sesion4'\) must be session1 to session5 or random-dialogues"),
    ],
)
def test_choices_that_do_not_fit(choices: dict[str, Any], message: str, corpus: Path) -> None:
    with pytest.raises(UsageError, match=message):
        ingest_iemocap(corpus, **choices)


def test_folders_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="holds no SessionN/dialog/EmoEvaluation: give the folder"):
        ingest_iemocap(tmp_path)
    make_corpus(tmp_path, (1, 2))
    with pytest.raises(ManifestError, match="has no Session5, which --test-session names: it has sessions 1, 2"):
        ingest_iemocap(tmp_path)
    with pytest.raises(ManifestError, match="has no Session4, which --dev names"):
        ingest_iemocap(tmp_path, test_session=1)
    assert len(ingest_iemocap(tmp_path, test_session=1, dev="random-dialogues")[0]) == 32


def test_turns_that_end_after_their_film_are_told(tmp_path: Path) -> None:
    root = make_corpus(tmp_path, sessions=(1, 4, 5))
    film = root / "Session1" / "dialog" / "avi" / "DivX" / "Ses01F_impro01.avi"
    with av.open(str(film), "w") as container:
        track = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000 * 15), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(track.encode(frame))
    manifest, summary = ingest_iemocap(root)
    assert summary.count("cuts-outside-clips") == 2  # M002 and F003; M003 has no cut
    notes = first_dialogue(manifest, "note")
    assert notes[5:7] == ["ends at 16.00 s, its clip at 15.00 s", "ends at 18.00 s, its clip at 15.00 s"]
    assert notes[4] is None
