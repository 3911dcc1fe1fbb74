"""Run folders of many experiments on random features of MELD's size, whose heads are not trained.

9,989 + 1,109 + 2,610 utterances; widths of MiniLM's three layers (2,304), log-mel statistics (212) and HOG and colour
(324). Evaluating a head with random weights takes as long as a trained one; the folders are otherwise those of
`erc ablate`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from benchmarks.inputs.random_meld import SPLITS, make_manifest
from features.errors import Reason, UnavailableError
from features.manifest import read_manifest, write_manifest
from features.spec import EncoderSpec
from features.store import write_feature

_FEATURES = {"sentence": ("text", 2304), "logmel": ("audio", 212), "hog-colour": ("visual", 324)}
_INPUTS = [
    {"text": ["sentence"]},
    {"audio": ["logmel"]},
    {"visual": ["hog-colour"]},
    {"text": ["sentence"], "audio": ["logmel"]},
    {"text": ["sentence"], "audio": ["logmel"], "visual": ["hog-colour"]},
]
_CONTEXTS: list[dict[str, Any]] = [{"name": "none"}, {"name": "bclstm", "causal": False}]
_SIZES = [128, 256, 512]


def generate(folder: Path) -> None:
    """The manifest and the store; one utterance in a hundred has no sound."""
    write_manifest(make_manifest(SPLITS), folder / "manifest.parquet")
    manifest = read_manifest(folder / "manifest.parquet")
    rng = np.random.default_rng(0)
    for name, (modality, width) in _FEATURES.items():
        spec = EncoderSpec(modality, name, 1, "text", "vector", (width,), weights="random")  # type: ignore[arg-type]
        values = rng.standard_normal((len(manifest), width), dtype=np.float32)
        gone = manifest.ids[::100] if modality == "audio" else []
        without = {key: UnavailableError(Reason.NO_AUDIO) for key in gone}
        write_feature(folder / "store", spec, manifest, dict(zip(manifest.ids, values, strict=True)), without)


def suite_text(runs: int) -> str:
    """A suite of so many experiments, no two of them equal."""
    experiments = {}
    for number in range(runs):
        size, place = divmod(number, len(_INPUTS) * len(_CONTEXTS))
        context, inputs = divmod(place, len(_INPUTS))
        experiments[f"{number + 1:02}-{'-'.join(_INPUTS[inputs])}-{_CONTEXTS[context]['name']}"] = {
            "inputs": _INPUTS[inputs],
            "context": _CONTEXTS[context],
            "batch": {"unit": "dialogues", "size": 16},
            "feedforward": {"sizes": [_SIZES[size % len(_SIZES)] + size // len(_SIZES)]},
        }
    names = list(experiments)
    contrasts = [
        {"question": f"Is {names[place]} better than {names[0]}?", "A": names[place], "B": names[0]}
        for place in range(1, min(11, runs))
    ]
    document = {"baseline": names[0], "experiments": experiments, "contrasts": contrasts}
    return yaml.safe_dump({"title": "Random heads"} | document, sort_keys=False)


def make_runs(folder: Path, runs: int, seeds: int) -> None:
    """Run folders as training leaves them, of heads as they are initialised."""
    import torch

    from features.files import write_whole
    from heads.config.suite import read_suite
    from heads.data.data import HeadData, fit_feature, shape_of
    from heads.model import HeadShape, build_head, num_parameters
    from heads.predict import Predictor
    from heads.training.checkpoint import InputFeature, TrainedHead, write_checkpoint
    from pipeline.runs import slices
    from pipeline.runs.folder import Run
    from pipeline.runs.json_files import write_model
    from pipeline.runs.prediction_frame import prediction_frame
    from pipeline.runs.seed_files import SeedResult
    from pipeline.suites.plan import Source, make_plan
    from pipeline.suites.record import write_suite_record
    from pipeline.suites.run import open_run, write_metrics

    (folder / "random.yaml").write_text(suite_text(runs))
    suite = read_suite(str(folder / "random.yaml"))
    source = Source.open(folder / "store", read_manifest(folder / "manifest.parquet"))
    plan = make_plan(suite.experiments, source)
    dev = source.utterances.rows("dev")
    attributes = slices.attributes(source.manifest, "dev")
    fitted = {}
    folders = {planned.experiment.name: folder / "runs" / planned.folder_name for planned in plan.planned}
    for planned in plan.planned:
        experiment, run = planned.experiment, Run(folders[planned.experiment.name])
        open_run(run, planned, source, "erc ablate random.yaml")
        for items in planned.features.values():
            for feature in items:
                if feature.folder not in fitted:
                    fitted[feature.folder] = fit_feature(feature, source.utterances, experiment.normalise)
        rows = {key: tuple(fitted[item.folder] for item in items) for key, items in planned.features.items()}
        inputs = {
            key: tuple(
                InputFeature(item.folder, item.fingerprint, fitted[item.folder].normaliser, shape_of(item))
                for item in items
            )
            for key, items in planned.features.items()
        }
        shapes = {key: [item.shape for item in items] for key, items in rows.items()}
        for seed in range(seeds):
            torch.manual_seed(seed)
            head = build_head(experiment, HeadShape(shapes, len(source.utterances.label_names)))
            trained = TrainedHead(Predictor(experiment, head), source.utterances.label_names, inputs)
            place = run.seed_folder(seed)
            place.mkdir(parents=True, exist_ok=True)
            write_checkpoint(place / "head.safetensors", trained)
            data = HeadData(source.utterances, rows)
            frame = prediction_frame(data, dev, trained.probabilities(data, dev))
            write_whole(place / "predictions-dev.parquet", frame.write_parquet)
            curve = 0.15 + 0.01 * np.arange(20)
            history = {"epoch": list(range(1, 21)), "train_loss": 2 - curve, "dev_loss": 2.1 - curve}
            history |= {"dev_weighted_f1": curve, "learning_rate": [1e-3] * 20, "seconds": [0.4] * 20}
            pl.DataFrame(history).write_parquet(place / "history.parquet")
            result = SeedResult(
                seed=seed,
                best_epoch=20,
                epochs=20,
                train_seconds=8.0,
                parameters=num_parameters(head),
                dev_weighted_f1=float(curve[-1]),
                device="cpu",
            )
            write_model(place / "result.json", result)
        write_metrics(run, range(seeds), "dev", attributes)
    write_suite_record(suite, plan, folder / "runs")
