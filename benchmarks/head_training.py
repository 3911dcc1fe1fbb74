"""Training a head: our step against its floor and the same head in Hugging Face's Trainer, two processes against one.

    python benchmarks/head_training.py [--steps 300] [--rounds 5] [--batch-size 16 --batch-size 64] [step] [jobs]

Random features of MELD's widths (768 + 1536 + 2048). `step` trains heads of the suite table4 for as many steps, on one
thread each: row 5 (text alone), 14 (all three, concatenated) and 24 (attention over them), with dice. An epoch is timed
from its start to its end, which for ours is with the scoring of 32 dev rows; the floor is its matrix products and AdamW
(floor.py). `jobs` trains eight small heads as `erc ablate` does, with --jobs 1 and --jobs 2, and compares their
predictions.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl
import torch
from floor import floor_step
from timing import Comparison, machine, seconds_of

from features.cards import DatasetCard
from features.manifest import build_manifest, write_manifest
from features.spec import EncoderSpec
from features.store import write_feature
from heads.config.experiment import Experiment
from heads.config.resolve import experiment_from_dict
from heads.data.batch import batch_of
from heads.data.data import FeatureRows, FeatureShape, HeadData
from heads.data.normalise import Normaliser
from heads.data.utterances import Utterances
from heads.model import HeadShape, build_head
from heads.signals import LossTask, Targets
from heads.training.objective import build_objective
from heads.training.trainer import train_head

LABELS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
WIDTHS = {"text": ("gpt2", 768), "audio": ("wav2vec2", 1536), "visual": ("resnet50", 2048)}


HEADS: dict[str, dict[str, Any]] = {
    "5, text": {"feedforward": {"sizes": [64], "dropout": 0.2}},
    "14, concat": {"feedforward": {"sizes": [64], "dropout": 0.2}},
    "24, attention": {
        "fusion": {"name": "attention", "dim": 512, "heads": 4},
        "feedforward": {"sizes": [256, 128], "dropout": 0.2},
    },
}


def experiment(row: str, size: int) -> Experiment:
    used = ["text"] if row == "5, text" else list(WIDTHS)
    body = {
        "name": "bench",
        "inputs": {modality: [WIDTHS[modality][0]] for modality in used},
        "normalise": "none",
        "loss": [{"name": "dice"}],
        "batch": {"size": size},
        "optim": {"lr": 1e-3, "weight_decay": 0.01, "warmup": 0.05},
        "stop": {"epochs": 1, "patience": 1},
    }
    return experiment_from_dict(body | HEADS[row], "benchmarks/head_training.py")


def random_data(train: int, dev: int) -> HeadData:
    rng = np.random.default_rng(0)
    count = train + dev
    inputs = {}
    for modality, (name, width) in WIDTHS.items():
        values = rng.standard_normal((count, width), dtype=np.float32)
        shape = FeatureShape("vector", (width,))
        inputs[modality] = (FeatureRows(modality, name, Normaliser("none"), values, np.ones(count, bool), shape),)
    utterances = Utterances(
        ids=[str(number) for number in range(count)],
        splits=np.array(["train"] * train + ["dev"] * dev, dtype=object),
        labels=rng.integers(len(LABELS), size=count),
        label_names=LABELS,
        dialogue_ids=[f"d{number // 10}" for number in range(count)],
        dialogues=np.arange(count) // 10,
        slots=np.zeros(count, np.int64),
        speakers=["A"] * count,
        sentiments=np.full(count, -1),
        sentiment_names=(),
        groups=[None] * count,
    )
    return HeadData(utterances, inputs)


class InTrainer(torch.nn.Module):
    """The same head and loss behind the interface that Hugging Face's Trainer calls."""

    def __init__(self, chosen: Experiment, data: HeadData) -> None:
        super().__init__()
        self.head = build_head(chosen, HeadShape(data.shapes, len(LABELS)))
        self.objective = build_objective(chosen.loss, LossTask(torch.ones(len(LABELS)), self.head.hidden_width))
        self.template = batch_of(data).select(torch.zeros(0, dtype=torch.int64))

    def forward(self, labels: torch.Tensor, **values: torch.Tensor) -> dict[str, torch.Tensor]:
        from dataclasses import replace

        size = len(labels)
        zeros = torch.zeros(size, dtype=torch.int64)
        batch = replace(
            self.template,
            values={modality: (value,) for modality, value in values.items()},
            present={modality: torch.ones((size, 1), dtype=torch.bool) for modality in values},
            dialogues=zeros,
            slots=zeros,
            speakers=zeros,
        )
        output = self.head(batch)
        return {"loss": self.objective(output, Targets(labels, zeros - 1)), "logits": output.logits}


