"""The utterance table: one row per utterance, checked as a whole, read and written as Parquet, CSV or JSONL."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from features.cards import DatasetCard, load_card, neutral_of, shipped_cards
from features.digests import sha256_file
from features.errors import ManifestError, bare_line, nearest
from features.files import seen_from, write_whole
from features.schema import SCHEMA, cast_columns, column_problems, row_problems
from features.sources import Depends, dialogue_digests, media_digests, text_digests
from features.utterances import Dialogue, Utterance

NOBODY = ("", "unknown")
"""Names of speakers that stand for an unknown person: blank, and what ingest wrote before for a table without speakers.
Each such turn counts as another stranger's: never a known person's, and never the same person's twice."""

_SHOWN_PROBLEMS = 20
_C1 = re.compile("[\u0080-\u009f]")
_HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Manifest:
    """A checked utterance table.

    frame:       polars frame with SCHEMA's columns. The rows of a dialogue stand together, in the order of their turns
    card:        the dataset card of the corpus
    media_root:  the folder that `media` paths are relative to, or None
    path:        the file that it was read from, or None
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
        """The rows from `start` to `stop`, without `stop`."""
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
        """The dialogues in rows [start, stop). These rows must be whole dialogues."""
        current: list[Utterance] = []
        for utterance in self.utterances(start, stop):
            if current and utterance.dialogue_id != current[0].dialogue_id:
                yield Dialogue(current[0].dialogue_id, tuple(current))
                current = []
            current.append(utterance)
        if current:
            yield Dialogue(current[0].dialogue_id, tuple(current))

    def source_digests(self, depends: Depends) -> list[str]:
        """For each row, the sha256 of the fields that an embedding depends on. No media file is read.

        text:      the utterance's text
        dialogue:  speaker and text of every turn of the dialogue up to this one. It is a chain: an edit changes the
                   digest of its turn and of all later turns
        media:     the clip's path, and its cut
        The list is made once and shared. Do not change it.
        """
        if depends not in self._digests:
            self._digests[depends] = self._digested(depends)
        return self._digests[depends]

    @cached_property
    def _digests(self) -> dict[Depends, list[str]]:
        return {}

    def _digested(self, depends: Depends) -> list[str]:
        if depends == "text":
            return text_digests(self.frame["text"])
        if depends == "dialogue":
            return dialogue_digests(self.frame.select("dialogue_id", "speaker", "text").iter_rows())
        if depends == "media":
            return media_digests(self.frame.select("media", "start", "end").iter_rows())
        raise ValueError(f"unknown dependence {depends!r}")

    def media_path(self, media: str) -> Path:
        """The clip's path. Raises ManifestError if the manifest has no media_root."""
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


def known_speaker() -> pl.Expr:
    """The column `speaker`, with '' for names in NOBODY."""
    speaker = pl.col("speaker")
    return pl.when(speaker.str.strip_chars().is_in(NOBODY)).then(pl.lit("")).otherwise(speaker).alias("speaker")


def repair_cp1252(text: str) -> str:
    """Text whose cp1252 bytes were decoded as latin-1 (C1 characters U+0080 to U+009F), as cp1252 means them.

    The five bytes that cp1252 leaves undefined are dropped: they are control characters without a glyph.
    """
    return _C1.sub(lambda match: match.group().encode("latin-1").decode("cp1252", errors="ignore"), text)


def whole_characters(text: str) -> str:
    """Text with U+FFFD for each half of a character (a lone surrogate), which JSON may hold and UTF-8 may not."""
    return _HALF.sub("\ufffd", text)


def build_manifest(
    frame: pl.DataFrame, card: DatasetCard, media_root: Path | None = None, path: Path | None = None
) -> Manifest:
    """A Manifest from a frame: missing optional columns are added, types cast, rows of a dialogue brought together.

    Dialogues keep the order of their first row; turns are sorted within each. Labels must be on the card, if it has
    any. Raises ManifestError that lists every problem.
    """
    problems = column_problems(frame.columns)
    if not problems:
        frame, problems = cast_columns(frame)
        problems += row_problems(frame, card.labels)
    if problems:
        raise problems_error(str(path) if path else "manifest", problems)
    order = frame.with_row_index("_row").select(
        pl.col("_row").min().over("dialogue_id").alias("_dialogue"), pl.col("turn"), pl.col("_row")
    )
    rows = order.sort("_dialogue", "turn")["_row"]
    if not rows.is_sorted():
        frame = frame[rows]
    return Manifest(frame, card, media_root, path)


def problems_error(where: str, problems: Sequence[str], mend: str = "") -> ManifestError:
    """A ManifestError that holds all `problems`, shows the first of them, and ends with a mend where there is one."""
    shown = "; ".join(problems[:_SHOWN_PROBLEMS])
    more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return ManifestError(f"{where}: {count}: {shown}{more}{f': {mend}' if mend else ''}", problems)


