"""Names beside rows and under columns: cut to what fits, whole in the tooltip."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.pages.axes import name_columns, name_rows, shortened
from pipeline.pages.drawing import draw

NAMES = ["joy", "surprise that is glad"]


@pytest.mark.parametrize(
    ("name", "most", "shown"),
    [("neutral", 7, "neutral"), ("neutral", 6, "neutr…"), ("a\nb", 16, "a\N{REPLACEMENT CHARACTER}b")],
)
def test_a_name_fits_on_one_line(name: str, most: int, shown: str) -> None:
    assert shortened(name, most) == shown


@pytest.mark.parametrize(
    ("named", "tooltips"),
    [
        (lambda axes: name_rows(axes, NAMES, most=8, pad=6), NAMES),
        (lambda axes: name_rows(axes, NAMES, most=8, pad=6, tooltips=False), []),
        (lambda axes: name_columns(axes, NAMES, most=8, slanted=True), NAMES),
    ],
)
def test_names_are_cut_and_tooltips_whole(named: Callable[[Any], None], tooltips: list[str]) -> None:
    page = str(draw("key", "the figure", (100, 100), named).page)
    assert re.findall(r"<title>([^<]*)</title>", page) == ["the figure", *tooltips]
    assert ">joy</text>" in page
    assert ">surpris…</text>" in page


@pytest.mark.parametrize("slanted", [False, True])
def test_columns_are_slanted_where_that_is_asked_for(slanted: bool) -> None:
    page = str(draw("key", "", (100, 100), lambda axes: name_columns(axes, NAMES, most=8, slanted=slanted)).page)
    assert ("rotate(-38" in page) == slanted
