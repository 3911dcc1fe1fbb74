"""The figures that a page claims in prose, and whether the pages that it links have them.

A figure is a number that claims a score, a speed or a size: one with ±, or with a unit after it (%, F1, points, times,
seconds, minutes, hours, MB, ...). Digits alone (a version, a year, a number of labels) claim nothing. Code is left out,
in blocks and in lines. A paragraph, an item of a list or a table is one piece of prose: its own links are its sources.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_WORDS = "half|two|three|four|five|six|seven|eight|nine|ten|dozen"
_NUMBER = rf"(?:\d[\d,]*(?:\.\d+)?|\b(?:{_WORDS})\b)"
_RATES = r"%|F1\b|points?\b"  # tables of the pages have these in their headings, not behind each number
_UNITS = r"times\b|fold\b|x\b|ms\b|s\b|seconds?\b|min\b|minutes?\b|h\b|hours?\b|days?\b|[KMGT]i?B\b|million\b"
_FIGURE = re.compile(
    rf"(?<![\w.])(?P<number>{_NUMBER}(?:\s*±\s*{_NUMBER})?)(?P<sign>(?=\s*±)|[\s-]*(?:(?P<rate>{_RATES})|(?P<unit>{_UNITS})))?",
    re.IGNORECASE,
)
_FENCE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`]*`")
_LINK = re.compile(r"\]\((?P<page>[^)#\s]*)(?:#(?P<section>[^)\s]+))?\)")
_HEADING = re.compile(r"^(?P<level>#+) +(?P<title>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Figure:
    """number: as it stands, `57.4 ± 0.3`; unit: what follows it where the source must have that, too, else empty"""

    number: str
    unit: str
    paragraph: str

    def __str__(self) -> str:
        return f"{self.number} {self.unit}".strip()

    def stands_in(self, text: str) -> bool:
        number = r"\s*".join(re.escape(part) for part in self.number.split())
        unit = rf"[\s-]*{re.escape(self.unit)}" if self.unit else ""
        return re.search(rf"(?<![\w.]){number}(?![\w]|\.\d){unit}", _plain(text), re.IGNORECASE) is not None


def figures(markdown: str) -> list[Figure]:
    found = []
    for paragraph in _paragraphs(markdown):
        for match in _FIGURE.finditer(_CODE.sub("`", _LINK.sub("]", _plain(paragraph)))):
            if match["rate"] or match["unit"] or "±" in match["number"]:
                found.append(Figure(" ".join(match["number"].split()), match["unit"] or "", paragraph))
    return found


def without_source(page: Path) -> list[str]:
    """The figures of a page that no docs page has that the same paragraph links."""
    return [
        f"{figure} (sources of its paragraph: {_told(figure.paragraph)})"
        for figure in figures(page.read_text(encoding="utf-8"))
        if not any(figure.stands_in(text) for text in _sources(figure.paragraph, page.parent))
    ]


def _sources(paragraph: str, folder: Path) -> list[str]:
    """What a paragraph's links lead to: whole pages, or the one section that a link names."""
    texts = []
    for link in _LINK.finditer(paragraph):
        path = folder / link["page"]
        if link["page"].endswith(".md") and path.is_file():
            text = path.read_text(encoding="utf-8")
            texts.append(section(text, link["section"]) if link["section"] else text)
    return texts


def _told(paragraph: str) -> str:
    return ", ".join(link.group()[2:-1] for link in _LINK.finditer(paragraph)) or "none"


def section(markdown: str, name: str) -> str:
    """From the heading of that anchor to the next of its height; empty where there is none."""
    begins = None
    for heading in _HEADING.finditer(_FENCE.sub(lambda block: re.sub(r"[^\n]", "`", block.group()), markdown)):
        if begins is not None and len(heading["level"]) <= begins[1]:
            return markdown[begins[0] : heading.start()]
        if begins is None and anchor(heading["title"]) == name:
            begins = (heading.start(), len(heading["level"]))
    return markdown[begins[0] :] if begins else ""


def anchor(title: str) -> str:
    """As GitHub and mkdocs make it."""
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", title.lower()).strip())


def _paragraphs(markdown: str) -> list[str]:
    text = _FENCE.sub("\n", markdown)
    return [part for part in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", text) if part.strip()]


def _plain(text: str) -> str:
    """Without emphasis, lines joined."""
    return re.sub(r"\s+", " ", re.sub(r"\*\*|__", "", text))
