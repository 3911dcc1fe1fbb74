"""Any CSV or JSONL file as a manifest, by a mapping of its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from features.cards import DatasetCard, load_card, shipped_cards
from features.errors import ManifestError, UsageError, nearest
from features.manifest import Manifest, build_manifest, repair_cp1252
from features.schema import SCHEMA
from pipeline.ingest.annotations import TextRepairs, read_text
from pipeline.ingest.cuts import note_cuts_outside
from pipeline.ingest.summary import Finding, IngestSummary, finding, summarise

# The manifest's columns, and `dialogue`: a key that names a dialogue only within its split.
TARGETS = (*SCHEMA, "dialogue")
UNKNOWN_SPEAKER = "unknown"

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")


def ingest_table(
    path: str | Path,
    mapping: Mapping[str, str] | None = None,
    dataset: str | None = None,
    split: str | None = None,
    labels: Sequence[str] | None = None,
    media_root: str | Path | None = None,
    probe: bool = True,
) -> tuple[Manifest, IngestSummary]:
    """A manifest of a .csv, .tsv or .jsonl file.

    mapping:    manifest column (or `dialogue`) -> the file's column; one of the same name needs no mapping
    dataset:    by default the file's name without its ending
    split:      for all rows, where no column tells it
    labels:     the emotions in the order that reports use; by default those that occur, sorted
    media_root: by default the file's folder
    probe:      note utterances that end after the clip that they are cut out of, whose length its header tells

    What is absent is built: a dialogue_id of dataset, split and `dialogue` (without either, every row is a dialogue),
    the turn from the order of rows, an utterance_id of dialogue_id and turn. Raises UsageError for a mapping that does
    not fit, ManifestError for a file that cannot be read or rows that break the schema.
    """
    path = Path(path)
    repairs = TextRepairs()
    table = _read(path, repairs)
    chosen = _choose_columns(path, table.columns, dict(mapping or {}), dataset, split)
    name = dataset or path.stem
    frame = table.select([pl.col(column).alias(target) for target, column in chosen.items()])
    constants = {"dataset": name, "split": split}
    frame = frame.with_columns([pl.lit(value).alias(key) for key, value in constants.items() if key not in chosen])
    frame, repairs.repaired_rows = _repair_text(frame)
    findings = [
        *repairs.findings(),
        finding("unused-columns", [column for column in table.columns if column not in chosen.values()], "Left out."),
    ]
    frame, built = _build_ids(frame)
    findings += built
    root = Path(media_root) if media_root is not None else path.resolve().parent  # not that of a link to it
    has_media = "media" in frame.columns
    card = _card(frame, name if "dataset" not in chosen else None, labels)
    manifest = build_manifest(frame, card, root if has_media else None, path)
    if has_media:
        clips = manifest.frame["media"].drop_nulls().unique(maintain_order=True)
        absent = [clip for clip in clips if not (root / clip).is_file()]
        findings.append(finding("missing-clips", absent, f"Not on disk under {root}: extraction will record them."))
    if probe:
        manifest, outside = note_cuts_outside(manifest)
        findings += outside
    return replace(manifest, path=None), summarise(manifest, findings)


def _read(path: Path, repairs: TextRepairs) -> pl.DataFrame:
    kind = path.suffix.lower()
    if kind not in _SEPARATORS and kind not in _JSON_LINES:
        known = ", ".join([*_SEPARATORS, *_JSON_LINES])
        raise UsageError(f"{path}: a table ends in one of {known}, not {kind or 'nothing'!r}")
    content = read_text(path, repairs).encode()
    try:
        if kind in _SEPARATORS:
            return pl.read_csv(content, infer_schema=False, separator=_SEPARATORS[kind])
        return pl.read_ndjson(content, infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        raise ManifestError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error


def _choose_columns(
    path: Path, columns: Sequence[str], mapping: dict[str, str], dataset: str | None, split: str | None
) -> dict[str, str]:
    """Manifest column -> the file's column. Every problem is told at once."""
    problems = [
        f"no manifest column {target!r}: {nearest(target, TARGETS)}" for target in mapping if target not in TARGETS
    ]
    problems += [
        f"{path.name} has no column {column!r}: {nearest(column, columns)}"
        for column in mapping.values()
        if column not in columns
    ]
    for option, value in (("dataset", dataset), ("split", split)):
        if value is not None and option in mapping:
            problems.append(f"{option} is given twice, as --{option} {value} and as --map {option}={mapping[option]}")
    constants = {"dataset": dataset, "split": split}
    own = {name: name for name in TARGETS if name in columns and constants.get(name) is None}
    chosen = own | mapping
    if "dialogue_id" in mapping and "dialogue" in mapping:
        problems.append("map dialogue_id (unique over the corpus) or dialogue (a key within its split), not both")
    if "text" not in chosen:
        problems.append(f"no column for the text: give --map text=COLUMN; {path.name} has {', '.join(columns)}")
    if "split" not in chosen and split is None:
        problems.append("no column for the split: give --split NAME or --map split=COLUMN")
    if problems:
        raise UsageError("; ".join(problems))
    if "dialogue_id" in chosen and "dialogue" in chosen:
        del chosen["dialogue" if "dialogue_id" in mapping else "dialogue_id"]
    return chosen


