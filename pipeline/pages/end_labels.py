"""Names at the right ends of lines, moved apart where they would touch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.pages.drawing import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = 10.5
_APART = 13.0  # pixels between the middles of two names
_OUT = 8  # pixels between the axes and the names
_NAME = 26  # characters


@dataclass(frozen=True)
class EndLabel:
    """What a line is called, where it ends (data), and the colour of both."""

    name: str
    x: float
    y: float
    color: str


def label_ends(axes: Axes, labels: Sequence[EndLabel], height: float) -> None:
    """Write each name beside the axes, with a hair line from its line's end; `(higher)` beside one that ends above the
    axes. Their limits are final before this.

    height: of the axes, in pixels
    """
    low, high = axes.get_ylim()
    ordered = sorted(labels, key=lambda label: label.y)
    wanted = [(min(max(label.y, low), high) - low) / (high - low) * height for label in ordered]
    for label, middle in zip(ordered, spread(wanted, _APART, height), strict=True):
        line = {
            "arrowstyle": "-",
            "color": label.color,
            "linewidth": 0.6,
            "relpos": (0, 0.5),
            "shrinkA": 0,
            "shrinkB": 2,
        }
        beyond = label.y > high
        axes.annotate(
            elided(label.name, _NAME) + (" (higher)" if beyond else ""),
            (label.x, min(max(label.y, low), high)),
            (1 + _OUT / axes.bbox.width, middle / height),
            textcoords="axes fraction",
            va="center",
            color=label.color,
            fontsize=_SIZE,
            annotation_clip=False,
            arrowprops=None if beyond else line,
        )


def elided(name: str, most: int) -> str:
    """A name on one line in at most so many characters, by leaving out of its middle: ends tell experiments apart."""
    name = plain(name)
    kept = most - 1
    return name if len(name) <= most else f"{name[: kept // 2]}…{name[len(name) - (kept - kept // 2) :]}"


def spread(wanted: Sequence[float], apart: float, height: float) -> list[float]:
    """Ascending places as near to those wanted as lets each be `apart` from the next and all be within the height,
    where they fit into it."""
    places: list[float] = []
    for want in wanted:
        places.append(max(want, places[-1] + apart) if places else max(want, 0.0))
    top = height
    for number in range(len(places) - 1, -1, -1):
        places[number] = min(places[number], top)
        top = places[number] - apart
    return places
