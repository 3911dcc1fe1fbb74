"""The figures of a report. Sizes are pixels of the page, scores are percent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.report.drawing import (
    ACCENT,
    BETWEEN,
    FAINT,
    INK,
    MUTED,
    ON_ACCENT,
    PAGE,
    SMALL,
    Drawing,
    draw,
    hint,
    plain,
)
from pipeline.report.leaderboard import Corpus, baseline_of
from pipeline.report.model import Metrics, Run
from pipeline.report.scale import rule_of
from pipeline.report.words import count, percent

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_CHAR = 6.4  # mean advance of a 12 px character, in pixels
_ROW = 32  # per-label rows, shared by two figures so that they line up side by side
_CURVES = (480, 210)


def drawings_of(corpora: Sequence[Corpus]) -> dict[str, Drawing]:
    """Key -> figure; a key is the name of the figure's files and starts with the number of its corpus."""
    drawings: dict[str, Drawing | None] = {}
    for number, corpus in enumerate(corpora, start=1):
        run, curves = corpus.selected, f"{number}-learning-curves"
        drawings[curves] = learning_curves(curves, corpus)
        if run is None:
            continue
        name = corpus.names[run.folder]
        drawings[f"{number}-losses"] = losses(f"{number}-losses", run, name)
        for position, line in enumerate(corpus.headlines):
            for kind, figure in (("f1", per_class_f1), ("confusion", confusion)):
                key = key_of(number, kind, line.split, position)
                drawings[key] = figure(key, run.metrics[line.split], name)
    return {key: drawing for key, drawing in sorted(drawings.items()) if drawing}


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
        _name_rows(axes, labels, pad=50)
        axes.xaxis.tick_top()
        axes.grid(axis="x")
        for row, (label, score) in enumerate(zip(labels, scores, strict=True)):
            _beside(axes, 0, row, -10, count(metrics.support[label]), MUTED, SMALL)
            _beside(axes, 1, row, 44, percent(score.mean), INK)
            if score.std is not None:
                _beside(axes, 1, row, 88, f"± {percent(score.std)}", MUTED, SMALL)

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
        _name_rows(axes, labels, pad=8)
        axes.xaxis.tick_top()
        _name_columns(axes, labels, slanted=max(len(_short(label)) for label in labels) * _CHAR > width)

    title = f"Confusion matrix on {metrics.split}, {name}, percent of each gold label"
    return draw(key, title, (width * size, _ROW * size), plot)


def learning_curves(key: str, corpus: Corpus) -> Drawing | None:
    """Dev weighted F1 by epoch, one line a seed, the selected run in the accent. None where no run has curves."""
    drawn = [(run, curve) for run in corpus.runs for curve in run.curves if curve.epochs]
    if not drawn:
        return None
    rule = rule_of(corpus)

    def plot(axes: Axes) -> None:
        for run, curve in sorted(drawn, key=lambda item: item[0] is corpus.selected):
            chosen = run is corpus.selected
            percents = [100 * value for value in curve.dev_weighted_f1]
            (line,) = axes.plot(curve.epochs, percents, marker=_dot(curve.epochs), color=ACCENT if chosen else FAINT)
            line.set(linewidth=1.75 if chosen else 1, alpha=None if chosen else 0.55)
            hint(line, f"{corpus.names[run.folder]}, seed {curve.seed}")
        if rule:
            axes.axhline(100 * rule[1], color=MUTED, linewidth=1, dashes=(4, 3))
            _beside(axes, 1, 100 * rule[1], 0, plain(rule[0]), MUTED, SMALL, up=8)
        _by_epoch(axes)

    return draw(key, "Weighted F1 on dev by epoch, one line a seed", _CURVES, plot)


def losses(key: str, run: Run, name: str) -> Drawing | None:
    """Loss on train and dev by epoch, one line a seed. None where the run has no curves."""
    if not any(curve.train_loss or curve.dev_loss for curve in run.curves):
        return None

    def plot(axes: Axes) -> None:
        train = [(curve, curve.train_loss, "train", MUTED, 1, "--") for curve in run.curves]
        dev = [(curve, curve.dev_loss, "dev", ACCENT, 1.75, "-") for curve in run.curves]
        for curve, values, what, color, width, style in train + dev:
            if values:
                (line,) = axes.plot(curve.epochs, values, style, color=color, linewidth=width)
                line.set_marker(_dot(curve.epochs))
                hint(line, f"{what} loss, seed {curve.seed}")
        _by_epoch(axes)

    return draw(key, f"Loss on train and dev by epoch, {name}", _CURVES, plot)


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _name_rows(axes: Axes, labels: Sequence[str], pad: float) -> None:
    axes.set_yticks(range(len(labels)), [_short(label) for label in labels])
    axes.tick_params(axis="y", pad=pad, labelsize=12, labelcolor=INK)
    for label, text in zip(labels, axes.get_yticklabels(), strict=True):
        hint(text, label)


def _name_columns(axes: Axes, labels: Sequence[str], slanted: bool) -> None:
    axes.set_xticks(range(len(labels)), [_short(label) for label in labels])
    axes.tick_params(axis="x", pad=4, labelcolor=INK)
    for label, text in zip(labels, axes.get_xticklabels(), strict=True):
        if slanted:
            text.set(rotation=38, rotation_mode="anchor", ha="left")
        hint(text, label)


def _cell(axes: Axes, row: int, column: int, width: float, share: float) -> Artist:
    """A shade with a gap of two pixels to the next."""
    from matplotlib.patches import Rectangle

    across, down = 1 - 2 / width, 1 - 2 / _ROW
    corner = (column - across / 2, row - down / 2)
    return axes.add_patch(Rectangle(corner, across, down, facecolor=ACCENT, linewidth=0, alpha=0.04 + 0.96 * share))


def _beside(
    axes: Axes, side: int, y: float, right: float, text: str, color: str, size: float = 12, up: float = 0
) -> None:
    """Text that ends `right` pixels after the left (0) or right (1) side of the axes, `up` pixels over a value."""
    axes.annotate(
        text,
        (side, y),
        (right, up),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        ha="right",
        va="center_baseline",
        color=color,
        fontsize=size,
    )


def _by_epoch(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel("epoch", loc="right")
    axes.grid(axis="y")
    axes.margins(x=0.01)


def _dot(epochs: Sequence[int]) -> str:
    """The marker of a curve: one of a single epoch is no line."""
    return "." if len(epochs) == 1 else ""


def _tone(share: float, diagonal: bool) -> str:
    """The colour of a number on a cell of that shade, for enough contrast in light and dark."""
    if share > 0.79:
        return ON_ACCENT
    if share > 0.6:
        return BETWEEN
    return INK if share >= 0.1 or diagonal else MUTED


def _short(label: str) -> str:
    return plain(label if len(label) <= 16 else f"{label[:15]}…")
