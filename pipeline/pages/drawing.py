"""Figures as matplotlib draws them, made fit for a page: its colours, its font, tooltips, nothing that reaches outside.

A figure is built once, in light colours. In the page these become the page's variables, so that dark and print follow;
the files keep them, on white. Equal input gives equal bytes.
"""

from __future__ import annotations

import copy
import io
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

from pipeline.pages.file_captions import FILE_ONLY, add_captions, without_captions
from pipeline.pages.fonts import BASE, families_for, lacking

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

# A colour's name is the page's variable. All differ, so that a drawn colour names its variable; none is black, which
# matplotlib leaves out of SVG.
COLOURS = {
    "ink": "#1a1f26",
    "muted": "#5c6672",
    "line": "#dfe3e8",
    "faint": "#a9b2bd",
    "accent": "#1d5fa8",
    "on-accent": "#fefefe",
    "between": "#020202",
    "strong": "#010101",
    "page": "#ffffff",
}
INK, MUTED, LINE, FAINT, ACCENT, ON_ACCENT, BETWEEN, STRONG, PAGE = COLOURS.values()
SMALL = 11.0
_UNITS_AN_INCH = 72  # matplotlib's SVG has 72 units an inch, and a page shows a unit as one pixel
_PNG_DPI = 160
_MARGIN = 0.04  # inches
_STYLE: dict[str, Any] = {
    "font.family": BASE,  # the page and the SVG files name their own
    "font.size": 12,
    "text.color": INK,
    "text.parse_math": False,
    "axes.labelcolor": MUTED,
    "axes.labelsize": SMALL,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    **{f"axes.spines.{side}": False for side in ("left", "right", "top", "bottom")},
    "grid.color": LINE,
    "grid.linewidth": 1,
    **{f"{axis}tick.{setting}.size": 0 for axis in "xy" for setting in ("major", "minor")},
    **{f"{axis}tick.color": MUTED for axis in "xy"},
    **{f"{axis}tick.labelsize": SMALL for axis in "xy"},
    "svg.fonttype": "none",
    "pdf.fonttype": 42,  # TrueType, which publishers take; matplotlib's Type 3 fonts they often do not
}
_FONT = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, Arial, sans-serif"
_HINT = "hint:"
_SHOWN_MISSING = 12  # characters
_LEAST_TEXT = 9.0  # pixels; a figure scrolls where it would have to be made so small that its text is less
_NOT_FOR_A_PAGE = {"metadata", "style", "clipPath"}  # a page's policy and its other elements bear none of them
_COLOUR = re.compile("#[0-9a-f]{6}")
_TEXT_SIZE = re.compile(r"font-size: ([\d.]+)px")
_LONG_NUMBER = re.compile(r"\d+\.\d{3,}")
_UNDRAWABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Drawing:
    """One figure: an `<svg>` for the page, an SVG file and a PNG file.

    title:   what a screen reader says of it
    pdf:     makes a PDF file; few who draw a figure want one
    missing: characters of its labels that no font on this machine has: the PNG file shows boxes in their place
    """

    title: str
    page: Markup
    svg: str
    png: bytes
    pdf: Callable[[], bytes] = field(compare=False, repr=False)
    missing: frozenset[str] = frozenset()

    @property
    def box(self) -> Markup:
        """The `<svg>` in a box that scrolls where the page is narrow, by keyboard, too."""
        return Markup('<div class="drawing" tabindex="0" role="group" aria-label="{}">{}</div>').format(
            self.title, self.page
        )


def draw(
    key: str,
    title: str,
    size: tuple[float, float],
    plot: Callable[[Axes], Sequence[Artist] | None],
) -> Drawing:
    """Plot on empty axes and save them with all that stands around them; the files have the title, too.

    key:  differs between the figures of a page, so that the ids within them do
    size: width and height of the axes, in pixels of the page
    plot: draws, and may return labelled artists, whose keys the files show
    """
    title = plain(title)
    figure, around, whole, texts = _plotted(key, title, size, plot, ())
    missing: frozenset[str] = frozenset()
    if characters := lacking(texts):
        families, missing = families_for(characters)
        if families:
            figure, around, whole, _ = _plotted(key, title, size, plot, families)
    with _style(key):
        png = _saved(figure, whole, "png", {"Software": None})
        figure.patch.set_visible(False)
        root = ElementTree.fromstring(_saved(figure, whole, "svg", {"Date": None}))  # noqa: S314 (matplotlib wrote it)
    _simplify(root)
    _entitle(root, plain(title))
    page = copy.deepcopy(root)
    without_captions(page, around, whole, _UNITS_AN_INCH)
    pdf = partial(_pdf, key, figure, whole)
    return Drawing(plain(title), _for_page(page), _as_file(root), png, pdf, missing)


def _plotted(
    key: str,
    title: str,
    size: tuple[float, float],
    plot: Callable[[Axes], Sequence[Artist] | None],
    families: Sequence[str],
) -> tuple[Figure, Bbox, Bbox, list[str]]:
    """The figure, what a page shows of it, what the files do, and all its texts. families: fonts for what the base
    font has not"""
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    with _style(key, families):
        figure = Figure(figsize=(size[0] / _UNITS_AN_INCH, size[1] / _UNITS_AN_INCH))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.patch.set_visible(False)
        keys = plot(axes) or ()
        around = figure.get_tightbbox().padded(_MARGIN)
        whole = add_captions(figure, around, title, keys, INK, _UNITS_AN_INCH).padded(_MARGIN)
        texts = [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]
        return figure, around, whole, texts