def train_in_trainer(chosen: Experiment, data: HeadData, folder: Path) -> float:
    """Seconds from the start of its epoch to its end."""
    from torch.utils.data import Dataset
    from transformers import Trainer, TrainerCallback, TrainingArguments
    from transformers.utils.logging import disable_progress_bar

    rows = data.utterances.rows("train")
    arrays = {modality: torch.from_numpy(data.inputs[modality][0].values) for modality in chosen.inputs}
    labels = torch.from_numpy(data.utterances.labels)

    class Examples(Dataset[dict[str, Any]]):
        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, place: int) -> dict[str, Any]:
            return {modality: array[place] for modality, array in arrays.items()} | {"labels": labels[place]}

    class Clock(TrainerCallback):
        def on_epoch_begin(self, *args: Any, **kwargs: Any) -> None:
            self.started = time.perf_counter()

        def on_epoch_end(self, *args: Any, **kwargs: Any) -> None:
            self.seconds = time.perf_counter() - self.started

    clock = Clock()
    disable_progress_bar()
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=chosen.batch.size,
        num_train_epochs=chosen.stop.epochs,
        learning_rate=chosen.optim.lr,
        weight_decay=chosen.optim.weight_decay,
        warmup_steps=chosen.optim.warmup,
        optim="adamw_torch_fused",
        save_strategy="no",
        logging_strategy="no",
        eval_strategy="no",
        report_to=[],
        use_cpu=True,
        remove_unused_columns=False,
        disable_tqdm=True,
    )
    Trainer(model=InTrainer(chosen, data), args=arguments, train_dataset=Examples(), callbacks=[clock]).train()
    return clock.seconds


def bench_step(steps: int, size: int, rounds: int) -> None:
    everything = random_data(steps * size, 32)
    torch.set_num_threads(1)
    for row in HEADS:
        chosen = experiment(row, size)
        # As in a run, what the experiment reads and nothing else: a batch is gathered from every input that there is.
        data = HeadData(everything.utterances, {modality: everything.inputs[modality] for modality in chosen.inputs})
        floor = _floor(chosen, data)
        floor()
        train_head(chosen, data, seed=0)
        times: dict[str, list[float]] = {"Trainer": [], "ours": [], "floor": []}
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                times["Trainer"].append(train_in_trainer(chosen, data, Path(folder)) / steps)
            times["ours"].append(train_head(chosen, data, seed=0).history[0].seconds / steps)
            times["floor"].append(seconds_of(lambda: [floor() for _ in range(steps)]) / steps)  # noqa: B023
        each = ", ".join(f"{name} {1000 * statistics.median(seconds):.2f} ms" for name, seconds in times.items())
        theirs, over = (Comparison(times[a], times[b]) for a, b in (("Trainer", "ours"), ("ours", "floor")))
        click.echo(
            f"step of row {row}, batch {size}: ours is {over.in_short} times its floor, the Trainer's"
            f" {theirs.in_short} times ours; {each}; {rounds} rounds"
        )


