"""Any tables as a manifest, by a mapping of their columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from features.errors import ManifestError, UsageError
from features.manifest import Manifest, problems_error, repair_cp1252, whole_characters
from pipeline.ingest.build_ids import build_ids
from pipeline.ingest.cuts import note_cuts_outside
from pipeline.ingest.gather import Gathered, gather
from pipeline.ingest.labels import clean_labels
from pipeline.ingest.own_card import card_findings, card_of, given_card, with_neutral
from pipeline.ingest.reading import Reading
from pipeline.ingest.rows import build_from_rows
from pipeline.ingest.sources import Source
from pipeline.ingest.splits import SPLITS, name_splits, with_dev
from pipeline.ingest.summary import Finding, IngestSummary, finding, summarise


def ingest_table(
    sources: Path | str | Sequence[Source],
    mapping: Mapping[str, str] | None = None,
    dataset: str | None = None,
    split: str | None = None,
    labels: Sequence[str] | None = None,
    media_root: str | Path | None = None,
    probe: bool = True,
    *,
    neutral: str | None = None,
    card: Path | None = None,
    split_map: Mapping[str, str] | None = None,
    dev: float | None = None,
    seed: int = 0,
    reading: Reading | None = None,
) -> tuple[Manifest, IngestSummary]:
    """A manifest of one table, or of several that are one corpus: see `reading.ENDINGS` for the kinds.

    mapping:    manifest column (or `dialogue`) -> the files' column, '' to leave one out; own names need no mapping
    dataset:    by default the card's, else the files' name, else that of their folder
    split:      of all rows, where neither a column nor the files' names tell it; split_map: their names -> ours
    labels:     the emotions in the order that reports use; by default the card's, else those that occur, sorted
    neutral:    the label that the baseline says; by default the card's, else one spelt neutral in any case
    card:       a dataset card of one's own, a YAML file
    media_root: by default the files' folder
    dev, seed:  the share of train's dialogues (of its groups, where there are) that become dev, and the draw's seed
    probe:      note utterances that end after the clip that they are cut out of, whose length its header tells

    What is absent is built: a dialogue_id of dataset, split and `dialogue` (without either, every row is a dialogue),
    the turn from the order of rows, an utterance_id of dialogue_id and turn. Raises UsageError for options that do not
    fit, ManifestError for a file that cannot be read or rows that break the schema, with row, column and mend.
    """
    sources = [Source(Path(sources))] if isinstance(sources, str | Path) else list(sources)
    own = given_card(card, dataset)
    name = dataset or (own.dataset if own and card else None)
    mapping = mapping or {}
    rows = gather(sources, mapping, name, split, reading or Reading())
    if own is None and len(names := set(rows.columns["dataset"])) == 1:
        own = given_card(None, names.pop())
    known = tuple(labels or (own.labels if own else ()))
    frame, findings = _frame(rows, known, split_map or {}, keep_sentiment="sentiment" in mapping)
    made = card_of(own, frame["dataset"].drop_nulls(), frame["label"].drop_nulls(), labels)
    made = with_neutral(made, neutral)
    root = _media_root(sources, media_root) if "media" in rows.columns else None
    manifest = build_from_rows(rows.where, frame, rows.places, made, root, rows.problems)
    if dev is not None:
        manifest, told = with_dev(manifest, dev, seed)
        findings.append(told)
    if card is not None:
        findings += card_findings(made, manifest.frame)
    if root is not None:
        clips = manifest.frame["media"].drop_nulls().unique(maintain_order=True)
        absent = [clip for clip in clips if not (root / clip).is_file()]
        findings.append(finding("missing-clips", absent, f"Not on disk under {root}: extraction will record them."))
    if probe:
        manifest, outside = note_cuts_outside(manifest)
        findings += outside
    return manifest, summarise(manifest, findings, _hints(manifest, rows))


def _frame(
    rows: Gathered, known: Sequence[str], split_map: Mapping[str, str], keep_sentiment: bool
) -> tuple[pl.DataFrame, list[Finding]]:
    """The manifest's columns as texts, ids among them, labels and splits as the commands know them."""
    columns = dict(rows.columns)
    _refuse_empty(rows)
    columns["split"], findings = name_splits(columns["split"], rows.places, split_map)
    try:
        columns["label"], of_labels = clean_labels(
            columns.get("label", [None] * len(rows.places)), rows.places, known, rows.theirs.get("label", "label")
        )
        findings += of_labels
        if "sentiment" in columns:
            columns["sentiment"], of_sentiments = _sentiments(rows, keep_sentiment)
            findings += of_sentiments
    except ManifestError as error:
        raise ManifestError(f"{rows.where}: {error}", error.problems) from error
    frame, halved = _of_texts(columns)
    frame, repaired = _repair_text(frame)
    rows.repairs.halved_rows = [rows.places[row] for row in sorted(halved)]
    rows.repairs.repaired_rows = [rows.places[row] for row in sorted(repaired)]
    frame, built = build_ids(frame, rows.several)
    return frame, [*rows.repairs.findings(), *rows.findings, *findings, *built]


