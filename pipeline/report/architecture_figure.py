"""The architecture figure: boxes from left to right, stored features to loss, with the number of values on each arrow.

After the HLM12ERC report's Fig. 16. Sizes are pixels of the page; y grows downwards.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.pages.drawing import ACCENT, FAINT, INK, LINE, MUTED, Drawing, draw, hint, plain
from pipeline.pages.words import magnitude
from pipeline.report.architecture import MARKS, Architecture, Branch, Part

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTHS = {"features": 146, "join": 118, "logits": 96}
_WIDTH = 140  # of the other columns
_GAP = 70  # between columns, for an arrow and its number
_HEAD = 30  # of the columns' headings
_TITLE, _LINE_HEIGHT, _PAD = 14.5, 13.0, 8.0
_TITLE_SIZE, _TEXT_SIZE = 11.5, 10.0
_TITLE_CHAR = 7.0  # mean advance of a title's character
_BETWEEN_SOURCES, _BETWEEN_BRANCHES, _ABOVE_BRANCH = 12.0, 14.0, 17.0
_ELBOW = 14  # before the box that an arrow leads to


@dataclass(frozen=True)
class Box:
    """A part with its place. x, y: left and upper edge."""

    part: Part
    title: tuple[str, ...]
    x: float
    y: float
    width: float

    @property
    def height(self) -> float:
        return _height(self.title, self.part)

    @property
    def middle(self) -> float:
        return self.y + self.height / 2

    @property
    def right(self) -> float:
        return self.x + self.width


@dataclass(frozen=True)
class Plan:
    """The whole figure. bounds: width, upper and lower edge; headings, modalities: (x, y, text); arrows: (from, to)."""

    bounds: tuple[float, float, float]
    headings: tuple[tuple[float, float, str], ...]
    modalities: tuple[tuple[float, float, str], ...]
    boxes: tuple[Box, ...]
    arrows: tuple[tuple[Box, Box], ...]


def architecture_figure(key: str, architecture: Architecture, name: str) -> Drawing:
    """Boxes in colour are trained; grey ones are fixed."""
    plan = plan_of(architecture)
    width, top, bottom = plan.bounds

    def plot(axes: Axes) -> None:
        axes.set(xlim=(0, width), ylim=(bottom, top))
        axes.set_axis_off()
        for x, y, text in plan.headings:
            axes.text(x, y, text, color=MUTED, fontsize=_TEXT_SIZE, ha="center", va="baseline")
        for x, y, text in plan.modalities:
            axes.text(x, y, text, color=INK, fontsize=_TITLE_SIZE, fontweight="bold", va="baseline")
        for source, target in plan.arrows:
            _arrow(axes, source, target)
        for box in plan.boxes:
            _box(axes, box)

    title = f"Architecture of {name}, {magnitude(architecture.parameters)} trained weights"
    return draw(key, title, (width, bottom - top), plot)


def plan_of(architecture: Architecture) -> Plan:
    """Where everything stands: a row for each feature, the trunk at half height."""
    columns = list(_columns(architecture))
    lefts, x = {}, 0.0
    for column in columns:
        lefts[column] = x
        x += _width(column) + _GAP
    width = x - _GAP
    speakers = architecture.speakers
    boxes: list[Box] = []
    arrows: list[tuple[Box, Box]] = []
    modalities, ends = [], []
    y = 0.0
    for branch in architecture.branches:
        placed, links, end = _placed(branch, lefts, y)
        modalities.append((placed[0].x, placed[0].y - 5, branch.modality))
        boxes += placed
        arrows += links
        ends.append(end)
        y += _branch_height(branch) + _BETWEEN_BRANCHES
    middle = sum(end.middle for end in ends) / len(ends)
    before: list[Box] = ends
    for name, part in [("fusion", architecture.fusion), *architecture.trunk]:
        box = _centred(part, name, lefts[name], middle)
        arrows += [(one, box) for one in before]
        boxes.append(box)
        before = [box]
        if name == "fusion" and speakers:
            beside = Box(speakers, _titled(speakers, name), box.x, box.y + box.height + 28, box.width)
            boxes.append(beside)
            before.append(beside)
            modalities.append((beside.x, beside.y - 6, "speaker names"))
    top = min(0.0, *(box.y for box in boxes))
    bottom = max(box.y + box.height for box in boxes)
    headings = tuple((lefts[column] + _width(column) / 2, top - 18, _heading(column)) for column in columns)
    return Plan((width, top - _HEAD, bottom), headings, tuple(modalities), tuple(boxes), tuple(arrows))


def _columns(architecture: Architecture) -> Iterator[str]:
    yield "features"
    branches = architecture.branches
    if any(source.reading for branch in branches for source in branch.sources):
        yield "reading"
    if any(branch.join for branch in branches):
        yield "join"
    if any(branch.context for branch in branches):
        yield "own context"
    yield "fusion"
    yield from (name for name, _ in architecture.trunk)


def _heading(column: str) -> str:
    names = {"features": "stored features", "reading": "normalise, read", "own context": "modality context"}
    return names.get(column, column)


def _width(column: str) -> float:
    return _WIDTHS.get(column, _WIDTH)


def _titled(part: Part, column: str) -> tuple[str, ...]:
    """The title in at most two lines."""
    room = int((_width(column) - 2 * _PAD) / _TITLE_CHAR)
    lines = textwrap.wrap(plain(part.title), room) or [""]
    return (lines[0], lines[1] if len(lines) == 2 else f"{lines[1][: room - 1]}…") if len(lines) > 1 else (lines[0],)


def _height(title: Sequence[str], part: Part) -> float:
    return 2 * _PAD + len(title) * _TITLE + len(part.lines) * _LINE_HEIGHT


def _centred(part: Part, column: str, x: float, middle: float) -> Box:
    title = _titled(part, column)
    return Box(part, title, x, middle - _height(title, part) / 2, _width(column))


def _source_heights(branch: Branch) -> list[float]:
    return [
        max(
            _height(_titled(source.feature, "features"), source.feature),
            _height(_titled(source.reading, "reading"), source.reading) if source.reading else 0.0,
        )
        for source in branch.sources
    ]


def _branch_height(branch: Branch) -> float:
    own = _source_heights(branch)
    later = [(branch.join, "join"), (branch.context, "own context")]
    tallest = max((_height(_titled(part, name), part) for part, name in later if part), default=0.0)
    return _ABOVE_BRANCH + max(sum(own) + _BETWEEN_SOURCES * (len(own) - 1), tallest)


def _placed(branch: Branch, lefts: dict[str, float], y: float) -> tuple[list[Box], list[tuple[Box, Box]], Box]:
    """The boxes of one modality from `y` on, their arrows, and the box that leads on to the fusion."""
    boxes: list[Box] = []
    arrows: list[tuple[Box, Box]] = []
    heights = _source_heights(branch)
    room = _branch_height(branch) - _ABOVE_BRANCH
    top = y + _ABOVE_BRANCH + (room - sum(heights) - _BETWEEN_SOURCES * (len(heights) - 1)) / 2
    ends = []
    for source, height in zip(branch.sources, heights, strict=True):
        end = _centred(source.feature, "features", lefts["features"], top + height / 2)
        boxes.append(end)
        if source.reading:
            read = _centred(source.reading, "reading", lefts["reading"], top + height / 2)
            arrows.append((end, read))
            boxes.append(read)
            end = read
        ends.append(end)
        top += height + _BETWEEN_SOURCES
    for part, column in ((branch.join, "join"), (branch.context, "own context")):
        if part:
            box = _centred(part, column, lefts[column], y + _ABOVE_BRANCH + room / 2)
            arrows += [(end, box) for end in ends]
            boxes.append(box)
            ends = [box]
    return boxes, arrows, ends[0]


def _box(axes: Axes, box: Box) -> None:
    from matplotlib.patches import Rectangle

    edge, fill = (ACCENT, ACCENT) if box.part.trained else (FAINT, LINE)
    corner, sides = (box.x, box.y), (box.width, box.height)
    axes.add_patch(Rectangle(corner, *sides, facecolor=fill, alpha=0.1 if box.part.trained else 0.35, linewidth=0))
    frame = axes.add_patch(Rectangle(corner, *sides, fill=False, edgecolor=edge, linewidth=1))
    hint(frame, ", ".join((box.part.title, *box.part.lines)))
    y = box.y + _PAD
    for line in box.title:
        y += _TITLE
        axes.text(box.x + _PAD, y - 4, line, color=INK, fontsize=_TITLE_SIZE, va="baseline")
    for line in box.part.lines:
        y += _LINE_HEIGHT
        mark = axes.text(box.x + _PAD, y - 3, plain(line), color=MUTED, fontsize=_TEXT_SIZE, va="baseline")
        if line in MARKS.values():
            mark.set(color=INK, fontweight="bold")


def _arrow(axes: Axes, source: Box, target: Box) -> None:
    """To the target's left edge, at the source's height where the target is that tall, else by an elbow."""
    start, end = source.right + 1, target.x - 1
    y = source.middle
    low, high = target.y + 6, target.y + target.height - 6
    arrival = min(max(y, low), high)
    bend = end - _ELBOW
    axes.plot([start, bend, bend, end - 5], [y, y, arrival, arrival], color=MUTED, linewidth=1, solid_capstyle="butt")
    axes.fill([end, end - 6, end - 6], [arrival, arrival - 3.5, arrival + 3.5], color=MUTED, linewidth=0)
    if source.part.values:
        axes.text(source.right + 5, y - 4, source.part.values, color=INK, fontsize=_TEXT_SIZE, va="baseline")
