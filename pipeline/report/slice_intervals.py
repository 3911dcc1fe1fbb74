"""Intervals of the selected run's scores on slices, from its predictions and, where it is at hand, its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from features.errors import ErcError
from pipeline.report.corpus import Corpus
from pipeline.report.findings import ALL, SliceIntervals
from pipeline.report.snapshot import RunSnapshot
from pipeline.report.trained_on import manifest_of
from pipeline.runs.predictions import read_prediction_frame
from pipeline.runs.slices import attributes, masks

if TYPE_CHECKING:
    from pipeline.comparison.counts import Frames

FEWEST_DIALOGUES = 10  # resamples of fewer dialogues say little of others


def slice_intervals(
    corpus: Corpus, run: RunSnapshot, split: str, frames: Frames, theirs: Frames | None
) -> dict[tuple[str, str], SliceIntervals]:
    """(group, name) -> intervals, of the slices in the run's metrics file that lie in at least ten dialogues; ALL has
    those of all utterances. Slices that cannot be told are left out: without the manifest, all but those by input.

    frames: the run's predictions of the split; theirs: the baseline run's, of the same utterances
    """
    from pipeline.comparison.compare import difference_interval, score_interval

    labels, criterion = corpus.labels, corpus.criterion
    known = {
        (one.group, one.name): one.utterances
        for one in run.metrics[split].slices
        if one.judged_by(criterion.name) is not None
    }
    found = {}
    for name, ids in _members(run, split).items():
        own = _within(frames, ids)
        dialogues = next(iter(own.values()))["dialogue_id"].n_unique()
        if name != ALL and (known.get(name) != len(ids) or dialogues < FEWEST_DIALOGUES):
            continue
        score = score_interval(own, labels, criterion=criterion)
        beside = difference_interval(own, _within(theirs, ids), labels, criterion=criterion) if theirs else None
        found[name] = SliceIntervals(score, beside)
    return found


def _members(run: RunSnapshot, split: str) -> dict[tuple[str, str], pl.Series]:
    """(group, name) -> ids of its labelled utterances."""
    metrics = run.metrics[split]
    first = read_prediction_frame(run.path or Path(run.folder), metrics.seeds[0], split, metrics.labels)
    first = first.filter(pl.col("gold").is_not_null())
    found = {ALL: first["utterance_id"]}
    if not {"missing", "no_input"} <= set(first.columns):
        return found
    try:
        table = attributes(manifest_of(run.manifest, "slices have no intervals"), split)
    except ErcError:
        table = None
    found |= {(group, name): first["utterance_id"].filter(pl.Series(mask)) for group, name, mask in masks(table, first)}
    return {key: ids for key, ids in found.items() if len(ids)}


def _within(frames: Mapping[int, pl.DataFrame], ids: pl.Series) -> dict[int, pl.DataFrame]:
    wanted = ids.to_frame("utterance_id")
    return {seed: frame.join(wanted, on="utterance_id", how="semi") for seed, frame in frames.items()}
