"""A second small corpus, with labels of its own, beside the one that heads are trained on, and `erc` in its folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from copied import copied
from small_corpus import LABELS, SENTENCE, make_manifest, make_store

from features.cards import DatasetCard
from features.manifest import Manifest, build_manifest, frame_of, read_manifest, write_manifest
from features.store import write_feature
from pipeline.cli import erc, run

THEIRS = ("calm", "glad", "mad", "plain")
MEANS = {"glad": "joy", "mad": "anger", "plain": "neutral"}
MAP = "glad=joy,mad=anger,plain=neutral"
SUITE = """
defaults: {feedforward: {sizes: [8]}, stop: {epochs: 3}}
experiments:
  text: {inputs: {text: [sentence]}}
  small: {inputs: {text: [sentence]}, feedforward: {sizes: [4]}}
"""


def far_manifest(
    path: Path, labels: Sequence[str | None] = THEIRS, dialogues: int = 8, dataset: str = "far", split: str = "test"
) -> Manifest:
    """Written to `path`: dialogues of four turns, whose labels go round, and as many rows of train."""
    rows = [
        {
            "utterance_id": f"{dataset}/{part}/dia{dialogue}_utt{turn}",
            "dataset": dataset,
            "split": part,
            "dialogue_id": f"{dataset}/{part}/dia{dialogue}",
            "turn": turn,
            "speaker": "AB"[turn % 2],
            "text": f"{part} {dialogue} {turn}",
            "label": labels[(dialogue + turn) % len(labels)],
        }
        for part in dict.fromkeys(("train", split))
        for dialogue in range(dialogues)
        for turn in range(4)
    ]
    names = tuple(dict.fromkeys(label for label in labels if label))
    manifest = build_manifest(frame_of(rows), DatasetCard(dataset, title=dataset.title(), labels=names), None, path)
    write_manifest(manifest, path)
    return manifest


def extract(store: Path, manifest: Manifest) -> None:
    """The feature `sentence` of the manifest's rows, with the label that theirs means shown in it."""
    generator = np.random.default_rng(5)
    found = {}
    for utterance_id, label in manifest.frame.select("utterance_id", "label").iter_rows():
        vector = generator.normal(3.0, 2.0, SENTENCE.shape).astype(np.float32)
        known = MEANS.get(label, label)
        if known in LABELS:
            vector[LABELS.index(known)] += 6.0
        found[utterance_id] = vector
    write_feature(store, SENTENCE, manifest, found, {})


class Shell:
    """Runs of two experiments on the corpus `tiny`, and the corpus `far` in the same store."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        copied("far corpus", folder, self._make)
        self._stand(folder)
        self.manifest = read_manifest(folder / "M.parquet")

    def _stand(self, folder: Path) -> None:
        self.folder, self.runs, self.store, self.far = folder, folder / "runs", folder / "store", folder / "far.parquet"

    def _make(self, folder: Path) -> None:
        self._stand(folder)
        make_store(self.store, make_manifest(folder / "M.parquet"), (SENTENCE,))
        extract(self.store, far_manifest(self.far))
        (folder / "tiny.yaml").write_text(SUITE)
        self.train()

    def ablate(self) -> tuple[int, str, str]:
        place = [
            "--store",
            self.store,
            "--manifest",
            self.folder / "M.parquet",
            "--jobs",
            1,
            "--quiet",
            "--out",
            self.runs,
        ]
        return self.erc("ablate", self.folder / "tiny.yaml", *place, "--seeds", 2)

    def train(self) -> str:
        status, out, err = self.ablate()
        assert (status, err) == (0, "")
        return out

    def erc(self, *arguments: object) -> tuple[int, str, str]:
        self.capsys.readouterr()
        status = run(erc, [str(item) for item in arguments], "erc")
        captured = self.capsys.readouterr()
        return status, captured.out, captured.err

    def evaluate(self, *arguments: object, split: str = "test") -> tuple[int, str, str]:
        return self.erc("evaluate", self.run("text"), "--split", split, *arguments)

    def run(self, experiment: str) -> Path:
        (found,) = self.runs.glob(f"{experiment}-????????")
        return found

    def metrics(self, split: str = "test", folder: str = "") -> dict[str, Any]:
        """Of the experiment `text`: its own, or those of a folder within other-corpora."""
        place = self.run("text") / "other-corpora" / folder if folder else self.run("text")
        return json.loads((place / f"metrics-{split}.json").read_text())

    def others(self) -> list[str]:
        return sorted(path.name for path in (self.run("text") / "other-corpora").glob("*"))

    def reads(self) -> list[dict[str, Any]]:
        path = self.runs / "test_reads.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
