"""`--format mmsa`: one pickle for MMSA (checked against the loader of its version 2.2.1).

{train, valid, test}, each a dict of

raw_text, id            object [n]: text and utterance_id
text, audio, vision     float32 [n, steps, d] (see `sequences`); zeros where there is no embedding, and [n, steps, 1]
                        where no feature of the modality was given
audio_lengths, vision_lengths (and text_lengths, which it does not read)
                        list [n] of int: steps that are real, 1 at least, since its recurrent networks take no 0
regression_labels       float32 [n]: the annotated score, else -1, 0 or 1 of the sentiment
classification_labels   int64 [n]: 0 negative, 1 neutral, 2 positive, by the score's sign
annotations             object [n]: the same as a word
For people, MMSA does not read them: label, dialogue_id, speaker and group, object [n], '' where there is none; turn,
int64 [n]; duration, float64 [n], seconds or NaN.

Utterances without a sentiment are left out: MMSA knows no missing label. There is no text_bert (BERT's token ids, which
a store does not hold): models with `use_bert` do not run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from features.errors import UsageError
from features.exports.corpus import SENTIMENTS, scores, texts_of, tool_splits
from features.exports.pickled import write_pickle
from features.exports.request import Request, Written, feature_name, width
from features.exports.sequences import fill_steps, num_steps

SPLITS = {"train": "train", "dev": "valid", "test": "test"}
NAMES = {"text": "text", "audio": "audio", "visual": "vision"}


def write(request: Request, path: Path) -> Written:
    """The pickle. Its arrays, and once more their bytes, are in memory at once."""
    manifest, written = request.manifest, Written()
    score = scores(manifest)
    written.left_out = {manifest.ids[row]: "no-sentiment" for row in np.flatnonzero(np.isnan(score))}
    if np.isnan(score).all():
        raise UsageError("mmsa needs a sentiment, and no utterance has one: fill the manifest's column `sentiment`")
    splits = np.array(tool_splits(manifest, SPLITS, "mmsa"))
    rows = {split: np.flatnonzero((splits == split) & ~np.isnan(score)) for split in SPLITS.values()}
    document = {split: _labels(request, rows[split], score) for split in rows}
    for modality, name in NAMES.items():
        values, lengths = _values(request, modality, written)
        for split, chosen in rows.items():
            document[split][name] = values[chosen]
            document[split][f"{name}_lengths"] = lengths[chosen].tolist()
    written.splits = {split: len(chosen) for split, chosen in rows.items()}
    written.missing = [item for item in written.missing if item.utterance_id not in written.left_out]
    written.facts |= {"classification_labels": list(SENTIMENTS), "regression_labels": "score, or -1, 0, 1 of sentiment"}
    if empty := [split for split, chosen in rows.items() if not len(chosen)]:
        raise UsageError(f"mmsa needs a sentiment in each split, and no utterance of {empty[0]} has one")
    with path.open("wb") as file:
        write_pickle(document, file)
    return written


def _labels(request: Request, rows: np.ndarray, score: np.ndarray) -> dict[str, Any]:
    frame = request.manifest.frame[rows]
    signs = np.sign(score[rows]).astype(np.int64) + 1
    found: dict[str, Any] = {
        "raw_text": _objects(texts_of(frame, "text")),
        "id": _objects(texts_of(frame, "utterance_id")),
        "regression_labels": score[rows].astype(np.float32),
        "classification_labels": signs,
        "annotations": _objects([SENTIMENTS[sign].capitalize() for sign in signs]),
        "turn": frame["turn"].to_numpy().astype(np.int64),
        "duration": frame["duration"].fill_null(np.nan).to_numpy().astype(np.float64),
    }
    return found | {name: _objects(texts_of(frame, name)) for name in ("label", "dialogue_id", "speaker", "group")}


def _objects(texts: list[str]) -> np.ndarray:
    found = np.empty(len(texts), object)
    found[:] = texts
    return found


def _values(request: Request, modality: str, written: Written) -> tuple[np.ndarray, np.ndarray]:
    """float32 [n, steps, d] and int64 [n], of every row of the manifest."""
    feature, count = request.one_of(modality), len(request.manifest)
    places = written.facts.setdefault("features", {})
    if feature is None:
        places[NAMES[modality]] = None
        written.notes.append(f"no {modality} feature was given: {NAMES[modality]} is zeros")
        return np.zeros((count, request.length or 1, 1), np.float32), np.ones(count, np.int64)
    places[NAMES[modality]] = feature_name(feature)
    steps = num_steps(feature.spec, request.length)
    values = np.zeros((count, steps, width(feature.spec)), np.float32)
    lengths = np.ones(count, np.int64)
    for row, frames in request.frames(feature, written):
        lengths[row] = max(1, fill_steps(frames, values[row]))
    return values, lengths
