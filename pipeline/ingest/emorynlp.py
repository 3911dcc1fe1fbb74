"""EmoryNLP: scenes of Friends with another label set. Text only.

Two editions: the CSV files that the MELD repository carries, and the original's JSON (`emorynlp_json`), which holds
more utterances, since it is not aligned with subtitles.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from features.cards import load_card
from features.digests import sha256_file
from features.errors import ManifestError
from features.manifest import Manifest, build_manifest, frame_of
from pipeline.ingest.annotations import Row, TextRepairs, annotated_duration, episode, raise_problems, read_rows
from pipeline.ingest.emorynlp_json import COUNTS, emorynlp_json_rows
from pipeline.ingest.summary import IngestSummary, finding, summarise

_COLUMNS = (
    "Utterance", "Speaker", "Emotion", "Scene_ID", "Utterance_ID", "Season", "Episode", "Start_Time", "End_Time",
)  # fmt: skip
_NAME = re.compile(r"emorynlp_(train|dev|test)_final\.csv|emotion-detection-(trn|dev|tst)\.json")
_SPLITS = {"train": "train", "trn": "train", "dev": "dev", "test": "test", "tst": "test"}
# Below ROOT: the files' own folder, and clones of declare-lab/MELD and emorynlp/emotion-detection or what holds them.
_PLACES = ("", "data/emorynlp", "emorynlp", "MELD/data/emorynlp", "json", "emotion-detection/json")


def ingest_emorynlp(paths: Sequence[str | Path]) -> tuple[Manifest, IngestSummary]:
    """A manifest of EmoryNLP.

    paths: emorynlp_SPLIT_final.csv or emotion-detection-trn.json, -dev.json, -tst.json, or folders that hold such
           files, themselves or where the repositories have them

    Scene ids restart with every episode, so a dialogue is split, season, episode and scene; both editions give an
    utterance the same id. Raises ManifestError for what cannot be read.
    """
    card = load_card("emorynlp")
    repairs = TextRepairs()
    rows: list[dict[str, Any]] = []
    several: list[str] = []
    times: list[str] = []
    other_tables: list[str] = []
    files = _files(paths)
    for split, path in sorted(files.items(), key=lambda item: list(_SPLITS).index(item[0])):
        if path.suffix == ".json":
            rows += emorynlp_json_rows(path, split, repairs, several)
        else:
            problems: list[str] = []
            records = [_row(record, split, several, times, problems) for record in read_rows(path, _COLUMNS, repairs)]
            rows += [row for row in records if row is not None]
            raise_problems(path, problems)
        checksum = card.checksums.get(path.name)
        if checksum is not None and checksum != sha256_file(path):  # after it was read: what cannot be is told there
            other_tables.append(path.name)
    if any(path.suffix == ".json" for path in files.values()):
        card = replace(card, title="EmoryNLP emotion detection, the original's JSON", counts=COUNTS)
    manifest = build_manifest(frame_of(rows), card)
    findings = [
        *repairs.findings(),
        finding("other-tables", other_tables, "Not the bytes that the card was written from: another edition."),
        finding("several-speakers", several, "Said by several at once: their names are joined by ' and '."),
        finding("unusable-times", times, "Start and end give no length: duration is null, and a note says why."),
    ]
    return manifest, summarise(manifest, findings)


def _files(paths: Sequence[str | Path]) -> dict[str, Path]:
    """Split -> its file. Raises ManifestError where there is none, or two, or files of both editions."""
    found: dict[str, Path] = {}
    for given in map(Path, paths):
        matches = _matches(given)
        if not matches:
            what = "holds no" if given.is_dir() else "is not named like"
            raise ManifestError(
                f"{given} {what} emorynlp_train_final.csv, emorynlp_dev_final.csv or emorynlp_test_final.csv, nor like"
                " the original's emotion-detection-trn.json, -dev.json or -tst.json"
            )
        for split, path in matches:
            if split in found and found[split].resolve() != path.resolve():
                raise ManifestError(f"two files for split {split!r}: {found[split]} and {path}: name one")
            found[split] = path
    editions = {path.suffix: path for path in found.values()}
    if len(editions) > 1:
        both = " and ".join(str(path) for path in editions.values())
        raise ManifestError(f"{both} come from two editions, which have different utterances: give the files of one")
    return found


def _matches(given: Path) -> list[tuple[str, Path]]:
    """(split, file) of a file's own name, or of the files in the first place below a folder that has any."""
    if not given.is_dir():
        folders = [[given]]
    else:
        folders = [sorted((given / place).iterdir()) for place in _PLACES if (given / place).is_dir()]
    for files in folders:
        matches = [
            (_SPLITS[match[1] or match[2]], path) for path in files if (match := _NAME.fullmatch(path.name)) is not None
        ]
        if matches:
            return matches
    return []


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
