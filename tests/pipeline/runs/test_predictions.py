"""Predictions of several seeds as scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from features.errors import RunError
from pipeline.runs.features_file import ManifestFacts
from pipeline.runs.metrics_file import SeedAverage
from pipeline.runs.predictions import read_prediction_frame, split_metrics

MANIFEST = ManifestFacts(dataset="x", labels=("joy", "anger"), train_label_counts={"joy": 3, "anger": 1})


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
    assert values.seed_average == SeedAverage(
        weighted_f1=1.0, macro_f1=1.0, accuracy=1.0, unweighted_average_recall=1.0
    )
    assert values.accuracy.mean == pytest.approx((2 / 3 + 2 / 3 + 1 / 3) / 3)
    assert values.unlabelled == 1


def test_one_seed_has_no_average() -> None:
    assert split_metrics("x", "dev", {0: frame([0.9] * 4, ["joy"] * 4)}, MANIFEST, {}).seed_average is None


def test_seeds_of_other_utterances_are_refused() -> None:
    frames = {0: frame([0.9] * 4, ["joy"] * 4), 1: frame([0.9] * 4, ["joy"] * 4, "abce")}
    with pytest.raises(RunError, match="seed 1's predictions on dev are for other utterances or labels"):
        split_metrics("x", "dev", frames, MANIFEST, {})


# The file of a seed


LABELS = ["joy", "anger"]


def written(run: Path, table: pl.DataFrame) -> Path:
    file = run / "seed-3" / "predictions-dev.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    table.write_parquet(file)
    return file


@pytest.mark.parametrize("name", ["run", "runs[1]", "what*?", "a=1"])
def test_a_file_is_read_whatever_its_folder_is_called(tmp_path: Path, name: str) -> None:
    table = frame([0.9, 0.2, float("nan"), 0.4], ["joy", None, "anger", "joy"])
    written(tmp_path / name, table)
    assert read_prediction_frame(tmp_path / name, 3, "dev", LABELS, dialogues=True).equals(table)
    without = table.drop("dialogue_id", "missing")
    written(tmp_path / name, without)
    assert read_prediction_frame(tmp_path / name, 3, "dev", LABELS).equals(without)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda table: table.with_columns(gold=pl.lit(1)), "its column gold holds Int32"),
        (lambda table: table.with_columns(predicted=pl.lit(1)), "its column predicted holds Int32"),
        (lambda table: table.with_columns(utterance_id=pl.lit(7)), "its column utterance_id holds Int32"),
        (lambda table: table.with_columns(dialogue_id=pl.lit(7)), "its column dialogue_id holds Int32"),
        (lambda table: table.with_columns(p_anger=pl.lit("much")), "its column p_anger holds String"),
        (lambda table: table.with_columns(predicted=pl.lit(None, pl.String)), "its column predicted has gaps"),
        (lambda table: table.with_columns(gold=pl.lit("bliss")), "gold 'bliss' is not one of the labels joy, anger"),
        (lambda table: table.with_columns(missing=pl.lit(0)), "its column missing holds Int32"),
        (lambda table: table.drop("p_joy"), "has no column p_joy"),
        (lambda table: table.drop("dialogue_id"), "has no column dialogue_id"),
    ],
)
def test_a_damaged_file_is_named_with_its_mend_in_one_line(tmp_path: Path, change: Any, problem: str) -> None:
    file = written(tmp_path, change(frame([0.9, 0.2], ["joy", None], "ab")))
    with pytest.raises(RunError) as caught:
        read_prediction_frame(tmp_path, 3, "dev", LABELS, dialogues=True)
    assert str(caught.value) == f"{file}: {problem}: run `erc evaluate {tmp_path} --split dev`"


def test_a_file_that_is_gone_or_is_no_table_is_named(tmp_path: Path) -> None:
    file = written(tmp_path, frame([0.9], ["joy"], "a"))
    file.write_bytes(b"PAR1")
    with pytest.raises(RunError) as caught:
        read_prediction_frame(tmp_path, 3, "dev", LABELS)
    assert str(caught.value).startswith(f"{file}: cannot be read (")
    assert "\n" not in str(caught.value)
    file.unlink()
    with pytest.raises(RunError) as caught:
        read_prediction_frame(tmp_path, 3, "dev", LABELS)
    assert str(caught.value) == f"{file}: is not there: run `erc evaluate {tmp_path} --split dev`"
