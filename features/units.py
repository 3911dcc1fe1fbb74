"""How numbers with a unit are told."""

from __future__ import annotations


def bytes_text(number: int) -> str:
    """A size on disk: `712 B`, `1.5 MB`; thousands, not 1024."""
    if number < 1000:
        return f"{number} B"
    value = float(number)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    return f"{value:.{1 if value < 99.5 else 0}f} {unit}"
