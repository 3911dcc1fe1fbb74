"""From stored features to what a page shows of them: sample, projections, probe scores, and what is missing.

Embeddings are standardised by train rows alone, then projected (fitted on the sample that is shown) and probed. The
test split is never read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.errors import ManifestError, StoreError
from features.manifest import Manifest
from heads.data.data import check_fresh
from heads.data.normalise import Normaliser
from heads.data.utterances import UNLABELLED, Utterances, read_utterances
from pipeline.explore import probe, projection
from pipeline.explore.projection import Projection
from pipeline.explore.sampling import balanced_sample, fewer_than, train_subset
from pipeline.explore.vectors import form_of, present, read_vectors, width_of
from pipeline.terminal.extract_commands import mending_command

if TYPE_CHECKING:
    from features.store import Feature

_NOT_READ = "test"

Note = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """What was asked for. dims: of 2 and 3; sphere: PCA's points on the unit circle and sphere."""

    methods: tuple[str, ...] = ("pca",)
    dims: tuple[int, ...] = (2, 3)
    per_class: int = 250
    colour_by: str = "emotion"
    seed: int = 0
    sphere: bool = False
    allow_stale: bool = False


@dataclass(frozen=True)
class FeatureLook:
    """One feature as it is shown.

    sample:      int64, places among the utterances that are plotted
    fewer:       class -> its utterances in the sample, for those with fewer than asked for
    missing:     reason -> utterances without an embedding, of all splits but test
    probe_rows:  train utterances that the probes learned from, of `train_rows` that could be
    dev_rows:    dev utterances that they were scored on
    """

    feature: Feature
    form: str
    width: int
    sample: np.ndarray
    fewer: dict[str, int]
    missing: dict[str, int]
    projections: tuple[Projection, ...]
    scores: tuple[probe.ProbeScore, ...]
    probe_rows: int
    train_rows: int
    dev_rows: int
    neighbours: int


def readable_utterances(manifest: Manifest) -> Utterances:
    """The utterances of every split but test. Raises ManifestError where no train utterance has a label."""
    splits = [split for split in manifest.frame["split"].unique(maintain_order=True) if split != _NOT_READ]
    where = manifest.path or "the manifest"
    if "train" not in splits:
        raise ManifestError(f"{where} has no train split, by which embeddings are standardised and probes fitted")
    utterances = read_utterances(manifest, splits)
    if not (utterances.labels[utterances.rows("train")] != UNLABELLED).any():
        raise ManifestError(f"{where}: no train utterance has a label: there is nothing to sample by class or to probe")
    return utterances


def look_at(
    feature: Feature, manifest: Manifest, utterances: Utterances, settings: Settings, step: Note = lambda _: None
) -> FeatureLook:
    """Read, standardise, probe and project one feature. step: is told what comes next, as for a progress bar.

    Raises StoreError where no labelled train utterance has an embedding, StaleFeaturesError where rows were made from
    another input than the manifest holds.
    """
    shown_splits = manifest.select_splits(list(dict.fromkeys(map(str, utterances.splits))))
    if not settings.allow_stale:
        check_fresh(feature, shown_splits, mending_command(feature, manifest.path, feature.root))
    step("read")
    labels, names = utterances.labels, utterances.label_names
    there, missing = present(feature, utterances.ids)
    in_train = (utterances.splits == "train") & there
    train = train_subset(labels, in_train, probe.most_rows(width_of(feature)), settings.seed)
    if not len(train):
        raise StoreError(
            f"{feature.folder}: no labelled train utterance has an embedding: run"
            f" `{mending_command(feature, manifest.path, feature.root)}`"
        )
    sample = balanced_sample(labels, there, settings.per_class, settings.seed, len(names))
    dev = np.flatnonzero((utterances.splits == "dev") & there & (labels != UNLABELLED))
    wanted = np.unique(np.concatenate([sample, train, dev]))
    values = read_vectors(feature, [utterances.ids[row] for row in wanted])
    of_sample, of_train, of_dev = (np.searchsorted(wanted, rows) for rows in (sample, train, dev))
    Normaliser.fit("standardise", values, of_train).apply(values, out=values)
    step("probe")
    scores = probe.probe_scores(
        values[of_train], labels[train], values[of_dev], labels[dev], names, manifest.card.neutral
    )
    return FeatureLook(
        feature=feature,
        form=form_of(feature),
        width=width_of(feature),
        sample=sample,
        fewer=fewer_than(labels, sample, settings.per_class, names),
        missing=missing,
        projections=tuple(_projections(values[of_sample], settings, step)),
        scores=tuple(scores),
        probe_rows=len(train),
        train_rows=int((in_train & (labels != UNLABELLED)).sum()),
        dev_rows=len(dev),
        neighbours=probe.neighbours_for(len(train)),
    )


def _projections(values: np.ndarray, settings: Settings, step: Note) -> Sequence[Projection]:
    found: list[Projection] = []
    if "pca" in settings.methods:
        step("pca")
        found += projection.pca(values, settings.dims, settings.seed, settings.sphere)
    if "umap" in settings.methods:
        for dims in settings.dims:
            step(f"umap {dims}-D")
            found.append(projection.umap(values, dims, settings.seed))
    return found
