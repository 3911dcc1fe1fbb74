"""Fake run folders of the form that training writes, for tests of what reads them. The scores are computed from drawn
predictions, so that confusion matrices, supports and F1s of a folder agree with each other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

MELD_LABELS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
MELD_SUPPORT = {
    "train": (1109, 271, 268, 1743, 4710, 683, 1205),
    "dev": (153, 22, 40, 163, 470, 111, 150),
    "test": (345, 68, 50, 402, 1256, 208, 281),
}


@dataclass
class FakeFeature:
    """One stored feature; `missing` and `failed` are reason -> count, in every split."""

    modality: str
    name: str
    encoder: str
    fingerprint: str
    shape: tuple[int, ...] = (384,)
    model: str | None = None
    weights: str = "none"
    settings: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    absent: int = 0

    @property
    def folder(self) -> str:
        return f"{self.modality}/{self.name}-{self.fingerprint[:8]}"

    def coverage(self, utterances: int) -> dict[str, Any]:
        out = sum(self.missing.values()) + sum(self.failed.values()) + self.absent
        return {"ok": utterances - out, "missing": self.missing, "failed": self.failed, "absent": self.absent}


SENTENCE = FakeFeature(
    "text",
    "sentence",
    "sentence",
    "1f3a9c2e" * 8,
    (2304,),
    "packaged:all-MiniLM-L6-v2",
    "pretrained",
    {"pooling": "mean+max", "layers": "-3,-2,-1", "scope": "utterance", "max_tokens": 256},
)
LOGMEL = FakeFeature(
    "audio",
    "logmel",
    "logmel",
    "b04d7a11" * 8,
    (212,),
    settings={"max_seconds": 30.0},
    missing={"no-audio": 3, "known-bad": 1},
)
HOG = FakeFeature(
    "visual",
    "hog-colour",
    "hog-colour",
    "77e0c5d2" * 8,
    (324,),
    settings={"frames": 5, "max_seconds": 30.0},
    missing={"known-bad": 1},
    failed={"undecodable": 2, "timed-out": 1},
)


def make_run(
    runs: Path,
    name: str,
    *,
    features: Sequence[FakeFeature] = (SENTENCE,),
    skill: float = 0.5,
    seeds: Sequence[int] = (0, 1, 2),
    unfinished: Sequence[int] = (),
    splits: Sequence[str] = ("dev",),
    skill_on: Mapping[str, float] | None = None,
    collapse: Sequence[int] = (),
    labels: Sequence[str] = MELD_LABELS,
    support: Mapping[str, Sequence[int]] | None = None,
    neutral: str | None = "neutral",
    dataset: str = "meld",
    title: str = "MELD",
    synthetic: bool = False,
    config: Mapping[str, Any] | None = None,
    parameters: int = 1_250_000,
    history: bool = True,
    folder: str | None = None,
) -> Path:
    """Write one run and return its folder.

    skill:    share of utterances that are predicted right, before chance, on every split; skill_on overrides by split
    collapse: seeds that predict the most frequent class always
    """
    digest = f"{abs(hash_of(name, [feature.folder for feature in features])):08x}"[:8]
    path = runs / (folder or f"{name}-{digest}")
    path.mkdir(parents=True)
    counts = {
        split: dict(zip(labels, (support or MELD_SUPPORT)[split], strict=True)) for split in ("train", "dev", "test")
    }
    record = {
        "manifest": {
            "path": f"/somewhere/data/{dataset}.parquet",
            "sha256": "5d" * 32,
            "dataset": dataset,
            "title": title,
            "synthetic": synthetic,
            "labels": list(labels),
            "neutral": neutral,
            "train_label_counts": counts["train"],
        },
        "store": "/somewhere/store",
        "features": [_feature_record(feature, counts) for feature in features],
        "versions": {"python": "3.11.9", "torch": "2.14.1", "erc-feature-store": "0.1.0"},
        "command": f"erc ablate demo --only {name} --seeds {len(seeds)}",
    }
    write_json(path / "features.json", record)
    resolved = {
        "name": name,
        "suite": None,
        "paper": None,
        "inputs": _inputs(features),
        "normalise": "standardise",
        "fusion": {"name": "concat"},
        "context": {"name": "none", "causal": True},
        "feedforward": {"sizes": [512], "dropout": 0.3},
        "loss": [{"name": "cross-entropy", "weight": 1}],
        "batch": {"unit": "utterances", "size": 64, "sampler": "shuffle"},
        "optim": {"lr": 1e-3, "weight_decay": 0.01, "warmup": 0.05},
        "stop": {"epochs": 60, "patience": 10},
    }
    (path / "config.yaml").write_text(
        yaml.safe_dump(resolved | dict(config or {}), sort_keys=False, allow_unicode=True)
    )
    for split in splits:
        level = (skill_on or {}).get(split, skill)
        metrics = fake_metrics(name, split, labels, counts[split], seeds, level, collapse, counts["train"], neutral)
        metrics["coverage"] = {item.folder: item.coverage(sum(counts[split].values())) for item in features}
        write_json(path / f"metrics-{split}.json", metrics)
    dev = (
        fake_metrics(name, "dev", labels, counts["dev"], seeds, skill, collapse, counts["train"], neutral)
        if seeds
        else {}
    )
    for position, seed in enumerate(seeds):
        _write_seed(path / f"seed-{seed}", name, seed, dev["weighted_f1"]["values"][position], parameters, history)
    for seed in unfinished:
        (path / f"seed-{seed}").mkdir()
    return path


def add_test_read(runs: Path, experiment: str, run: str, time: str = "2025-03-01T12:00:00+00:00") -> None:
    line = {"time": time, "experiment": experiment, "run": run, "seeds": [0, 1, 2], "split": "test"}
    with (runs / "test_reads.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def add_suite(
    runs: Path,
    contrasts: Sequence[tuple[str, str, str]],
    duplicates: Mapping[str, str] | None = None,
    baseline: str | None = None,
) -> None:
    """suite-fake.json over the runs that are there; contrasts are (question, A, B)."""
    names = {yaml.safe_load(file.read_text())["name"]: file.parent.name for file in sorted(runs.glob("*/config.yaml"))}
    names |= {name: names[first] for name, first in (duplicates or {}).items()}
    record = {"suite": "fake", "title": "Fake", "description": "", "runs": names, "duplicates": dict(duplicates or {})}
    write_json(
        runs / "suite-fake.json",
        record
        | {
            "baseline": baseline,
            "contrasts": [dict(zip(("question", "A", "B"), one, strict=True)) for one in contrasts],
        },
    )


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def hash_of(*parts: Any) -> int:
    """A number that is the same in every process, unlike hash()."""
    import hashlib

    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big")


def fake_metrics(
    name: str,
    split: str,
    labels: Sequence[str],
    support: Mapping[str, int],
    seeds: Sequence[int],
    skill: float,
    collapse: Sequence[int],
    train: Mapping[str, int],
    neutral: str | None,
) -> dict[str, Any]:
    """metrics-SPLIT.json of predictions that are right with probability `skill`, else drawn by class frequency."""
    size = len(labels)
    gold = np.repeat(np.arange(size), [support[label] for label in labels])
    prior = np.array([train[label] for label in labels], dtype=float)
    prior /= prior.sum()
    confusions, predictions = [], []
    for seed in seeds:
        draw = np.random.default_rng(hash_of(name, split, seed) % 2**32)
        right = draw.random(len(gold)) < skill * (0.6 + 0.8 * prior[gold])
        predicted = np.where(right, gold, draw.choice(size, size=len(gold), p=prior))
        if seed in collapse:
            predicted = np.full(len(gold), int(prior.argmax()))
        predictions.append(predicted)
        confusions.append(_confusion(gold, predicted, size))
    scored = [_scores(confusion) for confusion in confusions]
    per_class = {
        label: {part: _over_seeds([one[part][k] for one in scored]) for part in ("precision", "recall", "f1")}
        for k, label in enumerate(labels)
    }
    constant = np.zeros(size)
    constant[list(labels).index(neutral) if neutral is not None else int(prior.argmax())] = 1.0
    baselines = {
        baseline: _baseline(np.outer(_row_sums(confusions[0]), chances), labels)
        for baseline, chances in (("always-neutral", constant), ("class-prior", prior))
    }
    return {
        "experiment": name,
        "split": split,
        "utterances": len(gold),
        "seeds": list(seeds),
        "labels": list(labels),
        "support": dict(support),
        **{key: _over_seeds([one[key] for one in scored]) for key in ("weighted_f1", "macro_f1", "accuracy")},
        "per_class_f1": {label: per_class[label]["f1"] for label in labels},
        "per_class": per_class,
        "confusion": sum(confusions).astype(int).tolist(),
        "negative_log_likelihood": _over_seeds([-np.log(0.05 + 0.9 * one["accuracy"]) + 0.3 for one in scored]),
        "calibration_error": _over_seeds([0.04 + 0.01 * place for place in range(len(scored))]),
        "reliability": _reliability(gold, predictions, size),
        "slices": _slices(gold, predictions, size),
        "baselines": baselines,
        "coverage": {},
        "no_input": 0,
        "unlabelled": 0,
    }


def _feature_record(feature: FakeFeature, counts: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    keys = ("modality", "name", "folder", "fingerprint", "encoder", "model", "weights", "settings")
    return {key: getattr(feature, key) for key in keys} | {
        "kind": "vector",
        "shape": list(feature.shape),
        "compute_dtype": "fp32",
        "rows_digest": "9a" * 32,
        "coverage": {split: feature.coverage(sum(counts[split].values())) for split in ("train", "dev")},
    }


def _inputs(features: Sequence[FakeFeature]) -> dict[str, list[str]]:
    inputs: dict[str, list[str]] = {}
    for feature in features:
        inputs.setdefault(feature.modality, []).append(feature.name)
    return inputs


def _write_seed(path: Path, name: str, seed: int, score: float, parameters: int, history: bool) -> None:
    path.mkdir()
    draw = np.random.default_rng(hash_of(name, seed, "history") % 2**32)
    epochs = int(draw.integers(14, 30))
    rise = 1 - np.exp(-np.arange(1, epochs + 1) / 3)
    values = np.clip(score * (0.45 + 0.55 * rise) - draw.random(epochs) * 0.012, 0, 1)
    best = int(draw.integers(8, epochs))
    values[best] = score
    if history:
        pl.DataFrame(
            {
                "epoch": list(range(1, epochs + 1)),
                "train_loss": 1.9 * np.exp(-np.arange(epochs) / 8),
                "dev_loss": 1.6 - 0.3 * rise,
                "dev_weighted_f1": values,
                "learning_rate": [1e-3] * epochs,
                "seconds": [0.4] * epochs,
            }
        ).write_parquet(path / "history.parquet")
    result = {
        "seed": seed,
        "best_epoch": best + 1,
        "epochs": epochs,
        "train_seconds": round(0.4 * epochs, 3),
        "parameters": parameters,
        "dev_weighted_f1": score,
        "device": "cpu",
        "precision": "fp32",
        "versions": {"python": "3.11.9", "torch": "2.14.1", "numpy": "2.5.0", "erc-feature-store": "0.1.0"},
        "sources": {"heads.model": "0" * 16},
    }
    write_json(path / "result.json", result)


def _confusion(gold: np.ndarray, predicted: np.ndarray, size: int) -> np.ndarray:
    return np.bincount(gold * size + predicted, minlength=size * size).reshape(size, size).astype(float)


def _reliability(gold: np.ndarray, predictions: Sequence[np.ndarray], size: int) -> list[dict[str, Any]]:
    """Bins of confidences drawn above chance, higher where the prediction is right."""
    draw = np.random.default_rng(0)
    hits = np.concatenate([predicted == gold for predicted in predictions]) if predictions else np.zeros(0, bool)
    confidence = np.clip(draw.beta(4, 4, len(hits)) * 0.7 + 0.2 * hits + 1 / size, 0, 1)
    place = np.clip(np.ceil(confidence * 15).astype(int) - 1, 0, 14)
    bins: list[dict[str, Any]] = []
    for number in range(15):
        inside = place == number
        count = int(inside.sum())
        bins.append(
            {
                "lower": number / 15,
                "upper": (number + 1) / 15,
                "count": count,
                "confidence": float(confidence[inside].mean()) if count else None,
                "accuracy": float(hits[inside].mean()) if count else None,
            }
        )
    return bins


SLICES = {
    "emotion-shift": ("shift", "no-shift", "first-turn-of-speaker"),
    "turn": ("0", "1-4", "5-9", "10-"),
    "duration": ("under 1 s", "1-2 s", "2-4 s", "4 s and more", "unknown"),
    "speaker": ("lead", "other"),
    "speaker-in-train": ("seen in train", "not seen in train"),
    "text-in-train": ("verbatim", "new"),
    "input": ("all there", "audio missing"),
}


def _slices(gold: np.ndarray, predictions: Sequence[np.ndarray], size: int) -> list[dict[str, Any]]:
    """Every group of slices, each cut at random into its parts, the scores computed from the same predictions."""
    slices = []
    for group, names in SLICES.items():
        place = np.random.default_rng(hash_of(group) % 2**32).integers(len(names), size=len(gold))
        for number, name in enumerate(names):
            inside = place == number
            if not inside.any() or not predictions:
                continue
            scored = [_scores(_confusion(gold[inside], predicted[inside], size)) for predicted in predictions]
            scores = {key: _over_seeds([one[key] for one in scored]) for key in ("weighted_f1", "accuracy")}
            slices.append({"group": group, "name": name, "utterances": int(inside.sum()), **scores})
    return slices


def _row_sums(confusion: np.ndarray) -> np.ndarray:
    return confusion.sum(axis=1)


def _scores(confusion: np.ndarray) -> dict[str, Any]:
    right, gold, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    precision = np.divide(right, predicted, out=np.zeros_like(right), where=predicted > 0)
    recall = np.divide(right, gold, out=np.zeros_like(right), where=gold > 0)
    f1 = np.divide(2 * right, gold + predicted, out=np.zeros_like(right), where=gold + predicted > 0)
    return {
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "f1": f1.tolist(),
        "weighted_f1": float((f1 * gold).sum() / gold.sum()),
        "macro_f1": float(f1.mean()),
        "accuracy": float(right.sum() / gold.sum()),
    }


def _baseline(confusion: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    scores = _scores(confusion)
    return {key: scores[key] for key in ("weighted_f1", "macro_f1", "accuracy")} | {
        "per_class_f1": dict(zip(labels, scores["f1"], strict=True))
    }


def _over_seeds(values: Sequence[float]) -> dict[str, Any]:
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "std": std, "values": [float(value) for value in values]}
