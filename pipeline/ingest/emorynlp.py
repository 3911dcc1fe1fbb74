"""EmoryNLP: scenes of Friends with another label set, as the CSV files that the MELD repository carries. Text only."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from features.cards import load_card
from features.digests import sha256_file
from features.errors import ManifestError
from features.manifest import Manifest, build_manifest, frame_of
from pipeline.ingest.annotations import Row, TextRepairs, annotated_duration, episode, raise_problems, read_rows
from pipeline.ingest.summary import IngestSummary, finding, summarise

_COLUMNS = (
    "Utterance", "Speaker", "Emotion", "Scene_ID", "Utterance_ID", "Season", "Episode", "Start_Time", "End_Time",
)  # fmt: skip
_NAME = re.compile(r"emorynlp_(train|dev|test)_final\.csv")
_SPLITS = ("train", "dev", "test")


def ingest_emorynlp(paths: Sequence[str | Path]) -> tuple[Manifest, IngestSummary]:
    """A manifest of EmoryNLP.

    paths: CSV files named emorynlp_SPLIT_final.csv, or folders that hold such files. Scene ids restart with every
    episode, so a dialogue is split, season, episode and scene. Raises ManifestError for what cannot be read.
    """
    card = load_card("emorynlp")
    repairs = TextRepairs()
    rows: list[dict[str, Any]] = []
    several: list[str] = []
    times: list[str] = []
    other_tables: list[str] = []
    for split, path in sorted(_files(paths).items(), key=lambda item: _SPLITS.index(item[0])):
        checksum = card.checksums.get(path.name)
        if checksum is not None and checksum != sha256_file(path):
            other_tables.append(path.name)
        problems: list[str] = []
        for record in read_rows(path, _COLUMNS, repairs):
            row = _row(record, split, several, times, problems)
            if row is not None:
                rows.append(row)
        raise_problems(path, problems)
    manifest = build_manifest(frame_of(rows), card)
    findings = [
        *repairs.findings(),
        finding("other-tables", other_tables, "Not the bytes that the card was written from: another edition."),
        finding("several-speakers", several, "Said by several at once: their names are joined by ' and '."),
        finding("unusable-times", times, "Start and end give no length: duration is null, and a note says why."),
    ]
    return manifest, summarise(manifest, findings)


def _files(paths: Sequence[str | Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for given in map(Path, paths):
        files = sorted(given.iterdir()) if given.is_dir() else [given]
        matches = [(match[1], path) for path in files if (match := _NAME.fullmatch(path.name))]
        if not matches:
            what = "holds no" if given.is_dir() else "is not named like"
            raise ManifestError(
                f"{given} {what} emorynlp_train_final.csv, emorynlp_dev_final.csv or emorynlp_test_final.csv"
            )
        for split, path in matches:
            if split in found and found[split].resolve() != path.resolve():
                raise ManifestError(f"two files for split {split!r}: {found[split]} and {path}: name one")
            found[split] = path
    return found


def _row(record: Row, split: str, several: list[str], times: list[str], problems: list[str]) -> dict[str, Any] | None:
    cells = record.cells
    group = episode(cells["Season"], cells["Episode"])
    try:
        scene, turn = int(cells["Scene_ID"]), int(cells["Utterance_ID"])
    except ValueError:
        group = None
    if group is None:
        values = ", ".join(f"{name} {cells[name]!r}" for name in ("Season", "Episode", "Scene_ID", "Utterance_ID"))
        problems.append(f"{record.where}: {values} must be whole numbers")
        return None
    dialogue_id = f"emorynlp/{split}/{group}_scene{scene}"
    utterance_id = f"{dialogue_id}_utt{turn}"
    speakers = _speakers(cells["Speaker"])
    if len(speakers) > 1:
        several.append(utterance_id)
    duration, trouble = annotated_duration(cells["Start_Time"], cells["End_Time"])
    if trouble is not None:
        times.append(utterance_id)
    return {
        "utterance_id": utterance_id,
        "dataset": "emorynlp",
        "split": split,
        "dialogue_id": dialogue_id,
        "turn": turn,
        "speaker": " and ".join(speakers),
        "text": cells["Utterance"],
        "label": cells["Emotion"].strip().lower() or None,
        "duration": duration,
        "group": group,
        "note": trouble,
    }


def _speakers(text: str) -> list[str]:
    """The names in a cell like `['Rachel Green', 'Bonnie']`; the cell itself where it is not a list of names."""
    try:
        names = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        names = None
    if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
        return [name.strip() for name in names]
    return [text.strip()]
