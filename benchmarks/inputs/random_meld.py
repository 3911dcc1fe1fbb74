"""A manifest of MELD's size and labels whose utterances are random, for benchmarks that need no real text."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from features.cards import load_card
from features.manifest import Manifest, build_manifest

SPLITS = {"train": 9_989, "dev": 1_109, "test": 2_610}  # of MELD
SIZE = sum(SPLITS.values())
_TURNS = 10


def make_manifest(splits: Mapping[str, int]) -> Manifest:
    """Utterances of random labels, speakers and durations. splits: how many of each."""
    card = load_card("meld")
    count = sum(splits.values())
    rng = np.random.default_rng(1)
    people = [*card.leads, "Janice", "Carol", "Frank"]
    rows = [split for split, size in splits.items() for _ in range(size)]
    frame = pl.DataFrame({"split": rows}).with_columns(row=pl.int_range(pl.len()).over("split"))
    frame = frame.with_columns(
        utterance_id=pl.format("random/{}/{}", "split", "row"),
        dialogue_id=pl.format("random/{}/dia{}", "split", pl.col("row") // _TURNS),
        dataset=pl.lit("meld"),
        turn=pl.col("row") % _TURNS,
        speaker=pl.Series([people[place] for place in rng.integers(len(people), size=count)]),
        text=pl.format("What was said as number {} of them.", pl.col("row")),
        label=pl.Series([card.labels[place] for place in rng.integers(len(card.labels), size=count)]),
        duration=pl.Series(rng.lognormal(0.85, 0.7, count)),
    )
    return build_manifest(frame.drop("row"), card)
