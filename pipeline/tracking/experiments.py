"""What a tracker gets of an experiment over its seeds, or over its folds: means, deviations, values, intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from features.digests import digest_of, sha256_file
from features.errors import RunError
from heads.metrics import SCORES
from pipeline.comparison.compare import score_interval
from pipeline.comparison.read import read_predictions
from pipeline.runs.folder import Run
from pipeline.runs.metrics_file import Metrics, Score, Spread
from pipeline.tracking.item import Content, known
from pipeline.tracking.seeds import environment_of, parameters_of

_SPREADS = ("negative_log_likelihood", "calibration_error")


def experiment_digest(run: Run) -> str:
    files = [run.path / "config.yaml", *sorted(run.path.glob("metrics-*.json"))]
    files += [run.seed_folder(seed) / "result.json" for seed in run.finished_seeds()]
    return digest_of("tracked experiment", 1, [[file.name, sha256_file(file)] for file in files])


def experiment_content(run: Run) -> Content:
    """Of every split that was scored. Raises RunFileError where a file of it is damaged."""
    numbers: dict[str, float] = {}
    for split in run.scored_splits():
        numbers |= numbers_of(run.metrics(split), split) | _interval(run, split)
    files = [run.path / "config.yaml", run.path / "features.json", *sorted(run.path.glob("metrics-*.json"))]
    return Content(
        parameters=parameters_of(run),
        environment=environment_of(run),
        numbers=numbers,
        files={file.name: file for file in files},
        began_s=began_of([run]),
        ended_s=max(file.stat().st_mtime for file in files),
    )


def numbers_of(metrics: Metrics, prefix: str) -> dict[str, float]:
    """Every score of a metrics file over its seeds, as `PREFIX/weighted_f1/mean`, `.../std`, `.../seed-N`."""
    parts = [f"seed-{seed}" for seed in metrics.seeds]
    found: dict[str, float | None] = {f"{prefix}/utterances": metrics.utterances, f"{prefix}/seeds": len(metrics.seeds)}
    for name in SCORES:
        found |= _spread(f"{prefix}/{name}", metrics.score(name), parts)
        found[f"{prefix}/seed_average/{name}"] = metrics.seed_average.score(name) if metrics.seed_average else None
        for rule, scores in metrics.baselines.items():
            found[f"{prefix}/baseline/{rule}/{name}"] = scores.score(name)
    for name in _SPREADS:
        found |= _spread(f"{prefix}/{name}", getattr(metrics, name), parts)
    for label, score in metrics.per_class_f1.items():
        found |= _spread(f"{prefix}/f1/{label}", score, parts)
    return known(found)


def _spread(name: str, score: Score | Spread | None, parts: Sequence[str]) -> dict[str, float | None]:
    if score is None:
        return {}
    values = {f"{name}/{part}": value for part, value in zip(parts, score.values, strict=True)}
    return {f"{name}/mean": score.mean, f"{name}/std": score.std, **values}


def _interval(run: Run, split: str) -> dict[str, float]:
    """The 95% interval of the score that the corpus is judged by, as reports have it; empty where predictions of this
    split are not there in a form that tells their dialogues."""
    criterion = run.features.manifest.criterion
    try:
        found = score_interval(read_predictions(run, split), run.labels, criterion=criterion)
    except RunError:
        return {}
    return {f"{split}/{criterion.name}/low": found.low, f"{split}/{criterion.name}/high": found.high}


def began_of(runs: Sequence[Run]) -> float:
    """When the folders were made: the oldest of their config.yaml (Unix time)."""
    return min((run.path / "config.yaml").stat().st_mtime for run in runs)


def folded_digest(entry: Mapping[str, Any]) -> str:
    return digest_of("tracked folds", 1, entry)


def folded_content(entry: Mapping[str, Any], summary: Path) -> Content:
    """An experiment's entry in summary.json of a cross-validation; of a nested one, its pooled scores, too."""
    runs = [Run(summary.parent / fold["run"]) for fold in entry["folds"]]
    parts = [f"fold-{fold['fold']}" for fold in entry["folds"]]
    scores = {name: value for name, value in entry["scores"].items() if name != "per_class_f1"}
    scores |= {f"f1/{label}": value for label, value in entry["scores"].get("per_class_f1", {}).items()}
    numbers: dict[str, float | None] = {"folds": len(parts)}
    for name, value in scores.items():
        numbers |= _spread(f"over_folds/{name}", Spread.model_validate(value) if value else None, parts)
    if "pooled" in entry:
        numbers |= numbers_of(Metrics.model_validate(entry["pooled"]), "pooled")
    return Content(
        parameters=parameters_of(runs[0]),
        environment=environment_of(runs[0]),
        numbers=known(numbers),
        files={"config.yaml": runs[0].path / "config.yaml", "summary.json": summary},
        began_s=began_of(runs),
        ended_s=summary.stat().st_mtime,
    )
