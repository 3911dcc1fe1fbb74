"""A chart a section: bars with the range of the rounds, or dots where they are far apart; lines for what grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.harness.results import Comparison, Curve, Section, duration, figure

_OURS, _OTHERS, _FLOOR = "#0b6e4f", "#8a8f98", "#c9a227"
_LINES = ("#0b6e4f", "#b4435c", "#3466a5", "#c9a227", "#6b4c9a", "#5b6770", "#d9713c", "#4db6ac")
_BAR_INCHES, _CURVE_INCHES, _WIDTH = 0.34, 2.6, 8.0


def chart(section: Section, path: Path) -> None:
    """Write a section's tables as one picture, a panel each."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    heights = [_height(table) for table in section.tables]
    drawn = Figure(figsize=(_WIDTH, sum(heights) + 0.3), layout="constrained")
    panels = drawn.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for panel, table in zip(panels, section.tables, strict=True):
        panel.set_title(table.title, loc="left", fontsize=10, fontweight="bold")
        if isinstance(table, Comparison):
            _bars(panel, table)
        else:
            _lines(panel, table)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=9)
    for _ in range(2):  # panels are drawn narrower while labels still stand out of them
        _make_room(drawn)
    with rc_context({"svg.hashsalt": section.name}):  # equal figures give equal bytes
        drawn.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _height(table: Comparison | Curve) -> float:
    if isinstance(table, Curve):
        return _CURVE_INCHES
    return 0.75 + _BAR_INCHES * sum(bool(one.seconds) for one in table.measured)


def _bars(panel: Any, table: Comparison) -> None:
    shown = [one for one in table.measured if one.seconds]
    medians = [one.median for one in shown]
    ours = {table.ours, *table.also_ours}
    colours = [_OURS if one.name in ours else _FLOOR if "floor" in one.name else _OTHERS for one in shown]
    ranges = [
        [one.median - min(one.seconds) for one in shown],
        [max(one.seconds) - one.median for one in shown],
    ]
    names, places = [one.name for one in shown], range(len(shown))
    far_apart = max(medians) > 15 * min(medians)
    if far_apart:  # a bar's length means nothing where the axis does not begin at 0
        panel.errorbar(medians, places, xerr=ranges, fmt="none", ecolor="#333333", capsize=2)
        panel.scatter(medians, places, color=colours, s=42, zorder=3)
        panel.set_yticks(places, names)
        panel.grid(axis="x", alpha=0.25)
    else:
        panel.barh(names, medians, xerr=ranges, color=colours, ecolor="#333333", height=0.66, capsize=2)
    panel.set_ylim(len(shown) - 0.4, -0.6)
    for place, one in enumerate(shown):
        ratio = table.times_ours(one.name)
        said = duration(one.median)
        if ratio is not None:
            said += f", {figure(ratio.middle)} times ours"
        panel.annotate(said, (max(one.seconds), place), (5, 0), textcoords="offset points", va="center", fontsize=8.5)
    if far_apart:
        panel.set_xscale("log")
        panel.set_xlim(left=min(second for one in shown for second in one.seconds) / 1.5)
    else:
        panel.set_xlim(left=0)
    panel.set_xlabel("seconds, less is better", fontsize=8.5)


def _make_room(drawn: Any) -> None:
    """Move the right end of each panel of bars so far that the longest label ends within."""
    drawn.draw_without_rendering()  # now panels have their widths in pixels
    for panel in drawn.axes:
        labels = [text for text in panel.texts if text.get_text()]
        if not labels:
            continue
        forth, back = panel.transScale.transform, panel.transScale.inverted().transform  # to where the axis is linear
        width, left = panel.bbox.width, forth((panel.get_xlim()[0], 1))[0]
        ends = []
        for label in labels:
            room = label.get_window_extent().width + 12 * drawn.dpi / 72
            ends.append(left + (forth((label.xy[0], 1))[0] - left) * width / max(width - room, width / 4))
        panel.set_xlim(right=back((max(ends), 1))[0])


def _lines(panel: Any, table: Curve) -> None:
    """On logarithmic axes; the values of less than a decade, whose logarithms have no round numbers, from zero on."""
    shown: list[float] = []
    for place, (name, values) in enumerate(table.lines.items()):
        points = [(size, value) for size, value in zip(table.sizes, values, strict=True) if value is not None]
        colour, style = _LINES[place % len(_LINES)], "-" if place < len(_LINES) else "--"
        panel.plot(*zip(*points, strict=True), style, marker="o", markersize=4, color=colour, label=name)
        shown += [value for _, value in points]
    panel.set_xscale("log")
    panel.set_xticks(table.sizes, [f"{size:,.0f}" for size in table.sizes])
    panel.minorticks_off()
    if max(shown) >= 10 * min(shown):
        panel.set_yscale("log")
    else:
        panel.set_ylim(bottom=0)
    panel.set_xlabel(table.along, fontsize=8.5)
    panel.set_ylabel(table.unit, fontsize=8.5)
    panel.grid(alpha=0.25)
    panel.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
