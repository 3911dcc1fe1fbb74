"""The utterance table: one row per utterance, checked as a whole, read and written as Parquet, CSV or JSONL."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import polars as pl

from features.cards import DatasetCard, load_card, shipped_cards
from features.digests import digest_of, sha256_file
from features.errors import ManifestError, nearest

SCHEMA: dict[str, pl.DataType] = {
    "utterance_id": pl.String(),
    "dataset": pl.String(),
    "split": pl.String(),
    "dialogue_id": pl.String(),
    "turn": pl.Int64(),
    "speaker": pl.String(),
    "text": pl.String(),
    "label": pl.String(),
    "sentiment": pl.String(),
    "media": pl.String(),
    "start": pl.Float64(),
    "end": pl.Float64(),
    "duration": pl.Float64(),
    "group": pl.String(),
    "note": pl.String(),
}
REQUIRED = ("utterance_id", "dataset", "split", "dialogue_id", "turn", "speaker", "text")
NULLABLE = tuple(name for name in SCHEMA if name not in REQUIRED)

Depends = Literal["text", "dialogue", "media"]

_SHOWN_PROBLEMS = 20
_C1 = re.compile("[\u0080-\u009f]")
_SAFE_ID = re.compile(r"[^\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class Utterance:
    """One row of the manifest. Times are seconds; the columns are described in the README."""

    utterance_id: str
    dataset: str
    split: str
    dialogue_id: str
    turn: int
    speaker: str
    text: str
    label: str | None = None
    sentiment: str | None = None
    media: str | None = None
    start: float | None = None
    end: float | None = None
    duration: float | None = None
    group: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """The utterances of one dialogue, in the order of their turns."""

    dialogue_id: str
    utterances: tuple[Utterance, ...]


@dataclass(frozen=True)
class Manifest:
    """A checked utterance table.

    frame:       polars frame with SCHEMA's columns; the rows of a dialogue stand together, in the order of their turns
    card:        the corpus' dataset card
    media_root:  the folder that `media` paths are relative to, or None
    path:        the file it was read from, or None
    """

    frame: pl.DataFrame
    card: DatasetCard
    media_root: Path | None = None
    path: Path | None = None

    def __len__(self) -> int:
        return self.frame.height

    @cached_property
    def ids(self) -> list[str]:
        """Every utterance_id, in the manifest's order."""
        return self.frame["utterance_id"].to_list()

    @cached_property
    def positions(self) -> dict[str, int]:
        """utterance_id -> row."""
        return {utterance_id: row for row, utterance_id in enumerate(self.ids)}

    def utterances(self, start: int = 0, stop: int | None = None) -> list[Utterance]:
        """The rows from `start` up to, not including, `stop`."""
        rows = self.frame[start : self.frame.height if stop is None else stop]
        return [Utterance(*row) for row in rows.iter_rows()]

    def dialogue_bounds(self) -> list[tuple[int, int]]:
        """(start, stop) rows of each dialogue, in the manifest's order."""
        if not len(self):
            return []
        lengths = self.frame.select(pl.col("dialogue_id").rle().struct.field("len")).to_series().to_list()
        bounds, start = [], 0
        for length in lengths:
            bounds.append((start, start + length))
            start += length
        return bounds

    def dialogues(self, start: int = 0, stop: int | None = None) -> Iterator[Dialogue]:
        """The dialogues within rows [start, stop), which must lie on dialogue boundaries."""
        current: list[Utterance] = []
        for utterance in self.utterances(start, stop):
            if current and utterance.dialogue_id != current[0].dialogue_id:
                yield Dialogue(current[0].dialogue_id, tuple(current))
                current = []
            current.append(utterance)
        if current:
            yield Dialogue(current[0].dialogue_id, tuple(current))

    def source_digests(self, depends: Depends) -> list[str]:
        """sha256 of each row's own fields that an embedding depends on, without touching media.

        text:      the utterance's text
        dialogue:  speaker and text of every turn of the dialogue up to and including this one (a chain, so that an edit
                   changes this turn's digest and the later ones')
        media:     the clip's path and cut
        """
        if depends == "text":
            return [digest_of("text", text) for text in self.frame["text"]]
        if depends == "media":
            columns = self.frame.select("media", "start", "end")
            return [digest_of("media", *row) for row in columns.iter_rows()]
        if depends == "dialogue":
            digests, last_dialogue, chain = [], None, ""
            for dialogue_id, speaker, text in self.frame.select("dialogue_id", "speaker", "text").iter_rows():
                chain = digest_of("turn", "" if dialogue_id != last_dialogue else chain, speaker, text)
                last_dialogue = dialogue_id
                digests.append(chain)
            return digests
        raise ValueError(f"unknown dependence {depends!r}")

    def media_path(self, media: str) -> Path:
        """The clip's path. Raises ManifestError where the manifest has no media_root."""
        if self.media_root is None:
            raise ManifestError(f"{self.path or 'manifest'} names clips but no media_root: give --media-root DIR")
        return self.media_root / media

    def select_splits(self, splits: Sequence[str]) -> Manifest:
        """Only the rows of these splits. Raises ManifestError for a split that no row has."""
        known = self.frame["split"].unique().to_list()
        for split in splits:
            if split not in known:
                raise ManifestError(f"no split {split!r} in {self.path or 'the manifest'}: {nearest(split, known)}")
        frame = self.frame.filter(pl.col("split").is_in(list(splits)))
        return Manifest(frame, self.card, self.media_root, self.path)


