"""Stored embeddings as one vector an utterance, whatever their form, for some utterances of a manifest.

A vector stays as it is. The layers of a stack are laid end to end, as heads read it. A sequence becomes the mean of its
elements; of a feature with `from_top`, of the states that are pooled. A waveform has no such vector: the mean of its
samples says nothing.

Legend: n utterances, d values.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from features.errors import FeatureChoiceError, StoreError, UsageError, nearest
from features.spec import MODALITIES
from features.top.elements import FLAGS, pooled_states
from pipeline.pages.words import REASONS, count

if TYPE_CHECKING:
    from features.store import Feature, Store

_NO_VECTOR = "samples of a waveform have no mean that says anything"
_SEQUENCES = 512  # read at once


def choose(store: Store, modality: str, names: Sequence[str]) -> tuple[list[Feature], list[str]]:
    """Features to look at, in the store's order (`names`: in theirs), and a note on each that cannot be shown.

    modality: one of MODALITIES, or `all`
    names:    NAME or NAME@FINGERPRINT, each of the first modality that has it; empty: every feature
    Raises StoreError for a store without features of the modality, FeatureChoiceError for a name that matches none or
    several, UsageError for a waveform asked for by name.
    """
    modalities: Sequence[str] = MODALITIES if modality == "all" else (modality,)
    there = [feature for feature in store.features() if feature.spec.modality in modalities]
    if not there:
        of_it = "" if modality == "all" else f" {modality}"
        raise StoreError(
            f"{store.path} holds no{of_it} feature: make one with `erc extract --modality"
            f" {'text' if modality == 'all' else modality} --store {store.path}`"
        )
    if names:
        chosen = [_named(store, there, modalities, name) for name in dict.fromkeys(names)]
        waveforms = [feature for feature in chosen if _is_waveform(feature)]
        if waveforms:
            raise UsageError(f"{waveforms[0].folder}: {_NO_VECTOR}: choose another --feature")
        return chosen, []
    notes = [f"{feature.folder} is left out: {_NO_VECTOR}." for feature in there if _is_waveform(feature)]
    shown = [feature for feature in there if not _is_waveform(feature)]
    if not shown:
        raise StoreError(f"{store.path}: {notes[0].rstrip('.')}, and there is no other feature to show")
    return shown, notes


def _named(store: Store, there: Sequence[Feature], modalities: Sequence[str], name: str) -> Feature:
    """The feature of that name. One that only the other modalities lack is looked for in all of them."""
    plain = name.partition("@")[0]
    found = [item for item in modalities if any(f.name == plain and f.spec.modality == item for f in there)]
    if found or len(modalities) == 1:
        return store.choose((found or modalities)[0], name)
    raise FeatureChoiceError(f"no feature {name!r} in {store.path}: {nearest(name, {f.name for f in there})}")


def _is_waveform(feature: Feature) -> bool:
    return feature.spec.kind == "sequence" and math.prod(feature.spec.shape) == 1


def width_of(feature: Feature) -> int:
    """d: values of the one vector that an utterance has."""
    return math.prod(feature.spec.shape) - (FLAGS if feature.spec.from_top else 0)


def form_of(feature: Feature) -> str:
    """How the vector came about, in words, or nothing where it is stored as such."""
    if feature.spec.kind == "stack":
        return f"the {feature.spec.shape[0]} layers end to end"
    if feature.spec.from_top:
        return f"mean over the pooled states below the last {feature.spec.from_top} layers"
    return "mean over the sequence" if feature.spec.kind == "sequence" else ""


def present(feature: Feature, ids: Sequence[str]) -> tuple[np.ndarray, dict[str, int]]:
    """Which utterances have an embedding, bool [n], and how many of the others have which reason (`absent`: never
    extracted)."""
    reasons = feature.reasons(ids)
    there = np.array([reason is None for reason in reasons], dtype=bool)
    return there, dict(sorted(Counter(reason for reason in reasons if reason is not None).items()))


def read_vectors(feature: Feature, ids: Sequence[str]) -> np.ndarray:
    """float32 [n, d], joined by id; all of these utterances have an embedding (see `present`).

    Raises StoreError for values that are not finite.
    """
    if feature.spec.kind == "sequence":
        values = np.zeros((len(ids), width_of(feature)), np.float32)
        for start in range(0, len(ids), _SEQUENCES):
            for place, elements in enumerate(feature.read_sequences(ids[start : start + _SEQUENCES]), start=start):
                if elements is not None and feature.spec.from_top:
                    elements = pooled_states(elements)
                if elements is not None and len(elements):
                    values[place] = np.asarray(elements, np.float32).reshape(len(elements), -1).mean(axis=0)
    else:
        values = feature.read(ids).values.reshape(len(ids), -1)
    if not np.isfinite(values).all():
        raise StoreError(f"{feature.folder} holds values that are not finite: see `erc store verify`")
    return values


def missing_text(missing: Mapping[str, int]) -> str:
    """`12: never extracted; 3: no face in any sampled frame`. missing: a ledger's reason -> utterances"""
    named = REASONS | {"absent": "never extracted"}
    return "; ".join(f"{count(number)}: {named.get(reason, reason)}" for reason, number in missing.items())
