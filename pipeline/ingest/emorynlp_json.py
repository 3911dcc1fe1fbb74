"""EmoryNLP's original files: JSON of episodes, scenes and utterances (emotion-detection-trn.json, -dev, -tst)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pipeline.ingest.annotations import TextRepairs, raise_problems
from pipeline.ingest.nested import Entry, read_json

COUNTS = {"train": 9934, "dev": 1344, "test": 1328}  # the repository's README; dev and test counted from the files

_ID = re.compile(r"s(\d+)_e(\d+)_c(\d+)_u(\d+)")


def emorynlp_json_rows(path: Path, split: str, repairs: TextRepairs, several: list[str]) -> list[dict[str, Any]]:
    """Rows of one split. Ids are those that the CSV edition gives the same utterances.

    several: takes the ids of what several say at once. Raises ManifestError with all problems of the file.
    """
    file = read_json(path, repairs)
    rows = []
    for episode in file.entries("episodes"):
        for scene in episode.entries("scenes"):
            for utterance in scene.entries("utterances"):
                row = _row(utterance, split, several)
                if row is not None:
                    rows.append(row)
    raise_problems(path, file.problems)
    return rows


def _row(utterance: Entry, split: str, several: list[str]) -> dict[str, Any] | None:
    key = utterance.text("utterance_id")
    speakers, text, emotion = utterance.texts("speakers"), utterance.text("transcript"), utterance.text("emotion")
    match = _ID.fullmatch(key)
    if match is None:
        if key:
            utterance.problems.append(f"{utterance.where}.utterance_id {key!r} is not like s01_e15_c01_u001")
        return None
    season, number, scene, turn = (int(part) for part in match.groups())
    group = f"s{season:02d}e{number:02d}"
    dialogue_id = f"emorynlp/{split}/{group}_scene{scene}"
    utterance_id = f"{dialogue_id}_utt{turn}"
    if len(speakers) > 1:
        several.append(utterance_id)
    return {
        "utterance_id": utterance_id,
        "dataset": "emorynlp",
        "split": split,
        "dialogue_id": dialogue_id,
        "turn": turn,
        "speaker": " and ".join(speakers),
        "text": text,
        "label": emotion.strip().lower() or None,
        "group": group,
    }