def repair_cp1252(text: str) -> str:
    """Text whose cp1252 bytes were decoded as latin-1 (C1 characters U+0080 to U+009F), as cp1252 means them.

    The five bytes that cp1252 leaves undefined are dropped: they are control characters without a glyph.
    """
    return _C1.sub(lambda match: match.group().encode("latin-1").decode("cp1252", errors="ignore"), text)


def build_manifest(
    frame: pl.DataFrame, card: DatasetCard, media_root: Path | None = None, path: Path | None = None
) -> Manifest:
    """A Manifest from a frame: missing optional columns are added, types cast, rows of a dialogue brought together.

    Dialogues keep the order of their first row; turns are sorted within each. Raises ManifestError that lists every problem.
    """
    where = str(path) if path else "manifest"
    problems: list[str] = []
    for name in frame.columns:
        if name not in SCHEMA:
            problems.append(f"column {name!r} is not in the schema: {nearest(name, SCHEMA)}")
    for name in REQUIRED:
        if name not in frame.columns:
            problems.append(f"column {name!r} is missing")
    if not problems:
        frame, cast_problems = _cast(frame)
        problems += cast_problems
    if not problems:
        problems += _row_problems(frame)
    if problems:
        shown = "; ".join(problems[:_SHOWN_PROBLEMS])
        more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
        plural = "problem" if len(problems) == 1 else "problems"
        raise ManifestError(f"{where}: {len(problems)} {plural}: {shown}{more}", problems)
    order = frame.with_row_index("_row").select(
        pl.col("_row").min().over("dialogue_id").alias("_dialogue"), pl.col("turn"), pl.col("_row")
    )
    rows = order.sort("_dialogue", "turn")["_row"]
    if not (rows == pl.int_range(frame.height, dtype=rows.dtype, eager=True)).all():
        frame = frame[rows]
    return Manifest(frame, card, media_root, path)


