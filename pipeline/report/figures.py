"""The figures of a report. Sizes are pixels of the page, scores are percent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from features.errors import ErcError
from pipeline.pages.axes import name_columns, name_rows, shortened
from pipeline.pages.drawing import (
    ACCENT,
    INK,
    MUTED,
    PAGE,
    SMALL,
    Drawing,
    beside,
    draw,
    hint,
)
from pipeline.pages.shades import LEAST, REST, tone
from pipeline.pages.words import count, magnitude, percent
from pipeline.report.architecture import architecture_of
from pipeline.report.architecture_figure import architecture_figure
from pipeline.report.corpus import Corpus, baseline_of
from pipeline.report.curves import Quantity, losses, overlaid
from pipeline.report.reliability_figure import reliability
from pipeline.report.snapshot import RunSnapshot
from pipeline.runs.metrics_file import Metrics

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_LABEL = 16  # characters of a label
_COUNT = 9.0  # size of the counts in cells and over bars
_CHAR = 6.4  # mean advance of a 12 px character, in pixels
CURVES: dict[str, Quantity] = {
    "learning-curves": "dev_score",
    "dev-losses": "dev_loss",
    "train-losses": "train_loss",
}
_ROW = 36  # per-label rows, shared by two figures so that they line up side by side
_BARS = 250  # width of the bars' axes
_RING = 4.4  # diameter of a seed's ring
_STEP, _STEPS = 0.155, 3  # rings that would touch are moved so many rows up and down, so many times


def drawings_of(corpora: Sequence[Corpus]) -> dict[str, Drawing]:
    """Key -> figure; a key is the name of the figure's files and starts with the number of its corpus."""
    drawings: dict[str, Drawing | None] = {}
    for number, corpus in enumerate(corpora, start=1):
        for kind, quantity in CURVES.items():
            drawings[f"{number}-{kind}"] = overlaid(f"{number}-{kind}", corpus, quantity)
        run, baseline = corpus.selected, corpus.baseline
        if run is None:
            continue
        name = corpus.names[run.folder]
        drawings[f"{number}-losses"] = losses(f"{number}-losses", run, name)
        drawings[f"{number}-architecture"] = _architecture(f"{number}-architecture", run, name)
        for position, line in enumerate(corpus.headlines):
            for kind, figure in FIGURES.items():
                key = key_of(number, kind, line.split, position)
                drawings[key] = figure(key, run.metrics[line.split], name)
            if baseline and baseline is not run and line.split in baseline.metrics:
                key = key_of(number, "baseline-confusion", line.split, position)
                drawings[key] = confusion(key, baseline.metrics[line.split], corpus.names[baseline.folder])
    return {key: drawing for key, drawing in sorted(drawings.items()) if drawing}


def _architecture(key: str, run: RunSnapshot, name: str) -> Drawing | None:
    """None where the run's config is of parts that are not there today."""
    try:
        return architecture_figure(key, architecture_of(run), name)
    except ErcError:
        return None


def architecture_problem(run: RunSnapshot) -> str | None:
    """Why the run has no architecture figure."""
    try:
        architecture_of(run)
    except ErcError as error:
        return str(error)
    return None


def key_of(number: int, kind: str, split: str, position: int) -> str:
    """Key of a figure of one split; a split whose name suits no file goes by its position."""
    return f"{number}-{kind}-{split if split.isalnum() else f'split{position}'}"


def per_class_f1(key: str, metrics: Metrics, name: str) -> Drawing:
    """F1 of each label as a bar from 0 to 100, its seeds as rings, the constant baseline as a tick."""
    labels, rows = metrics.labels, range(len(metrics.labels))
    scores = [metrics.per_class_f1[label] for label in labels]
    baseline = baseline_of(metrics)
    rules = metrics.baselines[baseline].per_class_f1 if baseline else {}

    def plot(axes: Axes) -> Sequence[Artist]:
        axes.barh(rows, [100 * score.mean for score in scores], height=0.44, color=ACCENT, alpha=0.8)
        several = [
            (row, [100 * one for one in score.values]) for row, score in enumerate(scores) if len(score.values) > 1
        ]
        seeds = [(one, row + up) for row, values in several for one, up in zip(values, stacked(values), strict=True)]
        axes.plot(*_columns(seeds), "o", markersize=_RING, markerfacecolor=PAGE, markeredgecolor=ACCENT)
        ticks = [(100 * rules[label], row) for row, label in enumerate(labels) if rules.get(label)]
        axes.plot(*_columns(ticks), "|", markersize=20, markeredgewidth=1.5, color=INK)
        axes.set(xlim=(0, 100), ylim=(len(labels) - 0.5, -0.5), xticks=range(0, 101, 25))
        name_rows(axes, labels, most=_LABEL, pad=50)
        axes.xaxis.tick_top()
        axes.grid(axis="x")
        for row, (label, score) in enumerate(zip(labels, scores, strict=True)):
            beside(axes, 0, row, -10, count(metrics.support[label]), MUTED, SMALL)
            beside(axes, 1, row, 44, percent(score.mean), INK)
            if score.std is not None:
                beside(axes, 1, row, 88, f"± {percent(score.std)}", MUTED, SMALL)
        axes.set_xlabel("F1, percent", loc="left")
        axes.xaxis.set_label_position("top")
        return _bar_keys(bool(seeds), baseline)

    return draw(key, f"F1 of each label on {metrics.split}, {name}", (_BARS, _ROW * len(labels)), plot)


