"""A folder of two fake runs with predictions and a suite's record, for tests of trackers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from prediction_factory import add_predictions
from run_factory import add_suite, make_run

from pipeline.cli import erc, run
from pipeline.runs.folder import Run
from pipeline.tracking.choice import TRACKERS, Choice
from pipeline.tracking.item import Content, Item

SEEDS = (0, 1)


def fake_suite(runs: Path) -> list[Run]:
    """`linear` and `wide`, which the suite `fake` contrasts."""
    folders = [
        make_run(runs, name, skill=skill, seeds=SEEDS, config={"suite": "fake"}, folder=f"{name}-1a2b3c4d")
        for name, skill in (("linear", 0.3), ("wide", 0.6))
    ]
    for folder, skill in zip(folders, (0.3, 0.6), strict=True):
        add_predictions(folder, skill=skill)
    add_suite(runs, [("Does width help?", "wide", "linear")])
    return [Run(folder) for folder in folders]


def track(runs: Path, *to: str) -> int:
    return run(erc, ["track", str(runs), *(word for name in to for word in ("--to", name))], "erc")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def expected_numbers(run: Run) -> dict[str, float]:
    """Some of what the summary of a run has to hold, straight from metrics-dev.json."""
    metrics = read_json(run.path / "metrics-dev.json")
    found = {}
    for name in ("weighted_f1", "macro_f1", "accuracy", "negative_log_likelihood", "calibration_error"):
        score = metrics[name]
        found |= {f"dev/{name}/mean": score["mean"], f"dev/{name}/std": score["std"]}
        found |= {f"dev/{name}/seed-{seed}": score["values"][place] for place, seed in enumerate(metrics["seeds"])}
    for label, score in metrics["per_class_f1"].items():
        found[f"dev/f1/{label}/mean"] = score["mean"]
    return found


class Recorder:
    """A tracker that keeps what it is given, in order. fails: raise instead"""

    def __init__(self) -> None:
        self.destination = "https://tracker.example"
        self.fails = False
        self.sent: list[tuple[Item, Content]] = []
        self.parents: dict[str, str | None] = {}
        self.opened: list[str] = []
        self.replaced: list[str] = []

    def is_there(self, name: str) -> bool:
        return True

    def open(self, item: Item, parent: str | None) -> str | None:
        if self.fails:
            raise ConnectionError("nobody answers")
        name = f"{item.group}: {item.name}"
        self.opened.append(name)
        self.parents[name] = parent
        return name

    def send(self, item: Item, content: Content, parent: str | None, earlier: str | None, opened: bool) -> str:
        if self.fails:
            raise ConnectionError("nobody answers")
        name = f"{item.group}: {item.name}"
        self.sent.append((item, content))
        self.parents[name] = parent
        self.replaced += [earlier] if earlier and not opened else []
        return name

    @property
    def names(self) -> list[str]:
        return [f"{item.group}: {item.name}" for item, _ in self.sent]

    def content(self, name: str) -> Content:
        return next(content for item, content in self.sent if f"{item.group}: {item.name}" == name)


def recorder_as(name: str, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Stands for the tracker of this name."""
    recorder = Recorder()
    monkeypatch.setitem(TRACKERS, name, Choice(TRACKERS[name].title, (), lambda folder: recorder))
    return recorder
