"""What is predicted, as tables and curves for a page."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from pipeline.pages.words import REASONS, SYNTHETIC_WARNING
from pipeline.predict import Predicted
from pipeline.runs.folder import Run

CURVE_COLUMNS = ("turn", "emotion", "probability")


@dataclass(frozen=True)
class Answer:
    """header, rows: a line a turn; curves: a line a turn and class, CURVE_COLUMNS; words: Markdown below them"""

    header: list[str]
    rows: list[list[str]]
    curves: pl.DataFrame
    words: str


def answer(predicted: Predicted) -> Answer:
    probabilities, labels = predicted.probabilities, predicted.labels
    order = (-probabilities).argsort(axis=1)
    rows = []
    for place, line in enumerate(predicted.frame.iter_rows(named=True)):
        best, then = order[place][0], order[place][min(1, len(labels) - 1)]
        rows.append(
            [
                str(place + 1),
                line["speaker"],
                line["text"],
                labels[best],
                _percent(probabilities[place, best]),
                f"{labels[then]} {_percent(probabilities[place, then])}" if then != best else "",
                ", ".join(line["missing"]),
                *(
                    f"{labels[values[place].argmax()]} {_percent(values[place].max())}"
                    for values in predicted.without.values()
                ),
            ]
        )
    header = ["turn", "speaker", "text", "emotion", "probability", "then", "missing"]
    return Answer(
        header + [f"without {name}" for name in predicted.without], rows, _curves(predicted), _words(predicted)
    )


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _curves(predicted: Predicted) -> pl.DataFrame:
    """The probability of each class as the talk goes on; turns count from 1."""
    wide = pl.DataFrame(predicted.probabilities, schema=list(predicted.labels), orient="row")
    wide = wide.with_columns(pl.int_range(1, pl.len() + 1).alias("turn"))
    return wide.unpivot(index="turn", variable_name="emotion", value_name="probability").select(CURVE_COLUMNS)


def _words(predicted: Predicted) -> str:
    temperature = predicted.temperature
    lines = [
        "Probabilities are not calibrated."
        if temperature is None
        else f"Probabilities are calibrated (temperature {temperature.value:.2f})."
    ]
    turns = {name: str(place) for place, name in enumerate(predicted.frame["utterance_id"], start=1)}
    lines += [
        f"Turn {turns.get(who, who)}: {folder.partition('/')[0]} could not be used ({REASONS.get(reason, reason)})."
        for who, folder, reason in predicted.notes
    ]
    return "\n".join(f"- {line}" for line in lines)


def about(run: Run) -> str:
    """Markdown: what the run tells apart, what it reads, and what to beware of."""
    facts = run.features.manifest
    lines = [
        f"Tells apart {', '.join(run.labels)}. Trained on {facts.title or facts.dataset}; reads"
        f" {', '.join(run.experiment.inputs)}. A turn is predicted from what it has."
    ]
    if facts.synthetic:
        lines.append(f"**Trained on a synthetic corpus.** {SYNTHETIC_WARNING}")
    random = [use.name for use in run.features.features if use.weights == "random"]
    if random:
        lines.append(f"**Random weights** in {', '.join(random)}: what is predicted means nothing.")
    return "\n\n".join(lines)
