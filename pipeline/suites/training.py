"""Training one seed of one experiment, in this process or a worker, and writing its folder.

What stands here is in the digests of every seed, and so is no place for what makes no number.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from features.cards import HEADLINES, WEIGHTED_F1
from features.errors import TrainingError
from features.files import write_whole
from heads.config.experiment import Experiment
from heads.data.data import HeadData
from heads.data.utterances import HELD_OUT, Utterances
from pipeline.runs.computation import Computation
from pipeline.runs.folder import Run
from pipeline.runs.json_files import write_model
from pipeline.runs.seed_files import SeedResult
from pipeline.runs.seed_log import SeedLog
from pipeline.runs.splits import SELECTION_SPLIT
from pipeline.suites.made_by import processor_of, source_commit
from pipeline.suites.shared_features import SharedFeature


@dataclass(frozen=True)
class SeedTask:
    """One head to train. inputs: modality -> features, in the experiment's order; computation: what result.json is to
    say of how it was made."""

    experiment: Experiment
    seed: int
    run: Path
    device: str
    utterances: Utterances
    inputs: dict[str, tuple[SharedFeature, ...]]
    computation: Computation


def train_seed(task: SeedTask, stopped: Callable[[], bool] = lambda: False) -> SeedResult:
    """Train, then write checkpoint, history, predictions of dev and of what a fold holds out, and, last, result.json,
    which is returned.

    Training never has the labels of what is held out, so that nothing can be chosen by them.
    """
    import numpy as np
    import polars as pl

    from heads.model import num_parameters
    from heads.training.checkpoint import InputFeature, TrainedHead, write_checkpoint
    from heads.training.dev_scores import told_scores
    from heads.training.trainer import train_head
    from pipeline.runs.prediction_frame import prediction_frame

    inputs = {modality: tuple(item.open() for item in items) for modality, items in task.inputs.items()}
    data = HeadData(task.utterances, inputs)
    seen = HeadData(task.utterances.without_labels(HELD_OUT), inputs)
    folder = Run(task.run).seed_folder(task.seed)
    with SeedLog(folder, HEADLINES[task.utterances.criterion.name], task.experiment.stop.epochs) as log:
        log.say(f"{task.experiment.name}, seed {task.seed}, on {task.device}, process {os.getpid()}")
        trained = train_head(task.experiment, seen, task.seed, task.device, stopped, log.epoch)
        log.say(f"epoch {trained.best_epoch} of {len(trained.history)} is kept; {trained.seconds:.1f} s")
    folder.mkdir(parents=True, exist_ok=True)
    features = {
        modality: tuple(
            InputFeature(item.folder, item.fingerprint, item.normaliser, rows.shape)
            for item, rows in zip(task.inputs[modality], inputs[modality], strict=True)
        )
        for modality in inputs
    }
    head = TrainedHead(trained.predictor, task.utterances.label_names, features, trained.speakers)
    write_checkpoint(folder / "head.safetensors", head)
    history = pl.DataFrame([asdict(epoch) for epoch in trained.history])
    if task.utterances.criterion.name == WEIGHTED_F1:
        history = history.drop("dev_headline")  # dev_weighted_f1 is the same
    write_whole(folder / "history.parquet", history.write_parquet)
    dev: tuple[float, float | None] = trained.dev_weighted_f1, trained.dev_headline
    for split in (SELECTION_SPLIT, HELD_OUT):
        rows = data.utterances.rows(split)
        if len(rows):
            probabilities = head.probabilities(data, rows)
            if not np.isfinite(probabilities).all():
                raise TrainingError(f"the probabilities on {split} are no numbers: try a lower optim.lr")
            if split == SELECTION_SPLIT and task.experiment.evaluation.dropout:  # other scores than chose the epoch
                dev = told_scores(task.utterances, rows, probabilities)
            frame = prediction_frame(data, rows, probabilities)
            write_whole(folder / f"predictions-{split}.parquet", frame.write_parquet)
    result = SeedResult(
        seed=task.seed,
        best_epoch=trained.best_epoch,
        epochs=len(trained.history),
        train_seconds=round(trained.seconds, 3),
        parameters=num_parameters(trained.head),
        dev_weighted_f1=dev[0],
        dev_headline=dev[1],
        device=task.device,
        precision=trained.precision,
        versions=task.computation.versions,
        code=task.computation.code,
        sources=task.computation.sources,
        commit=source_commit(),
        processor=processor_of(task.device),
    )
    write_model(folder / "result.json", result)
    return result
