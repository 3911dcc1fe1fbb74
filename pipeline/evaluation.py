"""Scoring trained heads on a split: the only way to the test split, and every such read is recorded."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import ManifestError, RunError
from features.files import write_whole
from features.manifest import Manifest, read_manifest
from features.store import Feature, Store
from heads.checkpoint import TrainedHead, read_checkpoint
from heads.data import FeatureRows, HeadData, apply_feature, check_fresh
from heads.utterances import Utterances, read_utterances
from pipeline.extract_commands import mending_command
from pipeline.predictions import prediction_frame, split_metrics
from pipeline.runs import Run, write_json

TEST_READS = "test_reads.jsonl"


@dataclass
class Evaluator:
    """Scores runs on one split. store, manifest: instead of those that each run recorded."""

    split: str
    store: Path | None = None
    manifest: Path | None = None
    allow_stale: bool = False
    _manifests: dict[Path, Manifest] = field(default_factory=dict, repr=False)

    def score(self, run: Run) -> dict[str, Any]:
        """Predict with every finished seed, write predictions-SPLIT.parquet and metrics-SPLIT.json, return the latter.

        Raises RunError where no seed is finished, or store or manifest have other features or labels than the run;
        StaleFeaturesError for stale rows; ManifestError for a split that does not exist.
        """
        seeds = run.finished_seeds()
        if not seeds:
            raise RunError(f"{run.path}: no seed is finished: run `erc ablate` or `erc train` again")
        _refuse_fold(run)
        _refuse_headless(run, seeds)
        manifest = self._manifest(run)
        utterances = read_utterances(manifest, [self.split])
        if list(utterances.label_names) != run.labels:
            raise RunError(
                f"{run.path}: was trained on the labels {', '.join(run.labels)}, but {manifest.path} has"
                f" {', '.join(utterances.label_names)}: give the manifest of the same corpus"
            )
        features = self._features(run)
        if not self.allow_stale:
            for feature in features.values():
                check_fresh(
                    feature, manifest.select_splits([self.split]), mending_command(feature, manifest.path, feature.root)
                )
        if self.split == "test":
            _record_test_read(run, seeds)
        frames = {}
        for seed in seeds:
            folder = run.seed_folder(seed)
            head = read_checkpoint(folder / "head.safetensors", run.experiment)
            data = HeadData(utterances, _inputs(head, features, utterances))
            rows = np.arange(len(utterances))
            frames[seed] = prediction_frame(data, rows, head.probabilities(data, rows))
            write_whole(folder / f"predictions-{self.split}.parquet", frames[seed].write_parquet)
        coverage = {feature.folder: feature.coverage(utterances.ids) for feature in features.values()}
        values = split_metrics(run.experiment.name, self.split, frames, run.features["manifest"], coverage)
        write_json(run.path / f"metrics-{self.split}.json", values)
        return values

    def _manifest(self, run: Run) -> Manifest:
        recorded = run.features["manifest"]["path"]
        path = self.manifest or (Path(recorded) if recorded else None)
        if path is None:
            raise ManifestError(f"{run.path}: recorded no manifest: give --manifest M")
        if path not in self._manifests:
            self._manifests[path] = read_manifest(path)
        return self._manifests[path]

    def _features(self, run: Run) -> dict[str, Feature]:
        """fingerprint -> the store's feature, for each of the run's. Raises RunError where the store lacks one."""
        store = Store(self.store or Path(run.features["store"]))
        there = {feature.fingerprint: feature for feature in store.features()}
        for item in run.features["features"]:
            if item["fingerprint"] not in there:
                named = [f"{other.folder}" for other in there.values() if other.name == item["name"]]
                has = f"it has {', '.join(named)}" if named else "it has none of that name"
                raise RunError(
                    f"{run.path}: was trained on {item['folder']}, which {store.path} does not have ({has}):"
                    " give the run's own --store, or extract the same feature again"
                )
        return {item["fingerprint"]: there[item["fingerprint"]] for item in run.features["features"]}


def _inputs(
    head: TrainedHead, features: dict[str, Feature], utterances: Utterances
) -> dict[str, tuple[FeatureRows, ...]]:
    """Each feature that the head reads, normalised as in training. Raises RunError for one the run did not record."""
    for items in head.inputs.values():
        for item in items:
            if item.fingerprint not in features:
                raise RunError(f"the checkpoint reads {item.folder}, which features.json does not name: train again")
    return {
        modality: tuple(apply_feature(features[item.fingerprint], utterances, item.normaliser) for item in items)
        for modality, items in head.inputs.items()
    }


def _refuse_fold(run: Run) -> None:
    fold = run.features.get("fold")
    if fold:
        raise RunError(
            f"{run.path}: is fold {fold['number']} of {fold['of']} of a cross-validation, whose heads have not seen all"
            " of train: evaluate runs that were trained without --cv"
        )


def _refuse_headless(run: Run, seeds: list[int]) -> None:
    without = [seed for seed in seeds if not (run.seed_folder(seed) / "head.safetensors").is_file()]
    if without:
        raise RunError(
            f"{run.path}: seed {without[0]} has no head.safetensors (trials of a search keep none): train the"
            " experiment again, from best.yaml if it is a trial"
        )


def _record_test_read(run: Run, seeds: list[int]) -> None:
    """Append one line to RUNS/test_reads.jsonl, before the first prediction."""
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "experiment": run.experiment.name,
        "run": run.path.name,
        "seeds": seeds,
        "split": "test",
    }
    with (run.path.resolve().parent / TEST_READS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