def read_manifest(path: str | os.PathLike[str], media_root: str | os.PathLike[str] | None = None) -> Manifest:
    """Read a manifest from .parquet, .csv or .jsonl.

    media_root: the folder that clip paths are relative to. None: the one that a Parquet manifest carries; for CSV and
                JSONL, the folder of the file. If `path` is a symbolic link, the file that it leads to counts

    Raises ManifestError for a file that is not there, is empty, is of another kind, or breaks the schema.
    """
    path = Path(path)
    if not path.is_file():
        raise ManifestError(f"no manifest at {path}: make one with `erc ingest meld ROOT --out {path}`")
    root = Path(media_root) if media_root is not None else None
    kind = path.suffix.lower()
    folder = path.resolve().parent  # of the file itself, where `path` is a link to it
    try:
        if kind == ".parquet":
            frame, stored_card, stored_root = _read_parquet(path)
            if root is None and stored_root is not None:
                root = (folder / stored_root).resolve()
            card = stored_card or _card_of(frame)
        elif kind in {".csv", ".jsonl", ".ndjson"}:
            frame = read_table(path)
            filled = [pl.col(name).fill_null("") for name in ("text", "speaker") if name in frame.columns]
            frame = frame.with_columns(filled)
            card = _card_of(frame)
            root = folder if root is None else root
        else:
            raise ManifestError(
                f"{path}: a manifest is .parquet, .csv or .jsonl, not {kind or 'a file without ending'!r}"
            )
    except (pl.exceptions.PolarsError, ValueError, OSError) as error:
        raise ManifestError(f"{path}: cannot be read: {bare_line(error)}") from error
    if frame.is_empty():
        raise ManifestError(f"{path}: has no utterances: make it again with `erc ingest`")
    return build_manifest(frame, card, root, path)


def read_table(path: Path) -> pl.DataFrame:
    """A CSV file with every column as text, or a JSONL file with its own types; empty CSV fields are null.

    Raises ManifestError for CSV records with too few fields: the last of them, perhaps the label, would be null.
    """
    with path.open("rb") as file:  # by handle: polars would take '[' or '*' in a path for a pattern
        if path.suffix.lower() == ".csv":
            _refuse_short_records(path, file)
            file.seek(0)
            return pl.read_csv(file, infer_schema=False, encoding="utf8")
        content = file.read()
    return pl.read_ndjson(content, infer_schema_length=None) if content.strip() else pl.DataFrame()


def _refuse_short_records(path: Path, file: BinaryIO) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="")
    problems = []
    try:
        reader = csv.reader(text)
        width = len(next(reader, []))
        for values in reader:
            if 0 < len(values) < width:
                problems.append(f"line {reader.line_num} has {len(values)} fields, not {width}")
    except csv.Error:  # what polars makes of such a record is checked as any other
        pass
    finally:
        text.detach()
    if problems:
        raise problems_error(str(path), problems, "give every row a field for each column")


def _card_of(frame: pl.DataFrame) -> DatasetCard:
    name = "+".join(_values(frame, "dataset")) or "unnamed"
    if name in shipped_cards():
        return load_card(name)
    labels = _values(frame, "label")
    return DatasetCard(dataset=name, labels=labels, neutral=neutral_of(labels))


def _values(frame: pl.DataFrame, name: str) -> tuple[str, ...]:
    """The distinct values of a column that is perhaps there, as text, sorted."""
    values = frame[name].drop_nulls().unique().to_list() if name in frame.columns else []
    return tuple(sorted({str(value) for value in values} - {""}))


def _read_parquet(path: Path) -> tuple[pl.DataFrame, DatasetCard | None, str | None]:
    import pyarrow.parquet as pq

    frame = pl.read_parquet(path, glob=False, hive_partitioning=False)
    metadata: dict[bytes, bytes] = pq.read_schema(path).metadata or {}
    card = json.loads(metadata[b"erc.card"]) if b"erc.card" in metadata else None
    root = metadata.get(b"erc.media_root")
    return frame, DatasetCard.from_dict(card) if card else None, root.decode() if root else None


def write_manifest(manifest: Manifest, path: str | os.PathLike[str]) -> Path:
    """Write a manifest as .parquet (with its card and media_root), .csv or .jsonl; the ending decides.

    media_root is written relative to the manifest's folder, so that both can move together. The file appears whole or
    not at all. Raises ManifestError for another ending, or where nothing can be written.
    """
    path = Path(path)
    kind = path.suffix.lower()
    writers: dict[str, Callable[[Path], object]] = {
        ".parquet": lambda temporary: _write_parquet(manifest, path, temporary),
        ".csv": manifest.frame.write_csv,
        ".jsonl": manifest.frame.write_ndjson,
        ".ndjson": manifest.frame.write_ndjson,
    }
    if kind not in writers:
        raise ManifestError(f"{path}: a manifest is .parquet, .csv or .jsonl, not {kind or 'a file without ending'!r}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, writers[kind])
    except OSError as error:
        raise ManifestError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def _write_parquet(manifest: Manifest, path: Path, temporary: Path) -> None:
    import pyarrow.parquet as pq

    metadata: dict[str, str] = {"erc.card": json.dumps(manifest.card.to_dict(), ensure_ascii=False)}
    if manifest.media_root is not None:
        metadata["erc.media_root"] = seen_from(path.parent, manifest.media_root)
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
