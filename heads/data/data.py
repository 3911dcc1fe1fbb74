"""Stored features and a manifest, joined by utterance id, as arrays that a head trains on.

Legend: n utterances, d values. Row i of every array belongs to utterance i of the same `Utterances`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from features.errors import AbsentFeaturesError, StaleFeaturesError, StoreError, UsageError
from features.manifest import Manifest
from features.store.feature import ABSENT
from heads.data.normalise import Normaliser
from heads.data.top import StoredTop, set_begins
from heads.data.utterances import Utterances

if TYPE_CHECKING:
    from features.spec import Selector
    from features.store import Feature, Store


@dataclass(frozen=True)
class FeatureShape:
    """kind: vector (d,), stack (layers, d), or sequence, whose `shape` is that of one element: () for a waveform.

    top: of a sequence of hidden states, the encoder's layers above them
    """

    kind: Literal["vector", "stack", "sequence"]
    shape: tuple[int, ...]
    top: StoredTop | None = None

    @property
    def read_as(self) -> str:
        """Which readers read it: its kind, or `top`."""
        return self.kind if self.top is None else "top"


@dataclass(frozen=True)
class FeatureRows:
    """One stored feature of one modality, normalised, for every utterance.

    values:  float32 [n, d], a stack of layers laid end to end; zeros where the feature is missing. For a sequence the
             elements of all utterances end to end, [sum of lengths, *shape], float32 or as stored: waveforms, and
             states below an encoder's top, which are never normalised
    present: bool [n], True where there is an embedding
    offsets: for a sequence int64 [n + 1], where each utterance's elements begin; else None
    scale:   what a sequence's values are multiplied by when they are read
    """

    modality: str
    folder: str
    normaliser: Normaliser
    values: np.ndarray
    present: np.ndarray
    shape: FeatureShape
    offsets: np.ndarray | None = None
    scale: float = 1.0


@dataclass(frozen=True)
class HeadData:
    """What one head is trained or scored on. inputs: modality -> its features, in the experiment's order."""

    utterances: Utterances
    inputs: dict[str, tuple[FeatureRows, ...]]

    @property
    def shapes(self) -> dict[str, tuple[FeatureShape, ...]]:
        """modality -> shape of each feature."""
        return {modality: tuple(item.shape for item in items) for modality, items in self.inputs.items()}

    def has_input(self) -> np.ndarray:
        """bool [n]: True where at least one modality is there."""
        return np.any(list(self.modalities_there().values()), axis=0)

    def modalities_there(self) -> dict[str, np.ndarray]:
        """modality -> bool [n]: True where at least one feature of it is there."""
        return {modality: np.any([item.present for item in items], axis=0) for modality, items in self.inputs.items()}


def choose_features(store: Store, inputs: Mapping[str, Sequence[Selector]]) -> dict[str, tuple[Feature, ...]]:
    """The stored feature of every selector. Raises FeatureChoiceError for the first that matches none or several, and
    UsageError for one that is named twice."""
    chosen = {
        modality: tuple(store.choose(modality, selector) for selector in selectors)
        for modality, selectors in inputs.items()
    }
    for modality, features in chosen.items():
        folders = [feature.folder for feature in features]
        for folder in folders:
            if folders.count(folder) > 1:
                raise UsageError(f"inputs.{modality}: {folder} is chosen more than once")
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


def check_extracted(feature: Feature, manifest: Manifest, mend: str) -> None:
    """Raises AbsentFeaturesError where utterances have no row: they were never extracted, which is not to be missing.

    mend: the command that brings the feature up to date.
    """
    reasons = feature.reasons(manifest.ids)
    absent = [utterance_id for utterance_id, reason in zip(manifest.ids, reasons, strict=True) if reason == ABSENT]
    if absent:
        raise AbsentFeaturesError(
            f"{feature.folder}: {len(absent)} of {len(manifest)} utterances were never extracted (the first is"
            f" {absent[0]}): run `{mend}`, or give --allow-absent"
        )


def check_rows(
    feature: Feature, manifest: Manifest, mend: str, *, allow_stale: bool = False, allow_absent: bool = False
) -> None:
    """`check_fresh` and `check_extracted`, but for what is allowed."""
    if not allow_stale:
        check_fresh(feature, manifest, mend)
    if not allow_absent:
        check_extracted(feature, manifest, mend)


