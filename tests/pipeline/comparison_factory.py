"""Drawn predictions of several seeds, with dialogues, for tests of comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from pipeline.comparison.counts import Arm

LABELS = ("joy", "anger", "fear")


def frame(
    dialogues: Sequence[int], gold: Sequence[int | None], predicted: Sequence[int], labels: Sequence[str] = LABELS
) -> pl.DataFrame:
    """One seed's predictions; utterance i is `u000i`. Its prediction has probability 0.6, the others share the rest."""
    chances = np.full((len(gold), len(labels)), 0.4 / max(1, len(labels) - 1), np.float32)
    chances[np.arange(len(gold)), np.array(predicted, dtype=int)] = 0.6
    return pl.DataFrame(
        {
            "utterance_id": [f"u{place:04}" for place in range(len(gold))],
            "dialogue_id": [f"d{dialogue:03}" for dialogue in dialogues],
            "gold": [None if one is None else labels[one] for one in gold],
            "predicted": [labels[one] for one in predicted],
            **{f"p_{label}": chances[:, place] for place, label in enumerate(labels)},
            "no_input": [False] * len(gold),
            "missing": [[] for _ in gold],
        },
        schema_overrides={"gold": pl.String, "missing": pl.List(pl.String)},
    )


def random_frames(
    seed: int,
    seeds: Sequence[int] = (0, 1, 2),
    dialogues: int = 8,
    skill: float = 0.4,
    labels: Sequence[str] = LABELS,
    corpus: int = 0,
    unlabelled: float = 0.1,
) -> dict[int, pl.DataFrame]:
    """Frames of one run. corpus: those of one corpus have the same utterances and gold labels."""
    drawn = np.random.default_rng([corpus, 1])
    sizes = drawn.integers(1, 9, size=dialogues)
    owner = np.repeat(np.arange(dialogues), sizes)
    gold = [None if drawn.random() < unlabelled else int(drawn.integers(len(labels))) for _ in owner]
    gold[0] = 0
    random = np.random.default_rng([seed, 2])
    frames = {}
    for one in seeds:
        guess = random.integers(len(labels), size=len(owner))
        right = random.random(len(owner)) < skill
        predicted = [
            int(other) if label is None or not hit else label
            for label, other, hit in zip(gold, guess, right, strict=True)
        ]
        frames[one] = frame([int(place) for place in owner], gold, predicted, labels)
    return frames


@dataclass(frozen=True)
class World:
    """How conversations and heads are drawn. A head is right where a sum of normal effects is above 0, else it gives a
    label drawn by frequency; all effects are deviations of that sum.

    of_dialogue:   difficulty of a dialogue, the same for all heads
    of_utterance:  difficulty of an utterance, the same for all heads
    of_arm:        what a configuration finds easy of a dialogue, whatever the seed
    of_training:   what one training does to all utterances alike
    of_head:       a head's own luck with a dialogue, and of_noise with an utterance
    gain:          by how much the first arm is better
    """

    dialogues: int = 114
    seeds: int = 5
    skill: float = 0.2
    of_dialogue: float = 0.8
    of_utterance: float = 2.0
    of_arm: float = 0.0
    of_training: float = 0.0
    of_head: float = 0.5
    of_noise: float = 1.0
    gain: float = 0.0


PRIOR = np.array([0.11, 0.03, 0.03, 0.17, 0.47, 0.07, 0.12])  # about MELD's labels
NAMES = pl.Series(dtype=pl.String)  # simulated utterances have no names


@dataclass(frozen=True)
class Drawn:
    """owner: int [n], the dialogue of each utterance; gold: int [n]; given: int [arms, seeds, n], the predictions."""

    owner: np.ndarray
    gold: np.ndarray
    given: np.ndarray

    def arms(self) -> list[Arm]:
        return self._count(self.owner)

    def arms_of_utterances(self) -> list[Arm]:
        """As if each utterance were a dialogue of its own."""
        return self._count(np.arange(len(self.owner)))

    def _count(self, owner: np.ndarray) -> list[Arm]:
        rows, classes = int(owner.max()) + 1, len(PRIOR)
        right = self.given == self.gold
        gold = count(owner, self.gold, rows, classes)
        drawn = []
        for arm in range(len(self.given)):
            heads = range(self.given.shape[1])
            hits = [count(owner[right[arm, s]], self.gold[right[arm, s]], rows, classes) for s in heads]
            predicted = [count(owner, self.given[arm, s], rows, classes) for s in heads]
            drawn.append(Arm(NAMES, NAMES, NAMES, np.stack(hits), np.stack(predicted), gold))
        return drawn


def draw(world: World, random: np.random.Generator) -> Drawn:
    """New dialogues of 1 to 19 utterances, whose labels go together within a dialogue; new heads of two arms."""
    classes = len(PRIOR)
    sizes = random.integers(1, 20, size=world.dialogues)
    owner = np.repeat(np.arange(world.dialogues), sizes)
    mixture = random.dirichlet(PRIOR * 12, size=world.dialogues).cumsum(axis=1)
    gold = (random.random(len(owner))[:, None] > mixture[owner]).sum(axis=1).clip(0, classes - 1)
    wrong = random.choice(classes, size=len(owner), p=PRIOR / PRIOR.sum())
    shared = (
        world.skill
        + random.normal(0, world.of_dialogue, world.dialogues)[owner]
        + random.normal(0, world.of_utterance, len(owner))
        + (gold == PRIOR.argmax())
    )
    given = np.empty((2, world.seeds, len(owner)), dtype=np.int64)
    for arm in (0, 1):
        of_arm = random.normal(0, world.of_arm, world.dialogues)[owner] + (world.gain if arm == 0 else 0.0)
        for seed in range(world.seeds):
            effect = random.normal(0, world.of_training) + random.normal(0, world.of_head, world.dialogues)[owner]
            right = shared + of_arm + effect + random.normal(0, world.of_noise, len(owner)) > 0
            given[arm, seed] = np.where(right, gold, wrong)
    return Drawn(owner, gold, given)


def count(owner: np.ndarray, label: np.ndarray, rows: int, labels: int) -> np.ndarray:
    """float64 [rows, labels]"""
    return np.bincount(owner * labels + label, minlength=rows * labels).reshape(rows, labels).astype(float)
