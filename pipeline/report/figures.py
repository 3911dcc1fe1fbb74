"""Figures as SVG, drawn with the page's own colours so that they follow light, dark and print. Every text is escaped.

Each function returns one `<svg>` element. `standalone` makes a file of it, with the colours inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from pipeline.report.leaderboard import Corpus, baseline_of
from pipeline.report.model import Metrics, Run, Score
from pipeline.report.words import count, score

_CHAR = 6.4  # mean advance of a 12 px character, in pixels
_MAX_CURVE_POINTS = 120

_COLOURS = Markup("""
svg{--ink:#1a1f26;--muted:#5c6672;--line:#dfe3e8;--faint:#a9b2bd;--accent:#1d5fa8;--on-accent:#fff;--page:#fff}
@media (prefers-color-scheme:dark){svg{--ink:#e4e8ed;--muted:#9aa5b1;--line:#2c333c;--faint:#5d6875;--accent:#6ea8ee;
--on-accent:#0c1116;--page:#12161b}}
""")
STYLE = Markup("""
.figure text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;fill:var(--ink);
font-variant-numeric:tabular-nums}
.figure .muted{fill:var(--muted)}.figure .small{font-size:11px}.figure .on{fill:var(--on-accent)}
.figure .middle{text-anchor:middle}.figure .end{text-anchor:end}
.figure .grid{stroke:var(--line);stroke-width:1}.figure .mark{stroke:var(--ink);stroke-width:1.5}
.figure .dashed{stroke:var(--muted);stroke-width:1;stroke-dasharray:4 3}
.figure .track{fill:var(--line)}.figure .fill{fill:var(--accent)}.figure .seed{fill:var(--page);stroke:var(--accent)}
.figure .curve{fill:none;stroke:var(--faint);stroke-width:1;stroke-opacity:.55}
.figure .curve.chosen{stroke:var(--accent);stroke-width:1.75;stroke-opacity:1}
.figure .whisker{stroke:var(--muted);stroke-width:1.5}.figure .dot{fill:var(--muted)}
.figure .chosen .whisker{stroke:var(--accent)}.figure .chosen .dot{fill:var(--accent)}
""")


def per_class_f1(metrics: Metrics, name: str) -> Markup:
    """F1 of each label as a bar from 0 to 100, its seeds as rings, the constant baseline as a tick."""
    left, track, row, top = _label_width(metrics.labels) + 52, 260, 27, 22
    width, height = left + track + 92, top + row * len(metrics.labels) + 4
    baseline = baseline_of(metrics)
    rules = metrics.baselines[baseline].per_class_f1 if baseline else {}
    parts = []
    for tick in (0, 25, 50, 75, 100):
        x = left + track * tick / 100
        parts.append(_line("grid", x, top - 4, x, height - 4))
        parts.append(_text(x, top - 9, str(tick), "muted small middle"))
    for position, label in enumerate(metrics.labels):
        value, y = metrics.per_class_f1[label], top + row * position + row / 2
        parts.append(_text(left - 52, y + 4, _short(label), "end", title=label))
        parts.append(_text(left - 10, y + 4, count(metrics.support[label]), "muted small end"))
        parts.append(_rect("fill", left, y - 6, track * value.mean, 12, "0.85"))
        if len(value.values) > 1:
            parts += [_circle("seed", left + track * one, y, 2.2) for one in value.values]
        if label in rules and rules[label] > 0:
            x = left + track * rules[label]
            parts.append(_line("mark", x, y - 9, x, y + 9))
        parts.append(_text(left + track + 12, y + 4, score(value), ""))
    return _svg(width, height, f"F1 of each label on {metrics.split}, {name}", parts)


def confusion(metrics: Metrics, name: str) -> Markup:
    """Row-normalised confusion matrix: of the utterances of a label (row), the percent predicted as each (column)."""
    labels = metrics.labels
    cell = max(28, min(50, 400 // len(labels)))
    left = _label_width(labels) + 14
    slanted = max(len(_short(label)) for label in labels) * _CHAR > cell - 2
    top = 24 + (int(_label_width(labels) * 0.62) if slanted else 14)
    size = cell * len(labels)
    width, height = left + size + (_label_width(labels) // 2 if slanted else 8), top + size + 8
    parts = [
        _text(left + size / 2, 12, "predicted", "muted small middle"),
        _text(left - 10, top - 8, "gold", "muted small end"),
    ]
    for column, label in enumerate(labels):
        x, y = left + cell * (column + 0.5), top - 8
        place = Markup(' transform="rotate(-38 {} {})"').format(_n(x), _n(y)) if slanted else ""
        parts.append(_text(x, y, _short(label), "small" if slanted else "small middle", extra=place, title=label))
    for row, gold in enumerate(labels):
        y, total = top + cell * row, sum(metrics.confusion[row])
        parts.append(_text(left - 10, y + cell / 2 + 4, _short(gold), "end", title=gold))
        for column, predicted in enumerate(labels):
            number = metrics.confusion[row][column]
            share = number / total if total else 0.0
            x = left + cell * column
            hint = f"{gold} predicted as {predicted}: {count(number)} of {count(total)}"
            shade = _rect("fill", x + 1, y + 1, cell - 2, cell - 2, f"{0.03 + 0.97 * share:.3f}")
            tone = "on" if share > 0.5 else "muted" if share < 0.1 and row != column else ""
            value = f"{100 * share:.0f}" if total else "–"
            label_text = _text(x + cell / 2, y + cell / 2 + 4, value, f"middle {tone}")
            parts.append(Markup("<g><title>{}</title>{}{}</g>").format(hint, shade, label_text))
    return _svg(width, height, f"Confusion matrix on {metrics.split}, {name}, percent of each gold label", parts)


def learning_curves(corpus: Corpus) -> Markup | None:
    """Dev weighted F1 by epoch, one line a seed, the selected run in the accent. None where no run has curves."""
    drawn = [(run, curve) for run in corpus.runs for curve in run.curves]
    if not drawn:
        return None
    left, top, width, height = 38, 12, 560, 220
    first = min(curve.epochs[0] for _, curve in drawn)
    last = max(curve.epochs[-1] for _, curve in drawn)
    rule = _rule_of(corpus)
    values = [value for _, curve in drawn for value in curve.dev_weighted_f1] + ([rule[1]] if rule else [])
    low, high = _nice_range(min(values), max(values))

    def across(epoch: int) -> float:
        return left + width * (epoch - first) / max(1, last - first)

    def down(value: float) -> float:
        return top + height * (high - value) / (high - low)

    parts = []
    for step in range(5):
        level = low + (high - low) * step / 4
        parts.append(_line("grid", left, down(level), left + width, down(level)))
        parts.append(_text(left - 8, down(level) + 4, f"{100 * level:.0f}", "muted small end"))
    for run, curve in sorted(drawn, key=lambda item: item[0] is corpus.selected):
        pairs = _thinned(list(zip(curve.epochs, curve.dev_weighted_f1, strict=True)))
        points = " ".join(f"{_n(across(epoch))},{_n(down(value))}" for epoch, value in pairs)
        hint = f"{corpus.names[run.folder]}, seed {curve.seed}"
        line = Markup('<polyline class="curve{}" points="{}"><title>{}</title></polyline>')
        parts.append(line.format(" chosen" if run is corpus.selected else "", points, hint))
    if rule:
        parts.append(_line("dashed", left, down(rule[1]), left + width, down(rule[1])))
        parts.append(_text(left + width, down(rule[1]) - 5, rule[0], "muted small end"))
    parts.append(_text(left, top + height + 18, f"epoch {first}", "muted small"))
    parts.append(_text(left + width, top + height + 18, str(last), "muted small end"))
    return _svg(left + width + 8, top + height + 26, "Weighted F1 on dev by epoch, one line a seed", parts)


def standing(corpus: Corpus, run: Run) -> Markup:
    """A small scale for one row of the leaderboard: mean on dev, one deviation to each side, the constant baseline."""
    if run.dev is None:
        return Markup("")
    low, high = _scale(corpus)
    width, height = 104, 16

    def place(value: float) -> float:
        return 4 + (width - 8) * (min(max(value, low), high) - low) / (high - low)

    value = run.dev.weighted_f1
    parts = [_line("grid", 4, 8, width - 4, 8)]
    rule = _rule_of(corpus)
    if rule:
        parts.append(_line("dashed", place(rule[1]), 1, place(rule[1]), 15))
    if value.std:
        parts.append(_line("whisker", place(value.mean - value.std), 8, place(value.mean + value.std), 8))
    parts.append(_circle("dot", place(value.mean), 8, 3.5))
    body = Markup('<g class="{}">{}</g>').format("chosen" if run is corpus.selected else "", Markup("").join(parts))
    return Markup('<svg class="figure" width="{}" height="{}" viewBox="0 0 {} {}" aria-hidden="true">{}</svg>').format(
        width, height, width, height, body
    )


def standalone(figure: Markup) -> str:
    """An SVG file: the figure with its colours inside, for light and dark."""
    head = Markup('<svg xmlns="http://www.w3.org/2000/svg"')
    style = Markup("<style>{}{}</style><rect width='100%' height='100%' style='fill:var(--page)'/>").format(
        _COLOURS, STYLE
    )
    opening, closing, rest = figure.partition(">")
    return f"{opening.replace('<svg', head, 1)}{closing}{style}{rest}\n"


def _svg(width: float, height: float, title: str, parts: Iterable[Markup]) -> Markup:
    frame = '<svg class="figure" role="img" viewBox="0 0 {w} {h}" width="{w}" height="{h}">'
    return Markup(frame + "<title>{title}</title>{body}</svg>").format(
        w=_n(width), h=_n(height), title=title, body=Markup("").join(parts)
    )


def _text(x: float, y: float, value: str, classes: str, extra: str = "", title: str = "") -> Markup:
    hint = Markup("<title>{}</title>").format(title) if title and title != value else Markup("")
    return Markup('<text x="{}" y="{}" class="{}"{}>{}{}</text>').format(
        _n(x), _n(y), classes.strip(), extra, value, hint
    )


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(kind, _n(x1), _n(y1), _n(x2), _n(y2))


def _circle(kind: str, x: float, y: float, radius: float) -> Markup:
    return Markup('<circle class="{}" cx="{}" cy="{}" r="{}"/>').format(kind, _n(x), _n(y), radius)


def _rect(kind: str, x: float, y: float, width: float, height: float, opacity: str) -> Markup:
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="2" fill-opacity="{}"/>').format(
        kind, _n(x), _n(y), _n(width), _n(height), opacity
    )


def _n(value: float) -> str:
    """A coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


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


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    stride = -(-len(points) // _MAX_CURVE_POINTS)
    return points[::stride] if (len(points) - 1) % max(1, stride) == 0 else [*points[::stride], points[-1]]
