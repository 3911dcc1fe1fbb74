"""A page and its figures, written to a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from features.errors import ErcError
from features.files import write_bytes_whole
from pipeline.pages.drawing import Drawing


def figure_files(drawings: Mapping[str, Drawing]) -> dict[str, str | bytes]:
    """figures/KEY.png and figures/KEY.svg of each drawing: path -> content."""
    files: dict[str, str | bytes] = {}
    for key, drawing in drawings.items():
        files |= {f"figures/{key}.png": drawing.png, f"figures/{key}.svg": drawing.svg}
    return files


def write_files(out: Path, files: Mapping[str, str | bytes]) -> None:
    """Write each file (a path below `out` -> its content) whole or not at all. Raises ErcError where that fails."""
    try:
        for name, content in files.items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes_whole(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ErcError(f"{out}: cannot be written ({reason}): give another folder with --out") from error
