"""Predictions of several seeds as scores."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from features.errors import RunError
from pipeline.predictions import split_metrics

MANIFEST: dict[str, Any] = {"labels": ["joy", "anger"], "neutral": None, "train_label_counts": {"joy": 3, "anger": 1}}


def frame(chances: list[float], gold: list[str | None], ids: str = "abcd") -> pl.DataFrame:
    """Of two labels; chances: those of joy."""
    return pl.DataFrame(
        {
            "utterance_id": list(ids),
            "dialogue_id": ["d"] * len(chances),
            "gold": gold,
            "predicted": ["joy" if chance > 0.5 else "anger" for chance in chances],
            "p_joy": chances,
            "p_anger": [1 - chance for chance in chances],
            "no_input": [False] * len(chances),
            "missing": [[]] * len(chances),
        },
        schema_overrides={"gold": pl.String, "missing": pl.List(pl.String)},
    )


def test_seeds_are_averaged_by_their_chances_not_by_their_votes() -> None:
    gold: list[str | None] = ["joy", "anger", "joy", None]
    # Of the first utterance two of three seeds are wrong, but the third is sure.
    frames = {
        seed: frame(chances, gold)
        for seed, chances in enumerate([[0.45, 0.1, 0.9, 0.2], [0.45, 0.2, 0.9, 0.2], [0.95, 0.6, 0.4, 0.2]])
    }
    values = split_metrics("x", "dev", frames, MANIFEST, {})
    assert values["seed_average"] == {"weighted_f1": 1.0, "macro_f1": 1.0, "accuracy": 1.0}
    assert values["accuracy"]["mean"] == pytest.approx((2 / 3 + 2 / 3 + 1 / 3) / 3)
    assert values["unlabelled"] == 1


def test_one_seed_has_no_average() -> None:
    assert split_metrics("x", "dev", {0: frame([0.9] * 4, ["joy"] * 4)}, MANIFEST, {})["seed_average"] is None


def test_seeds_of_other_utterances_are_refused() -> None:
    frames = {0: frame([0.9] * 4, ["joy"] * 4), 1: frame([0.9] * 4, ["joy"] * 4, "abce")}
    with pytest.raises(RunError, match="seed 1's predictions on dev are of other utterances or labels"):
        split_metrics("x", "dev", frames, MANIFEST, {})
