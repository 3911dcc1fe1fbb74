"""Splits under any name, from files of any name, and a dev split where there is none; what a corpus is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.errors import ManifestError, UsageError
from features.manifest import Manifest
from pipeline.ingest.sources import Source, dataset_name, file_splits, is_generic, parse_source
from pipeline.ingest.table import ingest_table

HEADING = "text,label,dialogue,split,group\n"


def write(path: Path, *rows: str, heading: str = HEADING) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(heading + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def of_splits(folder: Path, *splits: str) -> Path:
    return write(folder / "talk.csv", *(f"t,joy,{number},{split}," for number, split in enumerate(splits)))


def splits_of(manifest: Manifest) -> list[str]:
    return manifest.frame["split"].to_list()


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("valid", "dev"), ("val", "dev"), ("Validation", "dev"), ("eval", "dev"), ("DEV", "dev"), ("devel", "dev"),
        ("training", "train"), ("Train", "train"), (" train ", "train"), ("train_set", "train"),
        ("testing", "test"), ("TEST", "test"), ("fold1", "fold1"),
    ],
)  # fmt: skip
def test_names_that_say_one_of_ours(theirs: str, ours: str, tmp_path: Path) -> None:
    manifest, summary = ingest_table(of_splits(tmp_path, theirs, theirs))
    assert splits_of(manifest) == [ours, ours]
    assert manifest.ids[0] == f"talk/{ours}/0_utt0"
    renamed = {item.name: item.examples for item in summary.findings}.get("splits-renamed")
    assert renamed == (None if theirs.strip() == ours else (f"{theirs.strip()} -> {ours} 2",))


def test_two_names_never_become_one_split_unsaid(tmp_path: Path) -> None:
    path = of_splits(tmp_path, "train", "valid", "eval")
    with pytest.raises(
        UsageError, match=r"splits 'valid' and 'eval' would both be 'dev': .* --split-map, as valid=dev"
    ):
        ingest_table(path)
    assert splits_of(ingest_table(path, split_map={"eval": "test"})[0]) == ["train", "dev", "test"]
    assert splits_of(ingest_table(path, split_map={"eval": "Testing"})[0]) == ["train", "dev", "test"]
    assert splits_of(ingest_table(path, split_map={"eval": "dev", "valid": "dev"})[0]) == ["train", "dev", "dev"]
    with pytest.raises(UsageError, match=r"--split-map held: no row has that split: .*known: eval, train, valid"):
        ingest_table(path, split_map={"held": "test"})
    assert splits_of(ingest_table(of_splits(tmp_path, "dev", "DEV", "train"))[0]) == ["dev", "dev", "train"]


def test_what_is_missing_is_hinted_at(tmp_path: Path) -> None:
    hints = ingest_table(of_splits(tmp_path, "train", "test"))[1].hints
    assert len(hints) == 1
    assert "--dev 0.1" in hints[0]
    assert "--cv 5" in hints[0]
    assert "no split is called train" in ingest_table(of_splits(tmp_path, "fold1"))[1].hints[0]
    assert ingest_table(of_splits(tmp_path, "train", "dev"))[1].hints == ()


def test_dev_is_whole_dialogues_and_the_same_for_a_seed(tmp_path: Path) -> None:
    rows = [f"t{turn},joy,{dialogue},train," for dialogue in range(20) for turn in range(3)]
    path = write(tmp_path / "talk.csv", *rows, "x,joy,1,test,")
    before, _ = ingest_table(path)
    manifest, summary = ingest_table(path, dev=0.2)
    by_split = {name: group for (name,), group in manifest.frame.group_by("split")}
    assert by_split["dev"]["dialogue_id"].n_unique() == 4
    assert by_split["train"]["dialogue_id"].n_unique() == 16
    assert not set(by_split["dev"]["dialogue_id"]) & set(by_split["train"]["dialogue_id"])
    assert len(by_split["test"]) == 1
    assert manifest.ids == before.ids  # so that what was extracted stays
    assert splits_of(ingest_table(path, dev=0.2)[0]) == splits_of(manifest)
    assert splits_of(ingest_table(path, dev=0.2, seed=1)[0]) != splits_of(manifest)
    shuffled = write(tmp_path / "again" / "talk.csv", *reversed(rows), "x,joy,1,test,")
    drawn = ingest_table(shuffled, dev=0.2)[0].frame.filter(split="dev")
    assert set(drawn["dialogue_id"]) == set(by_split["dev"]["dialogue_id"])
    assert "4 of 20 dialogues of train, drawn with seed 0" in manifest.card.notes[-1]
    assert summary.count("dev-cut") == 12


def test_dev_is_whole_groups_where_there_are_any(tmp_path: Path) -> None:
    rows = [f"t,joy,{dialogue},train,episode{dialogue % 4}" for dialogue in range(20)]
    manifest, _ = ingest_table(write(tmp_path / "talk.csv", *rows), dev=0.25)
    held = set(manifest.frame.filter(split="dev")["group"])
    assert len(held) == 1
    assert not held & set(manifest.frame.filter(split="train")["group"])
    alone = write(tmp_path / "alone.csv", "a,joy,1,train,x", "b,joy,2,train,x")
    with pytest.raises(UsageError, match=r"--dev: train has only one group, 'x': `--map group=` leaves groups out"):
        ingest_table(alone, dev=0.5)
    assert splits_of(ingest_table(alone, {"group": ""}, dev=0.5)[0]).count("dev") == 1
    mixed = write(tmp_path / "mixed.csv", "a,joy,1,train,x", "b,joy,1,train,y", "c,joy,2,train,x")
    with pytest.raises(ManifestError, match=r"--dev: dialogue 'mixed/train/1' has more than one `group`: give all"):
        ingest_table(mixed, dev=0.5)


def test_dev_that_cannot_be_cut(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--dev: there is a dev split already"):
        ingest_table(of_splits(tmp_path, "train", "val"), dev=0.1)
    with pytest.raises(UsageError, match="--dev cuts dev out of train, and no row is train: splits are test"):
        ingest_table(of_splits(tmp_path, "test"), dev=0.1)
    with pytest.raises(UsageError, match="--dev: train has only one dialogue, 'talk/train/0'"):
        ingest_table(of_splits(tmp_path, "train", "test"), dev=0.1)


def test_several_files_are_one_corpus_and_their_names_tell_the_splits(tmp_path: Path) -> None:
    heading = "text,label,dialogue\n"
    names = ("talk_train.csv", "talk_valid.csv", "talk-test.csv")
    files = [write(tmp_path / name, f"in {name},joy,1", heading=heading) for name in names]
    manifest, summary = ingest_table([Source(path) for path in files])
    told = {item.name: item.examples for item in summary.findings}["splits-of-files"]
    assert told == ("talk_train.csv: train", "talk_valid.csv: dev", "talk-test.csv: test")
    assert manifest.ids == ["talk/train/1_utt0", "talk/dev/1_utt0", "talk/test/1_utt0"]
    assert manifest.frame["text"].to_list() == [f"in {name}" for name in names]
    alone, _ = ingest_table([Source(files[0])])
    assert alone.ids == manifest.ids[:1]  # one by one or in one call: the same ids
    said, _ = ingest_table([Source(files[0], "test")], dataset="other")
    assert said.ids == ["other/test/1_utt0"]
    with pytest.raises(UsageError, match=r"talk_train\.csv: its split is given twice, as test=FILE and as --split dev"):
        ingest_table([Source(files[0], "test")], split="dev")
    plain = write(tmp_path / "some.csv", "a,joy,1", heading=heading)
    with pytest.raises(
        UsageError, match="no column for the split: give --split NAME or --map split=COLUMN, or name files"
    ):
        ingest_table([Source(plain)])


def test_rows_without_dialogues_have_the_same_ids_file_by_file(tmp_path: Path) -> None:
    files = [write(tmp_path / f"talk_{name}.csv", "a", "b", heading="text\n") for name in ("train", "dev")]
    together = ingest_table([Source(path) for path in files])[0].ids
    assert together == [one for path in files for one in ingest_table([Source(path)])[0].ids]
    assert together[2:] == ["talk/dev/row1_utt0", "talk/dev/row2_utt0"]
    both = ingest_table([Source(files[0], "train"), Source(files[1], "train")])[0].ids
    assert both == [f"talk/train/row{number}_utt0" for number in range(1, 5)]


def test_rows_of_several_files_are_named_by_their_file(tmp_path: Path) -> None:
    first = write(tmp_path / "talk_train.csv", "a,joy,1", heading="text,label,dialogue\n")
    second = write(tmp_path / "talk_dev.csv", "a,joy,1", "b,0.5,1", heading="text,label,dialogue\n")
    with pytest.raises(
        ManifestError, match=r"talk_train\.csv, talk_dev\.csv: column 'label': talk_dev\.csv row 2 '0\.5'"
    ):
        ingest_table([Source(first), Source(second)])
    lacking = write(tmp_path / "talk_test.csv", "a,1", heading="text,dialogue\n")
    manifest, summary = ingest_table([Source(first), Source(lacking)])
    assert manifest.frame["label"].to_list() == ["joy", None]
    assert {item.name: item.examples for item in summary.findings}["columns-lacking"] == ("talk_test.csv: label",)


def test_splits_of_files() -> None:
    def told(*paths: str) -> list[str | None]:
        return file_splits([Source(Path(path)) for path in paths])

    assert told("train.csv", "x/emorynlp_dev_final.csv", "TestSet.tsv", "my.valid.txt") == [
        "train",
        "dev",
        "test",
        "dev",
    ]
    assert told("contest.csv", "latest.csv", "train_test.csv", "trainer.csv") == [None] * 4
    assert told("/c/train/a.csv", "/c/validation/a.csv") == ["train", "dev"]
    assert told("/c/train/a.csv") == [None]  # one file alone: a folder's name is not enough
    assert told("/c/train/a.csv", "/c/train/b.csv") == [None, None]


def test_a_split_before_the_file(tmp_path: Path) -> None:
    assert parse_source("train=a/b=c.csv") == Source(Path("a/b=c.csv"), "train")
    assert parse_source("a/b=c.csv") == Source(Path("a/b=c.csv"))
    odd = write(tmp_path / "train=x.csv", "a,joy,1,dev,")
    assert parse_source(str(odd)) == Source(odd)


def test_a_corpus_is_not_called_as_any_other() -> None:
    def name(*paths: str, by_file: bool = True) -> str:
        return dataset_name([Source(Path(path)) for path in paths], by_file)[0]

    assert name("/x/friends/train.csv") == "friends"
    assert name("/x/friends/data.csv", by_file=False) == "friends"
    assert name("/x/friends/train.csv", "/x/friends/dev.csv") == "friends"
    assert name("/x/friends/train/data.csv", "/x/friends/dev/data.csv") == "friends"
    assert name("/x/data/meld_train.csv", "/x/data/meld_test_final.csv") == "meld"
    assert name("/x/data/meld_train.csv", by_file=False) == "meld_train"  # its split is no file name's
    for paths in (("/data/train.csv",), ("/home/labels.csv",), ("/x/data/train/a1.csv", "/y/raw/dev/b2.csv")):
        with pytest.raises(UsageError, match="give --dataset NAME"):
            name(*paths)
    assert is_generic("train_final-2")
    assert is_generic("data")
    assert not is_generic("data_meld")


def test_two_corpora_in_files_of_one_name_have_different_ids(tmp_path: Path) -> None:
    """They had the same ids, and in one store the rows of one undid those of the other."""
    heading = "text,label,dialogue\n"
    first, second = (write(tmp_path / name / "train.csv", "a,joy,1", heading=heading) for name in ("friends", "office"))
    ids = [ingest_table([Source(path)])[0].ids for path in (first, second)]
    assert ids == [["friends/train/1_utt0"], ["office/train/1_utt0"]]
    _, summary = ingest_table([Source(first)])
    assert summary.count("dataset-named") == 1
    with pytest.raises(UsageError, match=r"train\.csv: any corpus could be called so.*give --dataset NAME"):
        ingest_table([Source(write(tmp_path / "data" / "train.csv", "a,joy,1", heading=heading))])
