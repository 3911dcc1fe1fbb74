"""Rows that a head and its ONNX graph are both asked: drawn ones, and real ones where a run's store is at hand.

Legend: b utterances, d dialogues, t turns of the longest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from features.errors import ErcError
from features.manifest import read_manifest
from features.store import Feature, Store
from heads.data.batch import Batch
from heads.data.data import FeatureRows, HeadData, apply_feature, read_rows
from heads.data.normalise import NORMALISERS, Normaliser
from heads.data.sequences import Sequences
from heads.data.utterances import Utterances, read_utterances
from heads.graph.inputs import SPEAKER, SPEAKER_SLOT, TURN_MASK, GraphInput
from heads.training.checkpoint import InputFeature, TrainedHead
from pipeline.runs.folder import Run

# Turns of each dialogue of each drawn case; utterances alone where a head sees none.
CASES = ((2, 5, 3), (1,), (6,), (1, 1), (4, 1, 7, 2))
_LENGTHS, _SAMPLES = (1, 2, 3, 7, 60), (1, 300, 20_001)
_MISSING = 0.3
_REAL_ROWS = 64


@dataclass(frozen=True)
class Rows:
    """Raw embeddings of some utterances, whole dialogues one after the other.

    raw:       of each input of a graph, each utterance's own array as it is stored, None where it is missing
    dialogues: int64 [b], ascending; slots: int64 [b]; speakers: int64 [b]
    """

    raw: list[list[np.ndarray | None]]
    dialogues: np.ndarray
    slots: np.ndarray
    speakers: np.ndarray

    def __len__(self) -> int:
        return len(self.dialogues)

    def feed(self, inputs: Sequence[GraphInput], sees_dialogues: bool) -> dict[str, np.ndarray]:
        """As a graph takes them. What it must not look at is NaN, or says that something is there."""
        given: dict[str, np.ndarray] = {}
        for item, arrays in zip(inputs, self.raw, strict=True):
            given[item.present] = np.array([array is not None for array in arrays])
            shape = item.feature.shape.shape
            if item.is_sequence:
                longest = max([1, *(len(array) for array in arrays if array is not None)])
                given[item.length] = np.array([longest if array is None else len(array) for array in arrays], np.int64)
                shape = (longest, *shape)
            values = np.full((len(self), *shape), np.nan, np.float32)
            for row, array in enumerate(arrays):
                if array is not None:
                    values[row, : len(array)] = array
            given[item.name] = values
        given[SPEAKER_SLOT], given[SPEAKER] = self.slots, self.speakers
        if not sees_dialogues:
            return given
        return {name: self._by_dialogue(value) for name, value in given.items()} | {TURN_MASK: self.mask()}

    def _by_dialogue(self, values: np.ndarray) -> np.ndarray:
        """[b, *w] -> [d, t, *w]"""
        mask = self.mask()
        empty = np.nan if values.dtype == np.float32 else 1
        padded = np.full((*mask.shape, *values.shape[1:]), empty, values.dtype)
        padded[mask] = values
        return padded

    def mask(self) -> np.ndarray:
        """bool [d, t]"""
        lengths = np.unique(self.dialogues, return_counts=True)[1]
        mask: np.ndarray = np.arange(lengths.max()) < lengths[:, None]
        return mask

    def batch(self, trained: TrainedHead, inputs: Sequence[GraphInput]) -> Batch:
        """As a head takes them, normalised as in training."""
        values: dict[str, tuple[torch.Tensor | Sequences, ...]] = {}
        for item, arrays in zip(inputs, self.raw, strict=True):
            own = trained.inputs[item.modality][item.index]
            values[item.modality] = (*values.get(item.modality, ()), _normalised(own, arrays))
        present = {
            modality: torch.tensor(
                [
                    [array is not None for array in arrays]
                    for item, arrays in zip(inputs, self.raw, strict=True)
                    if item.modality == modality
                ]
            ).T
            for modality in values
        }
        return Batch(values, present, *map(torch.from_numpy, (self.dialogues, self.slots, self.speakers)))


def _normalised(own: InputFeature, arrays: list[np.ndarray | None]) -> torch.Tensor | Sequences:
    shape, normaliser = own.shape.shape, own.normaliser
    if own.shape.kind != "sequence":
        rows = np.stack([np.zeros(shape, np.float32) if array is None else array for array in arrays])
        there = np.array([array is not None for array in arrays])
        rows = normaliser.apply(rows.reshape(len(rows), -1))
        return torch.from_numpy(np.where(there[:, None], rows, np.float32(0)))
    parts = [np.zeros((0, *shape), np.float32) if array is None else array for array in arrays]
    offsets = torch.tensor([0, *(len(part) for part in parts)]).cumsum(0)
    joined = np.concatenate(parts)
    if not shape:
        return Sequences(torch.from_numpy(joined), offsets, normaliser.factor)
    return Sequences(torch.from_numpy(normaliser.apply(joined)), offsets)


def drawn_rows(inputs: Sequence[GraphInput], lengths: Sequence[int], known: int, seed: int) -> Rows:
    """Raw embeddings that a head might see, by its own normalisation; some are missing, and in every second case a
    modality is there for nobody.

    lengths: turns of each dialogue; known: speakers that the head knows by name
    """
    generator = np.random.default_rng(seed)
    count = sum(lengths)
    modalities = list(dict.fromkeys(item.modality for item in inputs))
    absent = modalities[seed % len(modalities)] if seed % 2 and len(modalities) > 1 else None
    raw = []
    for item in inputs:
        missing = np.full(count, item.modality == absent) | (generator.random(count) < _MISSING)
        raw.append([None if gone else _draw(item.feature, generator) for gone in missing])
    dialogues = np.repeat(np.arange(len(lengths)), lengths)
    drawn = [generator.integers(3, size=length).tolist() for length in lengths]
    slots = [list(dict.fromkeys(talk)).index(speaker) for talk in drawn for speaker in talk]
    return Rows(raw, dialogues, np.array(slots, np.int64), generator.integers(known + 1, size=count))


def _draw(feature: InputFeature, generator: np.random.Generator) -> np.ndarray:
    shape, normaliser = feature.shape.shape, feature.normaliser
    if feature.shape.kind == "sequence":
        shape = (int(generator.choice(_LENGTHS if shape else _SAMPLES)), *shape)
    values = generator.standard_normal(shape)
    flat = values.reshape(-1, _width(normaliser, values))
    if normaliser.scale is not None:
        flat = flat * normaliser.scale
    if normaliser.mean is not None:
        flat = flat + normaliser.mean
    if "l2" in NORMALISERS.get(normaliser.name, ()):
        flat = flat * generator.uniform(0.5, 2)
    drawn: np.ndarray = flat.reshape(shape).astype(np.float32)
    return drawn


def _width(normaliser: Normaliser, values: np.ndarray) -> int:
    return values.size if normaliser.scale is None else len(normaliser.scale)


def real_rows(run: Run, seeds: Sequence[TrainedHead], inputs: Sequence[GraphInput]) -> tuple[Rows, list[Batch]] | None:
    """The first dialogues of dev (of train, where there is no dev) as the run's store has them, and what each seed's
    head sees of them. None where the store or the manifest is not at hand, or no longer holds the features."""
    facts, place = run.features.manifest, Path(run.features.store or "")
    if facts.path is None or run.features.store is None or not place.is_dir() or not Path(facts.path).is_file():
        return None
    try:
        manifest = read_manifest(Path(facts.path))
        splits = set(manifest.frame["split"])
        split = next((name for name in ("dev", "train") if name in splits), None)
        if split is None:
            return None
        utterances = _first(read_utterances(manifest, [split]))
        stored = {feature.fingerprint: feature for feature in Store(place, manifest).features()}
        features = [stored[item.feature.fingerprint] for item in inputs]
        raw = [_raw(feature, item, utterances) for feature, item in zip(features, inputs, strict=True)]
        batches = [_batch(trained, inputs, features, utterances) for trained in seeds]
    except (ErcError, OSError, KeyError):
        return None
    return Rows(raw, utterances.dialogues, utterances.slots, batches[0].speakers.numpy()), batches


def _first(utterances: Utterances) -> Utterances:
    """Whole dialogues, _REAL_ROWS utterances or the first dialogue."""
    ends = np.flatnonzero(np.diff(utterances.dialogues, append=-1)) + 1
    fitting = ends[ends <= _REAL_ROWS]
    return utterances.take(np.arange(fitting[-1] if len(fitting) else ends[0]))


def _raw(feature: Feature, item: GraphInput, utterances: Utterances) -> list[np.ndarray | None]:
    return list(_stored(feature, item.feature.shape.shape, item.is_sequence, utterances.ids))


def _stored(
    feature: Feature, shape: tuple[int, ...], is_sequence: bool, ids: Sequence[str]
) -> Iterator[np.ndarray | None]:
    if not is_sequence:
        values, present = read_rows(feature, ids)
        yield from (row.reshape(shape) if there else None for row, there in zip(values, present, strict=True))
        return
    joined, offsets, present = feature.read_joined(ids, lambda size, dtype: np.zeros(size, dtype))
    for row, there in enumerate(present):
        part = joined[offsets[row] : offsets[row + 1]].astype(np.float32)
        yield part.reshape(len(part), *shape) if there else None


def _batch(
    trained: TrainedHead, inputs: Sequence[GraphInput], features: Sequence[Feature], utterances: Utterances
) -> Batch:
    own: dict[str, tuple[FeatureRows, ...]] = {}
    for item, feature in zip(inputs, features, strict=True):
        normaliser = trained.inputs[item.modality][item.index].normaliser
        own[item.modality] = (*own.get(item.modality, ()), apply_feature(feature, utterances, normaliser))
    return trained.batch(HeadData(utterances, own))
