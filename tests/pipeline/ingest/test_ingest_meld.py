"""`ingest_meld`: MELD's layouts, its known oddities, and what is said of them."""

from __future__ import annotations

import shlex
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from meld_factory import line, write_clip, write_table

from features.errors import ManifestError, UsageError
from features.manifest import read_manifest, write_manifest
from pipeline.ingest.meld import ingest_meld
from pipeline.ingest.probe import probe_clips

FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}


def column(manifest: Any, name: str) -> dict[str, Any]:
    return dict(zip(manifest.ids, manifest.frame[name].to_list(), strict=True))


@pytest.mark.shared_data
def test_the_real_tables(shared_data: Path) -> None:
    manifest, summary = ingest_meld(shared_data / "meld", ["train", "dev"])
    assert len(manifest) == 11_098
    assert {name: (split.utterances, split.dialogues) for name, split in summary.splits.items()} == {
        "train": (9989, 1038),
        "dev": (1109, 114),
    }
    assert summary.differences == ()
    assert {item.name for item in summary.findings if item.count} == {"known-bad", "no-clip-folder"}
    first = manifest.utterances(0, 1)[0]
    assert first.utterance_id == "meld/train/dia0_utt0"
    assert first.dialogue_id == "meld/train/dia0"
    assert first.text == "also I was the point person on my company’s transition from the KL-5 to GR-6 system."
    assert (first.speaker, first.label, first.sentiment, first.group) == ("Chandler", "neutral", "neutral", "s08e21")
    assert first.duration == pytest.approx(5.672)
    assert (first.media, first.note, manifest.media_root) == (None, None, None)
    durations = manifest.select_splits(["train"]).frame["duration"]
    # ERC.md's figures, measured on the same tables by other code
    assert durations.null_count() == 0
    assert (durations.min(), durations.max()) == (pytest.approx(0.006, abs=1e-3), pytest.approx(41.0, abs=0.05))
    assert durations.median() == pytest.approx(2.46, abs=0.01)
    assert durations.mean() == pytest.approx(3.14, abs=0.01)
    assert column(manifest, "note")["meld/train/dia125_utt3"].startswith("known-bad clip: the file is corrupt")


@pytest.mark.shared_data
def test_tables_of_before_november_2020_give_the_same_text(shared_data: Path, tmp_path: Path) -> None:
    """The older edition held cp1252 bytes as C1 characters: damaging today's tables the same way must be undone."""
    new, _ = ingest_meld(shared_data / "meld", ["dev"])
    text = (shared_data / "meld" / "dev_sent_emo.csv").read_text(encoding="utf-8")
    for target, encoding in ((tmp_path / "c1", "utf-8"), (tmp_path / "bytes", "latin-1")):
        target.mkdir()
        damaged = text.encode("cp1252").decode("latin-1")
        (target / "dev_sent_emo.csv").write_bytes(damaged.encode(encoding))
        old, summary = ingest_meld(target)
        assert old.frame.equals(new.frame)
        assert summary.count("other-tables") == 1
        counts = (summary.count("repaired-text"), summary.count("cp1252-lines"))
        assert counts == ((308, 0) if encoding == "utf-8" else (0, 308))  # 308 is ERC.md's count for dev


@pytest.mark.parametrize(
    ("table", "folder"),
    [
        ("train_sent_emo.csv", "train_splits"),
        ("train_sent_emo.csv", "train/train_splits"),
        ("train/train_sent_emo.csv", "train/train_splits"),
        ("MELD.Raw/train_sent_emo.csv", "MELD.Raw/train_splits"),
        ("MELD.Raw/train/train_sent_emo.csv", "MELD.Raw/train/train_splits"),
        ("MELD-RAW/MELD.Raw/train/train_sent_emo.csv", "MELD-RAW/MELD.Raw/train/train_splits"),
        ("data/MELD/train_sent_emo.csv", "MELD.Raw/train/train_splits"),
    ],
)
def test_the_places_where_melds_parts_lie(table: str, folder: str, tmp_path: Path) -> None:
    write_table(tmp_path / table, [line(3, 4)])
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "dia3_utt4.mp4").write_bytes(b"")
    manifest, _ = ingest_meld(tmp_path, probe=False)
    assert column(manifest, "media") == {"meld/train/dia3_utt4": f"{folder}/dia3_utt4.mp4"}
    assert manifest.media_root is not None
    assert manifest.media_path(f"{folder}/dia3_utt4.mp4").is_file()


