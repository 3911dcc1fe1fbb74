"""Times and encodings of annotation files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.annotations import (
    TextRepairs,
    annotated_duration,
    episode,
    milliseconds,
    read_rows,
    read_text,
)


@given(st.integers(0, 30), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999), st.sampled_from([",", "."]))
def test_both_forms_of_a_time_mean_the_same(hours: int, minutes: int, seconds: int, fraction: int, mark: str) -> None:
    expected = ((hours * 60 + minutes) * 60 + seconds) * 1000 + fraction
    for form in (f"{hours:02d}", f"{hours}"):
        assert milliseconds(f" {form}:{minutes:02d}:{seconds:02d}{mark}{fraction:03d} ") == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("0:00:01", 1000), ("0:00:47,28", 47280), ("100:00:00,000", 360_000_000)]
)
def test_less_usual_times(text: str, expected: int) -> None:
    assert milliseconds(text) == expected


@pytest.mark.parametrize(
    "text", ["", "x", "1:2", "0:60:00,000", "0:00:60,000", "-0:00:01,000", "0:00:01,0000", "0:00:01,"]
)
def test_what_is_no_time(text: str) -> None:
    assert milliseconds(text) is None


def test_durations() -> None:
    assert annotated_duration("00:00:01,000", "0:00:03,500") == (2.5, None)
    assert annotated_duration("0:00:01,000", "0:00:01,000") == (0.0, None)
    assert annotated_duration("0:00:02,000", "0:00:01,000")[0] is None
    assert annotated_duration("soon", "later") == (None, "annotated time 'soon' and 'later' cannot be read")


def test_episodes() -> None:
    assert [episode("8", "21"), episode("10", " 1 "), episode("x", "1")] == ["s08e21", "s10e01", None]


def test_a_line_that_is_not_utf8_is_cp1252_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbftext\r\n" + "it’s\r\n".encode() + b"it\x92s\r\n" + "Zoë\x92s\r\n".encode())
    repairs = TextRepairs()
    rows = read_rows(path, ["text"], repairs)
    assert [row.cells["text"] for row in rows] == ["it’s", "it’s", "Zoë’s"]
    assert repairs.cp1252_lines == ["a.csv:3"]
    assert repairs.repaired_rows == ["a.csv:4"]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbftext, more \r\nx,y\r\n")
    assert [row.cells for row in read_rows(path, ["text", "more"], TextRepairs())] == [{"text": "x", "more": "y"}]


def test_fields_with_line_ends_inside_are_one_record(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'a,b\r\n"x\r\ny, ""z""",1\r\n\r\n2,3\r\n')
    assert [row.cells for row in read_rows(path, ["a", "b"], TextRepairs())] == [
        {"a": 'x\r\ny, "z"', "b": "1"},
        {"a": "2", "b": "3"},
    ]


@given(st.text(st.characters(codec="utf-8")).filter(lambda text: not text.startswith("\ufeff")))
def test_utf8_is_read_as_it_is(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.txt"
        path.write_bytes(text.encode())
        repairs = TextRepairs()
        assert read_text(path, repairs) == text
        assert repairs == TextRepairs()


@pytest.mark.parametrize(("first", "parted"), [("", ";"), ("sep=;\r\n", ";"), ("", "\t"), ("sep=,\n", ",")])
def test_a_table_that_a_spreadsheet_saved_again(first: str, parted: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(f'\ufeff{first}text{parted}who\r\n"a{parted} b, c"{parted}Ann\r\n'.encode())
    repairs = TextRepairs()
    rows = read_rows(path, ["text", "who"], repairs)
    assert [(row.cells, row.where) for row in rows] == [
        ({"text": f"a{parted} b, c", "who": "Ann"}, f"a.csv:{3 if first else 2}")
    ]
    assert repairs.delimiters == ([] if parted == "," else [f"a.csv: {'tab' if parted == chr(9) else 'semicolon'}"])
    assert len(repairs.findings()) == 2 + (parted != ",")
