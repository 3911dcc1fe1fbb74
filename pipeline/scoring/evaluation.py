"""Scoring trained heads on a split: the only way to the test split, and every such read is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch

from features.errors import ManifestError, RunError, UsageError
from features.files import write_whole
from features.manifest import Manifest, read_manifest
from features.store import Feature, Store
from heads.data.data import HeadData, check_rows
from heads.data.utterances import Utterances, read_utterances
from heads.training.checkpoint import read_checkpoint
from pipeline.runs.folder import Run
from pipeline.runs.json_files import write_model
from pipeline.runs.metrics_file import Coverage, Metrics
from pipeline.runs.predictions import prediction_frame, split_metrics
from pipeline.runs.reads_of_test import record_test_read
from pipeline.runs.slices import attributes
from pipeline.scoring.shared_rows import SharedRows
from pipeline.terminal.extract_commands import mending_command


@dataclass(frozen=True)
class Corpus:
    """One manifest as an evaluation sees it. rows: of the split alone; attributes: what its slices are made of."""

    path: Path
    rows: Manifest
    utterances: Utterances
    attributes: pl.DataFrame

    @classmethod
    def read(cls, path: Path, split: str) -> Corpus:
        """Raises ManifestError where the manifest cannot be used or has no such split."""
        manifest = read_manifest(path)
        utterances = read_utterances(manifest, [split])
        return cls(path, manifest.select_splits([split]), utterances, attributes(manifest, split))


class Evaluator:
    """Scores runs on one split. What several runs read is read once: manifests, features, freshness, coverage."""

    def __init__(
        self,
        split: str,
        store: Path | None = None,
        manifest: Path | None = None,
        allow_stale: bool = False,
        allow_absent: bool = False,
    ) -> None:
        """store, manifest: instead of those that each run recorded.

        Raises UsageError for a split that cannot be part of a file's name.
        """
        if not split.strip() or set(split) & set("/\\"):
            raise UsageError(f"--split {split!r}: is no name for files: it may not be blank or hold '/' or '\\'")
        self.split = split
        self._store = store
        self._manifest = manifest
        self._allow_stale = allow_stale
        self._allow_absent = allow_absent
        self._rows = SharedRows()
        self._corpora: dict[Path, Corpus] = {}
        self._stores: dict[tuple[Path, Path], Store] = {}
        self._fit: set[tuple[Path, Path]] = set()
        self._coverage: dict[tuple[Path, Path], Coverage] = {}

    def score(self, run: Run, scored: Callable[[], object] = lambda: None) -> Metrics:
        """Predict with every finished seed, write predictions-SPLIT.parquet and metrics-SPLIT.json, return the latter.

        scored: called after each seed
        Raises RunError where no seed is finished, or store or manifest have other features or labels than the run;
        StaleFeaturesError for stale rows; AbsentFeaturesError for absent ones; ManifestError for a split that is not
        there.
        """
        seeds = run.finished_seeds()
        if not seeds:
            raise RunError(f"{run.path}: no seed is finished: run `erc ablate` or `erc train` again")
        _refuse_fold(run)
        _refuse_headless(run, seeds)
        corpus = self._corpus(run)
        if tuple(corpus.utterances.label_names) != run.labels:
            raise RunError(
                f"{run.path}: was trained on the labels {', '.join(run.labels)}, but {corpus.path} has"
                f" {', '.join(corpus.utterances.label_names)}: give the manifest of the same corpus"
            )
        features = self._features(run, corpus)
        for feature in features.values():
            self._check_rows(feature, corpus)
        if self.split == "test":
            # Before the first prediction.
            record_test_read(run.path.resolve().parent, run.experiment.name, run.path.name, seeds)
        frames = {}
        with _one_thread():
            for seed in seeds:
                frames[seed] = self._predict(run, seed, features, corpus)
                scored()
        coverage = {folder: self._covered(feature, corpus) for folder, feature in features.items()}
        metrics = split_metrics(
            run.experiment.name, self.split, frames, run.features.manifest, coverage, corpus.attributes
        )
        write_model(run.path / f"metrics-{self.split}.json", metrics)
        return metrics

    def _predict(self, run: Run, seed: int, features: dict[str, Feature], corpus: Corpus) -> pl.DataFrame:
        """Raises CheckpointError for a damaged head, RunError for one that reads what the run did not record."""
        folder = run.seed_folder(seed)
        head = read_checkpoint(folder / "head.safetensors", run.experiment)
        for items in head.inputs.values():
            for item in items:
                if item.folder not in features or features[item.folder].fingerprint != item.fingerprint:
                    where = folder / "head.safetensors"
                    raise RunError(f"{where}: reads {item.folder}, which features.json does not name: train again")
        name = f"{corpus.path}:{self.split}"
        inputs = {
            modality: tuple(
                self._rows.of(features[item.folder], corpus.utterances, name, item.normaliser) for item in items
            )
            for modality, items in head.inputs.items()
        }
        data = HeadData(corpus.utterances, inputs)
        rows = np.arange(len(corpus.utterances))
        frame = prediction_frame(data, rows, head.probabilities(data, rows))
        write_whole(folder / f"predictions-{self.split}.parquet", frame.write_parquet)
        return frame

    def _corpus(self, run: Run) -> Corpus:
        recorded = run.features.manifest.path
        path = self._manifest or (Path(recorded) if recorded else None)
        if path is None:
            raise ManifestError(f"{run.path}: recorded no manifest: give --manifest M")
        if path not in self._corpora:
            self._corpora[path] = Corpus.read(path, self.split)
        return self._corpora[path]

    def _features(self, run: Run, corpus: Corpus) -> dict[str, Feature]:
        """Recorded folder -> the store's feature, for each of the run's: that very folder, else one of its fingerprint.
        Their rows are those that fit the corpus.

        Raises RunError where the store has neither, or the run recorded no store.
        """
        recorded = run.features.store
        path = self._store or (Path(recorded) if recorded else None)
        if path is None:
            raise RunError(f"{run.path}: recorded no store: give --store S")
        key = (path, corpus.path)
        if key not in self._stores:
            self._stores[key] = Store(path, corpus.rows)
        store = self._stores[key]
        there = store.features()
        found = {}
        for item in run.features.features:
            same = [feature for feature in there if feature.fingerprint == item.fingerprint]
            if not same:
                for folder, error in store.damaged:
                    if folder == item.folder:
                        raise RunError(f"{run.path}: was trained on {folder}, which cannot be read: {error}") from error
                named = [other.folder for other in there if other.name == item.name]
                has = f"it has {', '.join(named)}" if named else "it has none of that name"
                raise RunError(
                    f"{run.path}: was trained on {item.folder}, which {path} does not have ({has}):"
                    " give the run's own --store, or extract the same feature again"
                )
            found[item.folder] = next((feature for feature in same if feature.folder == item.folder), same[0])
        return found

    def _check_rows(self, feature: Feature, corpus: Corpus) -> None:
        key = (feature.path, corpus.path)
        if key in self._fit:
            return
        mend = mending_command(feature, corpus.path, feature.root)
        check_rows(feature, corpus.rows, mend, allow_stale=self._allow_stale, allow_absent=self._allow_absent)
        self._fit.add(key)

    def _covered(self, feature: Feature, corpus: Corpus) -> Coverage:
        key = (feature.path, corpus.path)
        if key not in self._coverage:
            self._coverage[key] = Coverage.model_validate(feature.coverage(corpus.utterances.ids))
        return self._coverage[key]


@contextmanager
def _one_thread() -> Iterator[None]:
    """As in training, so that dev scores are the same bits. Heads are small: two threads mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _refuse_fold(run: Run) -> None:
    fold = run.features.fold
    if fold:
        raise RunError(
            f"{run.path}: is fold {fold.number} of {fold.of} of a cross-validation, whose heads have not seen all"
            " of train: evaluate runs that were trained without --cv"
        )


def _refuse_headless(run: Run, seeds: list[int]) -> None:
    without = [seed for seed in seeds if not (run.seed_folder(seed) / "head.safetensors").is_file()]
    if without:
        raise RunError(
            f"{run.path}: seed {without[0]} has no head.safetensors (trials of a search keep none): train the"
            " experiment again, from best.yaml if it is a trial"
        )