@contextmanager
def _style(key: str, families: Sequence[str] = ()) -> Iterator[None]:
    import matplotlib.style

    style = _STYLE | {"svg.hashsalt": key, "font.family": [BASE, *families]}
    with matplotlib.style.context(["default", style]), warnings.catch_warnings():
        # The page's font, not the one that matplotlib measures with, has to have the characters of a label.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def boxes_in_files(drawings: Iterable[Drawing]) -> str:
    """What a page says of characters that its PNG files show as boxes; nothing where there are none."""
    missing = sorted(set().union(*(drawing.missing for drawing in drawings)))
    if not missing:
        return ""
    shown = " ".join(missing[:_SHOWN_MISSING]) + (" ..." if len(missing) > _SHOWN_MISSING else "")
    return (
        f"The PNG files of these figures show boxes in the place of {shown}: no font on the machine that made them has"
        " these characters. Install one that does (such as Noto Sans CJK), and make the page again."
    )


def hint(artist: Artist, text: str) -> None:
    """Give what is drawn a tooltip."""
    artist.set_gid(_HINT + plain(text))


def beside(
    axes: Axes, side: int, y: float, right: float, text: str, color: str, size: float = 12, up: float = 0
) -> None:
    """Text that ends `right` pixels after the left (0) or right (1) side of the axes, `up` pixels over a value."""
    axes.annotate(
        text,
        (side, y),
        (right, up),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        ha="right",
        va="center_baseline",
        color=color,
        fontsize=size,
    )


def plain(text: str) -> str:
    """Text on one line, without the characters that XML cannot hold."""
    return _UNDRAWABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _pdf(key: str, figure: Figure, around: Bbox) -> bytes:
    """With its fonts in it, and without a date."""
    with _style(key):
        return _saved(figure, around, "pdf", {"CreationDate": None})


def _saved(figure: Figure, around: Bbox, form: str, metadata: dict[str, None]) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=form, dpi=_PNG_DPI, bbox_inches=around, metadata=metadata)
    return file.getvalue()


def _simplify(element: ElementTree.Element) -> None:
    """Drop namespaces, fonts, empty groups and the ids that nothing refers to; hints become titles."""
    attributes = {name.rpartition("}")[2]: value for name, value in element.attrib.items() if name != "clip-path"}
    element.tag = element.tag.rpartition("}")[2]
    if element.tag == "g":
        named = attributes.pop("id", "")
        if named.startswith(_HINT):
            _title(element, named.removeprefix(_HINT))
        elif named == FILE_ONLY:
            attributes["class"] = FILE_ONLY
    if "style" in attributes:
        attributes["style"] = re.sub(r"font-family: [^;]*;? ?", "", attributes["style"])
    if attributes.get("transform", "").startswith("rotate(-0 "):
        del attributes["transform"]
    for name in {"d", "x", "y", "transform"} & attributes.keys():
        rounded = _LONG_NUMBER.sub(lambda found: f"{float(found[0]):.2f}", attributes[name])
        attributes[name] = " ".join(rounded.split())
    element.attrib.clear()
    element.attrib.update(attributes)
    for child in list(element):
        _simplify(child)
        if child.tag in _NOT_FOR_A_PAGE or (child.tag in ("g", "defs") and not len(child)):
            element.remove(child)
    if len(element):
        element.text = None
    element.tail = None


def _title(element: ElementTree.Element, text: str) -> None:
    title = ElementTree.Element("title")
    title.text = text
    element.insert(0, title)


def _entitle(root: ElementTree.Element, title: str) -> None:
    width, height = (f"{float(side):.1f}" for side in root.attrib["viewBox"].split()[2:])
    root.attrib.update(width=width, height=height, role="img")
    root.attrib["aria-label"] = title
    root.attrib["stroke-linejoin"] = "round"
    _title(root, title)


def _for_page(page: ElementTree.Element) -> Markup:
    page.attrib["class"] = "figure"
    page.attrib["style"] = f"min-width: {_least_width(page):.0f}px"
    variables = {value: f"var(--{name})" for name, value in COLOURS.items()}
    for element in page.iter():
        if "style" in element.attrib:
            element.attrib["style"] = _COLOUR.sub(
                lambda found: variables.get(found[0], found[0]), element.attrib["style"]
            )
    return Markup(ElementTree.tostring(page, encoding="unicode"))  # noqa: S704 (ElementTree escapes all text)


def _least_width(page: ElementTree.Element) -> float:
    """The width in pixels at which the smallest text of a figure is still `_LEAST_TEXT`; at most its own."""
    styles = [element.attrib.get("style", "") for element in page.iter("text")]
    sizes = [float(found[1]) for style in styles if (found := _TEXT_SIZE.search(style))]
    return float(page.attrib["width"]) * min(1.0, _LEAST_TEXT / min(sizes, default=SMALL))


def _as_file(root: ElementTree.Element) -> str:
    file = copy.deepcopy(root)
    file.attrib |= {"xmlns": "http://www.w3.org/2000/svg", "font-family": _FONT}
    file.insert(1, ElementTree.Element("rect", {"width": "100%", "height": "100%", "fill": PAGE}))
    return ElementTree.tostring(file, encoding="unicode") + "\n"
