"""One way to show long work: a bar on stderr with what is done a second and what is left, quiet when not a terminal."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

from pipeline.terminal.loudness import is_quiet


def progress_bar(
    total: int, unit: str, description: str, *, scaled: bool = False, show: bool = True, after_s: float = 0.0
) -> tqdm[Any]:
    """A tqdm bar; use it in a `with` and call update(n).

    scaled: thousands and millions as k and M; show: False for work that is a part of other work's bar
    after_s: show it only once the work has taken so long
    """
    return tqdm(
        total=total,
        unit=unit if scaled else f" {unit}",
        unit_scale=scaled,
        desc=description,
        file=sys.stderr,
        disable=None if show and not is_quiet() else True,
        dynamic_ncols=True,
        delay=after_s,
    )