def test_the_same_key_in_every_split_stays_three_utterances(tmp_path: Path) -> None:
    for split, folder in FOLDERS.items():
        write_table(tmp_path / f"{split}_sent_emo.csv", [line(7, 1, Utterance=split)])
        (tmp_path / split / folder).mkdir(parents=True)
        (tmp_path / split / folder / "dia7_utt1.mp4").write_bytes(b"")
    manifest, summary = ingest_meld(tmp_path, probe=False)
    assert column(manifest, "text") == {f"meld/{split}/dia7_utt1": split for split in FOLDERS}
    assert column(manifest, "media") == {f"meld/{s}/dia7_utt1": f"{s}/{f}/dia7_utt1.mp4" for s, f in FOLDERS.items()}
    assert summary.differences == (
        "train has 1 utterances, published 9,989 (9,988 fewer)",
        "dev has 1 utterances, published 1,109 (1,108 fewer)",
        "test has 1 utterances, published 2,610 (2,609 fewer)",
    )


def test_everything_odd_in_a_clip_folder_is_counted_and_stops_nothing(tmp_path: Path) -> None:
    clips = tmp_path / "test" / "output_repeated_splits_test"
    write_table(
        tmp_path / "test_sent_emo.csv",
        [
            line(0, 0),
            line(0, 1, EndTime="00:16:19,559"),
            line(0, 2),
            line(0, 3),
            line(38, 4, StartTime="0:00:01,000", EndTime="0:00:02,000"),
            line(38, 5, StartTime="x"),
            line(38, 6, EndTime="00:16:15,000"),
        ],
    )
    for name in ("dia0_utt0", "dia0_utt1", "dia38_utt4", "dia38_utt5", "dia38_utt6", "dia9_utt9"):
        write_clip(clips / f"{name}.mp4", 1.0)
    (clips / "dia0_utt3.mp4").write_bytes(b"not a film")
    for name in ("._dia0_utt0.mp4", "final_videos_testdia0_utt0.mp4", "final_videos_testdia1_utt1.mp4", "notes.txt"):
        (clips / name).write_bytes(b"")
    manifest, summary = ingest_meld(tmp_path)
    media, notes, durations = column(manifest, "media"), column(manifest, "note"), column(manifest, "duration")
    prefix = "test/output_repeated_splits_test/"
    assert media["meld/test/dia0_utt0"] == f"{prefix}dia0_utt0.mp4"
    assert notes["meld/test/dia0_utt0"] is None
    assert notes["meld/test/dia0_utt1"] == "clip lasts 1.00 s, annotated 3.50 s"
    assert media["meld/test/dia0_utt2"] is None
    assert notes["meld/test/dia0_utt2"] == f"no clip dia0_utt2.mp4 in {prefix[:-1]}"
    assert media["meld/test/dia0_utt3"] == f"{prefix}dia0_utt3.mp4"
    assert notes["meld/test/dia0_utt3"].startswith("clip cannot be opened: undecodable: ")
    assert notes["meld/test/dia38_utt4"] == "known-bad clip: wrongly cut, about 5 minutes long (issue 20)"
    assert media["meld/test/dia38_utt4"] == f"{prefix}dia38_utt4.mp4"  # extraction masks it, by the card
    assert (durations["meld/test/dia38_utt5"], notes["meld/test/dia38_utt5"]) == (
        None,
        "annotated time 'x' cannot be read",
    )
    assert durations["meld/test/dia38_utt6"] is None
    assert notes["meld/test/dia38_utt6"] == "annotated end 00:16:15,000 is before start 00:16:16,059"
    assert {item.name: (item.count, item.examples) for item in summary.findings if item.count} == {
        "unusable-times": (2, ("meld/test/dia38_utt5", "meld/test/dia38_utt6")),
        "known-bad": (1, ("meld/test/dia38_utt4",)),
        "missing-clips": (1, ("meld/test/dia0_utt2",)),
        "clips-without-rows": (1, ("test/dia9_utt9.mp4",)),
        "apple-double": (1, ("test/._dia0_utt0.mp4",)),
        "other-tables": (1, ("test_sent_emo.csv",)),
        "final-videos": (2, ("test/final_videos_testdia0_utt0.mp4", "test/final_videos_testdia1_utt1.mp4")),
        "other-files": (1, ("test/notes.txt",)),
        "durations-differ": (1, ("meld/test/dia0_utt1",)),
        "unreadable-clips": (1, ("meld/test/dia0_utt3",)),
    }
    unprobed, less = ingest_meld(tmp_path, probe=False)
    assert column(unprobed, "note")["meld/test/dia0_utt1"] is None
    assert less.count("durations-differ") == 0
    assert unprobed.source_digests("media") == manifest.source_digests("media")