def _cast(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    problems = []
    columns = []
    for name, dtype in SCHEMA.items():
        if name not in frame.columns:
            columns.append(pl.Series(name, [None] * frame.height, dtype=dtype))
            continue
        series = frame[name]
        if series.dtype != dtype:
            cast = series.cast(dtype, strict=False)
            bad = cast.is_null() & series.is_not_null()
            for row in bad.arg_true():
                problems.append(f"row {row + 1}, {name}: {series[row]!r} is not {_type_name(dtype)}")
            series = cast
        columns.append(series.alias(name))
    return pl.DataFrame(columns), problems


def _type_name(dtype: pl.DataType) -> str:
    return {pl.Int64(): "a whole number", pl.Float64(): "a number"}.get(dtype, "text")


def _row_problems(frame: pl.DataFrame) -> list[str]:
    """Every problem of a frame that has SCHEMA's columns and types; rows count from 1."""
    problems = []
    for name in REQUIRED:
        for row in frame[name].is_null().arg_true():
            problems.append(f"row {row + 1}, {name}: empty")
    for name in ("utterance_id", "dialogue_id", "split", "dataset"):
        column = frame[name]
        blank = column.str.strip_chars().str.len_chars() == 0
        control = column.str.contains(r"[\x00-\x1f\x7f]")
        for row in (blank | control).fill_null(False).arg_true():
            problems.append(f"row {row + 1}, {name}: {column[row]!r} is blank or has control characters")
    duplicated = frame["utterance_id"].is_duplicated() & frame["utterance_id"].is_not_null()
    for row in duplicated.arg_true():
        problems.append(f"row {row + 1}, utterance_id: {frame['utterance_id'][row]!r} occurs more than once")
    turns = frame.select(pl.struct("dialogue_id", "turn").is_duplicated()).to_series() & ~duplicated
    for row in turns.arg_true():
        dialogue_id, turn = frame["dialogue_id"][row], frame["turn"][row]
        problems.append(f"row {row + 1}, turn: turn {turn} of {dialogue_id!r} occurs more than once")
    spread = frame.group_by("dialogue_id", maintain_order=True).agg(pl.col("split").unique(maintain_order=True))
    for dialogue_id, splits in spread.filter(pl.col("split").list.len() > 1).iter_rows():
        problems.append(f"dialogue {dialogue_id!r} lies in several splits: {', '.join(map(str, splits))}")
    for name in ("start", "end", "duration"):
        column = frame[name]
        bad = (~column.is_finite() | (column < 0)).fill_null(False)
        for row in bad.arg_true():
            problems.append(f"row {row + 1}, {name}: {column[row]} is not a number of seconds from 0 up")
    for row in (frame["end"] <= frame["start"]).fill_null(False).arg_true():
        problems.append(f"row {row + 1}, end: {frame['end'][row]} is not after start {frame['start'][row]}")
    media = frame["media"]
    candidates = media.str.contains(r"(^[/\\~])|(^[A-Za-z]:)|(\.\.)|([\x00-\x1f])|(^\s*$)").fill_null(False)
    for row in candidates.arg_true():
        problem = media_path_problem(media[row])
        if problem:
            problems.append(f"row {row + 1}, media: {media[row]!r} {problem}")
    return problems


def media_path_problem(media: str) -> str | None:
    """Why a `media` value is refused, or None. It must be relative and stay inside media_root."""
    if not media.strip():
        return "is blank: leave it null where there is no clip"
    if not _SAFE_ID.fullmatch(media):
        return "has control characters"
    if media.startswith(("/", "\\", "~")) or re.match(r"[A-Za-z]:", media):
        return "is absolute: make it relative to media_root"
    if ".." in re.split(r"[/\\]", media):
        return "leaves media_root: a path may not hold '..'"
    return None


def read_manifest(path: str | os.PathLike[str], media_root: str | os.PathLike[str] | None = None) -> Manifest:
    """Read a manifest from .parquet, .csv or .jsonl.

    `media_root` overrides the one that a Parquet manifest carries; a CSV or JSONL manifest's default is its own folder.
    Raises ManifestError for a file that is not there, of another kind, or that breaks the schema.
    """
    path = Path(path)
    if not path.is_file():
        raise ManifestError(f"no manifest at {path}: make one with `erc ingest meld ROOT --out {path}`")
    root = Path(media_root) if media_root is not None else None
    kind = path.suffix.lower()
    try:
        if kind == ".parquet":
            frame, stored_card, stored_root = _read_parquet(path)
            if root is None and stored_root is not None:
                root = (path.parent / stored_root).resolve()
            card = stored_card or _card_of(frame)
        elif kind in {".csv", ".jsonl", ".ndjson"}:
            frame = read_table(path)
            card = _card_of(frame)
            root = path.parent.resolve() if root is None else root
        else:
            raise ManifestError(f"{path}: a manifest is .parquet, .csv or .jsonl, not {kind or 'a file without ending'!r}")
    except (pl.exceptions.PolarsError, UnicodeDecodeError, OSError) as error:
        raise ManifestError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error
    return build_manifest(frame, card, root, path)


def read_table(path: Path) -> pl.DataFrame:
    """A CSV or JSONL file as text columns (JSONL keeps its types); empty CSV fields are null, but text is ''."""
    if path.suffix.lower() == ".csv":
        frame = pl.read_csv(path, infer_schema=False, encoding="utf8", truncate_ragged_lines=False)
        if frame.columns and frame.columns[0].startswith("\ufeff"):
            frame = frame.rename({frame.columns[0]: frame.columns[0].lstrip("\ufeff")})
    else:
        frame = pl.read_ndjson(path, infer_schema_length=None)
    filled = [pl.col(name).fill_null("") for name in ("text", "speaker") if name in frame.columns]
    return frame.with_columns(filled)


def _card_of(frame: pl.DataFrame) -> DatasetCard:
    names = frame["dataset"].drop_nulls().unique().to_list() if "dataset" in frame.columns else []
    name = str(names[0]) if len(names) == 1 else "+".join(sorted(map(str, names))) or "unnamed"
    if name in shipped_cards():
        return load_card(name)
    labels = sorted(frame["label"].drop_nulls().unique().to_list()) if "label" in frame.columns else []
    return DatasetCard(dataset=name, labels=tuple(map(str, labels)), neutral="neutral" if "neutral" in labels else None)


def _read_parquet(path: Path) -> tuple[pl.DataFrame, DatasetCard | None, str | None]:
    import pyarrow.parquet as pq

    frame = pl.read_parquet(path)
    metadata: dict[bytes, bytes] = pq.read_schema(path).metadata or {}
    card = json.loads(metadata[b"erc.card"]) if b"erc.card" in metadata else None
    root = metadata.get(b"erc.media_root")
    return frame, DatasetCard.from_dict(card) if card else None, root.decode() if root else None


def write_manifest(manifest: Manifest, path: str | os.PathLike[str]) -> Path:
    """Write a manifest as .parquet (with its card and media_root), .csv or .jsonl; the ending decides.

    media_root is written relative to the manifest's folder where that needs no more than climbing out of it. The file
    appears whole or not at all.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    kind = path.suffix.lower()
    try:
        if kind == ".parquet":
            _write_parquet(manifest, path, temporary)
        elif kind == ".csv":
            manifest.frame.write_csv(temporary)
        elif kind in {".jsonl", ".ndjson"}:
            manifest.frame.write_ndjson(temporary)
        else:
            raise ManifestError(f"{path}: a manifest is .parquet, .csv or .jsonl, not {kind or 'a file without ending'!r}")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _write_parquet(manifest: Manifest, path: Path, temporary: Path) -> None:
    import pyarrow.parquet as pq

    metadata: dict[str, str] = {"erc.card": json.dumps(manifest.card.to_dict(), ensure_ascii=False)}
    if manifest.media_root is not None:
        metadata["erc.media_root"] = os.path.relpath(manifest.media_root.resolve(), path.parent.resolve())
    table = manifest.frame.to_arrow()
    pq.write_table(table.replace_schema_metadata(metadata), temporary)


def file_digest(manifest: Manifest) -> str | None:
    """sha256 of the file that the manifest was read from, or None."""
    return sha256_file(manifest.path) if manifest.path else None


def frame_of(utterances: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """A frame with SCHEMA's columns from dicts; keys that are absent become null."""
    names = {name for row in utterances for name in row}
    extra = names - set(SCHEMA)
    if extra:
        name = sorted(extra)[0]
        raise ManifestError(f"column {name!r} is not in the schema: {nearest(name, SCHEMA)}")
    return pl.DataFrame([{name: row.get(name) for name in SCHEMA} for row in utterances], schema=SCHEMA)


__all__ = [
    "NULLABLE",
    "REQUIRED",
    "SCHEMA",
    "Depends",
    "Dialogue",
    "Manifest",
    "Utterance",
    "build_manifest",
    "file_digest",
    "frame_of",
    "media_path_problem",
    "read_manifest",
    "read_table",
    "repair_cp1252",
    "write_manifest",
]
