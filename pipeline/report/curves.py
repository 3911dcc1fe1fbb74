"""Learning curves by epoch: all experiments over each other, and the losses of the selected run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pipeline.pages.drawing import ACCENT, FAINT, MUTED, SMALL, Drawing, beside, draw, hint, plain
from pipeline.pages.end_labels import EndLabel, label_ends
from pipeline.pages.words import capital, plural
from pipeline.report.configuration import loss_name
from pipeline.report.corpus import Corpus
from pipeline.report.scale import rule_of
from pipeline.report.snapshot import RunSnapshot

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

Quantity = Literal["dev_score", "dev_loss", "train_loss"]
LOSSES: dict[Quantity, str] = {
    "dev_loss": "Loss on dev",
    "train_loss": "Loss on train",
}
_SIZE = (480, 210)
_NAMED_SIZE = (400, 230)  # beside it stand the names
_HIGHEST = 3  # runs beside the selected one, the lowest and the baseline that are named
_DASHES = (0, (3, 2))
_TALLEST = 1.6  # times the selected run's highest loss; what goes beyond is cut

Line = tuple[Sequence[int], Sequence[float]]  # epochs, values


def overlaid(key: str, corpus: Corpus, quantity: Quantity) -> Drawing | None:
    """One quantity by epoch: every seed of the selected run, the mean over seeds of each other run, as far as all its
    seeds were trained. Dashed: a run with another loss, whose scale is another. At their ends the names of the selected
    run and of those of `standing_out`, whose lines are darker. None where no run has such curves."""
    lines = [(run, line, name) for run in corpus.runs for line, name in _lines(corpus, run, quantity)]
    if not lines:
        return None
    percent, others = quantity == "dev_score", with_other_loss(corpus)
    rule = rule_of(corpus) if percent else None
    comparable = [(run, line) for run, line, _ in lines if percent or run not in others]
    named = standing_out(corpus, comparable, percent)

    def plot(axes: Axes) -> Sequence[Artist]:
        ends: dict[str, EndLabel] = {}
        for run, (epochs, values), name in sorted(lines, key=lambda item: _layer(item[0], corpus.selected, named)):
            chosen, shown = run is corpus.selected, [100 * value for value in values] if percent else values
            color = ACCENT if chosen else MUTED if run in named else FAINT
            (line,) = axes.plot(epochs, shown)
            line.set(color=color, marker=_dot(epochs), linewidth=1.75 if chosen else 1)
            if not percent and run in others:
                line.set(linestyle=_DASHES)
            hint(line, name)
            if (chosen or run in named) and (run.folder not in ends or epochs[-1] > ends[run.folder].x):
                ends[run.folder] = EndLabel(corpus.names[run.folder], epochs[-1], shown[-1], color)
        if rule:
            axes.axhline(100 * rule[1], color=MUTED, linewidth=1, dashes=(4, 3))
            beside(axes, 1, 100 * rule[1], 0, plain(rule[0]), MUTED, SMALL, up=8)
        if not percent:
            _keep_in_sight(axes, [(run is corpus.selected, line[1]) for run, line, _ in lines])
        _by_epoch(axes, f"{corpus.criterion.words}, percent" if percent else "loss")
        several = len(corpus.runs) > 1
        if several:
            label_ends(axes, list(ends.values()), _NAMED_SIZE[1])
        return _keys(corpus, several, not percent and bool(others))

    title = LOSSES.get(quantity, f"{capital(corpus.criterion.words)} on dev, percent")
    return draw(key, f"{title}, by epoch", _SIZE if len(corpus.runs) == 1 else _NAMED_SIZE, plot)


def standing_out(corpus: Corpus, lines: Sequence[tuple[RunSnapshot, Line]], percent: bool) -> list[RunSnapshot]:
    """The runs beside the selected one whose lines have names: those that end best, the one that ends worst, and the
    baseline run. Best is highest of scores (`percent`) and lowest of losses."""
    last = {run.folder: line[1][-1] for run, line in lines if run is not corpus.selected}
    ordered = sorted((run for run in corpus.runs if run.folder in last), key=lambda run: last[run.folder])
    best = list(reversed(ordered)) if percent else ordered
    chosen = [*best[:_HIGHEST], *best[-1:], *(run for run in best if run is corpus.baseline)]
    return [run for run in best if any(run is one for one in chosen)]


def _layer(run: RunSnapshot, selected: RunSnapshot | None, named: Sequence[RunSnapshot]) -> int:
    """Lines of a higher layer lie above."""
    return 2 if run is selected else int(any(run is one for one in named))


def _keys(corpus: Corpus, several: bool, dashed: bool) -> list[Artist]:
    from matplotlib.lines import Line2D

    keys = [Line2D([], [], color=ACCENT, linewidth=1.75, label="selected model, one line a seed")]
    if several:
        keys.append(Line2D([], [], color=MUTED, linewidth=1, label="named at its end: best, worst, baseline"))
        keys.append(Line2D([], [], color=FAINT, linewidth=1, label="other experiments, mean over seeds"))
    if dashed:
        keys.append(Line2D([], [], color=MUTED, linewidth=1, linestyle=_DASHES, label="another loss, another scale"))
    return list(keys)


def losses(key: str, run: RunSnapshot, name: str) -> Drawing | None:
    """Loss on train and dev by epoch, one line a seed. None where the run has no curves."""
    if not any(curve.train_loss or curve.dev_loss for curve in run.curves):
        return None

    def plot(axes: Axes) -> Sequence[Artist]:
        from matplotlib.lines import Line2D

        train = [(curve, curve.train_loss, "train", MUTED, 1, "--") for curve in run.curves]
        dev = [(curve, curve.dev_loss, "dev", ACCENT, 1.75, "-") for curve in run.curves]
        for curve, values, what, color, width, style in train + dev:
            if values:
                (line,) = axes.plot(curve.epochs, values, style, color=color, linewidth=width)
                line.set_marker(_dot(curve.epochs))
                hint(line, f"{what} loss, seed {curve.seed}")
        _by_epoch(axes, "loss")
        return [
            Line2D([], [], color=ACCENT, linewidth=1.75, label="dev, one line a seed"),
            Line2D([], [], color=MUTED, linewidth=1, linestyle="--", label="train"),
        ]

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


def _by_epoch(axes: Axes, what: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel("epoch", loc="right")
    axes.set_ylabel(what)
    axes.grid(axis="y")
    axes.margins(x=0.01)


def _dot(epochs: Sequence[int]) -> str:
    """The marker of a curve: one of a single epoch is no line."""
    return "." if len(epochs) == 1 else ""
