"""What every page has to hold for readers with a keyboard, a screen reader or a printer, and for whoever gets it from
its maker: asked of its HTML and of its CSS, without a browser."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser

VOID = {"meta", "br", "wbr", "input", "img", "path", "use", "rect", "stop", "image", "line", "polyline", "circle"}
INTERACTIVE = {"a", "button", "input", "select", "textarea", "summary", "audio", "video", "iframe"}
LANDMARKS = {"nav", "main", "aside"}
LANDMARK_ROLES = {"region", "search", "navigation", "main", "complementary", "banner", "contentinfo", "form"}
HOLDS_NO_CONTROL = {"button", "a", "summary"}
_PATH = re.compile(r"(?<![\w.~/:<])/(?:home|Users|root|tmp|var|mnt|data|opt|work|private|media|scratch)/[\w.+-]")


class Outline(HTMLParser):
    """The elements of a page in their order, each with those that it stands in."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], tuple[tuple[str, dict[str, str]], ...]]] = []
        self.texts: dict[str, str] = {}
        self._open: list[tuple[str, dict[str, str]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.elements.append((tag, given, tuple(self._open)))
        if tag not in VOID:
            self._open.append((tag, given))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}, tuple(self._open)))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        for _, given in self._open:
            if "id" in given:
                self.texts[given["id"]] = self.texts.get(given["id"], "") + data


def findings_of(html: str) -> list[str]:
    """What is wrong with a page's structure, a line each."""
    page = Outline(html)
    ids = [given["id"] for _, given, _ in page.elements if "id" in given]
    found = [f"the id {name} is there {ids.count(name)} times" for name in dict.fromkeys(ids) if ids.count(name) > 1]
    return [*found, *_headings(page), *_landmarks(page), *_nested(page), *_tables(page), *_boxes(page), *_names(page)]


def paths_in(text: str, *folders: object) -> list[str]:
    """Absolute paths in a page: those below the folders, and what looks like one anywhere."""
    known = [found[0] for folder in folders for found in re.finditer(re.escape(str(folder)) + r"[^\s<\"'`]*", text)]
    return known + [text[found.start() : found.start() + 60] for found in _PATH.finditer(text)]


def _headings(page: Outline) -> list[str]:
    levels = [int(tag[1]) for tag, _, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    found = [] if levels[:1] == [1] else [f"the first heading is h{levels[0] if levels else '?'}"]
    steps = itertools.pairwise(levels)
    return found + [f"h{lower} follows h{upper}" for upper, lower in steps if lower > upper + 1]


def _landmarks(page: Outline) -> list[str]:
    labels: list[tuple[str, str]] = []
    outside = []
    for tag, given, around in page.elements:
        name = given.get("aria-label") or page.texts.get(given.get("aria-labelledby", ""), "").strip()
        role = given.get("role", "")
        if tag in LANDMARKS or role in LANDMARK_ROLES or (tag == "section" and name):
            labels.append((role or ("region" if tag == "section" else tag), name))
        if tag in ("p", "table", "h1", "h2", "svg") and "main" not in [parent for parent, _ in around]:
            outside.append(f"{tag} outside main")
    found = [] if [kind for kind, _ in labels].count("main") == 1 else ["not one main"]
    return found + outside + [f"two landmarks {one}" for one in dict.fromkeys(labels) if labels.count(one) > 1]


def _nested(page: Outline) -> list[str]:
    found = []
    for tag, given, around in page.elements:
        control = tag in INTERACTIVE or given.get("tabindex", "-1") != "-1"
        holders = [
            parent
            for parent, attributes in around
            if parent in HOLDS_NO_CONTROL or attributes.get("role") in ("img", "button", "link")
        ]
        if control and holders:
            found.append(f"{tag} within {holders[-1]}")
        if given.get("role") == "img" and "data-plot" in given:
            found.append("a plot with buttons of its own is an image")
    return found


def _tables(page: Outline) -> list[str]:
    headed = [around for tag, _, around in page.elements if tag == "th"]
    found = [f"a th without scope ({given})" for tag, given, _ in page.elements if tag == "th" and "scope" not in given]
    for tag, given, around in page.elements:
        if tag == "table":
            below = any((tag, given) in parents for parents in headed)
            found += [] if below else [f"a table without headings ({given})"]
            boxes = [attributes for _, attributes in around if "scroll" in attributes.get("class", "").split()]
            found += [f"a table that cannot be scrolled by keyboard: {box}" for box in boxes if "tabindex" not in box]
    return found


def _boxes(page: Outline) -> list[str]:
    """Boxes that scroll where the page is narrow, tables' and figures', are reached by keyboard and have a name."""
    found = []
    for tag, given, around in page.elements:
        classes = given.get("class", "").split()
        if {"scroll", "drawing"} & set(classes) and not (given.get("tabindex") == "0" and given.get("aria-label")):
            found.append(f"{tag} {given} scrolls, but not by keyboard")
        boxes = [box for _, attributes in around for box in attributes.get("class", "").split()]
        if tag == "svg" and "figure" in classes and "drawing" not in boxes:
            found.append("a figure in no box that scrolls")
    return found


def _names(page: Outline) -> list[str]:
    found = []
    for tag, given, around in page.elements:
        if tag == "svg" and not (given.get("role") == "img" and given.get("aria-label")):
            found.append("an svg without a name")
        if tag == "img" and not given.get("alt"):
            found.append("an img without a name")
        if (tag in ("audio", "video") or given.get("role") in ("group", "region", "img")) and not (
            given.get("aria-label") or given.get("aria-labelledby")
        ):
            found.append(f"{tag} {given} without a name")
        if tag in ("input", "select") and "label" not in [parent for parent, _ in around]:
            found.append(f"{tag} without a label")
    return found


def variables(css: str) -> dict[str, dict[str, str]]:
    """The page's colours in `light`, `dark` and `print`."""
    light, _, rest = css.partition("@media (prefers-color-scheme:dark)")
    dark, printed = rest.partition("}}")[0], css.partition("@media print{:root{")[2].partition("}")[0]
    of = {"light": light, "dark": dark, "print": printed}
    return {name: dict(re.findall(r"--([\w-]+):(#[0-9a-f]{3,6})\b", text)) for name, text in of.items()}


def contrast(one: str, other: str) -> float:
    """WCAG's ratio of two colours."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def blended(color: str, ground: str, alpha: float) -> str:
    parts = [alpha * a + (1 - alpha) * b for a, b in zip(_channels(color), _channels(ground), strict=True)]
    return "#" + "".join(f"{round(part):02x}" for part in parts)


def _channels(color: str) -> list[int]:
    digits = color.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    return [int(digits[place : place + 2], 16) for place in (0, 2, 4)]


def _luminance(color: str) -> float:
    values = [part / 255 for part in _channels(color)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
