"""Run folders: what a trained experiment leaves on disk, read and written whole.

RUN/ holds config.yaml, features.json, metrics-SPLIT.json, and in seed-N/ head.safetensors, history.parquet,
predictions-SPLIT.parquet and result.json, which is written last: a seed without it is not done.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.errors import RunError
from features.files import write_whole

if TYPE_CHECKING:
    import polars as pl

    from heads.config.experiment import Experiment

_SEED = re.compile(r"seed-(\d+)")


@dataclass(frozen=True)
class Run:
    """One run folder."""

    path: Path

    @cached_property
    def experiment(self) -> Experiment:
        """The resolved experiment. Raises ConfigError where config.yaml is damaged."""
        from heads.config.resolve import experiment_from_dict
        from heads.config.strict_yaml import parse_yaml

        where = self.path / "config.yaml"
        return experiment_from_dict(parse_yaml(self._text(where), str(where)), str(where))

    @cached_property
    def features(self) -> dict[str, Any]:
        """features.json: the manifest, the store and the features it was trained on."""
        where = self.path / "features.json"
        content = self._object(where, "train the experiment again")
        kinds = {"manifest": dict, "store": str, "features": list}
        damaged = [key for key, kind in kinds.items() if not isinstance(content.get(key), kind)]
        if damaged or not isinstance(content["manifest"].get("labels"), list):
            raise RunError(f"{where}: has no {damaged[0] if damaged else 'labels'}: train the experiment again")
        return content

    @property
    def labels(self) -> list[str]:
        names: list[str] = self.features["manifest"]["labels"]
        return names

    def seed_folder(self, seed: int) -> Path:
        return self.path / f"seed-{seed}"

    def finished_seeds(self) -> list[int]:
        """Seeds that have a result.json, ascending."""
        found = [
            int(match[1])
            for entry in self.path.glob("seed-*")
            if (match := _SEED.fullmatch(entry.name)) and (entry / "result.json").is_file()
        ]
        return sorted(found)

    def result(self, seed: int) -> dict[str, Any]:
        """One seed's result.json."""
        where = self.seed_folder(seed) / "result.json"
        return self._object(where, f"remove {where.parent} and train again")

    def metrics(self, split: str) -> dict[str, Any]:
        """metrics-SPLIT.json. Raises RunError where it is absent or damaged."""
        return self._object(self.path / f"metrics-{split}.json", f"run `erc evaluate {self.path} --split {split}`")

    def predictions(self, seed: int, split: str, *, dialogues: bool = False) -> pl.DataFrame:
        """One seed's predictions. Raises RunError as `predictions.read_prediction_frame`."""
        from pipeline.runs.predictions import read_prediction_frame

        return read_prediction_frame(self.path, seed, split, self.labels, dialogues=dialogues)

    def _object(self, where: Path, mend: str) -> dict[str, Any]:
        """A JSON object. Raises RunError, which ends with `mend`."""
        try:
            content = json.loads(self._text(where, mend))
        except ValueError as error:
            raise RunError(f"{where}: is not JSON ({error}): {mend}") from error
        if not isinstance(content, dict):
            raise RunError(f"{where}: is not a JSON object: {mend}")
        return content

    def _text(self, where: Path, mend: str = "train the experiment again") -> str:
        try:
            return where.read_text(encoding="utf-8")
        except OSError as error:
            raise RunError(f"{where}: cannot be read ({error.strerror}): {mend}") from error
        except UnicodeDecodeError as error:
            raise RunError(f"{where}: is not text ({error}): {mend}") from error


def dev_rank(weighted_f1: float | None, folder: str) -> tuple[bool, float, str]:
    """A key that sorts runs by their mean dev weighted F1: best first, equal ones by folder name, unscored ones last.

    Whatever chooses a run by dev sorts by this, so that a report leads with the run that test was read of.
    """
    return weighted_f1 is None, -(weighted_f1 or 0.0), folder


def is_run(path: Path) -> bool:
    return (path / "config.yaml").is_file() and (path / "features.json").is_file()


def find_runs(paths: Iterable[Path]) -> list[Run]:
    """Run folders, given as such or as a folder of them, each once. Raises RunError for a path that holds none."""
    found: dict[Path, Run] = {}
    for path in paths:
        if not path.is_dir():
            raise RunError(f"no run folder at {path}: train one with `erc train` or `erc ablate`")
        here = [path] if is_run(path) else sorted(entry for entry in path.iterdir() if entry.is_dir() and is_run(entry))
        if not here:
            raise RunError(f"{path}: holds no run: train one with `erc ablate SUITE --out {path}`")
        for run in here:
            found.setdefault(run.resolve(), Run(run))
    return list(found.values())


def write_text(path: Path, text: str) -> None:
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
