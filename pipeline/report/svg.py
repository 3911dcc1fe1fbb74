"""SVG elements with every text escaped, and a plot of lines. The colours are variables that the page sets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

_MAX_POINTS = 120

_COLOURS = Markup("""
svg{--ink:#1a1f26;--muted:#5c6672;--line:#dfe3e8;--faint:#a9b2bd;--accent:#1d5fa8;--on-accent:#fff;
--between:#1a1f26;--page:#fff}
@media (prefers-color-scheme:dark){svg{--ink:#e4e8ed;--muted:#9aa5b1;--line:#2c333c;--faint:#5d6875;--accent:#6ea8ee;
--on-accent:#0c1116;--between:#0c1116;--page:#12161b}}
""")
STYLE = Markup("""
.figure text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;fill:var(--ink);
font-variant-numeric:tabular-nums}
.figure .muted{fill:var(--muted)}.figure .small{font-size:11px}.figure .on{fill:var(--on-accent)}
.figure .between{fill:var(--between)}
.figure .middle{text-anchor:middle}.figure .end{text-anchor:end}
.figure .grid{stroke:var(--line);stroke-width:1}.figure .mark{stroke:var(--ink);stroke-width:1.5}
.figure .dashed{stroke:var(--muted);stroke-width:1;stroke-dasharray:4 3}
.figure .track{fill:var(--line)}.figure .fill{fill:var(--accent)}.figure .seed{fill:var(--page);stroke:var(--accent)}
.figure .curve{fill:none;stroke:var(--faint);stroke-width:1;stroke-opacity:.55}
.figure .curve.train{stroke:var(--muted);stroke-opacity:.9;stroke-dasharray:3 3}
.figure .curve.chosen{stroke:var(--accent);stroke-width:1.75;stroke-opacity:1}
.figure .whisker{stroke:var(--muted);stroke-width:1.5}.figure .dot{fill:var(--muted)}
.figure .chosen .whisker{stroke:var(--accent)}.figure .chosen .dot{fill:var(--accent)}
""")


@dataclass(frozen=True)
class Plot:
    """Axes of a line plot: whole epochs across, values up. Sizes are pixels.

    ticks: values of the horizontal grid lines, from the lowest to the highest value shown
    """

    first: int
    last: int
    ticks: tuple[float, ...]
    left: int = 40
    top: int = 12
    width: int = 480
    height: int = 210

    @classmethod
    def around(cls, epochs: Sequence[int], values: Sequence[float]) -> Plot:
        return cls(min(epochs), max(epochs), nice_ticks(min(values), max(values)))

    def across(self, epoch: int) -> float:
        return self.left + self.width * (epoch - self.first) / max(1, self.last - self.first)

    def down(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        return self.top + self.height * (high - value) / (high - low)

    def grid(self) -> list[Markup]:
        parts = []
        for tick in self.ticks:
            y = self.down(tick)
            parts.append(line("grid", self.left, y, self.left + self.width, y))
            parts.append(text(self.left - 8, y + 4, f"{tick:g}", "muted small end"))
        bottom = self.top + self.height + 18
        parts.append(text(self.left, bottom, f"epoch {self.first}", "muted small"))
        parts.append(text(self.left + self.width, bottom, str(self.last), "muted small end"))
        return parts

    def line(self, kind: str, epochs: Sequence[int], values: Sequence[float], hint: str) -> Markup:
        """A line through (epoch, value), thinned to at most about a hundred points; `hint` is its tooltip."""
        pairs = list(zip(epochs, values, strict=True))
        stride = -(-len(pairs) // _MAX_POINTS)
        kept = pairs[::stride] if (len(pairs) - 1) % stride == 0 else [*pairs[::stride], pairs[-1]]
        points = " ".join(f"{number(self.across(epoch))},{number(self.down(value))}" for epoch, value in kept)
        return Markup('<polyline class="{}" points="{}"><title>{}</title></polyline>').format(kind, points, hint)

    def drawn(self, title: str, parts: Iterable[Markup]) -> Markup:
        return svg(self.left + self.width + 8, self.top + self.height + 26, title, parts)


def nice_ticks(low: float, high: float) -> tuple[float, ...]:
    """Round values with an even step, at most seven, that reach from at most `low` to at least `high`."""
    spread = max(high - low, abs(high) * 1e-3, 1e-9)
    power = 10.0 ** math.floor(math.log10(spread))
    step = next(power * factor for factor in (0.2, 0.5, 1, 2) if spread / (power * factor) <= 5)
    first, last = math.floor(low / step), max(math.ceil(high / step), math.floor(low / step) + 1)
    return tuple(round(step * index, 10) for index in range(first, last + 1))


def svg(width: float, height: float, title: str, parts: Iterable[Markup]) -> Markup:
    """One figure; `title` is what a screen reader says of it."""
    w, h, least = number(width), number(height), number(min(width, 340))
    head = Markup('<svg class="figure" role="img" viewBox="0 0 {} {}" width="{}" height="{}" style="min-width:{}px">')
    body = Markup("<title>{}</title>{}</svg>").format(title, Markup("").join(parts))
    return head.format(w, h, w, h, least) + body


def text(x: float, y: float, value: str, classes: str, title: str = "", slanted: bool = False) -> Markup:
    """A line of text; `title` is its tooltip where it says more."""
    hint = Markup("<title>{}</title>").format(title) if title not in ("", value) else ""
    turn = Markup(' transform="rotate(-38 {} {})"').format(number(x), number(y)) if slanted else ""
    return Markup('<text x="{}" y="{}" class="{}"{}>{}{}</text>').format(
        number(x), number(y), classes.strip(), turn, value, hint
    )


def line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
        kind, number(x1), number(y1), number(x2), number(y2)
    )


def circle(kind: str, x: float, y: float, radius: float) -> Markup:
    return Markup('<circle class="{}" cx="{}" cy="{}" r="{}"/>').format(kind, number(x), number(y), radius)


def rect(kind: str, x: float, y: float, width: float, height: float, opacity: str) -> Markup:
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="2" fill-opacity="{}"/>').format(
        kind, number(x), number(y), number(width), number(height), opacity
    )


def number(value: float) -> str:
    """A coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def standalone(figure: Markup) -> str:
    """An SVG file: the figure with its colours inside, for light and dark."""
    head = Markup('<svg xmlns="http://www.w3.org/2000/svg"')
    style = Markup("<style>{}{}</style><rect width='100%' height='100%' style='fill:var(--page)'/>").format(
        _COLOURS, STYLE
    )
    opening, closing, rest = figure.partition(">")
    return f"{opening.replace('<svg', head, 1)}{closing}{style}{rest}\n"
