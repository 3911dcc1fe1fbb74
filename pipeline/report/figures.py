"""The figures of a report. Each function returns one `<svg>` element in the page's own colours."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from pipeline.report.leaderboard import Corpus, baseline_of
from pipeline.report.model import Metrics, Run, Score
from pipeline.report.svg import Plot, circle, line, rect, svg, text
from pipeline.report.words import count, percent

_CHAR = 6.4  # mean advance of a 12 px character, in pixels
_ROW, _TOP = 32, 30  # per-label rows, shared by two figures so that they line up side by side


def per_class_f1(metrics: Metrics, name: str) -> Markup:
    """F1 of each label as a bar from 0 to 100, its seeds as rings, the constant baseline as a tick."""
    left, track = _label_width(metrics.labels) + 50, 250
    bottom = _TOP + _ROW * len(metrics.labels)
    baseline = baseline_of(metrics)
    rules = metrics.baselines[baseline].per_class_f1 if baseline else {}
    parts = []
    for tick in (0, 25, 50, 75, 100):
        x = left + track * tick / 100
        parts.append(line("grid", x, _TOP - 4, x, bottom))
        parts.append(text(x, _TOP - 10, str(tick), "muted small middle"))
    for position, label in enumerate(metrics.labels):
        value, y = metrics.per_class_f1[label], _TOP + _ROW * (position + 0.5)
        parts.append(text(left - 50, y + 4, _short(label), "end", title=label))
        parts.append(text(left - 10, y + 4, count(metrics.support[label]), "muted small end"))
        parts.append(rect("fill", left, y - 7, track * value.mean, 14, "0.8"))
        if len(value.values) > 1:
            parts += [circle("seed", left + track * one, y, 2.2) for one in value.values]
        if rules.get(label):
            x = left + track * rules[label]
            parts.append(line("mark", x, y - 10, x, y + 10))
        parts.append(text(left + track + 44, y + 4, percent(value.mean), "end"))
        if value.std is not None:
            parts.append(text(left + track + 86, y + 4, f"± {percent(value.std)}", "muted small end"))
    return svg(left + track + 90, bottom + 4, f"F1 of each label on {metrics.split}, {name}", parts)


def confusion(metrics: Metrics, name: str) -> Markup:
    """Row-normalised confusion matrix: of the utterances of a label (row), the percent predicted as each (column)."""
    labels = metrics.labels
    left, width = _label_width(labels) + 4, max(30, min(58, 420 // len(labels)))
    slanted = max(len(_short(label)) for label in labels) * _CHAR > width
    top = _TOP + (int(_label_width(labels) * 0.5) if slanted else 0)
    parts = []
    for column, label in enumerate(labels):
        x, y = left + width * (column + 0.5), top - 10
        if slanted:
            parts.append(text(x, y, _short(label), "small", title=label, slanted=True))
        else:
            parts.append(text(x, y, label, "small middle"))
    for row, gold in enumerate(labels):
        y, total = top + _ROW * row, sum(metrics.confusion[row])
        parts.append(text(left - 10, y + _ROW / 2 + 4, _short(gold), "end", title=gold))
        for column, predicted in enumerate(labels):
            found = metrics.confusion[row][column]
            share = found / total if total else 0.0
            x = left + width * column
            hint = f"{gold} predicted as {predicted}: {count(found)} of {count(total)}"
            shade = rect("fill", x + 1, y + 1, width - 2, _ROW - 2, f"{0.04 + 0.96 * share:.3f}")
            tone = _tone(share, row == column)
            value = text(x + width / 2, y + _ROW / 2 + 4, f"{100 * share:.0f}" if total else "–", f"middle {tone}")
            parts.append(Markup("<g><title>{}</title>{}{}</g>").format(hint, shade, value))
    across = left + width * len(labels) + (_label_width(labels) // 2 if slanted else 4)
    title = f"Confusion matrix on {metrics.split}, {name}, percent of each gold label"
    return svg(across, top + _ROW * len(labels) + 4, title, parts)


def learning_curves(corpus: Corpus) -> Markup | None:
    """Dev weighted F1 by epoch, one line a seed, the selected run in the accent. None where no run has curves."""
    drawn = [(run, curve) for run in corpus.runs for curve in run.curves]
    if not drawn:
        return None
    rule = _rule_of(corpus)
    values = [100 * value for _, curve in drawn for value in curve.dev_weighted_f1] + ([100 * rule[1]] if rule else [])
    plot = Plot.around([epoch for _, curve in drawn for epoch in curve.epochs], values)
    parts = plot.grid()
    for run, curve in sorted(drawn, key=lambda item: item[0] is corpus.selected):
        percents = [100 * value for value in curve.dev_weighted_f1]
        kind = "curve chosen" if run is corpus.selected else "curve"
        parts.append(plot.line(kind, curve.epochs, percents, f"{corpus.names[run.folder]}, seed {curve.seed}"))
    if rule:
        y = plot.down(100 * rule[1])
        parts += [
            line("dashed", plot.left, y, plot.left + plot.width, y),
            text(plot.left + plot.width, y - 5, rule[0], "muted small end"),
        ]
    return plot.drawn("Weighted F1 on dev by epoch, one line a seed", parts)


def losses(run: Run, name: str) -> Markup | None:
    """Loss on train and dev by epoch, one line a seed. None where the run has no curves."""
    if not run.curves:
        return None
    values = [value for curve in run.curves for value in (*curve.train_loss, *curve.dev_loss)]
    if not values:
        return None
    plot = Plot.around([epoch for curve in run.curves for epoch in curve.epochs], values)
    parts = plot.grid()
    for kind, what in (("curve train", "train"), ("curve chosen", "dev")):
        for curve in run.curves:
            loss = curve.train_loss if what == "train" else curve.dev_loss
            if loss:
                parts.append(plot.line(kind, curve.epochs, loss, f"{what} loss, seed {curve.seed}"))
    return plot.drawn(f"Loss on train and dev by epoch, {name}", parts)


def standing(corpus: Corpus, run: Run) -> Markup:
    """A small scale for one row of the leaderboard: mean on dev, one deviation to each side, the constant baseline."""
    if run.dev is None:
        return Markup("")
    low, high = _scale(corpus)
    width, height = 92, 12

    def place(value: float) -> float:
        return 4 + (width - 8) * (min(max(value, low), high) - low) / (high - low)

    value = run.dev.weighted_f1
    parts = [line("grid", 4, 6, width - 4, 6)]
    rule = _rule_of(corpus)
    if rule:
        parts.append(line("dashed", place(rule[1]), 0, place(rule[1]), 12))
    if value.std:
        parts.append(line("whisker", place(value.mean - value.std), 6, place(value.mean + value.std), 6))
    parts.append(circle("dot", place(value.mean), 6, 3))
    body = Markup('<g class="{}">{}</g>').format("chosen" if run is corpus.selected else "", Markup("").join(parts))
    return Markup('<svg class="figure" width="{}" height="{}" viewBox="0 0 {} {}" aria-hidden="true">{}</svg>').format(
        width, height, width, height, body
    )


def _tone(share: float, diagonal: bool) -> str:
    """The class of a number on a cell of that shade, for enough contrast in light and dark."""
    if share > 0.79:
        return "on"
    if share > 0.6:
        return "between"
    return "" if share >= 0.1 or diagonal else "muted"


def _short(label: str) -> str:
    return label if len(label) <= 16 else f"{label[:15]}…"


def _label_width(labels: Sequence[str]) -> int:
    return int(max(len(_short(label)) for label in labels) * _CHAR) + 12


def _rule_of(corpus: Corpus) -> tuple[str, float] | None:
    """(name, dev weighted F1) of the baseline that margins are stated over."""
    name = baseline_of(corpus.dev) if corpus.dev else None
    return (name, corpus.dev.baselines[name].weighted_f1) if corpus.dev and name else None


def _scale(corpus: Corpus) -> tuple[float, float]:
    values = [value for run in corpus.runs if run.dev for value in _reach(run.dev.weighted_f1)]
    rule = _rule_of(corpus)
    return _nice_range(min([*values, rule[1]] if rule else values), max(values))


def _reach(value: Score) -> tuple[float, float]:
    return value.mean - (value.std or 0), value.mean + (value.std or 0)


def _nice_range(low: float, high: float) -> tuple[float, float]:
    """The range widened to multiples of 0.05 inside [0, 1], never empty."""
    bottom, top = max(0.0, int(low * 20) / 20), min(1.0, (int(high * 20) + 1) / 20)
    return (bottom, top) if top > bottom else (bottom - 0.05, top)