def _refuse_empty(rows: Gathered) -> None:
    """Raise for rows without the split or the dialogue key that their ids are made of."""
    problems = [
        f"{place}, {name}: empty"
        for name in ("split", "dialogue")
        for place, value in zip(rows.places, rows.columns.get(name, ()), strict=False)
        if value is None
    ]
    if problems:
        raise problems_error(
            rows.where, problems, "every row needs its split, and its dialogue where a column tells it"
        )


def _sentiments(rows: Gathered, keep: bool) -> tuple[list[str | None], list[Finding]]:
    """The sentiments, cleaned as labels are. Scores are refused; where nobody mapped the column, it is left out, told.

    keep: --map names the column
    """
    values, column = rows.columns["sentiment"], rows.theirs["sentiment"]
    try:
        return clean_labels(values, rows.places, (), column)[0], []
    except ManifestError as error:
        if keep:
            raise
        return [None] * len(values), [Finding("sentiment-left-out", len(error.problems), f"No classes: {error}.")]


def _of_texts(columns: Mapping[str, Sequence[str | None]]) -> tuple[pl.DataFrame, set[int]]:
    """The columns, and the rows where half of a character, as JSON may hold, became U+FFFD."""
    try:
        return pl.DataFrame([pl.Series(name, values, dtype=pl.String()) for name, values in columns.items()]), set()
    except UnicodeEncodeError:
        whole = {
            name: [None if value is None else whole_characters(value) for value in values]
            for name, values in columns.items()
        }
        changed = {
            row for name, values in columns.items() for row, value in enumerate(values) if value != whole[name][row]
        }
        return _of_texts(whole)[0], changed


def _repair_text(frame: pl.DataFrame) -> tuple[pl.DataFrame, set[int]]:
    """Text (empty where no column has it) and speaker with C1 characters mapped, and the rows where any was."""
    if "text" not in frame.columns:
        frame = frame.with_columns(pl.lit("").alias("text"))
    repaired: set[int] = set()
    for name in {"text", "speaker"} & set(frame.columns):
        rows = frame[name].str.contains("[\u0080-\u009f]").arg_true().to_list()
        if rows:
            frame = frame.with_columns(frame[name].scatter(rows, [repair_cp1252(frame[name][row]) for row in rows]))
            repaired.update(rows)
    return frame, repaired


def _media_root(sources: Sequence[Source], given: str | Path | None) -> Path:
    if given is not None:
        return Path(given)
    folders = list(dict.fromkeys(source.path.resolve().parent for source in sources))  # not those of links to them
    if len(folders) > 1:
        raise UsageError(
            f"the files lie in several folders ({', '.join(map(str, folders[:3]))}): give --media-root, the folder that"
            " clip paths are relative to"
        )
    return folders[0]


def _hints(manifest: Manifest, rows: Gathered) -> list[str]:
    """What could be done next."""
    hints = []
    splits = set(manifest.frame["split"])
    if "label" not in rows.theirs:
        hints.append("no column tells the label, so nothing can be trained on it: --map label=COLUMN")
    if "train" not in splits:
        hints.append(
            f"no split is called train, which heads are trained on: --split-map theirs=ours, of {', '.join(SPLITS)}"
        )
    elif "dev" not in splits:
        hints.append("there is no dev split: --dev 0.1 cuts one out of train, or select by `erc ablate SUITE --cv 5`")
    return hints
