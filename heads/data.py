"""Stored features and a manifest, joined by utterance id, as arrays that a head trains on.

Legend: n utterances, d values. Row i of every array belongs to utterance i of the same `Utterances`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.digests import digest_of
from features.errors import ManifestError, StaleFeaturesError, StoreError, UsageError, nearest
from features.manifest import Manifest
from heads.normalise import Normaliser

if TYPE_CHECKING:
    from features.store import Feature, Store
    from heads.experiment import Selector

UNLABELLED = -1


@dataclass(frozen=True)
class Utterances:
    """The rows that a head sees, in the manifest's order.

    ids:     utterance ids [n]
    splits:  str array [n]
    labels:  int64 [n], places in `label_names`; UNLABELLED (-1) where the manifest has none
    label_names: the dataset card's labels, in its order
    """

    ids: list[str]
    splits: np.ndarray
    labels: np.ndarray
    label_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, split: str) -> np.ndarray:
        """int64: the positions of a split's utterances."""
        return np.flatnonzero(self.splits == split)

    def counts(self, split: str) -> np.ndarray:
        """int64 [labels]: labelled utterances of each class."""
        labels = self.labels[self.rows(split)]
        return np.bincount(labels[labels != UNLABELLED], minlength=len(self.label_names))

    def digest(self) -> str:
        """Over ids, splits and labels: who is trained on and judged, and by what."""
        return digest_of("utterances", self.ids, self.splits.tolist(), self.labels.tolist(), list(self.label_names))


def read_utterances(manifest: Manifest, splits: Sequence[str]) -> Utterances:
    """The utterances of these splits and of no other. Raises ManifestError for a label that the dataset card lacks."""
    frame = manifest.select_splits(splits).frame
    names = manifest.card.labels
    where, card = manifest.path or "the manifest", manifest.card.dataset
    if not names:
        raise ManifestError(f"{where}: its dataset card ({card}) lists no labels: heads need their order")
    place = {name: index for index, name in enumerate(names)}
    for label in frame["label"].drop_nulls().unique(maintain_order=True):
        if label not in place:
            raise ManifestError(
                f"{where}: label {label!r} is not on its dataset card ({card}): {nearest(label, names)}"
            )
    labels = [UNLABELLED if label is None else place[label] for label in frame["label"]]
    return Utterances(
        frame["utterance_id"].to_list(),
        np.array(frame["split"].to_list(), dtype=object),
        np.array(labels, dtype=np.int64),
        names,
    )


@dataclass(frozen=True)
class FeatureRows:
    """One stored feature of one modality, normalised, for every utterance.

    values:  float32 [n, d]; zeros where the feature is missing
    present: bool [n], True where there is an embedding
    """

    modality: str
    folder: str
    normaliser: Normaliser
    values: np.ndarray
    present: np.ndarray

    @property
    def width(self) -> int:
        return int(self.values.shape[1])


@dataclass(frozen=True)
class HeadData:
    """What one head is trained or scored on. inputs: modality -> its features, in the experiment's order."""

    utterances: Utterances
    inputs: dict[str, tuple[FeatureRows, ...]]

    @property
    def widths(self) -> dict[str, tuple[int, ...]]:
        """modality -> values of each feature."""
        return {modality: tuple(item.width for item in items) for modality, items in self.inputs.items()}

    def has_input(self) -> np.ndarray:
        """bool [n]: True where at least one modality is there."""
        return np.any([item.present for items in self.inputs.values() for item in items], axis=0)


def choose_features(store: Store, inputs: Mapping[str, Sequence[Selector]]) -> dict[str, tuple[Feature, ...]]:
    """The stored feature of every selector. Raises FeatureChoiceError for the first that matches none or several, and
    UsageError for a sequence feature or one that is named twice."""
    chosen = {
        modality: tuple(store.choose(modality, selector) for selector in selectors)
        for modality, selectors in inputs.items()
    }
    for modality, features in chosen.items():
        folders = [feature.folder for feature in features]
        for feature in features:
            if folders.count(feature.folder) > 1:
                raise UsageError(f"inputs.{modality}: {feature.folder} is chosen more than once")
            if feature.spec.kind == "sequence":
                raise UsageError(
                    f"inputs.{modality}: {feature.folder} is a sequence feature; heads take one vector, or one stack"
                    " of layers, an utterance: extract a pooled feature"
                )
    return chosen


def check_fresh(feature: Feature, manifest: Manifest, mend: str) -> None:
    """Raises StaleFeaturesError where rows were made from other input than the manifest holds today.

    mend: the command that brings the feature up to date.
    """
    stale = feature.stale(manifest)
    if stale:
        raise StaleFeaturesError(
            f"{feature.folder}: {len(stale)} of {len(manifest)} utterances were extracted from other input than the"
            f" manifest holds today (the first is {stale[0]}): run `{mend}`, or give --allow-stale"
        )


Allocate = Callable[[tuple[int, int]], np.ndarray]


def zeros(shape: tuple[int, int]) -> np.ndarray:
    """float32, in memory."""
    return np.zeros(shape, np.float32)


def read_rows(feature: Feature, ids: Sequence[str], allocate: Allocate = zeros) -> tuple[np.ndarray, np.ndarray]:
    """(values float32 [n, d], present bool [n]), joined by id; a stack of layers is laid end to end, [layers * d].

    allocate: makes the float32 array of zeros for the values: a memory map where they do not fit in memory
    """
    values = allocate((len(ids), math.prod(feature.spec.shape)))
    rows = feature.read(ids, values.reshape(len(ids), *feature.spec.shape))
    return values, rows.present


def fit_feature(feature: Feature, utterances: Utterances, normalise: str, allocate: Allocate = zeros) -> FeatureRows:
    """Read a feature and normalise it by its train rows that are present.

    allocate: see `read_rows`. Raises StoreError where no train utterance has an embedding.
    """
    values, present = read_rows(feature, utterances.ids, allocate)
    train = utterances.rows("train")
    fitted_on = train[present[train]]
    if not len(fitted_on):
        raise StoreError(f"{feature.folder}: none of the {len(train)} train utterances has an embedding")
    return _normalised(feature, Normaliser.fit(normalise, values, fitted_on), values, present)


def apply_feature(feature: Feature, utterances: Utterances, normaliser: Normaliser) -> FeatureRows:
    """Read a feature and normalise it as in training."""
    return _normalised(feature, normaliser, *read_rows(feature, utterances.ids))


def _normalised(feature: Feature, normaliser: Normaliser, values: np.ndarray, present: np.ndarray) -> FeatureRows:
    normaliser.apply(values, out=values)
    values[~present] = 0.0
    return FeatureRows(feature.spec.modality, feature.folder, normaliser, values, present)


__all__ = [
    "UNLABELLED",
    "FeatureRows",
    "HeadData",
    "Utterances",
    "apply_feature",
    "check_fresh",
    "choose_features",
    "fit_feature",
    "read_rows",
    "read_utterances",
]
