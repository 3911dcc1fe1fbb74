"""What a tracker gets of one seed: its curves, the numbers of result.json, the experiment and what made it."""

from __future__ import annotations

from typing import Any

from features.cards import WEIGHTED_F1
from features.digests import digest_of, sha256_file
from pipeline.runs.folder import Run
from pipeline.runs.seed_files import Curve, SeedResult
from pipeline.tracking.item import Content, Plain, Point, flatten, known


def seed_digest(run: Run, seed: int) -> str:
    folder = run.seed_folder(seed)
    files = [run.path / "config.yaml", folder / "result.json", folder / "history.parquet"]
    return digest_of("tracked seed", 1, [sha256_file(file) for file in files if file.is_file()])


def seed_content(run: Run, seed: int) -> Content:
    """Raises RunFileError where a file of it is damaged."""
    result, curve = run.result(seed), run.curve(seed)
    ended = (run.seed_folder(seed) / "result.json").stat().st_mtime
    began = ended - (result.train_seconds or 0.0)
    headline = run.features.manifest.headline
    return Content(
        parameters=parameters_of(run) | {"seed": seed},
        environment=environment_of(run) | _made_by(result),
        numbers=_numbers(result, headline),
        files={name: run.path / name for name in ("config.yaml", "features.json")},
        began_s=began,
        ended_s=ended,
        points=_points(curve, headline, began) if curve else (),
    )


def parameters_of(run: Run) -> dict[str, Plain]:
    """config.yaml, flattened."""
    return dict(flatten(run.config))


def environment_of(run: Run) -> dict[str, str]:
    """The corpus, the features and the command of a run."""
    record = run.features
    told: dict[str, Any] = {
        "run": run.path.resolve().name,
        "configuration": record.run,
        "corpus": record.manifest.dataset,
        "manifest": record.manifest.path,
        "manifest_sha256": record.manifest.sha256,
        "headline": record.manifest.headline,
        "store": record.store,
        "command": record.command if isinstance(record.command, str) else " ".join(record.command or ()),
    }
    told |= {f"feature/{use.folder}": use.fingerprint for use in record.features}
    return {name: str(value) for name, value in told.items() if value}


def _made_by(result: SeedResult) -> dict[str, str]:
    told = {"device": result.device, "precision": result.precision, "code": result.code}
    return {name: value for name, value in told.items() if value} | {
        f"version/{name}": version for name, version in result.versions.items()
    }


def _numbers(result: SeedResult, headline: str) -> dict[str, float]:
    other = {f"best/dev/{headline}": result.dev_headline} if headline != WEIGHTED_F1 else {}
    return known(
        {
            "best/epoch": result.best_epoch,
            "best/dev/weighted_f1": result.dev_weighted_f1,
            **other,
            "epochs": result.epochs,
            "train_seconds": result.train_seconds,
            "trained_weights": result.parameters,
        }
    )


def _points(curve: Curve, headline: str, began_s: float) -> tuple[Point, ...]:
    columns = {
        "train/loss": curve.train_loss,
        "train/learning_rate": curve.learning_rate,
        "dev/loss": curve.dev_loss,
        "dev/weighted_f1": curve.dev_weighted_f1,
    }
    if headline != WEIGHTED_F1:
        columns[f"dev/{headline}"] = curve.dev_headline
    points, time_s = [], began_s
    for place, epoch in enumerate(curve.epochs):
        time_s += curve.seconds[place] if curve.seconds else 0.0
        values = {name: column[place] for name, column in columns.items() if column}
        points.append(Point(epoch, time_s, values))
    return tuple(points)
