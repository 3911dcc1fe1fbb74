"""Numbers on shades of the accent colour: in the report's confusion matrices, on the page of predictions."""

from __future__ import annotations

from pipeline.pages.drawing import BETWEEN, MUTED, ON_ACCENT, STRONG

LEAST, REST = 0.04, 0.96  # the opacity of a shade is LEAST + REST * share


def tone(share: float, strong: bool = False) -> str:
    """The colour of a number on a cell of that shade, for a contrast of 4.5 and more in light and dark.

    strong: it is to stand out on a pale cell, too
    """
    if share > 0.835:
        return ON_ACCENT
    if share > 0.645:
        return BETWEEN
    return STRONG if share >= 0.1 or strong else MUTED
