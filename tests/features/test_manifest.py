"""The manifest: round trips through every format, the order of its rows, text repaired."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from manifest_rows import CARD, DEPENDS, build, row

from features.errors import ManifestError
from features.manifest import build_manifest, frame_of, read_manifest, repair_cp1252, write_manifest
from features.schema import SCHEMA

FORMATS = ("parquet", "csv", "jsonl")

any_text = st.text(st.characters(codec="utf-8"), max_size=12)
awkward_text = st.one_of(
    any_text,
    st.sampled_from(
        [
            "",
            " ",
            ' "quoted", twice ""',
            "a,b",
            "two\nlines",
            "dos\r\n",
            "\r",
            "null",
            "NA",
            "1e5",
            "\ufeffx",
            "\U0001f600",
            "#",
        ]
    ),
)
key_text = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), min_size=1, max_size=8
)
seconds = st.none() | st.floats(0, 1e6, allow_nan=False)


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    rows = []
    for dialogue in range(draw(st.integers(1, 3))):
        prefix = draw(key_text | st.sampled_from(["../..", "/etc/passwd", "C:\\x", "a b", "-"]))
        split = draw(st.sampled_from(["train", "dev", "any other name"]))
        for turn in draw(st.lists(st.integers(-5, 10**12), min_size=1, max_size=3, unique=True)):
            start = draw(seconds)
            rows.append(
                {
                    "utterance_id": f"{prefix}/{dialogue}:{turn}",
                    "dataset": "toy",
                    "split": split,
                    "dialogue_id": f"{prefix}/{dialogue}",
                    "turn": turn,
                    "speaker": draw(awkward_text),
                    "text": draw(awkward_text),
                    "label": draw(st.sampled_from([None, "joy", "neutral"])),
                    "sentiment": draw(st.none() | key_text),
                    "media": draw(
                        st.sampled_from([None, "a.mp4", "clips/a b,c.mp4", "..a/b..mp4", "é/\U0001f600.mp4"])
                    ),
                    "start": start,
                    "end": None if start is None else start + draw(st.floats(0.001, 1e3)),
                    "duration": draw(seconds),
                    "group": draw(st.none() | key_text),
                    "note": draw(st.none() | awkward_text.filter(bool)),
                }
            )
    return rows


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=40, deadline=None)
@given(rows=tables())
def test_whatever_a_manifest_holds_comes_back_the_same(
    kind: str, rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    manifest = build(*rows)
    path = write_manifest(manifest, tmp_path_factory.mktemp("m") / f"m.{kind}")
    again = read_manifest(path)
    assert again.frame.equals(manifest.frame)
    assert again.frame.schema == manifest.frame.schema == pl.Schema(SCHEMA)
    for depends in DEPENDS:
        assert again.source_digests(depends) == manifest.source_digests(depends)


def test_parquet_carries_its_card_and_media_root_relative_to_itself(tmp_path: Path) -> None:
    media = tmp_path / "corpus" / "clips"
    media.mkdir(parents=True)
    manifest = build_manifest(frame_of([row(media="a.mp4")]), CARD, media)
    path = write_manifest(manifest, tmp_path / "tables" / "m.parquet")
    again = read_manifest(path)
    assert again.card == CARD
    assert again.media_root == media.resolve()
    assert again.media_path("a.mp4") == media.resolve() / "a.mp4"
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (tmp_path / "tables").rename(moved / "tables")
    (tmp_path / "corpus").rename(moved / "corpus")
    assert read_manifest(moved / "tables" / "m.parquet").media_root == (moved / "corpus" / "clips").resolve()
    assert read_manifest(moved / "tables" / "m.parquet", media_root=tmp_path).media_root == tmp_path


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_file_without_a_card_gets_the_shipped_one_or_a_plain_one(kind: str, tmp_path: Path) -> None:
    plain = read_manifest(write_manifest(build(row(label="neutral"), row(turn=1, label="joy")), tmp_path / f"a.{kind}"))
    assert (plain.card.dataset, plain.card.labels, plain.card.neutral) == ("toy", ("joy", "neutral"), "neutral")
    assert plain.media_root == tmp_path.resolve()
    meld = read_manifest(write_manifest(build(row(dataset="meld", label="joy")), tmp_path / f"b.{kind}"))
    assert meld.card.labels == ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
    assert "meld/train/dia125_utt3" in meld.card.known_bad


def test_hand_written_files_are_read_kindly(tmp_path: Path) -> None:
    path = tmp_path / "[1]*.csv"  # polars would take this for a pattern
    path.write_bytes(
        b"\xef\xbb\xbfutterance_id,dataset,split,dialogue_id,turn,speaker,text,label,media,start\r\n"
        b'u1,toy,train,d,1.0,Ann,,,"",\r\nu0,toy,train,d,0,Bo,"Hi, ""you""",joy,a.mp4,1e-1\r\n'
    )
    manifest = read_manifest(path)
    assert manifest.ids == ["u0", "u1"]
    assert manifest.frame["text"].to_list() == ['Hi, "you"', ""]
    assert manifest.frame["label"].to_list() == ["joy", None]
    assert manifest.frame["media"].to_list() == ["a.mp4", None]
    assert manifest.frame["start"].to_list() == [0.1, None]
    lines = tmp_path / "m.jsonl"
    lines.write_text(
        '{"utterance_id": 7, "dataset": "toy", "split": "x", "dialogue_id": 1, "turn": 0, "speaker": null, "text": 5}\n'
    )
    assert read_manifest(lines).utterances()[0].text == "5"
    assert read_manifest(lines).ids == ["7"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.parquet", None, "no manifest at .*m.parquet: make one with `erc ingest"),
        ("m.parquet", b"not parquet", "m.parquet: cannot be read: "),
        ("m.csv", b"", "m.csv: cannot be read: "),
        ("m.csv", b"utterance_id,text\nx,\xff\xfe\n", "m.csv: cannot be read: .*utf"),
        ("m.csv", b"utterance_id,dataset,split,dialogue_id,turn,speaker,text\n", "m.csv: has no utterances"),
        (
            "m.csv",
            b"utterance_id,dataset,split,dialogue_id,turn,speaker,text,label\na,d,s,x,0,A,hi\nb,d,s,x,1,A,ho,joy\n",
            "m.csv: 1 problem: line 2 has 7 fields, not 8: give every row a field for each column",
        ),
        ("m.jsonl", b"\n", "m.jsonl: has no utterances"),
        ("m.jsonl", b"{]\n", "m.jsonl: cannot be read: "),
        ("m.jsonl", b'{"txt": 1}\n', "column 'txt' is not in the schema: did you mean 'text'"),
        ("m.xlsx", b"", "a manifest is .parquet, .csv or .jsonl, not '.xlsx'"),
    ],
)  # fmt: skip
def test_files_that_are_no_manifest(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ManifestError, match=message):
        read_manifest(tmp_path / name)


@pytest.mark.parametrize("kind", FORMATS)
def test_no_path_is_taken_for_a_pattern_or_a_partition(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "split=dev" / "[x]*"
    written = write_manifest(build(row()), folder / f"m?.{kind}")
    write_manifest(build(row(), row(1)), folder / f"mm.{kind}")
    assert read_manifest(written).frame.equals(build(row()).frame)


def test_a_damaged_card_in_parquet_is_told(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    path = write_manifest(build(row()), tmp_path / "m.parquet")
    table = pq.read_table(path)
    for card, message in (
        (b"{", "cannot be read: "),
        (b'{"dataset": "toy", "label": []}', "unknown key 'label': did you mean 'labels'"),
    ):
        pq.write_table(table.replace_schema_metadata({"erc.card": card}), path)
        with pytest.raises(ManifestError, match=message):
            read_manifest(path)


def test_writing_leaves_the_old_file_or_the_new_one_and_nothing_else(tmp_path: Path) -> None:
    path = write_manifest(build(row()), tmp_path / "m.csv")
    before = path.read_bytes()
    with pytest.raises(ManifestError, match=r"m\.txt: a manifest is \.parquet"):
        write_manifest(build(row()), tmp_path / "m.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(ManifestError, match="cannot be written: "):
        write_manifest(build(row()), tmp_path / "file" / "m.csv")
    assert path.read_bytes() == before
    assert sorted(item.name for item in tmp_path.iterdir()) == ["file", "m.csv"]


def test_scattered_rows_come_together_in_turn_order() -> None:
    manifest = build(row(1, 5), row(0, 2), row(1, -3), row(0, 0), row(2, 9), row(1, 0))
    assert manifest.ids == [f"toy/train/d{d}_u{t}" for d, t in [(1, -3), (1, 0), (1, 5), (0, 0), (0, 2), (2, 9)]]
    assert manifest.dialogue_bounds() == [(0, 3), (3, 5), (5, 6)]
    dialogues = list(manifest.dialogues())
    assert [dialogue.dialogue_id for dialogue in dialogues] == ["toy/train/d1", "toy/train/d0", "toy/train/d2"]
    assert [[u.turn for u in dialogue.utterances] for dialogue in dialogues] == [[-3, 0, 5], [0, 2], [9]]
    assert [u for dialogue in dialogues for u in dialogue.utterances] == manifest.utterances()
    assert [d.dialogue_id for d in manifest.dialogues(3, 6)] == ["toy/train/d0", "toy/train/d2"]
    assert manifest.positions == {utterance_id: index for index, utterance_id in enumerate(manifest.ids)}


def test_select_splits_keeps_whole_dialogues_and_digests() -> None:
    manifest = build(row(0, 0), row(1, 0, "dev"), row(0, 1), row(1, 1, "dev"))
    dev = manifest.select_splits(["dev"])
    assert dev.ids == ["toy/dev/d1_u0", "toy/dev/d1_u1"]
    assert dev.card == manifest.card
    for depends in DEPENDS:
        assert dev.source_digests(depends) == manifest.source_digests(depends)[2:]
    with pytest.raises(ManifestError, match="no split 'tset' in the manifest: known: dev, train"):
        manifest.select_splits(["dev", "tset"])


def test_frame_of_refuses_unknown_keys() -> None:
    with pytest.raises(ManifestError, match="column 'txt' is not in the schema: did you mean 'text'"):
        frame_of([{"txt": "a"}])


def test_c1_characters_become_what_cp1252_means() -> None:
    assert repair_cp1252("must\x92ve \x85 \x93so\x94 \x97 \x80") == "must’ve … “so” — €"
    assert repair_cp1252("\x81\x8d\x8f\x90\x9d.") == "."
    assert repair_cp1252("caf\xe9 ’ok’ \U0001f600\n") == "caf\xe9 ’ok’ \U0001f600\n"


@given(st.text(st.characters(codec="utf-8")))
def test_repairing_twice_is_repairing_once(text: str) -> None:
    once = repair_cp1252(text)
    assert repair_cp1252(once) == once
    assert not any("\x80" <= character <= "\x9f" for character in once)


def test_manifests_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError, match="media_root"):
        build(row()).media_root = None  # type: ignore[misc]