@pytest.mark.shared_data
def test_the_length_of_real_clips(shared_data: Path) -> None:
    """One has a data stream without a codec, the other no sound."""
    names = ("dia1_utt0.mp4", "noise_no_audio.mp4", "absent.mp4")
    real, silent, absent = probe_clips([shared_data / "clips" / name for name in names])
    assert real == pytest.approx(2.46, abs=0.05)
    assert isinstance(silent, float)
    assert isinstance(absent, str)
    assert absent.startswith("FileNotFoundError: ")


def test_a_clip_folder_that_is_not_there_leaves_no_note(tmp_path: Path) -> None:
    write_table(tmp_path / "train_sent_emo.csv", [line()])
    manifest, summary = ingest_meld(tmp_path)
    assert (column(manifest, "media"), column(manifest, "note")) == (
        {"meld/train/dia0_utt0": None},
        {"meld/train/dia0_utt0": None},
    )
    assert manifest.media_root is None
    assert summary.count("no-clip-folder") == 1
    assert summary.count("missing-clips") == 0


def test_clips_elsewhere(tmp_path: Path) -> None:
    write_table(tmp_path / "tables" / "train_sent_emo.csv", [line()])
    write_clip(tmp_path / "films" / "train" / "train_splits" / "dia0_utt0.mp4")
    manifest, _ = ingest_meld(tmp_path / "tables", media_root=tmp_path / "films")
    path = write_manifest(manifest, tmp_path / "out" / "m.parquet")
    again = read_manifest(path)
    assert (
        again.media_path(again.frame["media"][0]).resolve()
        == (tmp_path / "films/train/train_splits/dia0_utt0.mp4").resolve()
    )
    with pytest.raises(ManifestError, match=r"no clip folder of train under .*nowhere: looked for train_splits"):
        ingest_meld(tmp_path / "tables", media_root=tmp_path / "nowhere")


def test_a_generated_corpus_is_known_by_its_marker(tmp_path: Path) -> None:
    write_table(tmp_path / "train_sent_emo.csv", [line()])
    (tmp_path / "SYNTHETIC.md").write_text("made")
    manifest, summary = ingest_meld(tmp_path)
    assert manifest.ids == ["sample/train/dia0_utt0"]
    assert manifest.frame["dataset"].to_list() == ["sample"]
    assert manifest.card.synthetic
    assert summary.synthetic
    assert "SYNTHETIC" in summary.lines()[0]
    with pytest.raises(UsageError, match="a generated corpus cannot be ingested as 'meld'; use `sample`"):
        ingest_meld(tmp_path, dataset="meld")
    (tmp_path / "SYNTHETIC.md").unlink()
    assert ingest_meld(tmp_path, dataset="sample")[0].ids == ["sample/train/dia0_utt0"]
    with pytest.raises(ManifestError, match="no dataset card 'mled' in data_manifests/: did you mean 'meld'"):
        ingest_meld(tmp_path, dataset="mled")


