"""Tables as people save them: Excel's CSV, UTF-16, workbooks, pandas' JSON, rows that are blank or ragged."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from features.errors import ManifestError, UsageError
from features.extras import install_extra
from pipeline.ingest.annotations import TextRepairs
from pipeline.ingest.delimited import guess_delimiter
from pipeline.ingest.raw_table import RawTable
from pipeline.ingest.reading import Reading, read_raw
from pipeline.ingest.table import ingest_table


def read(path: Path, **settings: Any) -> RawTable:
    return read_raw(path, Reading(**settings), TextRepairs())


def save(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def told(path: Path, **options: Any) -> dict[str, tuple[str, ...]]:
    _, summary = ingest_table(path, **options)
    return {item.name: item.examples for item in summary.findings if item.count}


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2\n", ";"),
        ("a\tb\nx, y; z\tw\n", "\t"),
        ("a|b\n1|2\n", "|"),
        ("a\nx, y\n", ","),
        ('"a; b",c\n"x;y;z",2\n', ","),
        ("id,text,mood (joy|anger|fear)\n1,x,joy\n2,y,fear\n", ","),
        ("a;b\n", ";"),
        ("a;b;c\nx;y\nz;w\n", ";"),  # ragged by any: the heading tells
        ("", ","),
    ],
)
def test_the_delimiter_is_found_out(text: str, delimiter: str) -> None:
    assert guess_delimiter(text) == delimiter


def test_excels_csv(tmp_path: Path) -> None:
    path = save(
        tmp_path / "talk.csv", '\ufeffsep=;\r\ntext;start;end;split\r\n"a;b";1,5;2,25;train\r\n;;;\r\nc;;;train\r\n'
    )
    manifest, _ = ingest_table(path)
    assert manifest.frame.select("text", "start", "end").rows() == [("a;b", 1.5, 2.25), ("c", None, None)]
    found = told(path)
    assert found["delimiters"] == ("talk.csv: semicolon",)
    assert found["blank-rows"] == ("talk.csv row 2 (line 4)",)
    assert found["decimal-commas"] == ("row 1 (line 3)", "row 1 (line 3)")


def test_times_as_subtitles_write_them_are_seconds(tmp_path: Path) -> None:
    path = save(tmp_path / "talk.csv", 'text,start,end,split\na,0:01:02.5,"00:01:03,250",train\nb,1,2,train\n')
    assert ingest_table(path)[0].frame.select("start", "end").rows() == [(62.5, 63.25), (1.0, 2.0)]
    assert told(path)["clock-times"] == ("row 1", "row 1")


def test_a_comma_within_seconds_of_a_comma_file_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "talk.csv", 'text,start,split\na,"1,500",train\n')
    with pytest.raises(ManifestError, match="row 1, start: '1,500' is not a number"):
        ingest_table(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("ending", [".csv", ".txt", ".json", ".jsonl"])
def test_encodings_that_say_so(encoding: str, ending: str, tmp_path: Path) -> None:
    row = {"text": "né 你好", "label": "joy", "split": "train"}
    texts = {".json": json.dumps([row]), ".jsonl": json.dumps(row) + "\n"}
    text = texts.get(ending, "text,label,split\nné 你好,joy,train\n")
    path = save(tmp_path / f"talk{ending}", text.encode(encoding))
    assert ingest_table(path)[0].frame["text"].to_list() == ["né 你好"]


def test_an_encoding_that_is_said(tmp_path: Path) -> None:
    path = save(tmp_path / "talk.csv", "text,label,split\n你好,joy,train\n".encode("gb18030"))
    assert ingest_table(path, reading=Reading(encoding="gb18030"))[0].frame["text"].to_list() == ["你好"]
    assert "cp1252-lines" in told(path)
    with pytest.raises(ManifestError, match=r"talk\.csv: is not ascii .*: give its --encoding"):
        read(path, encoding="ascii")
    with pytest.raises(UsageError, match="no encoding 'gbx': give one like utf-8"):
        read(path, encoding="gbx")
    bare = save(tmp_path / "bare.csv", "text,label\na,joy\n".encode("utf-16-le"))
    with pytest.raises(ManifestError, match=r"bare\.csv: has NUL characters.*give --encoding utf-16-le"):
        read(bare)
    assert read(bare, encoding="utf-16-le").rows == [["a", "joy"]]


def test_blank_lines_are_no_utterances(tmp_path: Path) -> None:
    path = save(tmp_path / "talk.csv", "\ntext,label,split\n\na,joy,train\n  \n,,\n\nb,sad,train\n\n\n")
    manifest, summary = ingest_table(path)
    assert manifest.frame["text"].to_list() == ["a", "b"]
    assert summary.count("blank-rows") == 6
    lines = save(
        tmp_path / "talk.jsonl", '{"text":"a","split":"s"}\n\n{"text":"","split":null}\n{"text":"b","split":"s"}\n\n'
    )
    manifest, summary = ingest_table(lines)
    assert manifest.frame["text"].to_list() == ["a", "b"]
    assert summary.count("blank-rows") == 2


def test_a_row_is_named_by_its_line_where_that_is_another(tmp_path: Path) -> None:
    path = save(tmp_path / "talk.csv", 'text,turn,split\n"a\nb",0,train\n\nc,x,train\n')
    with pytest.raises(ManifestError, match=r"row 3 \(line 5\), turn: 'x' is not a whole number: `--map turn=` leaves"):
        ingest_table(path)
    assert told(path, mapping={"turn": ""})["cells-of-several-lines"] == ("talk.csv row 1",)


def test_quotes(tmp_path: Path) -> None:
    path = save(tmp_path / "talk.tsv", 'text\tlabel\n"Hi" he said\tjoy\n"Oh\tsad\n')
    with pytest.raises(ManifestError, match=r"begins in line 2 is not CSV .*double the quote marks.*--no-quotes"):
        read(path)
    assert read(path, quotes=False).rows == [['"Hi" he said', "joy"], ['"Oh', "sad"]]
    unclosed = save(tmp_path / "open.csv", 'text,label\n"Hi,joy\nHo,sad\n')
    with pytest.raises(ManifestError, match=r"open\.csv: the record that begins in line 2 is not CSV"):
        read(unclosed)


def test_columns_that_are_not_wanted(tmp_path: Path) -> None:
    path = save(tmp_path / "talk.csv", ",Unnamed: 0,text,split\n0,0,a,train\n1,1,b,train\n")
    assert told(path)["unused-columns"] == ("(no heading)", "Unnamed: 0")
    twice = save(tmp_path / "twice.csv", "text,text,split\na,b,train\n")
    with pytest.raises(UsageError, match=r"twice\.csv has several columns 'text': rename all but one"):
        ingest_table(twice)


def test_columns_are_found_in_any_case_but_ids_are_not(tmp_path: Path) -> None:
    path = save(tmp_path / "talk.csv", "Text,Label,Speaker,Split,Utterance_ID\na,joy,Ann,train,0\nb,joy,Bo,train,0\n")
    manifest, _ = ingest_table(path)
    assert manifest.frame.select("text", "speaker", "label", "split").row(0) == ("a", "Ann", "joy", "train")
    found = told(path)
    assert found["columns-by-name"] == ("Split as split", "Speaker as speaker", "Text as text", "Label as label")
    assert found["unused-columns"] == ("Utterance_ID",)


@pytest.mark.parametrize(
    "value",
    [
        [{"text": "a", "label": "joy", "n": 1}, {"label": "sad", "text": "b"}],
        {"text": ["a", "b"], "label": ["joy", "sad"]},
        {"text": {"0": "a", "1": "b"}, "label": {"0": "joy", "1": "sad"}},
    ],
)
def test_forms_of_json(value: Any, tmp_path: Path) -> None:
    manifest, _ = ingest_table(save(tmp_path / "talk.json", json.dumps(value)), split="train")
    assert manifest.frame.select("text", "label").rows() == [("a", "joy"), ("b", "sad")]


@pytest.mark.parametrize(
    ("ending", "text", "message"),
    [
        (".json", "{]", r"it is not JSON: .*name the file \.jsonl"),
        (".json", '{"episodes": [{"scenes": []}]}', "no column for the text"),
        (".json", "[[1, 2]]", "is no table: give a list of objects"),
        (".json", '{"text": ["a"], "label": ["b", "c"]}', r"not of one length \(text 1, label 2\)"),
        (".json", '{"text": {"0": "a"}, "label": {"1": "b"}}', "is no table"),
        (
            ".jsonl",
            '{"text": "a"}\n[1]\n{"a": 1, "a": 2}\n',
            "line 2 is no object.*line 3 is not JSON: the key 'a' occurs",
        ),
        (".jsonl", "\n", "it is empty"),
        (".csv", "text,label\n,\n", "no row has a value"),
        (".csv", "\n\n", "it is empty; the first line must name the columns"),
        (".parquet", "x", "cannot be read: "),
        (".xlsx", "x", r"cannot be read as \.xlsx: "),
    ],
)
def test_what_is_no_table(ending: str, text: str, message: str, tmp_path: Path) -> None:
    if ending == ".xlsx":
        pytest.importorskip("openpyxl")
    path = save(tmp_path / f"talk{ending}", text)
    with pytest.raises((ManifestError, UsageError), match=message) as caught:
        ingest_table(path, split="train")
    assert f"talk{ending}" in str(caught.value)


def test_cells_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = save(tmp_path / "talk.json", json.dumps([{"text": "a", "speaker": "A"}, {"text": ["b"], "speaker": "B"}]))
    with pytest.raises(ManifestError, match=r"row 2, text: \['b'\] is no text: give one value a cell"):
        ingest_table(path, split="train")


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "talk.parquet"
    frame = pl.DataFrame({"text": ["a", None], "label": [1.0, None], "dialogue": [7, 7], "split": ["train", "train"]})
    frame.write_parquet(path)
    manifest, _ = ingest_table(path)
    assert manifest.frame.select("utterance_id", "text", "label").rows() == [
        ("talk/train/7_utt0", "a", "1"),
        ("talk/train/7_utt1", "", None),
    ]


def test_a_workbook(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.active
    for row in (["text", "label", "dialogue", "split", None], ["a", "joy", 3, "train"], [], ["b", 2, 3, "train", "x"]):
        sheet.append(row)
    book.create_sheet("empty")
    book.save(tmp_path / "talk.xlsx")
    manifest, summary = ingest_table(tmp_path / "talk.xlsx")
    assert manifest.frame.select("utterance_id", "text", "label").rows() == [
        ("talk/train/3_utt0", "a", "joy"),
        ("talk/train/3_utt1", "b", "2"),
    ]
    assert summary.count("blank-rows") == 1
    book["empty"].append(["text"])
    book.save(tmp_path / "talk.xlsx")
    with pytest.raises(UsageError, match=r"talk\.xlsx: has sheets Sheet, empty: name one with --sheet"):
        ingest_table(tmp_path / "talk.xlsx")
    assert len(read(tmp_path / "talk.xlsx", sheet="Sheet").rows) == 2
    with pytest.raises(UsageError, match="no sheet 'sheet': did you mean 'Sheet'"):
        read(tmp_path / "talk.xlsx", sheet="sheet")


def test_without_openpyxl_a_workbook_is_refused_with_the_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    path = save(tmp_path / "talk.xlsx", "x")
    with pytest.raises(UsageError, match=f"needs openpyxl: {re.escape(install_extra('excel'))}, or save the sheet"):
        read(path)


def test_sound_alone_needs_no_text(tmp_path: Path) -> None:
    path = save(tmp_path / "talk.csv", "media,label,split\na.wav,joy,train\nb.wav,sad,train\n")
    manifest, _ = ingest_table(path)
    assert manifest.frame.select("utterance_id", "text", "media").rows() == [
        ("talk/train/row1_utt0", "", "a.wav"),
        ("talk/train/row2_utt0", "", "b.wav"),
    ]
    with pytest.raises(UsageError, match=r"no column for the text: .*media alone will do"):
        ingest_table(save(tmp_path / "none.csv", "label,split\njoy,train\n"))


def test_nobody_is_named_by_a_placeholder(tmp_path: Path) -> None:
    path = save(tmp_path / "talk.csv", "text,speaker,split\na,Ann,train\nb,unknown,train\nc,?,train\nd,NaN,train\n")
    assert ingest_table(path)[0].frame["speaker"].to_list() == ["Ann", "", "", ""]
    assert told(path)["unknown-speakers"] == ("'unknown' 1", "'?' 1", "'NaN' 1")


def test_words_for_no_value(tmp_path: Path) -> None:
    path = save(tmp_path / "talk.csv", "text,media,group,start,split\na,nan,NaN,nan,train\nb,b.wav,g,1,train\n")
    manifest, _ = ingest_table(path)
    assert manifest.frame.select("media", "group", "start").rows() == [(None, None, None), ("b.wav", "g", 1.0)]
    assert told(path)["no-value"] == ("media: 'nan' 1", "start: 'nan' 1", "group: 'NaN' 1")


def test_an_empty_dialogue_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "talk.csv", "text,dialogue,split\na,1,train\nb,,train\n")
    with pytest.raises(
        ManifestError, match=r"1 problem: row 2, dialogue: empty: every row needs its split, and its dialogue"
    ):
        ingest_table(path)


def test_scattered_dialogues_are_told_but_not_where_turns_are(tmp_path: Path) -> None:
    path = save(tmp_path / "talk.csv", "text,dialogue,split\na,1,train\nb,2,train\nc,1,train\n")
    assert told(path)["scattered-dialogues"] == ("1",)
    path = save(tmp_path / "talk.csv", "text,dialogue,split,turn\na,1,train,0\nb,2,train,0\nc,1,train,1\n")
    assert "scattered-dialogues" not in told(path)
