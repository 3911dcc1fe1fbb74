"""`--format mertools`: a folder for MERTools' MERBench, as its DATA_DIR of a corpus (checked against its loaders).

features/NAME-UTT/CLIP.npy  float32 [d], for vectors and stacks (laid end to end)
features/NAME-FRA/CLIP.npy  float32 [t, d], for sequences: every step, nothing is averaged
label.npz                   train_corpus, val_corpus, test_corpus: clip -> {emo: int, val: float}
transcription.csv           name, english
utterances.parquet          clip -> utterance_id, and the manifest's columns

CLIP is SPLIT_ and the last parts of the id: `meld/train/dia0_utt0` is train_dia0_utt0, MERTools' own name. An utterance
without an embedding has zeros, [d] or [1, d]: its loader stops where a file is not there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.digests import digest_of
from features.errors import UsageError
from features.exports.corpus import label_order, labels_as_numbers, scores, tool_splits
from features.exports.pickled import write_object_npz
from features.exports.request import Request, Written, column_names, feature_name, width
from features.manifest import Manifest
from features.store.feature import Feature
from features.store.stream import MANIFEST_COLUMNS

SPLITS = {"train": "train", "dev": "val", "test": "test"}
EMOTIONS = ("anger", "joy", "sadness", "neutral", "disgust", "fear", "surprise")  # its order of MELD's
NO_VALUE = -10.0  # what it writes for `val` where a corpus has none
_LONGEST_NAME = 100


def write(request: Request, folder: Path) -> Written:
    """The folder, in bounded memory."""
    manifest, written = request.manifest, Written()
    splits = tool_splits(manifest, SPLITS, "mertools")
    names, order = clip_names(manifest, splits), label_order(manifest, EMOTIONS)
    emotions = labels_as_numbers(manifest, order)
    if all(emotion is None for emotion in emotions):  # a corpus of scores alone: MERTools writes 0 for each
        emotions, order = [0 for _ in emotions], ()
    written.left_out = {manifest.ids[row]: "no-label" for row, emotion in enumerate(emotions) if emotion is None}
    values = [NO_VALUE if np.isnan(score) else float(score) for score in scores(manifest)]
    corpora: dict[str, dict[str, Any]] = {split: {} for split in SPLITS.values()}
    for split, name, emotion, value in zip(splits, names, emotions, values, strict=True):
        if emotion is not None:
            corpora[split][name] = {"emo": emotion, "val": value}
    write_object_npz(folder / "label.npz", {f"{split}_corpus": corpora[split] for split in corpora})
    _write_tables(manifest, names, folder)
    folders = dict(zip(request.features, _folders(request.features), strict=True))
    for feature, place in folders.items():
        _write_feature(request, feature, names, folder / "features" / place, written)
    written.splits = {split: len(corpus) for split, corpus in corpora.items()}
    written.missing = [item for item in written.missing if item.utterance_id not in written.left_out]
    written.facts |= {
        "emo": list(order),
        "features": {f"features/{place}": feature_name(feature) for feature, place in folders.items()},
    }
    return written


def clip_names(manifest: Manifest, splits: Sequence[str]) -> list[str]:
    """The tool's name of each clip, which is a file's. Raises UsageError where two utterances would get the same."""
    names = []
    for split, ours, dataset, key in zip(
        splits, *(manifest.frame[name] for name in ("split", "dataset", "utterance_id")), strict=True
    ):
        rest = key.removeprefix(f"{dataset}/").removeprefix(f"{ours}/").replace("/", "_")
        plain = re.sub(r"[^\w.\-]", "_", rest)[:_LONGEST_NAME]
        names.append(f"{split}_{plain}" + ("" if plain == rest else f"-{digest_of(key)[:8]}"))
    if len({name.casefold() for name in names}) < len(names):
        seen: dict[str, str] = {}
        for name, key in zip(names, manifest.ids, strict=True):
            if (other := seen.setdefault(name.casefold(), key)) != key:
                raise UsageError(f"mertools would name both {other!r} and {key!r} {name}.npy: give one another id")
    return names


def _folders(features: tuple[Feature, ...]) -> list[str]:
    endings = ["FRA" if feature.spec.kind == "sequence" else "UTT" for feature in features]
    return [f"{name}-{ending}" for name, ending in zip(column_names(features), endings, strict=True)]


def _write_feature(request: Request, feature: Feature, names: list[str], folder: Path, written: Written) -> None:
    """A file an utterance. Raises UsageError for sequences of single numbers: the loader takes [t, 1] for [1, t]."""
    is_sequence, d = feature.spec.kind == "sequence", width(feature.spec)
    if is_sequence and d == 1:
        raise UsageError(
            f"{feature_name(feature)} has one number a step: MERTools would read t steps as one vector of t numbers;"
            " choose a feature with more, or another format"
        )
    folder.mkdir(parents=True)
    without = set(names)
    for row, frames in request.frames(feature, written):
        _save(folder / f"{names[row]}.npy", frames if is_sequence else frames[0])
        without.remove(names[row])
    for name in without:
        _save(folder / f"{name}.npy", np.zeros((1, d) if is_sequence else d, np.float32))


def _save(path: Path, value: np.ndarray) -> None:
    np.save(path, value.astype("<f4"), allow_pickle=False)


def _write_tables(manifest: Manifest, names: list[str], folder: Path) -> None:
    table = manifest.frame.select("utterance_id", *MANIFEST_COLUMNS).insert_column(0, pl.Series("name", names))
    table.write_parquet(folder / "utterances.parquet")
    table.select("name", english="text").write_csv(folder / "transcription.csv")
