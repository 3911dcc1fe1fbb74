"""Reliability diagram: how often predictions of some confidence are right, as loud as utterances are many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.pages.drawing import ACCENT, FAINT, INK, MUTED, Drawing, draw, hint
from pipeline.pages.words import count, magnitude, plural
from pipeline.runs.metrics_file import Metrics

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_SIZE = (360, 230)
_COUNT = 9.0  # size of the counts
_LONGEST = 4  # digits of a count that fit over its bar
_FULL = 100  # utterances from which on a bin is drawn at its full strength
_STRONGEST, _FAINTEST = 0.85, 0.08


def reliability(key: str, metrics: Metrics, name: str) -> Drawing | None:
    """Of the predictions with about that much confidence, the percent that is right (bars), beside the diagonal that
    calibrated predictions would reach; below, how many predictions there are. All seeds together. A bin fades by its
    number of utterances (`strength`). None where the metrics file has no such bins or they are empty."""
    filled = [(one, one.confidence, one.accuracy) for one in metrics.reliability if one.count]
    bins = [(one, 100 * sure, 100 * right) for one, sure, right in filled if sure is not None and right is not None]
    if not bins:
        return None
    seeds = len(metrics.seeds)

    def plot(axes: Axes) -> Sequence[Artist]:
        counts = axes.inset_axes((0, -0.36, 1, 0.22))
        most = max(one.count for one, _, _ in bins)
        for one, sure, right in bins:
            left, width = 100 * one.lower, 100 * (one.upper - one.lower)
            text = (
                f"confidence {left:.0f} to {left + width:.0f}: {plural(one.count, 'prediction')}, mean confidence"
                f" {sure:.1f}, right {right:.1f}"
            )
            loud = strength(one.count / seeds)
            (bar,) = axes.bar(left, right, width - 0.6, align="edge", color=ACCENT, alpha=loud)
            (gap,) = axes.plot([sure, sure], [right, sure], color=INK, linewidth=1.25, alpha=loud)
            (number,) = counts.bar(left, one.count, width - 0.6, align="edge", color=FAINT)
            for artist in (bar, gap, number):
                hint(artist, text)
            shown = str(one.count) if one.count < 10**_LONGEST else magnitude(one.count).replace(" ", "")
            counts.annotate(
                shown, (left + width / 2, one.count), (0, 2), textcoords="offset points", ha="center", color=INK,
                fontsize=_COUNT,
            )  # fmt: skip
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1, dashes=(4, 3))
        axes.set(xlim=(0, 100), ylim=(0, 100), xticks=[], yticks=range(0, 101, 25), ylabel="right, percent")
        axes.grid(axis="y")
        counts.set(xlim=(0, 100), ylim=(0, most), xticks=range(0, 101, 25), yticks=[])
        counts.set_xlabel("confidence: highest probability, percent")
        counts.set_ylabel("predictions")
        counts.patch.set_visible(False)
        return _keys()

    title = f"Reliability of {name} on {metrics.split}, {len(metrics.reliability)} bins of confidence"
    return draw(key, f"{title}, {count(sum(one.count for one, _, _ in bins))} predictions", _SIZE, plot)


def strength(utterances: float) -> float:
    """The opacity of a bin. The deviation of a share falls with the root of what it is of, so opacity rises with it."""
    return max(_FAINTEST, _STRONGEST * min(1.0, utterances / _FULL) ** 0.5)


def _keys() -> list[Artist]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Patch(color=ACCENT, alpha=_STRONGEST, label=f"right; paler below {_FULL} utterances a seed"),
        Line2D([], [], color=INK, linewidth=1.25, label="how far off"),
        Line2D([], [], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="calibrated"),
    ]
