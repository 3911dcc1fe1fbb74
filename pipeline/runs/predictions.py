"""Tables of a head's predictions from their files, and the scores of several seeds' tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import polars as pl

from features.cards import WEIGHTED_F1
from features.errors import RunError
from heads import metrics
from heads.criterion import Criterion, headline
from pipeline.runs.features_file import ManifestFacts
from pipeline.runs.json_files import reason_of
from pipeline.runs.metrics_file import Coverage, Metrics, ScoredOn
from pipeline.runs.slices import score_slices


def read_prediction_frame(
    run: Path, seed: int, split: str, labels: Sequence[str], *, dialogues: bool = False, of_fold: bool = False
) -> pl.DataFrame:
    """What `prediction_frame` made of one seed, from its file in a run folder.

    dialogues: whether dialogue_id must be there, which files of an older form lack
    of_fold: whether the run is a fold of a cross-validation, which training alone scores
    Raises RunError where the file is not there, cannot be read, lacks a column or has it in another type, or holds
    another label. Probabilities are not looked at: those of a training that diverged are no numbers.
    """
    where = run / f"seed-{seed}" / f"predictions-{split}.parquet"
    mend = f"remove {where.parent} and train again" if of_fold else f"run `erc evaluate {run} --split {split}`"
    try:
        frame = pl.read_parquet(where, glob=False)
    except FileNotFoundError:
        raise RunError(f"{where}: is not there: {mend}") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise RunError(f"{where}: cannot be read ({reason_of(error)}): {mend}") from error
    texts = ["utterance_id", "gold", "predicted"]
    if dialogues or "dialogue_id" in frame.columns:
        texts.append("dialogue_id")
    for name in (*texts, *(f"p_{label}" for label in labels)):
        if name not in frame.columns:
            raise RunError(f"{where}: has no column {name}: {mend}")
        kind = frame[name].dtype
        if not (kind == pl.String if name in texts else kind.is_float()):
            raise RunError(f"{where}: its column {name} holds {kind}: {mend}")
        if name in texts and name != "gold" and frame[name].null_count():
            raise RunError(f"{where}: its column {name} has gaps: {mend}")
    if "missing" in frame.columns and frame["missing"].dtype != pl.List(pl.String):
        raise RunError(f"{where}: its column missing holds {frame['missing'].dtype}: {mend}")
    for name in ("gold", "predicted"):
        unknown = sorted(set(frame[name].drop_nulls().unique()) - set(labels))
        if unknown:
            raise RunError(f"{where}: {name} {unknown[0]!r} is not one of the labels {', '.join(labels)}: {mend}")
    return frame


def mean_probabilities(frames: Iterable[pl.DataFrame], labels: Sequence[str]) -> np.ndarray:
    """float64 [m, c]: the mean over seeds. frames: of the same utterances in the same order, one a seed."""
    columns = [f"p_{label}" for label in labels]
    seeds = np.stack([frame.select(columns).to_numpy() for frame in frames])
    return seeds.mean(axis=0, dtype=np.float64)


def split_metrics(
    experiment: str,
    split: str,
    frames: Mapping[int, pl.DataFrame],
    manifest: ManifestFacts,
    coverage: Mapping[str, Coverage],
    attributes: pl.DataFrame | None = None,
    scored: ScoredOn | None = None,
) -> Metrics:
    """What metrics-SPLIT.json holds. Unlabelled utterances are counted and left out of every score.

    Where `scored` maps another corpus's labels, macro F1 is the mean over the labels that the map reaches: the others
    cannot be right there.

    frames:   seed -> its predictions
    coverage: feature folder -> how many utterances have an embedding
    attributes: of `pipeline.runs.slices.attributes`; without them, the only slices are those by input
    Raises RunError where no utterance is labelled, or none with a label that the corpus's score counts, where the
    seeds' predictions are not of the same utterances, or where probabilities are not numbers.
    """
    labels, criterion = manifest.labels, manifest.criterion
    place = {label: index for index, label in enumerate(labels)}
    first = next(iter(frames.values()))
    labelled = first["gold"].is_not_null()
    if not labelled.any():
        raise RunError(f"{experiment}: no utterance of split {split!r} is labelled, so there is nothing to score")
    gold = _places(first.filter(labelled)["gold"], place)
    columns = [f"p_{label}" for label in labels]
    scores, predictions, likelihoods, calibrations, chances = [], [], [], [], []
    for seed, frame in frames.items():
        if not frame["utterance_id"].equals(first["utterance_id"]) or not frame["gold"].equals(first["gold"]):
            raise RunError(
                f"{experiment}: seed {seed}'s predictions on {split} are for other utterances or labels: evaluate again"
            )
        known = frame.filter(labelled)
        probabilities = known.select(columns).to_numpy()
        if not np.isfinite(probabilities).all():
            raise RunError(
                f"{experiment}: seed {seed} predicts probabilities on {split} that are no numbers: remove seed-{seed}"
                " of its run folder and train again"
            )
        predictions.append(_places(known["predicted"], place))
        judged = metrics.score(gold, predictions[-1], labels, criterion, probabilities)
        scores.append(_over_reached(judged, scored))
        chances.append(probabilities)
        likelihoods.append(metrics.negative_log_likelihood(gold, probabilities))
        calibrations.append(metrics.reliability(gold, probabilities))
    if getattr(scores[0], criterion.name) is None:
        raise RunError(
            f"{experiment}: the score of this corpus is {criterion.words}, and no gold label of split {split!r} is one"
            f" that it counts ({', '.join((*criterion.negative, *criterion.positive))})"
        )
    support = np.bincount(gold, minlength=len(labels))

    def judge(place: int, mask: np.ndarray) -> float | None:
        return headline(gold[mask], predictions[place][mask], chances[place][mask], labels, criterion)

    values = {
        "experiment": experiment,
        "split": split,
        "utterances": first.height,
        "seeds": list(frames),
        "labels": labels,
        "headline": criterion.name,
        "support": {label: int(support[index]) for index, label in enumerate(labels)},
        **metrics.summarise(scores, labels),
        "negative_log_likelihood": metrics.over_seeds(likelihoods),
        "calibration_error": metrics.over_seeds([item.calibration_error for item in calibrations]),
        "reliability": reduce(add, calibrations).to_list(),
        "slices": score_slices(
            attributes,
            first.filter(labelled),
            gold,
            predictions,
            len(labels),
            None if criterion.name == WEIGHTED_F1 else judge,
        ),
        "seed_average": _seed_average(frames, gold, labelled, labels, criterion, scored),
        "baselines": _baselines_over_reached(
            metrics.baselines(gold, labels, manifest.neutral, manifest.train_label_counts, criterion), scored
        ),
        "coverage": dict(coverage),
        "no_input": int(first["no_input"].sum()),
        "unlabelled": first.height - int(labelled.sum()),
        "scored": scored,
    }
    return Metrics.model_validate(values)


def scored_on(manifest: ManifestFacts, rows: str | None) -> ScoredOn:
    """That a split of the run's own manifest was scored. rows: digest of the split's rows, where it is known."""
    return ScoredOn(
        dataset=manifest.dataset, title=manifest.title, path=manifest.path, sha256=manifest.sha256, rows=rows
    )


def _over_reached(scores: metrics.Scores, scored: ScoredOn | None) -> metrics.Scores:
    if scored is None or not scored.labels_map:
        return scores
    reached = set(scored.labels_map.values())
    return replace(scores, macro_f1=fmean(parts["f1"] for name, parts in scores.per_class.items() if name in reached))


def _baselines_over_reached(found: dict[str, dict[str, Any]], scored: ScoredOn | None) -> dict[str, dict[str, Any]]:
    if scored is None or not scored.labels_map:
        return found
    reached = set(scored.labels_map.values())
    return {
        name: one | {"macro_f1": fmean(f1 for label, f1 in one["per_class_f1"].items() if label in reached)}
        for name, one in found.items()
    }


def _seed_average(
    frames: Mapping[int, pl.DataFrame],
    gold: np.ndarray,
    labelled: pl.Series,
    labels: Sequence[str],
    criterion: Criterion,
    scored: ScoredOn | None,
) -> dict[str, float | None] | None:
    """Scores of the probabilities averaged over the seeds: one prediction of several heads. None for one seed."""
    if len(frames) < 2:
        return None
    mean = mean_probabilities((frame.filter(labelled) for frame in frames.values()), labels)
    scores = _over_reached(metrics.score(gold, mean.argmax(axis=1), labels, criterion, mean), scored)
    return {name: getattr(scores, name) for name in metrics.SCORES}


def _places(names: pl.Series, place: Mapping[str, int]) -> np.ndarray:
    return np.array([place[name] for name in names], dtype=np.int64)