def _repair_text(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Text and speaker with C1 characters mapped and nulls as '', and the rows in which something was mapped."""
    repaired: set[int] = set()
    for name in ("text", "speaker"):
        if name not in frame.columns or frame.schema[name] not in (pl.String(), pl.Null()):
            continue
        column = frame[name].cast(pl.String()).fill_null("")
        rows = column.str.contains("[\u0080-\u009f]").arg_true().to_list()
        if rows:
            column = column.scatter(rows, [repair_cp1252(column[row]) for row in rows])
            repaired.update(rows)
        frame = frame.with_columns(column)
    return frame, [f"row {row + 1}" for row in sorted(repaired)]


def _build_ids(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[Finding]]:
    """Speaker, dialogue_id, turn and utterance_id where the file has none."""
    findings = []
    count = frame.height
    if "speaker" not in frame.columns:
        frame = frame.with_columns(pl.lit(UNKNOWN_SPEAKER).alias("speaker"))
        findings.append(Finding("no-speakers", count, f"No column tells the speaker: all are {UNKNOWN_SPEAKER!r}."))
    if "dialogue_id" not in frame.columns:
        if "dialogue" in frame.columns:
            key = pl.col("dialogue").cast(pl.String())
        else:
            key = pl.format("row{}", pl.int_range(1, count + 1))
            findings.append(Finding("no-dialogues", count, "No column tells the dialogue: every row is its own."))
        prefix = pl.format("{}/{}/", pl.col("dataset").cast(pl.String()), pl.col("split").cast(pl.String()))
        frame = frame.with_columns((prefix + key).alias("dialogue_id"))
    frame = frame.drop("dialogue", strict=False)
    if "turn" not in frame.columns:
        frame = frame.with_columns(pl.int_range(pl.len()).over("dialogue_id").alias("turn"))
    if "utterance_id" not in frame.columns:
        made = pl.format("{}_utt{}", pl.col("dialogue_id").cast(pl.String()), pl.col("turn").cast(pl.String()))
        frame = frame.with_columns(made.alias("utterance_id"))
    return frame, findings


def _card(frame: pl.DataFrame, name: str | None, labels: Sequence[str] | None) -> DatasetCard:
    """The shipped card of the dataset, or a new one; `labels` replace the card's."""
    if name is None:
        names = sorted({str(value) for value in frame["dataset"].drop_nulls().unique()})
        name = "+".join(names) or "unnamed"
    if name in shipped_cards():
        card = load_card(name)
    else:
        found = {str(value) for value in frame["label"].drop_nulls().unique()} if "label" in frame.columns else set()
        card = DatasetCard(dataset=name, title=name, labels=tuple(sorted(found - {""})))
    chosen = tuple(labels) if labels else card.labels
    return replace(card, labels=chosen, neutral="neutral" if "neutral" in chosen else None)
