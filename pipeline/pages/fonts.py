"""Fonts for the characters of labels in PNG figures: matplotlib's own, and what else is installed where that has none.

In the page and in SVG files the reader's browser finds the fonts.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

BASE = "DejaVu Sans"  # comes with matplotlib; Latin, Greek, Cyrillic and Arabic letters among others
_NO_LETTERS = "Last Resort"  # comes with matplotlib, too: a box that tells a character's block


def lacking(texts: Iterable[str]) -> frozenset[str]:
    """The characters of these texts that the base font has no glyph for."""
    return frozenset(character for character in set().union(*texts) - _base() if character.isprintable())


def families_for(characters: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Installed font families that have as many of these characters as there are glyphs for, fewest families first, and
    the characters that no font here has."""
    left = set(characters)
    families: list[str] = []
    while left:
        family, has = max(_installed(), key=lambda font: (len(left & font[1]), font[0]), default=("", frozenset()))
        if not left & has:
            break
        families.append(family)
        left -= has
    return tuple(families), frozenset(left)


@lru_cache(maxsize=1)
def _base() -> frozenset[str]:
    from matplotlib import font_manager

    return _glyphs(font_manager.findfont(BASE))


def _installed() -> list[tuple[str, frozenset[str]]]:
    """(family, its characters) of each upright font of ordinary weight."""
    from matplotlib import font_manager

    fonts = [font for font in font_manager.fontManager.ttflist if not font.name.startswith(_NO_LETTERS)]
    upright = [font for font in fonts if font.style == "normal" and font.weight in (400, "normal", "regular")]
    return [(font.name, _glyphs(font.fname)) for font in upright]


@lru_cache(maxsize=4096)
def _glyphs(path: str) -> frozenset[str]:
    """The characters of a font file; none where it cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(map(chr, FT2Font(path).get_charmap()))
    except (OSError, RuntimeError):
        return frozenset()
