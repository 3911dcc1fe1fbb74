"""The figures of a report. Sizes are pixels of the page, scores are percent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from features.errors import ErcError
from pipeline.pages.axes import name_columns, name_rows, shortened
from pipeline.pages.drawing import (
    ACCENT,
    BETWEEN,
    FAINT,
    INK,
    MUTED,
    ON_ACCENT,
    PAGE,
    SMALL,
    Drawing,
    beside,
    draw,
    hint,
)
from pipeline.pages.words import count, percent, plural
from pipeline.report.architecture import architecture_of
from pipeline.report.architecture_figure import architecture_figure
from pipeline.report.corpus import Corpus, baseline_of
from pipeline.report.curves import Quantity, losses, overlaid
from pipeline.report.snapshot import RunSnapshot
from pipeline.runs.metrics_file import Metrics

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_LABEL = 16  # characters of a label
_CHAR = 6.4  # mean advance of a 12 px character, in pixels
CURVES: dict[str, Quantity] = {
    "learning-curves": "dev_score",
    "dev-losses": "dev_loss",
    "train-losses": "train_loss",
}
_ROW = 32  # per-label rows, shared by two figures so that they line up side by side


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

    def plot(axes: Axes) -> None:
        axes.barh(rows, [100 * score.mean for score in scores], height=0.44, color=ACCENT, alpha=0.8)
        seeds = [(100 * one, row) for row, score in enumerate(scores) for one in score.values if len(score.values) > 1]
        axes.plot(*_columns(seeds), "o", markersize=4.4, markerfacecolor=PAGE, markeredgecolor=ACCENT)
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

    return draw(key, f"F1 of each label on {metrics.split}, {name}", (250, _ROW * len(labels)), plot)


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
                    column, row, shown, color=_tone(share, row == column), ha="center", va="center_baseline"
                )
                for artist in (cell, text):
                    hint(artist, f"{gold} predicted as {predicted}: {count(found)} of {count(total)}")
        name_rows(axes, labels, most=_LABEL, pad=8)
        axes.xaxis.tick_top()
        longest = max(len(shortened(label, _LABEL)) for label in labels)
        name_columns(axes, labels, most=_LABEL, slanted=longest * _CHAR > width)

    title = f"Confusion matrix on {metrics.split}, {name}, percent of each gold label"
    return draw(key, title, (width * size, _ROW * size), plot)


def reliability(key: str, metrics: Metrics, name: str) -> Drawing | None:
    """Reliability diagram: of the predictions with about that much confidence, the percent that is right (bars), beside
    the diagonal that calibrated predictions would reach; below, how many predictions there are. All seeds together.
    None where the metrics file has no such bins or they are empty."""
    filled = [(one, one.confidence, one.accuracy) for one in metrics.reliability if one.count]
    bins = [(one, 100 * sure, 100 * right) for one, sure, right in filled if sure is not None and right is not None]
    if not bins:
        return None
    total = sum(one.count for one, _, _ in bins)

    def plot(axes: Axes) -> None:
        shares = axes.inset_axes((0, -0.3, 1, 0.2))
        for one, sure, right in bins:
            left, width = 100 * one.lower, 100 * (one.upper - one.lower)
            text = (
                f"confidence {left:.0f} to {left + width:.0f}: {plural(one.count, 'prediction')}, mean confidence"
                f" {sure:.1f}, right {right:.1f}"
            )
            (bar,) = axes.bar(left, right, width - 0.6, align="edge", color=ACCENT, alpha=0.8)
            (gap,) = axes.plot([sure, sure], [right, sure], color=INK, linewidth=1.25)
            (share,) = shares.bar(left, 100 * one.count / total, width - 0.6, align="edge", color=FAINT)
            for artist in (bar, gap, share):
                hint(artist, text)
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1, dashes=(4, 3))
        axes.set(xlim=(0, 100), ylim=(0, 100), xticks=[], yticks=range(0, 101, 25), ylabel="right, percent")
        axes.grid(axis="y")
        top = max(100 * one.count / total for one, _, _ in bins)
        shares.set(xlim=(0, 100), ylim=(0, top), xticks=range(0, 101, 25), yticks=[top])
        shares.set_yticklabels([f"{top:.0f}"])
        shares.set_xlabel("confidence: highest probability, percent")
        shares.set_ylabel("share")
        shares.patch.set_visible(False)

    title = f"Reliability of {name} on {metrics.split}, {len(metrics.reliability)} bins of confidence"
    return draw(key, title, (300, 230), plot)


# kind of figure -> what draws it, for each split that the selected run was scored on
FIGURES: dict[str, Callable[[str, Metrics, str], Drawing | None]] = {
    "f1": per_class_f1,
    "confusion": confusion,
    "reliability": reliability,
}


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _cell(axes: Axes, row: int, column: int, width: float, share: float) -> Artist:
    """A shade with a gap of two pixels to the next."""
    from matplotlib.patches import Rectangle

    across, down = 1 - 2 / width, 1 - 2 / _ROW
    corner = (column - across / 2, row - down / 2)
    return axes.add_patch(Rectangle(corner, across, down, facecolor=ACCENT, linewidth=0, alpha=0.04 + 0.96 * share))


def _tone(share: float, diagonal: bool) -> str:
    """The colour of a number on a cell of that shade, for enough contrast in light and dark."""
    if share > 0.79:
        return ON_ACCENT
    if share > 0.6:
        return BETWEEN
    return INK if share >= 0.1 or diagonal else MUTED
