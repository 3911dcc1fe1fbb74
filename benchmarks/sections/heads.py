"""What training a head costs: a step, processes, an encoder's last layers, the whole of table 4."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.contender import Contender
from benchmarks.harness.machine import has_bf16_units
from benchmarks.harness.results import Claim, Comparison, Curve
from benchmarks.harness.rounds import Show, in_turns

TITLE = "Heads"
TEXT = """\
Heads on stored features, one thread each. The floor of a step is its matrix products, forwards and backwards, and
fused AdamW on its parameters, on tensors that are at hand: no gather, activation, norm, dropout or loss, no clipping,
no graph. *torch alone* is forwards, loss, backwards and fused AdamW on batches that are at hand: what an eager step
takes before anything of ours is added, so that its distance to the floor is the limit of what is open below. An epoch
of ours is with scoring 32 dev rows; the others score nothing. The Trainer and ours use fused AdamW, a warm-up and
clipping; the plain loop is what a user writes: TensorDataset, DataLoader, AdamW as it comes, `zero_grad`, `backward`,
`step`. All train the same model with the same loss on the same numbers in memory, in fp32."""

_BARE = "torch alone"


@dataclass(frozen=True)
class _Row:
    """steps: of an epoch, in small and in full; floor, trainer: the aim and what is stated, at batch 16"""

    name: str
    steps: dict[str, int]
    floor: tuple[float, float]
    trainer: tuple[float, float]


_ROWS = (
    _Row("5, text", {"tiny": 5, "small": 200, "full": 600}, (3, 6), (4, 1.5)),
    _Row("14, concat", {"tiny": 5, "small": 150, "full": 600}, (3, 3.5), (3, 1.3)),
    _Row("24, attention", {"tiny": 3, "small": 40, "full": 150}, (1.25, 1.7), (1.5, 1.0)),
)
_TITLES = {
    "5, text": "Row 5: 768 values, a hidden layer of 64",
    "14, concat": "Row 14: 4,352 values, concatenated",
    "24, attention": "Row 24: attention over three modalities at 512",
}


@dataclass(frozen=True)
class _Size:
    """batches: examples a step; jobs: utterances and epochs of five seeds; texts: of encoder-top, and its samplers"""

    rounds: int
    batches: tuple[int, ...]
    jobs: tuple[int, int]
    texts: int
    samplers: tuple[str, ...]


_SIZES = {
    "tiny": _Size(1, (16, 64), (200, 1), 8, ("bucketed",)),
    "small": _Size(3, (16,), (10_000, 6), 320, ("bucketed",)),
    "full": _Size(3, (16, 64), (10_000, 12), 960, ("bucketed", "shuffle")),
}


def measure(size: str, place: Path, show: Show) -> list[Comparison | Curve]:
    chosen = _SIZES[size]
    tables: list[Comparison | Curve] = [
        _row(row, batch, row.steps[size], chosen.rounds, show) for row in _ROWS for batch in chosen.batches
    ]
    tables.append(_jobs(place / "jobs", chosen, show))
    tables += _encoder_top(place / "top", chosen, show)
    return tables


def _row(row: _Row, batch: int, steps: int, rounds: int, show: Show) -> Comparison:
    ways = {
        "ours": "ours",
        "Hugging Face's Trainer": "trainer",
        "a plain loop": "plain_loop",
        _BARE: "bare",
        "the floor": "floor",
    }
    options = {"row": row.name, "size": batch, "steps": steps}
    contenders = [Contender(name, f"benchmarks.workers.heads:{target}", options) for name, target in ways.items()]
    claims = [Claim("ours", "the floor", "at most", *row.floor), Claim("ours", _BARE, "at most", aim=1.25, stated=1.5)]
    if batch == 16:
        claims.append(Claim("Hugging Face's Trainer", "ours", "at least", *row.trainer))
    return Comparison(
        f"{_TITLES[row.name]}, batch {batch}",
        f"{steps} steps, {rounds} rounds",
        "ours",
        in_turns(contenders, rounds, show),
        tuple(claims),
    )


def _jobs(place: Path, size: _Size, show: Show) -> Comparison:
    from benchmarks.workers.jobs import SEEDS, make_inputs

    utterances, epochs = size.jobs
    make_inputs(place, utterances, epochs)
    contenders = [
        Contender(f"--jobs {jobs}", "benchmarks.workers.jobs:Seeds", {"place": str(place), "jobs": jobs})
        for jobs in (2, 1)
    ]
    return Comparison(
        "Five seeds with --jobs",
        f"{SEEDS} seeds of a head on 768 values, {utterances:,} utterances, {epochs} epochs; with starting processes",
        "--jobs 2",
        in_turns(contenders, size.rounds, show, alike=0.0),
        (Claim("--jobs 1", "--jobs 2", "at least", aim=1.6, stated=1.2),),
        "Predictions of all seeds are equal bit for bit, which is checked in the same run. Five seeds over two"
        " processes are three one after the other: 1.67 is the most that there is.",
    )


def _encoder_top(place: Path, size: _Size, show: Show) -> list[Comparison | Curve]:
    from benchmarks.inputs.corpus import erc, text_manifest

    place.mkdir()
    shutil.copy(text_manifest(place, size.texts * 3 // 2), place / "manifest.parquet")
    made = ["--encoder", "sentence-tokens", "--set", "from_top=3", "--as", "sentence-tokens-top3"]
    erc("extract", *made, "--manifest", place / "manifest.parquet", "--store", place / "store")
    dtype = "bf16" if has_bf16_units() else "fp32"
    tables: list[Comparison | Curve] = []
    for sampler in size.samplers:
        ours, trainer, floor = "encoder-top", "fine-tuning all of it in Hugging Face's Trainer", "the floor"
        options = {"place": str(place), "texts": size.texts, "size": 32, "sampler": sampler, "dtype": dtype}
        ways = {ours: "ours", trainer: "trainer", _BARE: "bare", floor: "products"}
        contenders = [
            Contender(name, f"benchmarks.workers.encoder_top:{target}", options) for name, target in ways.items()
        ]
        order = "like lengths in a batch" if sampler == "bucketed" else "random order"
        tables.append(
            Comparison(
                f"An epoch of MiniLM's last three layers, {order}",
                f"{size.texts} texts of the sample corpus, batch 32, {dtype}, {size.rounds} rounds",
                ours,
                in_turns(contenders, size.rounds, show),
                (
                    Claim(trainer, ours, "at least", aim=2.5, stated=2.0),
                    Claim(ours, floor, "at most", aim=1.2, stated=2),
                    Claim(ours, _BARE, "at most", aim=1.25, stated=1.5),
                ),
                "Building the head and scoring 32 texts of dev are part of ours, building the Trainer is part of its."
                " What was extracted once is not counted.",
            )
        )
    return tables
