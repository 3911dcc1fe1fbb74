"""Any table that ingest accepts gives what a plain reading of the file gives; what it refuses, it names.

The plain reading is written here with `csv` and `json` alone and shares nothing with the package.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.errors import ErcError, ManifestError
from pipeline.ingest.table import ingest_table

HEADINGS = ["words", "who", "mood", "scene", "part"]
MAPPING = dict(zip(["text", "speaker", "label", "dialogue", "split"], HEADINGS, strict=True))
NOTHING = {"", "nan", "-", "none", "null", "n/a", "?"}
OURS = {"train": "train", "training": "train", "dev": "dev", "valid": "dev", "validation": "dev", "test": "test"}
OURS |= {"val": "dev", "eval": "dev", "testing": "test", "held-out": "held-out"}

TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]) | st.sampled_from(",;\t|\"\n' "), max_size=12)
LABELS = st.sampled_from(
    ["joy", "Joy", " joy ", "anger", "ANGER", "neutral", "Neutral\t", "", "NaN", "-", "n/a", "None", "?"]
)
SPEAKERS = st.sampled_from(["Ann", "Bo", "Bo Ba", "unknown", "", "nan"])
SPLITS = st.sampled_from(
    [
        ["train", "dev", "test"],
        ["Train", "train", "valid"],
        ["training", "VAL", "testing"],
        ["train", "eval"],
        ["held-out", " Validation "],
    ]
)


@dataclass(frozen=True)
class Drawn:
    """A file's bytes and ending, and how a plain reader takes them."""

    data: bytes
    ending: str
    encoding: str
    delimiter: str = ","
    skip_first_line: bool = False


