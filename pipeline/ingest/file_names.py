"""Corpora whose file names tell everything: a pattern, what its codes mean, and splits by speaker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from features.cards import DatasetCard
from features.errors import ManifestError, UsageError, nearest
from features.manifest import Manifest, build_manifest, frame_of
from pipeline.ingest.annotations import raise_problems
from pipeline.ingest.labels import clean_labels
from pipeline.ingest.media_files import MediaFiles, are_equal, find_media, is_pointer
from pipeline.ingest.name_pattern import NamePattern, compile_pattern
from pipeline.ingest.own_card import card_of, with_neutral
from pipeline.ingest.speaker_splits import UNKNOWN_SPEAKER, SplitChoice, set_splits
from pipeline.ingest.summary import Finding, IngestSummary, finding, summarise

COLUMNS = ("label", "sentiment", "speaker", "group", "split", "dialogue", "turn", "text")
_USUAL = {"emotion": "label", "actor": "speaker"}  # field -> the column that it fills where no field has its name


@dataclass(frozen=True)
class FileNames:
    """How the names of a corpus are read.

    pattern: see `name_pattern`
    values:  field -> its codes -> what they mean; '' leaves the column empty. A field that is not here means itself
    columns: manifest column (COLUMNS) -> field; a field of a column's name fills it, as do `emotion` and `actor`
    keep:    field -> the codes, or what they mean, of the files that are taken; others are counted and left out
    """

    pattern: str
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    keep: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class _File:
    """A file that matches: its path below the root, its name within its split, and field -> what its text means."""

    path: str
    name: str
    told: dict[str, str]


def ingest_files(
    root: str | Path,
    names: FileNames,
    card: DatasetCard,
    choice: SplitChoice | None = None,
    texts: Mapping[str, str] | None = None,
    neutral: str | None = None,
) -> tuple[Manifest, IngestSummary]:
    """A manifest of the media files below `root`.

    card:   of the corpus; where it has no labels, those that occur, sorted, their spellings made one
    neutral: the label that the baseline says; by default the card's, else one spelt neutral in any case
    choice: of splits, where no field tells them; by default speakers drawn with seed 0
    texts:  a file's name without ending -> what is said; by default '', or what a field tells

    An utterance is named by its dataset, its split where its name tells it, and the parts of its path that the pattern
    speaks of. Without a field `dialogue` each is its own dialogue. `group` is the speaker where no field tells it.
    Raises UsageError for a pattern or choice that does not fit, ManifestError for codes that mean nothing and for
    different files of one name.
    """
    root = Path(root)
    if not root.is_dir():
        raise ManifestError(f"no folder {root}: give the folder that holds the corpus' files")
    pattern = compile_pattern(names.pattern)
    columns = _columns(pattern, names)
    found = find_media(root, pattern.takes)
    read = {path: pattern.match(path) for path in found.files}
    matched = {path: fields for path, fields in read.items() if fields is not None}
    kept, left_out = _keep(matched, names)
    if not kept:
        raise ManifestError(f"{root}: {_why_none(found, matched, pattern, names)}")
    files, repeated = _distinct(root, kept, pattern, names)
    rows = [_row(file, columns, card.dataset, texts or {}) for file in files]
    cleaned, of_labels = clean_labels([row["label"] for row in rows], [row["media"] for row in rows], card.labels)
    for row, label in zip(rows, cleaned, strict=True):
        row["label"] = label
    if choice is not None and "split" in columns:
        raise UsageError(
            f"{pattern.text} tells the split of every file: choose no speakers, or give that field another name"
        )
    choice = choice or SplitChoice()
    splits = set_splits(rows, choice, "split" in columns)
    _number(root, rows)
    pointers = [row["media"] for row in rows if is_pointer(root / row["media"])]
    silent = [row["utterance_id"] for row in rows if not row["text"]]
    bad = _note_known_bad(rows, card)
    manifest = build_manifest(frame_of(rows), with_neutral(_card(card, rows, splits), neutral), root)
    findings = [
        finding(
            "unmatched", [path for path in read if path not in matched], f"Not named like {pattern.text}: left out."
        ),
        *left_out,
        finding("other-media", found.other_files, "Media files with another ending, or hidden: left out."),
        finding("apple-double", found.apple_double, "`._*` files, which macOS leaves in archives, are no clips."),
        finding("names-not-utf8", found.not_utf8, "No manifest can hold such names: left out; rename them."),
        finding("repeated-files", repeated, "The same bytes in another folder: one is used."),
        finding("not-fetched", pointers, "Pointers of Git LFS in place of the files: run `git lfs pull` there."),
        finding(
            "links-outside", found.outside, "Links lead out of ROOT: extraction takes them with --follow-symlinks."
        ),
        finding("no-text", silent, "Nothing tells what is said: the text is empty, and what encodes text is masked."),
        finding("known-bad", bad, "The card says why: extraction masks their sound and picture, not their text."),
        *of_labels,
        *splits,
        finding("unused-fields", [name for name in pattern.fields if name not in columns.values()], "In ids alone."),
    ]
    return manifest, summarise(manifest, findings)


def _columns(pattern: NamePattern, names: FileNames) -> dict[str, str]:
    """Manifest column -> field. Raises UsageError for names that the pattern or the manifest does not have."""
    problems = [
        f"--map {column}={name}: no column {column!r} that a name can fill: {nearest(column, COLUMNS)}"
        for column, name in names.columns.items()
        if column not in COLUMNS
    ]
    for option, used in (("map", names.columns.values()), ("values", names.values), ("keep", names.keep)):
        problems += [
            f"--{option}: no field {name!r} in {pattern.text!r}: {nearest(name, pattern.fields)}"
            for name in used
            if name not in pattern.fields
        ]
    if problems:
        raise UsageError("; ".join(problems))
    columns = {column: name for name, column in _USUAL.items() if name in pattern.fields}
    return columns | {name: name for name in pattern.fields if name in COLUMNS} | dict(names.columns)


def _keep(matched: dict[str, dict[str, str]], names: FileNames) -> tuple[dict[str, dict[str, str]], list[Finding]]:
    """The files that every `keep` takes, and a finding a field of those that it leaves out."""
    findings = []
    for name, wanted in names.keep.items():
        meanings = names.values.get(name, {})
        out = {path: None for path, told in matched.items() if not {told[name], meanings.get(told[name])} & set(wanted)}
        findings.append(
            finding(f"other-{name}", list(out), f"Their {name} is not {' or '.join(wanted)}: left out (--keep).")
        )
        matched = {path: told for path, told in matched.items() if path not in out}
    return matched, findings


def _why_none(found: MediaFiles, matched: dict[str, dict[str, str]], pattern: NamePattern, names: FileNames) -> str:
    if matched:
        counts: dict[str, int] = {}
        for told in matched.values():
            for name in names.keep:
                counts[f"{name}={told[name]}"] = counts.get(f"{name}={told[name]}", 0) + 1
        have = ", ".join(f"{key} ({count})" for key, count in sorted(counts.items()))
        return f"no file is left of {len(matched):,}, which have {have}: choose with --keep"
    if found.files:
        return f"none of {len(found.files):,} files is named like {pattern.text}: the first is {found.files[0]}"
    what = f"files ending in {pattern.ending}" if pattern.ending else "media files"
    other = (
        f", though {len(found.other_files):,} others, like {found.other_files[0]}: ask for their ending"
        if (found.other_files)
        else ""
    )
    return f"holds no {what}{other}"


def _distinct(
    root: Path, kept: dict[str, dict[str, str]], pattern: NamePattern, names: FileNames
) -> tuple[list[_File], list[str]]:
    """The files with their codes read, each name once, and those that are copies of another.

    Raises ManifestError for all codes without a meaning and all names that different files have.
    """
    unknown: dict[tuple[str, str], list[str]] = {}
    files: dict[tuple[str, str], _File] = {}
    repeated, problems = [], []
    for path, fields in kept.items():
        told = dict(fields)
        for name, meanings in names.values.items():
            if fields[name] in meanings:
                told[name] = meanings[fields[name]]
            else:
                unknown.setdefault((name, fields[name]), []).append(path)
        file = _File(path, pattern.name(path), told)
        first = files.setdefault((fields.get("split", ""), file.name), file)
        if first is file:
            continue
        if are_equal(root / first.path, root / path):
            repeated.append(path)
        else:
            problems.append(
                f"{first.path} and {path} differ, but are both {file.name}: name what parts them in --pattern"
            )
    for (name, code), paths in sorted(unknown.items()):
        known = ", ".join(names.values[name])
        problems.append(
            f"{name} {code!r} ({len(paths)} files, {paths[0]}) means nothing, known: {known}: add --values"
            f" {name}:{code}=VALUE"
        )
    raise_problems(root, problems)
    return list(files.values()), repeated


def _row(file: _File, columns: Mapping[str, str], dataset: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """The row without what needs the others: split and turn may be open, ids lack their first part."""
    told = {column: file.told[name].strip() for column, name in columns.items()}
    speaker = told.get("speaker") or UNKNOWN_SPEAKER
    return {
        "utterance_id": file.name,
        "dataset": dataset,
        "split": told.get("split"),
        "dialogue_id": told.get("dialogue"),
        "turn": told.get("turn"),
        "speaker": speaker,
        "text": told.get("text") or texts.get(file.name.rsplit("/", 1)[-1], ""),
        "label": told.get("label") or None,
        "sentiment": told.get("sentiment") or None,
        "media": file.path,
        "group": told.get("group") or (None if speaker == UNKNOWN_SPEAKER else speaker),
    }


def _number(root: Path, rows: list[dict[str, Any]]) -> None:
    """Turns as whole numbers: those that names tell, else by the order of names. Raises ManifestError."""
    problems = []
    seen: dict[str, int] = {}
    for row in rows:
        turn = row["turn"]
        if turn is None:
            turn = row["turn"] = seen.get(row["dialogue_id"], -1) + 1
            seen[row["dialogue_id"]] = turn
        elif isinstance(turn, str) and not turn.isdecimal():
            problems.append(f"{row['media']}: turn {turn!r} is not a whole number: leave {{turn}} out to go by names")
        row["turn"] = int(turn) if not isinstance(turn, str) or turn.isdecimal() else None
    raise_problems(root, problems)


def _note_known_bad(rows: list[dict[str, Any]], card: DatasetCard) -> list[str]:
    bad = []
    for row in rows:
        reason = card.known_bad.get(row["utterance_id"])
        row["note"] = None if reason is None else f"known-bad clip: {reason}"
        if reason is not None:
            bad.append(row["utterance_id"])
    return bad


def _card(card: DatasetCard, rows: list[dict[str, Any]], splits: Sequence[Finding]) -> DatasetCard:
    made = card_of(card, [card.dataset], [row["label"] for row in rows if row["label"] is not None], None)
    notes = [f"Splits: {'; '.join(item.examples)}. {item.meaning}" for item in splits if item.name == "chosen-splits"]
    return replace(made, notes=(*card.notes, *notes))