def stacked(values: Sequence[float]) -> list[float]:
    """How far each ring is moved up or down its bar, in rows, so that none lies on another; its value stays as it is.

    values: percent. Where one bar has no room for so many, the last of them share a place.
    """
    near = 100 * (_RING + 1) / _BARS  # percent between two rings that just do not touch
    steps = [0.0, *(side * number * _STEP for number in range(1, _STEPS + 1) for side in (1, -1))]
    placed: list[tuple[float, float]] = []
    moved = dict.fromkeys(range(len(values)), 0.0)
    for place in sorted(moved, key=lambda place: values[place]):
        taken = {up for value, up in placed if abs(value - values[place]) < near}
        moved[place] = next((up for up in steps if up not in taken), steps[-1])
        placed.append((values[place], moved[place]))
    return list(moved.values())


def _bar_keys(seeds: bool, baseline: str | None) -> list[Artist]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    keys: list[Artist] = [Patch(color=ACCENT, alpha=0.8, label="mean over seeds" if seeds else "F1")]
    if seeds:
        ring = Line2D([], [], linestyle="", marker="o", markersize=_RING, label="a seed")
        ring.set(markerfacecolor=PAGE, markeredgecolor=ACCENT)
        keys.append(ring)
    if baseline:
        keys.append(
            Line2D([], [], linestyle="", marker="|", markersize=12, markeredgewidth=1.5, color=INK, label=baseline)
        )
    return keys


def confusion(key: str, metrics: Metrics, name: str) -> Drawing:
    """Row-normalised confusion matrix: of the utterances of a label (row), the percent predicted as each (column)."""
    labels, size = metrics.labels, len(metrics.labels)
    width = max(30, min(58, 420 // size))

    def plot(axes: Axes) -> None:
        axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
        for row, gold in enumerate(labels):
            total = sum(metrics.confusion[row])
            for column, predicted in enumerate(labels):
                found = metrics.confusion[row][column]
                share = found / total if total else 0.0
                cell = _cell(axes, row, column, width, share)
                shown = f"{100 * share:.0f}" if total else "–"
                text = axes.text(
                    column, row - 0.13, shown, color=tone(share, row == column), ha="center", va="center_baseline"
                )
                for artist in (cell, text):
                    hint(artist, f"{gold} predicted as {predicted}: {count(found)} of {count(total)}")
                axes.text(
                    column, row + 0.27, _in_cell(found, width), color=tone(share, row == column), ha="center",
                    va="center_baseline", fontsize=_COUNT,
                )  # fmt: skip
        name_rows(axes, labels, most=_LABEL, pad=8)
        axes.xaxis.tick_top()
        longest = max(len(shortened(label, _LABEL)) for label in labels)
        name_columns(axes, labels, most=_LABEL, slanted=longest * _CHAR > width)

        axes.set(xlabel="predicted", ylabel="gold")
        axes.xaxis.set_label_position("top")

    title = f"Confusion matrix on {metrics.split}, {name}, percent of each gold label, and counts{_over(metrics)}"
    return draw(key, title, (width * size, _ROW * size), plot)


# kind of figure -> what draws it, for each split that the selected run was scored on
FIGURES: dict[str, Callable[[str, Metrics, str], Drawing | None]] = {
    "f1": per_class_f1,
    "confusion": confusion,
    "reliability": reliability,
}


def _over(metrics: Metrics) -> str:
    return f" summed over {len(metrics.seeds)} seeds" if len(metrics.seeds) > 1 else ""


def _in_cell(number: int, width: float) -> str:
    """A count in at most so many pixels."""
    text = count(number)
    return text if len(text) * 0.6 * _COUNT <= width - 4 else magnitude(number).replace(" ", "")


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _cell(axes: Axes, row: int, column: int, width: float, share: float) -> Artist:
    """A shade with a gap of two pixels to the next."""
    from matplotlib.patches import Rectangle

    across, down = 1 - 2 / width, 1 - 2 / _ROW
    corner = (column - across / 2, row - down / 2)
    return axes.add_patch(Rectangle(corner, across, down, facecolor=ACCENT, linewidth=0, alpha=LEAST + REST * share))