def plain_rows(drawn: Drawn) -> list[dict[str, str]]:
    """The rows that have any value, as `csv` or `json` alone give them."""
    text = drawn.data.decode(drawn.encoding)
    rows: list[dict[str, Any]]
    if drawn.ending == ".csv":
        body = text.split("\n", 1)[1] if drawn.skip_first_line else text
        rows = list(csv.DictReader(io.StringIO(body, newline=""), delimiter=drawn.delimiter))
    elif drawn.ending == ".jsonl":
        rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    else:
        value = json.loads(text)
        rows = (
            value
            if isinstance(value, list)
            else [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
        )
    filled = [{name: row.get(name) or "" for name in HEADINGS} for row in rows]
    return [row for row in filled if any(value.strip() for value in row.values())]


def plain_manifest(rows: list[dict[str, str]]) -> list[tuple[str, str, str, str | None, str]]:
    """(text, speaker, dialogue, label, split), the rows of a dialogue together, in the order of the file."""
    spellings: dict[str, Counter[str]] = {}
    for row in rows:
        spellings.setdefault(row["mood"].strip().lower(), Counter())[row["mood"].strip()] += 1
    found: dict[tuple[str, str], list[tuple[str, str, str, str | None, str]]] = {}
    for row in rows:
        split = OURS[row["part"].strip().lower()]
        low = row["mood"].strip().lower()
        label = None if low in NOTHING else spellings[low].most_common(1)[0][0]
        speaker = "" if row["who"] in ("unknown", "nan") else row["who"]
        dialogue = f"talk/{split}/{row['scene']}"
        found.setdefault((split, row["scene"]), []).append((row["words"], speaker, dialogue, label, split))
    return [row for dialogue in found.values() for row in dialogue]


@st.composite
def records(draw: st.DrawFn) -> list[list[str]]:
    splits = draw(SPLITS)
    row = st.tuples(TEXT, SPEAKERS, LABELS, st.sampled_from(["1", "2", "s 3"]), st.sampled_from(splits))
    return [list(one) for one in draw(st.lists(row, min_size=1, max_size=9))]


def as_csv(draw: st.DrawFn, rows: list[list[str]]) -> Drawn:
    delimiter = draw(st.sampled_from([",", ";", "\t", "|"]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    end = draw(st.sampled_from(["\r\n", "\n"]))
    order = draw(st.permutations(range(6)))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    says = draw(st.booleans())
    file = io.StringIO(newline="")
    if says:
        file.write(f"sep={delimiter}{end}")
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=quoting)
    for number, row in enumerate([HEADINGS, *rows]):
        whole = [*row, str(number - 1) if number else "Unnamed: 0"]
        writer.writerow([whole[place] for place in order])
        file.write(draw(st.sampled_from(["", "", end, f"   {end}"])) if number else "")
        if number and draw(st.booleans()):
            file.write(delimiter * 5 + end)
    return Drawn(file.getvalue().encode(encoding), ".csv", encoding, delimiter, says)


def as_json(draw: st.DrawFn, rows: list[list[str]]) -> Drawn:
    objects = [dict(zip(HEADINGS, row, strict=True)) for row in rows]
    for one in objects:
        if not one["mood"]:
            one["mood"] = draw(st.sampled_from(["", None]))  # type: ignore[assignment]
    form = draw(st.sampled_from(["lines", "list", "columns"]))
    if form == "lines":
        blank = draw(st.sampled_from(["", "\n"]))
        return Drawn("".join(json.dumps(one) + "\n" + blank for one in objects).encode(), ".jsonl", "utf-8")
    value = objects if form == "list" else {name: [one[name] for one in objects] for name in HEADINGS}
    return Drawn(json.dumps(value, ensure_ascii=draw(st.booleans())).encode(), ".json", "utf-8")


def ingest(drawn: Drawn, **options: Any) -> list[tuple[str, str, str, str | None, str]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"talk{drawn.ending}"
        path.write_bytes(drawn.data)
        manifest, _ = ingest_table(path, MAPPING, **options)
        return manifest.frame.select("text", "speaker", "dialogue_id", "label", "split").rows()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_what_is_accepted_is_what_a_plain_reading_gives(data: st.DataObject) -> None:
    rows = data.draw(records())
    drawn = as_csv(data.draw, rows) if data.draw(st.booleans()) else as_json(data.draw, rows)
    expected = plain_manifest(plain_rows(drawn))
    assert ingest(drawn) == expected


# What is done to one row, what the message then says of it, and of the mend.
DAMAGES: dict[str, tuple[dict[str, str], list[str]]] = {
    "score": ({"mood": "-0.8"}, ["'mood'", "-0.8", "regression", "classes"]),
    "score with an exponent": ({"mood": "1e-3"}, ["'mood'", "1e-3", "regression"]),
    "several labels": ({"mood": "joy,anger"}, ["'mood'", "joy,anger", "multi-label", "keep one"]),
    "several by a bar": ({"mood": "3|5"}, ["'mood'", "3|5", "multi-label"]),
    "a list of labels": ({"mood": "['joy']"}, ["'mood'", "multi-label"]),
    "no dialogue": ({"scene": ""}, ["dialogue: empty", "every row needs its split, and its dialogue"]),
    "no split": ({"part": " "}, ["split: empty", "every row needs its split"]),
    "a control character": ({"scene": "a\x07"}, ["dialogue_id", "control characters"]),
}


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(sorted(DAMAGES)))
def test_what_is_refused_names_row_column_and_mend(data: st.DataObject, name: str) -> None:
    rows = [[f"text {number}", "Ann", "joy", "1", "train"] for number in range(data.draw(st.integers(1, 6)))]
    place = data.draw(st.integers(0, len(rows) - 1))
    changes, said = DAMAGES[name]
    rows[place] = [changes.get(heading, cell) for heading, cell in zip(HEADINGS, rows[place], strict=True)]
    blanks = data.draw(st.integers(0, 2))
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEADINGS)
    file.write("\n" * blanks)
    writer.writerows(rows)
    number = place + 1 + blanks
    with pytest.raises(ErcError) as caught:
        ingest(Drawn(file.getvalue().encode(), ".csv", "utf-8"))
    for part in ["talk.csv", f"row {number}", *said]:
        assert part in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from([",", ";", "\t"]), st.integers(-4, 3).filter(bool))
def test_ragged_rows_are_refused_by_their_lines(data: st.DataObject, delimiter: str, excess: int) -> None:
    """A row that is short by its last cells would lose its label in silence."""
    count = data.draw(st.integers(2, 7))
    bad = data.draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=count - 1))
    lines = [delimiter.join(HEADINGS)]
    for number in range(count):
        cells = [f"text {number}", "Ann", "joy", "1", "train"]
        lines.append(
            delimiter.join(([*cells, *["more"] * excess] if excess > 0 else cells[:excess]) if number in bad else cells)
        )
    with pytest.raises(ManifestError) as caught:
        ingest(Drawn("\n".join(lines).encode(), ".csv", "utf-8"))
    told = [f"line {number + 2} has {5 + excess} fields, not 5" for number in sorted(bad)]
    assert list(caught.value.problems) == told
    assert "give every row a cell for each of words, who, mood, scene, part" in str(caught.value)
