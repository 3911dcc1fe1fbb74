"""What tests of pages share."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
from matplotlib.transforms import Bbox
from PIL import Image

_EMPTY_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 300"/>'


@pytest.fixture
def without_plots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are there, each with its title and its files, and empty: matplotlib takes most of the time of a report.

    For modules that ask what a page says. A test in them that asks that something is nowhere on it has the mark
    `with_plots`.
    """
    if request.node.get_closest_marker("with_plots"):
        return
    from pipeline.pages import drawing

    picture = io.BytesIO()
    Image.new("RGB", (4, 3)).save(picture, "png")
    figure = SimpleNamespace(patch=SimpleNamespace(set_visible=lambda shown: None))

    def saved(figure: Any, around: Any, form: str, metadata: dict[str, None]) -> bytes:
        return picture.getvalue() if form == "png" else _EMPTY_SVG

    box = Bbox.from_bounds(0, 0, 400 / 72, 300 / 72)
    monkeypatch.setattr(drawing, "_plotted", lambda key, title, size, plot, families: (figure, box, box, []))
    monkeypatch.setattr(drawing, "_saved", saved)