def test_what_cannot_be_read_is_one_line_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no folder .*nowhere: give the folder that MELD was unpacked into"):
        ingest_meld(tmp_path / "nowhere")
    with pytest.raises(
        ManifestError, match=r"holds none of train_sent_emo\.csv, dev_sent_emo\.csv, test_sent_emo\.csv"
    ):
        ingest_meld(tmp_path)
    table = write_table(tmp_path / "train_sent_emo.csv", [line()])
    with pytest.raises(
        ManifestError, match=r"no dev_sent_emo\.csv in .*get it from https://github\.com/declare-lab/MELD"
    ):
        ingest_meld(tmp_path, ["train", "dev"])
    with pytest.raises(UsageError, match="no split 'tets' in MELD: did you mean 'test'"):
        ingest_meld(tmp_path, ["tets"])
    table.write_bytes(table.read_bytes().replace(b"Emotion", b"emotion"))
    with pytest.raises(ManifestError, match="no column 'Emotion': did you mean 'emotion'"):
        ingest_meld(tmp_path)
    table.write_bytes(b"")
    with pytest.raises(ManifestError, match=r"no column .*: the file is empty"):
        ingest_meld(tmp_path)
    write_table(table, [line(), line(Dialogue_ID="a"), line(1, 1, Utterance_ID="")])
    with pytest.raises(
        ManifestError, match=r"train_sent_emo\.csv:3: Dialogue_ID 'a' .*; train_sent_emo\.csv:4: "
    ) as caught:
        ingest_meld(tmp_path)
    assert len(caught.value.problems) == 2
    write_table(table, [line(), line(), line(1, 0, Emotion="joyful")])
    with pytest.raises(
        ManifestError, match=r"'meld/train/dia0_utt0' occurs more than once; .*label: 'joyful' is not on the"
    ):
        ingest_meld(tmp_path)
    table.write_bytes(b"".join(write_table(table, [line()]).read_bytes().splitlines(keepends=True)[:1]) + b"1,a,b\r\n")
    with pytest.raises(ManifestError, match="line 2 has 3 fields, not 11"):
        ingest_meld(tmp_path)


@pytest.mark.parametrize("place", ["", "train", "MELD.Raw", "MELD.Raw/train", "data/MELD", "MELD-RAW/MELD.Raw"])
def test_clips_that_are_still_packed_are_told_with_what_unpacks_them(tmp_path: Path, place: str) -> None:
    root = tmp_path / "my data"
    write_table(root / place / "train_sent_emo.csv", [line()])
    write_table(root / "dev_sent_emo.csv", [line()])
    clips = root / "packing" / "train_splits"
    write_clip(clips / "dia0_utt0.mp4")
    archive = root / place / "train.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(clips, "train_splits")
    _, summary = ingest_meld(root)
    (told,) = [item for item in summary.findings if item.name == "still-packed"]
    assert told.examples == (f"tar -xzf '{archive}' -C '{archive.parent}'",)
    assert "unpack them, and ingest again" in told.meaning
    subprocess.run(shlex.split(told.examples[0]), check=True)
    manifest, summary = ingest_meld(root)
    assert (summary.count("still-packed"), manifest.frame["media"].null_count()) == (0, 1)


def test_what_is_not_found_may_be_packed(tmp_path: Path) -> None:
    (tmp_path / "MELD.Raw.tar.gz").touch()
    mend = f"; still packed there: tar -xzf {tmp_path}/MELD.Raw.tar.gz -C {tmp_path}"
    with pytest.raises(ManifestError) as caught:
        ingest_meld(tmp_path)
    assert str(caught.value).endswith(f"give the folder that MELD was unpacked into{mend}")
    with pytest.raises(ManifestError) as caught:
        ingest_meld(tmp_path, ["test"])
    assert str(caught.value).endswith(mend)
    write_table(tmp_path / "tables" / "train_sent_emo.csv", [line()])
    (tmp_path / "train.tar.gz").touch()
    with pytest.raises(ManifestError) as caught:
        ingest_meld(tmp_path / "tables", media_root=tmp_path)
    assert str(caught.value).endswith(f"; still packed there: tar -xzf {tmp_path}/train.tar.gz -C {tmp_path}")
