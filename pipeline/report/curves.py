"""Learning curves by epoch: all experiments over each other, and the losses of the selected run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pipeline.pages.drawing import ACCENT, FAINT, MUTED, SMALL, Drawing, beside, draw, hint, plain
from pipeline.pages.words import capital, plural
from pipeline.report.configuration import loss_name
from pipeline.report.corpus import Corpus
from pipeline.report.scale import rule_of
from pipeline.report.snapshot import RunSnapshot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Quantity = Literal["dev_score", "dev_loss", "train_loss"]
LOSSES: dict[Quantity, str] = {
    "dev_loss": "Loss on dev",
    "train_loss": "Loss on train",
}
_SIZE = (480, 210)
_TALLEST = 1.6  # times the selected run's highest loss; what goes beyond is cut

Line = tuple[Sequence[int], Sequence[float]]  # epochs, values


def overlaid(key: str, corpus: Corpus, quantity: Quantity) -> Drawing | None:
    """One quantity by epoch: every seed of the selected run, the mean over seeds of each other run, as far as all its
    seeds were trained. Dashed: a run with another loss, whose scale is another. None where no run has such curves."""
    lines = [(run, line, name) for run in corpus.runs for line, name in _lines(corpus, run, quantity)]
    if not lines:
        return None
    percent, others = quantity == "dev_score", with_other_loss(corpus)
    rule = rule_of(corpus) if percent else None

    def plot(axes: Axes) -> None:
        for run, (epochs, values), name in sorted(lines, key=lambda item: item[0] is corpus.selected):
            chosen = run is corpus.selected
            (line,) = axes.plot(epochs, [100 * value for value in values] if percent else values)
            line.set(color=ACCENT if chosen else FAINT, marker=_dot(epochs))
            line.set(linewidth=1.75 if chosen else 1, alpha=None if chosen else 0.85)
            if not percent and run in others:
                line.set(linestyle=(0, (3, 2)))
            hint(line, name)
        if rule:
            axes.axhline(100 * rule[1], color=MUTED, linewidth=1, dashes=(4, 3))
            beside(axes, 1, 100 * rule[1], 0, plain(rule[0]), MUTED, SMALL, up=8)
        if not percent:
            _keep_in_sight(axes, [(run is corpus.selected, line[1]) for run, line, _ in lines])
        _by_epoch(axes)

    title = LOSSES.get(quantity, f"{capital(corpus.criterion.words)} on dev, percent")
    return draw(key, f"{title}, by epoch", _SIZE, plot)


def losses(key: str, run: RunSnapshot, name: str) -> Drawing | None:
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

    return draw(key, f"Loss on train and dev by epoch, {name}", _SIZE, plot)


def with_other_loss(corpus: Corpus) -> list[RunSnapshot]:
    """The runs that were trained by another loss than the selected one."""
    if corpus.selected is None:
        return []
    ours = loss_name(corpus.selected.config.get("loss"))
    return [run for run in corpus.runs if loss_name(run.config.get("loss")) != ours]


def mean_curve(lines: Sequence[Line]) -> Line:
    """The mean of several lines over the epochs that all of them have."""
    values = [dict(zip(epochs, line, strict=True)) for epochs, line in lines]
    shared = sorted(set.intersection(*(set(one) for one in values)))
    return shared, [sum(one[epoch] for one in values) / len(values) for epoch in shared]


def _lines(corpus: Corpus, run: RunSnapshot, quantity: Quantity) -> list[tuple[Line, str]]:
    """(line, what to call it) of one run."""
    name = corpus.names[run.folder]
    found = [(curve, getattr(curve, quantity)) for curve in run.curves]
    found = [(curve, values) for curve, values in found if values]
    if run is corpus.selected or len(found) < 2:
        return [((curve.epochs, values), f"{name}, seed {curve.seed}") for curve, values in found]
    line = mean_curve([(curve.epochs, values) for curve, values in found])
    return [(line, f"{name}, mean of {plural(len(found), 'seed')}")] if line[0] else []


def _keep_in_sight(axes: Axes, lines: Sequence[tuple[bool, Sequence[float]]]) -> None:
    """Cut at the top what would press the selected run's losses flat, and say so."""
    chosen = [value for selected, values in lines for value in values if selected]
    if not chosen:
        return
    top = _TALLEST * max(chosen)
    if max(value for _, values in lines for value in values) > top > 0:
        axes.set_ylim(top=top)
        beside(axes, 1, top, 0, "some lines go higher", MUTED, SMALL, up=-7)


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