Allocate = Callable[[tuple[int, ...], np.dtype], np.ndarray]


def zeros(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """In memory."""
    return np.zeros(shape, dtype)


def shape_of(feature: Feature) -> FeatureShape:
    """How heads see a stored feature. Raises StoreError where its encoder's top is gone or damaged."""
    return feature_shape(feature.spec.kind, feature.spec.shape, StoredTop.of(feature))


def feature_shape(
    kind: Literal["vector", "stack", "sequence"], shape: tuple[int, ...], top: StoredTop | None = None
) -> FeatureShape:
    """How heads see a feature of that kind and shape: a waveform's samples are scalars."""
    is_waveform = kind == "sequence" and shape == (1,)
    return FeatureShape(kind, () if is_waveform else shape, top)


def read_rows(feature: Feature, ids: Sequence[str], allocate: Allocate = zeros) -> tuple[np.ndarray, np.ndarray]:
    """(values float32 [n, d], present bool [n]), joined by id; a stack of layers is laid end to end, [layers * d].

    allocate: makes the float32 array of zeros for the values: a memory map where they do not fit in memory
    """
    values = allocate((len(ids), math.prod(feature.spec.shape)), np.dtype(np.float32))
    rows = feature.read(ids, values.reshape(len(ids), *feature.spec.shape))
    return values, rows.present


def fit_feature(feature: Feature, utterances: Utterances, normalise: str, allocate: Allocate = zeros) -> FeatureRows:
    """Read a feature and normalise it by its train rows that are present.

    A waveform is divided by one number, the root mean square of all train samples, wherever `normalise` standardises.
    States below an encoder's top stay as they are.
    allocate: see `read_rows`. Raises StoreError where no train utterance has an embedding.
    """
    train, shape = utterances.rows("train"), shape_of(feature)
    values, present, offsets = _read(feature, shape, utterances, allocate)
    fitted_on = train[present[train]]
    if not len(fitted_on):
        raise StoreError(f"{feature.folder}: none of the {len(train)} train utterances has an embedding")
    if shape.top is not None:
        normaliser = Normaliser("none")
    elif offsets is None:
        normaliser = Normaliser.fit(normalise, values, fitted_on)
    elif shape.shape == ():
        normaliser = Normaliser.fit_waveform(normalise, values, offsets, fitted_on)
    else:
        elements = np.concatenate([np.arange(offsets[row], offsets[row + 1]) for row in fitted_on])
        normaliser = Normaliser.fit(normalise, values, elements)
    return _normalised(feature, shape, normaliser, values, present, offsets)


def apply_feature(feature: Feature, utterances: Utterances, normaliser: Normaliser) -> FeatureRows:
    """Read a feature and normalise it as in training."""
    shape = shape_of(feature)
    return _normalised(feature, shape, normaliser, *_read(feature, shape, utterances, zeros))


def _read(
    feature: Feature, shape: FeatureShape, utterances: Utterances, allocate: Allocate
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """(values, present, offsets)"""
    if shape.kind != "sequence":
        return *read_rows(feature, utterances.ids, allocate), None
    is_waveform = shape.shape == ()
    as_stored = is_waveform or shape.top is not None

    def make(size: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return allocate(size, dtype if as_stored else np.dtype(np.float32))

    values, offsets, present = feature.read_joined(utterances.ids, make)
    if shape.top is not None:
        set_begins(values, offsets, utterances.dialogues, shape.top.windows)
    return values.reshape(-1) if is_waveform else values, present, offsets


def _normalised(
    feature: Feature,
    shape: FeatureShape,
    normaliser: Normaliser,
    values: np.ndarray,
    present: np.ndarray,
    offsets: np.ndarray | None,
) -> FeatureRows:
    scale = 1.0
    if shape.shape == ():
        scale = normaliser.factor
    elif shape.top is None:
        normaliser.apply(values, out=values)
    if offsets is None:
        values[~present] = 0.0
    return FeatureRows(feature.spec.modality, feature.folder, normaliser, values, present, shape, offsets, scale)
