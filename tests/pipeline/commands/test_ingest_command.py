"""`erc ingest`: what it prints, writes and returns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from meld_factory import line, write_table

from features.manifest import read_manifest
from pipeline.cli import erc, run
from pipeline.commands.ingest import _COMMANDS


def erc_ingest(*arguments: str) -> int:
    return run(erc, ["ingest", *arguments], "erc")


@pytest.fixture
def meld(tmp_path: Path) -> Path:
    write_table(tmp_path / "meld" / "train_sent_emo.csv", [line(text) for text in range(3)])
    write_table(tmp_path / "meld" / "dev_sent_emo.csv", [line(Utterance="must\x92ve")])
    return tmp_path / "meld"


@pytest.mark.shared_data
def test_the_real_tables(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "M.parquet"
    assert erc_ingest("meld", str(shared_data / "meld"), "--splits", "train,dev", "--out", str(out)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"wrote {out}: 11,098 utterances"
    assert len(read_manifest(out)) == 11_098


def test_the_summary_explains_and_counts(meld: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert erc_ingest("meld", str(meld), "--out", str(tmp_path / "new folder" / "M.parquet")) == 0
    out = capsys.readouterr().out
    assert "train: 3 utterances in 3 dialogues; 3 with a label, 0 with a clip" in out
    assert "differs from the published count: train has 3 utterances, published 9,989 (9,986 fewer)" in out
    assert "repaired text: 1. Rows whose cp1252 bytes had become C1 characters: repaired. (dev_sent_emo.csv:2)" in out
    assert "other tables: 2. " in out
    assert "looked for, and not found: cp1252 lines, unusable times, known bad" in out


def test_json_is_one_document_with_the_same_facts(
    meld: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "M.parquet"
    assert erc_ingest("meld", str(meld), "--splits", "train", "--out", str(out), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["manifest"], told["dataset"], told["utterances"], told["dialogues"]) == (str(out), "meld", 3, 3)
    assert told["splits"]["train"] == {
        "utterances": 3,
        "dialogues": 3,
        "labelled": 3,
        "with_media": 0,
        "published": 9989,
    }
    assert {item["name"]: item["count"] for item in told["findings"]}["no-clip-folder"] == 1


def test_the_manifest_goes_where_the_other_commands_look(
    meld: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERC_MANIFEST", str(tmp_path / "here.csv"))
    assert erc_ingest("meld", str(meld)) == 0
    assert len(read_manifest(tmp_path / "here.csv")) == 4
    monkeypatch.delenv("ERC_MANIFEST")
    monkeypatch.chdir(tmp_path)
    assert erc_ingest("meld", str(meld)) == 0
    assert len(read_manifest(tmp_path / "data" / "manifest.parquet")) == 4


def test_a_table_by_its_mapping(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("utterance,who,mood\nhi,A,joy\nho,B,anger\n")
    arguments = ["--map", "text=utterance, speaker=who", "--map", "label=mood", "--split", "x", "--labels", "joy,anger"]
    assert erc_ingest("table", str(tmp_path / "t.csv"), *arguments, "--out", str(tmp_path / "T.parquet")) == 0
    assert read_manifest(tmp_path / "T.parquet").card.labels == ("joy", "anger")


def test_three_files_a_card_and_a_merge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "friends"
    folder.mkdir()
    for name in ("train", "valid", "test"):
        (folder / f"{name}.csv").write_text("utterance,mood,id\n" + "hi,NEU,1\nho,Joy,2\nha,joy,3\n")
    files = [str(folder / f"{name}.csv") for name in ("train", "valid", "test")]
    columns = ["--map", "text=utterance,label=mood,dialogue=id"]
    card, out = tmp_path / "friends.yaml", tmp_path / "F.parquet"
    assert erc_ingest("table", *files, *columns, "--neutral", "neu", "--write-card", str(card), "--out", str(out)) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "friends"
    assert [line.split() for line in told if line.startswith("  NEU")] == [["NEU", "1", "1", "1"]]
    assert told[-2:] == [f"wrote {card}: a card to fill in, for --card", f"wrote {out}: 9 utterances"]
    parts = [tmp_path / "A.parquet", tmp_path / "B.parquet"]
    assert erc_ingest("table", *files[:2], *columns, "--card", str(card), "--out", str(parts[0])) == 0
    assert erc_ingest("table", f"test={files[2]}", *columns, "--card", str(card), "--out", str(parts[1])) == 0
    assert erc_ingest("merge", *map(str, parts), "--out", str(tmp_path / "M.parquet"), "--json") == 0
    assert json.loads(capsys.readouterr().out.split("utterances\n")[-1])["utterances"] == 9
    whole, merged = read_manifest(out), read_manifest(tmp_path / "M.parquet")
    assert (merged.ids, merged.card) == (whole.ids, whole.card)
    assert (merged.card.neutral, merged.frame["label"].to_list()[:3]) == ("NEU", ["NEU", "Joy", "Joy"])


def test_a_card_that_the_file_cannot_carry_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("text,label\nhi,NEU\nho,joy\n")
    arguments = ["table", str(tmp_path / "t.csv"), "--split", "test", "--neutral", "NEU", "--out"]
    for name, told in (("T.csv", True), ("T.jsonl", True), ("T.parquet", False)):
        assert erc_ingest(*arguments, str(tmp_path / name)) == 0
        assert (f"{name} does not carry its dataset card" in capsys.readouterr().out) == told


def test_files_by_their_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "mine"
    for name in ("ann_W_1", "bo_N_1", "cy_W_2", "di_F_1"):
        (root / name[:2]).mkdir(parents=True, exist_ok=True)
        (root / name[:2] / f"{name}.wav").write_text(name)
    arguments = [
        "--pattern={who}_{emotion}_{take}",
        "--map=speaker=who,text=take",
        "--values=emotion:W=anger,N=neutral,F=",
        "--values=take:1=Well, well.",
        "--values=take:2=No.",
        "--keep=emotion=W,neutral",
        "--test-speakers=cy",
        "--dev=0",
        "--labels=neutral,anger",
    ]
    assert erc_ingest("files", str(root), *arguments, "--out", str(tmp_path / "F.parquet")) == 0
    manifest = read_manifest(tmp_path / "F.parquet")
    assert manifest.ids == ["mine/ann_W_1", "mine/bo_N_1", "mine/cy_W_2"]
    assert manifest.frame["text"].to_list() == ["Well, well.", "Well, well.", "No."]
    assert manifest.frame["split"].to_list() == ["train", "train", "test"]
    assert (manifest.card.labels, manifest.card.neutral) == (("neutral", "anger"), "neutral")
    out = capsys.readouterr().out
    assert "chosen splits: 2. Speakers, named or drawn with seed 0" in out
    assert "(test: cy, dev: none)" in out
    assert "other emotion: 1." in out


def test_a_preset_and_its_splits(tmp_path: Path) -> None:
    for actor in range(1, 6):
        (tmp_path / f"03-01-05-01-01-01-{actor:02d}.wav").write_text(str(actor))
    arguments = ["--test", "0.4", "--dev-speakers", "01", "--seed", "3"]
    assert erc_ingest("ravdess", str(tmp_path), *arguments, "--out", str(tmp_path / "R.csv")) == 0
    splits = read_manifest(tmp_path / "R.csv").frame["split"].to_list()
    assert (splits[0], sorted(splits)) == ("dev", ["dev", "test", "test", "train", "train"])
    assert erc_ingest("ravdess", str(tmp_path), "--split", "test", "--out", str(tmp_path / "R.csv")) == 0
    assert set(read_manifest(tmp_path / "R.csv").frame["split"]) == {"test"}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["meld", "{root}", "--splits", "train,test"], 1, "no test_sent_emo.csv in "),
        (["meld", "{root}", "--splits", "train,tset"], 2, "no split 'tset' in MELD: did you mean 'test'"),
        (["meld", "{root}", "--splits", ","], 2, "names nothing"),
        (["meld", "{root}", "--dataset", "mled"], 1, "no dataset card 'mled'"),
        (["meld"], 2, "Missing argument 'ROOT'"),
        (["medl", "{root}"], 2, "no command 'medl': did you mean 'meld'?"),
        (["emorynlp", "{root}"], 1, "holds no emorynlp_train_final.csv"),
        (["iemocap", "{root}"], 1, "holds no SessionN/dialog/EmoEvaluation"),
        (["iemocap", "{root}", "--dev", "session5"], 2, "dev (session5) is the test session"),
        (["table", "{root}/train_sent_emo.csv", "--map", "text"], 2, "--map 'text' is not COLUMN=THEIRS"),
        (["table", "{root}/train_sent_emo.csv", "--map", "text=a,text=b"], 2, "--map text is given twice"),
        (["table", "{root}/train_sent_emo.csv", "--map", "text=Utterence"], 2, "did you mean 'Utterance'"),
        (["table", "{root}/train_sent_emo.csv", "--split-map", "a="], 2, "--split-map 'a=' is not THEIRS=OURS"),
        (["table", "{root}/train_sent_emo.csv", "{root}/train_sent_emo.csv"], 2, "train_sent_emo.csv is given twice"),
        (["table", "train=s3://b/a.csv"], 2, "FILE 's3://b/a.csv': only local folders work"),
        (["table", "{root}/train_sent_emo.csv", "--delimiter", "xy"], 2, "'xy' is not one character"),
        (["table", "{root}/train_sent_emo.csv", "--dev", "1"], 2, "1.0 is not in the range"),
        (["table", "{root}/train_sent_emo.csv", "--write-card", "{root}/train_sent_emo.csv"], 2, "is not overwritten"),
        (
            ["table", "{root}/train_sent_emo.csv", "--map", "text=Utterance", "--labels", "joy,joy"],
            2,
            "names 'joy' more than once",
        ),
        (["merge", "{root}/train_sent_emo.csv"], 2, "merging needs two manifests"),
        (["files", "{root}", "--pattern", "{{a}}{{b}}"], 2, "{a} and {b} touch"),
        (["files", "{root}", "--pattern", "{{a}}", "--values", "a"], 2, "--values 'a' is not FIELD:CODE=VALUE"),
        (["files", "{root}", "--pattern", "{{a}}", "--values", "a:1"], 2, "--values a: '1' is not CODE=VALUE"),
        (
            ["files", "{root}", "--pattern", "{{a}}", "--values", "a:1=x,1=y"],
            2,
            "a:1 is given twice, as 'x' and as 'y'",
        ),
        (["files", "{root}", "--pattern", "{{a}}", "--keep", "a="], 2, "--keep 'a=' is not FIELD=VALUE"),
        (["files", "{root}", "--pattern", "{{a}}", "--map", "text=a,text=b"], 2, "--map text is given twice"),
        (["files", "{root}", "--pattern", "{{a}}"], 1, "holds no media files"),
        (["ravdess", "{root}", "--test", "2"], 1, "holds no media files"),
        (["dailydialog", "{root}"], 1, "get it from http"),
        (["m3ed", "{root}"], 1, "holds no annotation.json"),
        (["ch-sims", "{root}", "--classes", "7"], 2, "'7' is not one of"),
        (["mosei", "{root}"], 1, "label.csv: give the folder that holds label.csv"),
    ],
)
def test_errors_are_one_line_and_write_nothing(
    arguments: list[str], status: int, message: str, meld: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "none.parquet"
    filled = [argument.format(root=meld) for argument in arguments]
    assert erc_ingest(*filled, "--out", str(out)) == status
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.strip().splitlines()[-1].count(message) == 1
    assert captured.out == ""
    assert not out.exists()


@pytest.mark.parametrize("name", list(_COMMANDS))
def test_every_help_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert erc_ingest(name, "--help") == 0
    out = capsys.readouterr().out
    assert f"erc ingest {name} " in out.split("Example")[1]
    assert _COMMANDS[name][1] in " ".join(out.split())  # the list of commands says what the command says of itself


def test_a_manifest_does_not_replace_what_it_is_made_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "talk.csv"
    table.write_text("split,dialogue,turn,text,speaker,label,notes\ntrain,a,1,Hi.,Ann,joy,mine\n")
    before = table.read_bytes()
    assert erc_ingest("table", str(table), "--out", str(tmp_path / "." / "talk.csv")) == 2
    assert "is one of the files that are read, and would be lost: give another --out" in capsys.readouterr().err
    assert table.read_bytes() == before
    manifest = tmp_path / "M.parquet"
    assert erc_ingest("table", str(table), "--out", str(manifest)) == 0
    before = manifest.read_bytes()
    assert erc_ingest("merge", str(manifest), "--dev", "0.5", "--out", str(manifest)) == 2
    assert manifest.read_bytes() == before


def test_half_a_character_is_repaired_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a text that was cut within an emoji."""
    rows = [
        {"split": "train", "dialogue": "a", "turn": turn, "text": "so happy \ud83d", "label": "joy"} for turn in (1, 2)
    ]
    rows[1]["text"] = "so happy \U0001f600"
    table = tmp_path / "talk.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert erc_ingest("table", str(table), "--out", str(tmp_path / "M.parquet"), "--json") == 0
    found = {item["name"]: item["count"] for item in json.loads(capsys.readouterr().out)["findings"]}
    assert (found["half-characters"], found["repaired-text"]) == (1, 0)
    assert read_manifest(tmp_path / "M.parquet").frame["text"].to_list() == ["so happy \ufffd", "so happy \U0001f600"]
