"""Labels in any script: PNG files use a font that has their characters, and pages say where there is none."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.axes import Axes
from PIL import Image

from pipeline.pages.drawing import Drawing, boxes_in_files, draw
from pipeline.pages.fonts import families_for, lacking

LABELS = {"han": "\u559c\u60b2", "kana": "\u304b\u306a", "hangul": "\uae30\uc068"}


def drawing_of(*labels: str) -> Drawing:
    def plot(axes: Axes) -> None:
        axes.barh(range(len(labels)), [1] * len(labels))
        axes.set_yticks(range(len(labels)), labels)

    return draw("key", "title", (200, 40 * len(labels)), plot)


def pixels(drawing: Drawing) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(drawing.png)).convert("L"))


def write_font(path: Path, family: str, characters: str) -> Path:
    """A font whose glyphs are filled squares of the line's height."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    names = [".notdef", *(f"u{ord(character):04X}" for character in characters)]
    glyphs = {}
    for name in names:
        pen = TTGlyphPen(None)
        pen.moveTo((0, 0))
        for corner in ((0, 900), (900, 900), (900, 0)):
            pen.lineTo(corner)
        pen.closePath()
        glyphs[name] = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(character): name for character, name in zip(characters, names[1:], strict=True)})
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(usWeightClass=400)
    builder.setupPost()
    builder.save(path)
    return path


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> font_manager.FontManager:
    """A machine that has matplotlib's own fonts alone."""
    own = [font for font in font_manager.fontManager.ttflist if "mpl-data" in font.fname]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    return font_manager.fontManager


@pytest.fixture
def asian(bare: font_manager.FontManager, tmp_path: Path) -> Iterator[None]:
    """With two fonts more: one has Han and kana, the other kana and Hangul."""
    bare.addfont(write_font(tmp_path / "one.ttf", "One Sans", LABELS["han"] + LABELS["kana"]))
    bare.addfont(write_font(tmp_path / "two.ttf", "Two Sans", LABELS["kana"] + LABELS["hangul"]))
    yield
    bare._findfont_cached.cache_clear() if hasattr(bare, "_findfont_cached") else None


def test_what_the_base_font_has_needs_no_other(bare: font_manager.FontManager) -> None:
    assert lacking(["joy", "J\u00f6y", "\u0440\u0430\u0434", "\u0633\u0644\u0627\u0645", "a\tb\n"]) == frozenset()
    assert drawing_of("joy", "anger").missing == frozenset()
    assert boxes_in_files([drawing_of("joy")]) == ""


def test_without_a_font_the_page_says_so(bare: font_manager.FontManager) -> None:
    drawing = drawing_of("joy", LABELS["han"])
    assert drawing.missing == frozenset(LABELS["han"])
    said = boxes_in_files([drawing, drawing_of("anger"), drawing_of(LABELS["hangul"])])
    assert f"boxes in the place of {' '.join(sorted(LABELS['han'] + LABELS['hangul']))}: no font" in said
    assert LABELS["han"] in drawing.page
    assert LABELS["han"] in drawing.svg, "there the reader's own fonts count"
    many = drawing_of(*("".join(map(chr, range(first, first + 10))) for first in (0x4E00, 0x5E00)))
    assert len(many.missing) == 20
    assert " ...: no font" in boxes_in_files([many])


@pytest.mark.usefixtures("asian")
def test_fonts_are_taken_that_have_the_characters() -> None:
    characters = frozenset("".join(LABELS.values()))
    assert families_for(characters | {"\u0e01"}) == (("Two Sans", "One Sans"), frozenset("\u0e01"))
    assert families_for(frozenset(LABELS["han"])) == (("One Sans",), frozenset())
    drawing = drawing_of("joy", *LABELS.values())
    assert drawing.missing == frozenset()
    assert drawing_of("joy", *LABELS.values()).png == drawing.png


@pytest.mark.usefixtures("asian")
def test_the_picture_shows_their_glyphs(tmp_path: Path) -> None:
    """Filled squares, where a missing glyph is an outline; the other labels are drawn as ever."""
    filled, other = drawing_of(LABELS["han"]), drawing_of("\u4e00\u4e01")
    below = slice(pixels(filled).shape[0] // 3, None)  # of the title, which both have
    label, box = (pixels(drawing)[below, : pixels(drawing).shape[1] // 8] for drawing in (filled, other))
    assert (label < 128).mean() > 2 * (box < 128).mean()
    np.testing.assert_array_equal(pixels(drawing_of("joy")), pixels(drawing_of("joy")))


def test_arabic_is_joined() -> None:
    """matplotlib shapes it: lam and alef together take less room than side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    renderer = FigureCanvasAgg(figure).get_renderer()
    widths = [
        figure.text(0, 0, text).get_window_extent(renderer).width for text in ("\u0644\u0627", "\u0644", "\u0627")
    ]
    assert widths[0] < 0.8 * (widths[1] + widths[2])
