"""What the features of a report took to extract and take on disk, from the store's ledgers; no tensors are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from features.errors import ErcError
from pipeline.report.corpus import Corpus
from pipeline.report.findings import FeatureCost
from pipeline.report.provenance import stored_features
from pipeline.report.snapshot import RunSnapshot
from pipeline.runs.features_file import FeatureUse

if TYPE_CHECKING:
    from features.store.feature import Feature


def costs_of(corpus: Corpus) -> tuple[list[FeatureCost], list[str]]:
    """The cost of each feature, from the ledgers of the store that the runs recorded, if it is still there.

    A feature counts only by its fingerprint: another folder of the same name is another feature.
    """
    costs, unknown, notes = [], [], []
    for feature, _ in stored_features(corpus):
        stores = dict.fromkeys(
            run.record.store for run in corpus.runs if run.record.store and feature.folder in _folders(run)
        )
        cost = next((found for store in stores if (found := _cost(Path(store), feature))), None)
        costs.append(cost or FeatureCost(feature))
        if cost is None:
            unknown.append(feature.folder)
        elif cost.unread_share is not None:
            notes.append(
                f"The encoder of {feature.folder} can hardly read its texts: {100 * cost.unread_share:.0f} % of their"
                " tokens are unknown to it."
            )
    if unknown:
        lost = "what extraction took and takes is not known"
        notes.append(f"The store of {', '.join(unknown)} is not at hand: {lost}.")
    return costs, notes


def _folders(run: RunSnapshot) -> set[str]:
    return {feature.folder for feature in run.features}


def _cost(root: Path, feature: FeatureUse) -> FeatureCost | None:
    from features.store.feature import Feature
    from features.store.listing import summarise
    from features.store.unknown_tokens import are_many, unknown_tokens

    try:
        stored = Feature(root, feature.folder)
        if stored.fingerprint != feature.fingerprint:
            return None
        summary = summarise(stored)
        tokens, unknown = unknown_tokens(stored) if stored.spec.modality == "text" else (0, 0)
    except (ErcError, OSError):
        return None
    if summary.unread:
        return None
    return FeatureCost(
        feature,
        summary.ok,
        summary.seconds_decode or None,
        summary.seconds_encode or None,
        summary.num_bytes,
        unknown / tokens if are_many(tokens, unknown) else None,
        _versions(stored),
    )


def _versions(stored: Feature) -> dict[str, tuple[str, ...]]:
    from features.store.versions import PACKAGES, versions_of

    recorded = [versions_of(stored.path / f"{name.stem}.parquet") for name in stored.names]
    found = {
        name: sorted({one[f"version.{name}"] for one in recorded if f"version.{name}" in one}) for name in PACKAGES
    }
    return {name: tuple(values) for name, values in found.items() if values}
