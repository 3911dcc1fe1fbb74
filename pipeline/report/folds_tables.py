"""Nested cross-validations as Markdown, and as a table for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from features.cards import HEADLINES
from pipeline.pages import words
from pipeline.report import folds
from pipeline.report.folds import FoldedResult
from pipeline.report.markdown import sentence, table, text_of
from pipeline.runs.metrics_file import Score, scores_shown

NOT_RANKED = " (fewer seeds, not ranked)"


def folds_markdown(result: FoldedResult, images: Mapping[str, str], folder_notes: Sequence[str] = ()) -> list[str]:
    """The blocks of one result. images: paths of its figures with their titles; folder_notes: of the folder of runs."""
    blocks = [f"# {text_of(result.title)}: cross-validation"]
    if result.file.synthetic:
        blocks.append(f"> **Synthetic corpus.** {words.SYNTHETIC_WARNING}")
    blocks.append(sentence(folds.headline_parts(result)))
    blocks.append(
        " · ".join(text_of(f"{badge.key}: {badge.text}" if badge.key else badge.text) for badge in folds.badges(result))
    )
    notes = [*folds.notes_on(result), *folder_notes]
    if notes:
        blocks.append("\n".join(f"- {text_of(note)}" for note in notes))
    blocks += [f"## Over the folds of {text_of(result.folder)}", _experiments(result), "## Folds", _folds(result)]
    blocks += [f"![{text_of(title)}]({image})" for image, title in images.items()]
    return blocks


def _experiments(result: FoldedResult) -> str:
    numbers = range(1, result.file.folds + 1)
    header = ["Experiment", f"{result.words} over folds", "all folds together"]
    header += [f"fold {number}" for number in numbers] + [words.capital(HEADLINES[name]) for name in result.shown]
    header += [*result.labels]
    rows = []
    for one in result.experiments:
        name = result.names[one.configuration] + (NOT_RANKED if one in result.fewer else "")
        row = [name, words.score(one.headline_score), words.score(one.pooled.headline_score)]
        row += [words.percent(value) for value in one.headline_score.values]
        row += [words.score(one.scores.score(name)) for name in result.shown]
        rows.append(row + [words.score(one.scores.per_class_f1.get(label)) for label in result.labels])
    pooled = result.best.pooled
    for name, rule in pooled.baselines.items():
        gap = [""] * result.file.folds
        shown = [words.percent(rule.score(score)) for score in result.shown]
        classes = [words.percent(rule.per_class_f1.get(label)) for label in result.labels]
        rows.append([name, "", words.percent(rule.score(result.headline)), *gap, *shown, *classes])
    return table(header, rows)


def _folds(result: FoldedResult) -> str:
    rows = []
    for fold in result.file.held_out:
        row = [str(fold.fold), folds.part_text(fold, result.file.group), words.count(fold.utterances)]
        row += [words.count(fold.labelled), folds.part_text(fold.dev, fold.dev.by), words.count(fold.dev.labelled)]
        row.append(folds.epochs_text(result.best, fold.fold))
        rows.append(row)
    header = ["Fold", "Held out", "Utterances", "Labelled", "Epochs chosen on", "Labelled", "Epochs of the best"]
    return table(header, rows, text_columns=2)


def folds_csv(results: Sequence[FoldedResult]) -> str:
    """One row an experiment and fold, and one each for the mean and deviation over folds and for all folds' predictions
    together; fractions throughout."""
    rows = [row for result in results for one in result.experiments for row in _csv_rows(result, one)]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pl.DataFrame([{name: row.get(name) for name in names} for row in rows], infer_schema_length=None).write_csv()


def _csv_rows(result: FoldedResult, one: Any) -> list[dict[str, Any]]:
    shared = {"dataset": result.file.dataset, "cross_validation": result.folder, "experiment": one.experiment}
    shared |= {"configuration": one.configuration, "headline": one.headline}
    names = scores_shown(result.headline)

    def row(fold: str, values: dict[str, float | None], classes: dict[str, float | None]) -> dict[str, Any]:
        return shared | {"fold": fold} | values | {f"f1_{label}": classes.get(label) for label in result.labels}

    def part(score: Score | None, what: str) -> float | None:
        return None if score is None else getattr(score, what)

    rows = [
        row(str(fold.fold), {name: fold.scores.score(name) for name in names}, fold.scores.per_class_f1)
        for fold in one.folds
    ]
    for what in ("mean", "std"):
        classes = {label: part(score, what) for label, score in one.scores.per_class_f1.items()}
        rows.append(row(what, {name: part(one.scores.score(name), what) for name in names}, classes))
    classes = {label: score.mean for label, score in one.pooled.per_class_f1.items()}
    return [*rows, row("pooled", {name: part(one.pooled.score(name), "mean") for name in names}, classes)]
