"""Scoring trained heads on a split: the only way to the test split, and every such read is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import torch

from features.errors import ManifestError, RunError, RunFileError, UsageError
from features.files import write_whole
from features.manifest import Manifest, read_manifest
from features.packs.mounted import open_store
from features.store import Feature, Store
from heads.data.data import HeadData, check_rows
from heads.data.utterances import Utterances, read_utterances
from heads.training.checkpoint import read_checkpoint
from pipeline.runs.computation import check_alike
from pipeline.runs.folder import Run, place_among_runs
from pipeline.runs.identity import ManifestIdentity, is_own
from pipeline.runs.json_files import write_model
from pipeline.runs.metrics_file import Coverage, Metrics, ScoredOn
from pipeline.runs.other_code import OTHER_CODE, SinceTraining, since_training
from pipeline.runs.other_corpora import other_folder
from pipeline.runs.prediction_frame import prediction_frame
from pipeline.runs.predictions import split_metrics
from pipeline.runs.reads_of_test import record_test_read
from pipeline.runs.slices import attributes
from pipeline.runs.splits import EVALUATION_SPLIT
from pipeline.scoring.label_map import Fitted, LabelMap, fit_labels
from pipeline.scoring.shared_rows import SharedRows
from pipeline.terminal.extract_commands import mending_command


@dataclass(frozen=True)
class Corpus:
    """One split of a manifest as an evaluation of runs of some labels sees it.

    path: of the manifest; identity: of all of it; own: whether it is what those runs were trained on
    fitted: the split with the runs' labels; attributes: what its slices are made of
    """

    path: Path
    identity: ManifestIdentity
    own: bool
    fitted: Fitted
    utterances: Utterances
    attributes: pl.DataFrame

    @property
    def rows(self) -> Manifest:
        return self.fitted.rows

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        identity: ManifestIdentity,
        split: str,
        run: Run,
        own: bool,
        labels_map: LabelMap | None,
    ) -> Corpus:
        """Raises RunError and UsageError as `fit_labels`, ManifestError where the manifest cannot be used.

        The train rows of a manifest that is not the run's own were never seen by it, so they make no slices.
        """
        fitted = fit_labels(manifest.select_splits([split]), run.labels, run.features.manifest.neutral, labels_map)
        table = attributes(manifest if own and not fitted.used else fitted.rows, split)
        utterances = read_utterances(fitted.rows, [split])
        return cls(manifest.path or Path(), identity, own and not fitted.used, fitted, utterances, table)

    def scored(self, split: str) -> ScoredOn:
        card = self.rows.card
        return ScoredOn(
            dataset=card.dataset,
            title=card.title,
            path=str(self.path.resolve()),
            sha256=self.identity.sha256,
            rows=self.identity.splits[split],
            labels_map=self.fitted.used,
            left_out=self.fitted.left_out,
        )


@dataclass(frozen=True)
class Evaluated:
    """What was made of one run.

    folder:  where its files are: the run's, or one within it where `own` is False
    own:     whether the rows are of the run's own corpus, and the code that predicts is that of training
    corpus:  name of the other corpus's folder; empty for the run's own
    metrics: None where no utterance has a label to be scored by
    since:   what of the code has changed since training
    """

    run: Run
    split: str
    folder: Path
    own: bool
    corpus: str
    scored: ScoredOn
    seeds: tuple[int, ...]
    utterances: int
    unlabelled: int
    metrics: Metrics | None
    since: SinceTraining


class Evaluator:
    """Scores runs on one split. What several runs read is read once: manifests, features, freshness, coverage."""

    def __init__(
        self,
        split: str,
        store: Path | None = None,
        manifest: Path | None = None,
        allow_stale: bool = False,
        allow_absent: bool = False,
        labels_map: LabelMap | None = None,
        allow_changed_code: bool = False,
    ) -> None:
        """store, manifest: instead of those that each run recorded. labels_map: of the manifest's labels.
        allow_changed_code: score by today's code, too, where it is not what trained the heads.

        Raises UsageError for a split that cannot be part of a file's name.
        """
        if not split.strip() or set(split) & set("/\\"):
            raise UsageError(
                f"--split {split!r} cannot be part of a file's name: it may not be blank or hold '/' or '\\'"
            )
        self.split = split
        self._store = store
        self._manifest = manifest
        self._allow_stale = allow_stale
        self._allow_absent = allow_absent
        self._labels_map = labels_map
        self._allow_changed_code = allow_changed_code
        self._rows = SharedRows()
        self._manifests: dict[Path, tuple[Manifest, ManifestIdentity]] = {}
        self._corpora: dict[tuple[object, ...], Corpus] = {}
        self._stores: dict[tuple[Path, Path], Store] = {}
        self._fit: set[tuple[Path, Path]] = set()
        self._coverage: dict[tuple[Path, Path], Coverage] = {}

    def score(self, run: Run, scored: Callable[[], object] = lambda: None) -> Evaluated:
        """Predict with every finished seed; write predictions-SPLIT.parquet and, of labelled rows, metrics-SPLIT.json.

        They lie in the run's folder where the split is of the corpus that it was trained on, else in one of that other
        corpus's within it; what other code scores than trained the heads lies in a folder of that code's within it.

        scored: called after each seed
        Raises RunError where no seed is finished, seeds were not made alike, the code that predicts has changed, or
        store or manifest have other features or labels than the run; StaleFeaturesError for stale rows;
        AbsentFeaturesError for absent ones; ManifestError for a split that is not there; UsageError for a map of labels
        that does not fit.
        """
        seeds = seeds_to_predict_with(run)
        since = self._since(run, seeds)
        corpus = self._corpus(run)
        features = self._features(run, corpus)
        for feature in features.values():
            self._check_rows(feature, corpus)
        told = corpus.scored(self.split).model_copy(update={"other_code": since.changed or None})
        if self.split == EVALUATION_SPLIT:
            # Before the first prediction.
            runs, name = place_among_runs(run.path)
            record_test_read(runs, run.experiment.name, name, seeds, told, corpus.own)
        base = run.path / OTHER_CODE / since.code[:8] if since.changed else run.path
        folder = base if corpus.own else other_folder(base, corpus.identity, corpus.fitted.used)
        frames = {}
        with one_thread():
            for seed in seeds:
                frames[seed] = self._predict(run, seed, features, corpus, folder)
                scored()
        unlabelled = next(iter(frames.values()))["gold"].null_count()
        evaluated = Evaluated(
            run,
            self.split,
            folder,
            own=folder == run.path,
            corpus="" if corpus.own else folder.name,
            scored=told,
            seeds=tuple(seeds),
            utterances=len(corpus.utterances),
            unlabelled=unlabelled,
            metrics=None,
            since=since,
        )
        if unlabelled == len(corpus.utterances):
            return evaluated
        coverage = {name: self._covered(feature, corpus) for name, feature in features.items()}
        facts = run.features.manifest
        metrics = split_metrics(run.experiment.name, self.split, frames, facts, coverage, corpus.attributes, told)
        write_model(folder / f"metrics-{self.split}.json", metrics)
        return replace(evaluated, metrics=metrics)

    def _since(self, run: Run, seeds: list[int]) -> SinceTraining:
        """Raises RunError where the code that predicts is not what trained the heads, and that is not allowed."""
        since = since_training(run, seeds)
        if since.changed and not self._allow_changed_code:
            raise RunError(
                f"since it was trained, {since.changed} changed, and its heads may say something else than they learnt"
                " to: train again (the same `erc ablate` or `erc train` does), or give --allow-changed-code, which"
                " scores it all the same, apart from its own scores"
            )
        return since

    def _predict(self, run: Run, seed: int, features: dict[str, Feature], corpus: Corpus, folder: Path) -> pl.DataFrame:
        """Raises CheckpointError for a damaged head, RunError for one that reads what the run did not record."""
        where = run.seed_folder(seed) / "head.safetensors"
        head = read_checkpoint(where, run.experiment)
        for items in head.inputs.values():
            for item in items:
                if item.folder not in features or features[item.folder].fingerprint != item.fingerprint:
                    mend = f"remove {where.parent} and train again"
                    raise RunError(f"{where}: reads {item.folder}, which features.json does not name: {mend}")
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
        if corpus.fitted.used:
            frame = frame.insert_column(3, corpus.fitted.theirs.alias("own_label"))
        target = folder / f"seed-{seed}"
        target.mkdir(parents=True, exist_ok=True)
        write_whole(target / f"predictions-{self.split}.parquet", frame.write_parquet)
        return frame

    def _corpus(self, run: Run) -> Corpus:
        recorded = run.features.manifest.path
        path = self._manifest or (Path(recorded) if recorded else None)
        if path is None:
            raise ManifestError(f"{run.path}: has no record of its manifest: give --manifest M")
        if path not in self._manifests:
            manifest = read_manifest(path)
            self._manifests[path] = manifest, ManifestIdentity.of(manifest)
        manifest, identity = self._manifests[path]
        own = is_own(run.features, identity, self.split, _earlier(run, self.split))
        key = (path, run.labels, run.features.manifest.neutral, own)
        if key not in self._corpora:
            self._corpora[key] = Corpus.of(manifest, identity, self.split, run, own, self._labels_map)
        return self._corpora[key]

    def _features(self, run: Run, corpus: Corpus) -> dict[str, Feature]:
        """Recorded folder -> the store's feature, for each of the run's: that very folder, else one of its fingerprint.
        Their rows are those that fit the corpus.

        Raises RunError where the store has neither, or the run recorded no store.
        """
        recorded = run.features.store
        path = self._store or (Path(recorded) if recorded else None)
        if path is None:
            raise RunError(f"{run.path}: has no record of its store: give --store S")
        key = (path, corpus.path)
        if key not in self._stores:
            self._stores[key] = open_store(path, corpus.rows)
        store = self._stores[key]
        found = {}
        for item in run.features.features:
            same = store.with_fingerprint(item.fingerprint)
            if not same:
                for folder, error in store.damaged:
                    if folder == item.folder:
                        raise RunError(f"{run.path}: was trained on {folder}, which cannot be read: {error}") from error
                named = [other.folder for other in store.features() if other.name == item.name]
                has = f"it has {', '.join(named)}" if named else "it has none of that name"
                raise RunError(
                    f"{run.path}: was trained on {item.folder}, which {store.place} does not have ({has}):"
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


def _earlier(run: Run, split: str) -> Metrics | None:
    """The scores that the run has on its own split; None where there are none that can be read."""
    try:
        return run.metrics(split)
    except RunFileError:
        return None


@contextmanager
def one_thread() -> Iterator[None]:
    """As in training, so that dev scores are the same bits. Heads are small: two threads mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def seeds_to_predict_with(run: Run) -> list[int]:
    """The finished seeds of a run, ascending.

    Raises RunError where there is none, they were not made alike or have no head, or the run is a fold.
    """
    seeds = run.finished_seeds()
    if not seeds:
        raise RunError(f"{run.path}: no seed is finished: run `erc ablate` or `erc train` again")
    check_alike(run, seeds)
    _refuse_fold(run)
    _refuse_headless(run, seeds)
    return seeds


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
