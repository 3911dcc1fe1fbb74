"""What a figure's files have beside the figure: its title above and the keys of its marks below. A page says both in
words of its own, so there they are left out."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

FILE_ONLY = "file-only"
"""Class of what stands in the SVG file and not in the page."""
_SIZE = 13.0
_KEY_SIZE = 11.0
_CHAR = 7.0  # mean advance of a character of the title, in pixels
_KEY_CHAR, _KEY_MARK = 6.2, 40  # of a key: mean advance of a character, and its mark with the room around it
_FEWEST = 24  # characters of a line of the title, however narrow the figure
_GAP = 0.07  # inches


def add_captions(
    figure: Figure, around: Bbox, title: str, keys: Sequence[Artist], color: str, units_an_inch: int
) -> Bbox:
    """Write title and keys and return what is to be saved with them, in inches. around: the figure without them"""
    width = around.width * units_an_inch
    left, bottom, top = _of_figure(figure, around.x0, around.y0, around.y1)
    lines = textwrap.wrap(title, max(_FEWEST, int(width / _CHAR)))
    above = figure.text(left, top, "\n".join(lines), fontsize=_SIZE, color=color, ha="left", va="bottom")
    above.set_gid(FILE_ONLY)
    if keys:
        needed = sum(_KEY_CHAR * len(str(key.get_label())) + _KEY_MARK for key in keys)
        columns = len(keys) if needed < width else 1
        below = figure.legend(
            handles=list(keys), loc="upper left", bbox_to_anchor=(left, bottom), ncols=columns, frameon=False,
            fontsize=_KEY_SIZE, labelcolor=color, borderaxespad=0.3, borderpad=0, handlelength=1.8,
            columnspacing=1.6,
        )  # fmt: skip
        below.set_gid(FILE_ONLY)
    return type(around).union([around, figure.get_tightbbox()])


def _of_figure(figure: Figure, left: float, bottom: float, top: float) -> tuple[float, float, float]:
    """Inches as shares of the figure, a gap inside its left side and outside the two others."""
    width, height = figure.get_size_inches()
    return (left + _GAP) / width, (bottom - _GAP) / height, (top + _GAP) / height


def without_captions(root: ElementTree.Element, around: Bbox, whole: Bbox, units_an_inch: int) -> None:
    """Take them out of an SVG whose units are pixels, and show just what they stood around."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.get("class") == FILE_ONLY:
                parent.remove(child)
    left, top = (around.x0 - whole.x0) * units_an_inch, (whole.y1 - around.y1) * units_an_inch
    width, height = around.width * units_an_inch, around.height * units_an_inch
    root.attrib["viewBox"] = f"{left:.2f} {top:.2f} {width:.2f} {height:.2f}"
    root.attrib.update(width=f"{width:.1f}", height=f"{height:.1f}")
