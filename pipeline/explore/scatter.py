"""Scatter plots as files: a projection, its points coloured by group. Sizes are pixels of a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.explore.colours import GREY, Group
from pipeline.explore.projection import Projection
from pipeline.pages.axes import shortened
from pipeline.pages.drawing import FAINT, INK, LINE, MUTED, SMALL, Drawing, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIDE = 460
_NAME = 24  # characters of a group's name
LAYERS = 12
"""Parts in which a group is drawn; the page's script has as many."""
_MARKERS = {"circle": "o", "square": "s", "diamond": "D", "cross": "P"}


def axis_names(projection: Projection) -> list[str]:
    """`PC 1 (8.4%)` with the share of the variance that lies along it, `UMAP 1`."""
    shares = [f" ({100 * share:.1f}%)" for share in projection.explained] or [""] * projection.dims
    name = "PC" if projection.method == "pca" else projection.method.upper()
    return [f"{name} {number}{share}" for number, share in enumerate(shares, start=1)]


def scatter(key: str, title: str, projection: Projection, groups: Sequence[Group]) -> Drawing:
    """One plot. Its points are drawn in `layers`, so that no group hides another."""

    def plot(axes: Axes) -> None:
        drawn: Any = axes
        if projection.dims == 3:
            figure: Any = axes.figure
            axes.remove()
            drawn = figure.add_axes((0, 0, 1, 1), projection="3d", computed_zorder=False)
        handles: list[Any] = [None] * len(groups)
        for order, (place, rows) in enumerate(layers(groups)):
            points = _points(drawn, projection, groups[place], rows, order)
            handles[place] = handles[place] or points
        names = axis_names(projection)
        for axis, name in zip("xyz", names, strict=False):
            getattr(drawn, f"set_{axis}label")(name, labelpad=-10 if projection.dims == 3 else 4)
            getattr(drawn, f"set_{axis}ticks")([])
        if projection.dims == 3:
            _bare_box(drawn)
        else:
            for spine in drawn.spines.values():
                spine.set(visible=True, color=LINE)
            drawn.margins(0.03)
        legend = drawn.legend(
            handles,
            [shortened(group.name, _NAME) for group in groups],
            loc="upper left",
            bbox_to_anchor=(1.01, 1.0) if projection.dims == 2 else (0.98, 0.95),
            frameon=False,
            fontsize=SMALL,
            labelcolor=INK,
            handletextpad=0.2,
            borderaxespad=0,
        )
        for handle in legend.legend_handles:
            handle.set(alpha=1, sizes=[36])

    return draw(key, title, (_SIDE, _SIDE), plot)


def layers(groups: Sequence[Group]) -> list[tuple[int, np.ndarray]]:
    """(place of a group, some of its rows) in the order to draw them, lowest first: each group comes in LAYERS parts,
    and of the parts with one number another group lies on top each time."""
    found = []
    for number in range(LAYERS):
        turned = [(number + place) % len(groups) for place in range(len(groups))]
        found += [(place, groups[place].rows[number::LAYERS]) for place in turned]
    return [(place, rows) for place, rows in found if len(rows)]


def _points(axes: Any, projection: Projection, group: Group, rows: np.ndarray, order: int) -> Any:
    behind = group.colour == GREY
    depth: dict[str, Any] = {"depthshade": False} if projection.dims == 3 else {}
    return axes.scatter(
        *projection.points[rows].T,
        s=9 if projection.dims == 3 else 14,
        c=group.colour,
        marker=_MARKERS[group.shape],
        alpha=0.45 if behind else 0.7,
        linewidths=0,
        zorder=1 + order / 1000,
        **depth,
    )


def _bare_box(axes: Any) -> None:
    """The box of a 3-D plot: thin lines, no panes, no room wasted around it."""
    axes.set_box_aspect((1, 1, 1), zoom=1.12)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_pane_color((1, 1, 1, 0))
        axis.line.set(color=FAINT, linewidth=0.8)
        axis.label.set_color(MUTED)