def _floor(chosen: Experiment, data: HeadData) -> Callable[[], None]:
    """The products and AdamW of one batch."""
    head = build_head(chosen, HeadShape(data.shapes, len(LABELS)))
    objective = build_objective(chosen.loss, LossTask(torch.ones(len(LABELS)), head.hidden_width))
    places = torch.arange(chosen.batch.size)
    batch = batch_of(data).select(places)
    targets = Targets(torch.from_numpy(data.utterances.labels), torch.from_numpy(data.utterances.sentiments))
    return floor_step(head, lambda: objective(head(batch), targets.select(places)))


def bench_jobs(rounds: int) -> None:
    """Eight heads on vectors of 768, through the very processes of `erc ablate`."""
    from heads.config.suite import read_suite
    from pipeline.runs.folder import Run
    from pipeline.suites.plan import Source, make_plan
    from pipeline.suites.run import run_plan

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = write_manifest(_manifest(10_000), folder / "manifest.parquet")
        spec = EncoderSpec("text", "bench", 1, "text", "vector", (768,))
        table = _manifest(10_000)
        rng = np.random.default_rng(0)
        write_feature(
            folder / "store", spec, table, {key: rng.standard_normal(768, dtype=np.float32) for key in table.ids}
        )
        suite = folder / "suite.yaml"
        suite.write_text(
            "inputs: {text: [bench]}\nfeedforward: {sizes: [512]}\nbatch: {size: 64}\n"
            "stop: {epochs: 12, patience: 12}\n"
        )
        chosen = read_suite(str(suite)).experiments
        from features.manifest import read_manifest

        source = Source.open(folder / "store", read_manifest(manifest))
        plan = make_plan(chosen, source)

        def train(jobs: int, number: int) -> Path:
            run = folder / f"{jobs}-{number}"
            outcome = run_plan(plan, source, range(8), {plan.planned[0].experiment.name: run}, jobs, "cpu", "bench")
            if outcome.failures:
                raise click.ClickException(str(outcome.failures))
            return run

        seconds: dict[int, list[float]] = {1: [], 2: []}
        for number in range(rounds):
            for jobs, times in seconds.items():
                times.append(seconds_of(lambda jobs=jobs, number=number: train(jobs, number)))  # type: ignore[misc]
        frames = [Run(folder / f"{jobs}-0").predictions(7, "dev") for jobs in (1, 2)]
        one, two = (sorted(times)[len(times) // 2] for times in seconds.values())
        click.echo(
            f"jobs: 2 are {one / two:.2f} times as fast as 1 (medians {one:.1f} s against {two:.1f} s, {rounds} rounds,"
            f" start of the processes included); the same predictions: {frames[0].equals(frames[1])}"
        )


def _manifest(count: int) -> Any:
    number = pl.int_range(count, eager=True)
    frame = pl.DataFrame({"row": number}).with_columns(
        utterance_id=pl.format("bench/{}", pl.col("row")),
        dataset=pl.lit("bench"),
        split=pl.when(pl.col("row") < count * 9 // 10).then(pl.lit("train")).otherwise(pl.lit("dev")),
        dialogue_id=pl.format("bench/dia{}", pl.col("row") // 10),
        turn=pl.col("row") % 10,
        speaker=pl.lit("A"),
        text=pl.lit("Hello."),
        label=pl.Series([LABELS[place % 7] for place in range(count)]),
    )
    return build_manifest(frame.drop("row"), DatasetCard("bench", labels=LABELS, neutral="neutral"))


@click.command()
@click.argument("what", nargs=-1, type=click.Choice(["step", "jobs"]))
@click.option("--steps", default=300, show_default=True)
@click.option("--batch-size", default=(16, 64), multiple=True, show_default=True)
@click.option("--rounds", default=5, show_default=True)
def main(what: tuple[str, ...], steps: int, batch_size: tuple[int, ...], rounds: int) -> None:
    click.echo(machine())
    for name in what or ("step", "jobs"):
        if name == "step":
            for size in batch_size:
                bench_step(steps, size, rounds)
        else:
            bench_jobs(min(rounds, 3))


if __name__ == "__main__":
    main()
