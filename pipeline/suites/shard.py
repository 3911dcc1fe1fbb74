"""`--shard I/N`: which heads of a suite are one shard's, and that no two shards at work deal them differently.

A head is an experiment, a seed and, in a cross-validation, a fold. Heads are dealt by what they cost, the dearest
first, each to the shard that has least. Costs come from sizes and not from a clock, since every machine has to deal
alike, and from all heads, finished ones too, so that it does not matter when a shard is started.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.digests import digest_of
from features.errors import ErcError, RunError, RunFileError, StoreBusyError
from features.store import Feature
from features.store.lock import SLICES, writer_lock
from heads.config.experiment import Experiment
from heads.data.data import shape_of
from heads.data.utterances import Utterances
from pipeline.runs.computation import Computation, result_of
from pipeline.runs.folder import Run
from pipeline.suites.computation import any_computation, computation_of, has_top
from pipeline.suites.estimate import count_parameters
from pipeline.suites.plan import Planned

Head = tuple[Path, int]
"""Run folder and seed."""
Members = Sequence[tuple[Planned, Path, Utterances]]
"""Every experiment, in every fold, with its run folder and its rows there."""

# Nanoseconds on one core, roughly: what a step takes whatever it computes; AdamW a weight; the products of forward and
# backward pass a weight and row; and what reading takes a value, of sequences, whose readers work on every position.
_STEP, _WEIGHT, _PRODUCT, _VALUE = 1_300_000, 1, 0.15, 10
_SAMPLED = 16  # sequences whose lengths are looked up


@dataclass(frozen=True)
class ShardRequest:
    """What `--shard I/N` asks for. suite: its name."""

    index: int
    count: int
    suite: str


@dataclass(frozen=True)
class Shard:
    """heads: those that it trains; suite: those of all shards; today: run folder -> what its seeds are made by now;
    agreement: digest of what all shards have in common."""

    heads: frozenset[Head]
    suite: frozenset[Head]
    today: Mapping[Path, Computation]
    agreement: str

    def has(self, run: Path, seed: int) -> bool:
        return (run, seed) in self.heads

    def may_move(self, run: Path, seed: int) -> bool:
        """Whether it may set a finished seed aside: its own, or one that no shard trains, such as one that was asked
        for before and is not now. Those of the others are theirs."""
        return self.has(run, seed) or (run, seed) not in self.suite

    def finished(self) -> tuple[int, int]:
        """How many of its own heads are trained by now, and how many of all. Those that other shards are to train again
        are not."""
        done = {head for head in self.suite if self._is_done(Run(head[0]), head[1])}
        return len(done & self.heads), len(done)

    def _is_done(self, run: Run, seed: int) -> bool:
        if not run.is_finished(seed):
            return False
        try:
            return not Computation.of(result_of(run, seed)).contradicts(self.today[run.path]) or run.features.mixed
        except RunFileError:  # of a features.json that is damaged, which is a failure of its own
            return False


def deal_heads(request: ShardRequest, members: Members, seeds: Sequence[int], device: str) -> Shard:
    prices = [cost(planned.experiment, planned.features, rows) for planned, _, rows in members]
    heads = [(path, seed) for _, path, _ in members for seed in seeds]
    owners = deal([price for price in prices for _ in seeds], request.count)
    keys = [[planned.key, path.name] for planned, path, _ in members]
    computation = any_computation(device, has_top(planned for planned, _, _ in members))
    agreement = digest_of("shards", keys, list(seeds), request.count, computation.identity)
    mine = frozenset(head for head, owner in zip(heads, owners, strict=True) if owner == request.index)
    today = {path: computation_of(planned, device) for planned, path, _ in members}
    return Shard(mine, frozenset(heads), today, agreement)


def deal(costs: Sequence[int], count: int) -> list[int]:
    """The owner, from 1, of each: the dearest first, each to who has least; of equals the first."""
    owners, loads = [0] * len(costs), [0] * count
    for place in sorted(range(len(costs)), key=lambda place: (-costs[place], place)):
        least = min(range(count), key=lambda number: (loads[number], number))
        owners[place] = least + 1
        loads[least] += costs[place]
    return owners


def cost(experiment: Experiment, features: Mapping[str, Sequence[Feature]], utterances: Utterances) -> int:
    """Of one seed, in nanoseconds on one core if all epochs are trained: from sizes alone, the same on every machine.

    A head that cannot be built costs one step: training says why.
    """
    try:
        weights = count_parameters(experiment, features, utterances)
    except ErcError:
        return _STEP
    train, batch = utterances.rows("train"), experiment.batch
    units = len(np.unique(utterances.dialogues[train])) if batch.unit == "dialogues" else len(train)
    steps = math.ceil(units / batch.size)
    values = sum(_values(feature, utterances) for items in features.values() for feature in items)
    epoch = steps * (_STEP + _WEIGHT * weights) + len(train) * (_PRODUCT * weights + _VALUE * values)
    return int(experiment.stop.epochs * epoch)


def _values(feature: Feature, utterances: Utterances) -> float:
    """Values of a sequence, the mean of some; none of what is read as one vector."""
    if feature.spec.kind != "sequence":
        return 0
    sampled = [utterances.ids[row] for row in np.linspace(0, len(utterances) - 1, _SAMPLED).astype(int)]
    lengths = [len(item) for item in feature.read_sequences(list(dict.fromkeys(sampled))) if item is not None]
    return sum(lengths) / max(len(lengths), 1) * math.prod(shape_of(feature).shape)


@contextmanager
def at_work(
    request: ShardRequest | None, runs: Path, members: Members, seeds: Sequence[int], device: str
) -> Iterator[Shard | None]:
    """Hold the right to be this shard, in RUNS/.shards-SUITE; None where none is asked for.

    Raises RunError where another process is it, or where shards are at work that deal other heads.
    """
    if request is None:
        yield None
        return
    shard = deal_heads(request, members, seeds, device)
    folder = runs / f".shards-{request.suite}"
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(writer_lock(folder, (request.index, request.count), shard.agreement))
        except StoreBusyError as error:
            if (folder / SLICES).read_text(encoding="ascii") == shard.agreement:
                problem = f"shard {request.index}/{request.count} of {request.suite} is at work: wait for it"
            else:
                problem = (
                    f"shards of {request.suite} are at work that deal other heads: give all of them the same options"
                    " and N of --shard I/N, from the same manifest, store, code, torch, numpy, transformers and kind of"
                    " device, or wait until they are done"
                )
            raise RunError(f"{runs}: {problem}") from error
        yield shard
