"""One way to show long work: a bar on stderr with what is done a second and what is left, quiet when not a terminal."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def progress_bar(total: int, unit: str, description: str, show: bool = True) -> tqdm[Any]:
    """A tqdm bar; use it in a `with` and call update(n). show: False for work that is a part of other work's bar."""
    disable = None if show else True
    return tqdm(total=total, unit=f" {unit}", desc=description, file=sys.stderr, disable=disable, dynamic_ncols=True)
