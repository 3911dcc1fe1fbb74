"""A finished seed's head.safetensors, looked at without reading its weights."""

from __future__ import annotations

from pathlib import Path


def head_trouble(seed_folder: Path) -> str | None:
    """Why the head cannot be read, as far as the file's header and size tell; None where they do not.

    What the system refuses to open may be whole. Weights that are no numbers are found where they are read
    (`heads.training.checkpoint`).
    """
    from safetensors import SafetensorError, safe_open

    path = seed_folder / "head.safetensors"
    try:
        with safe_open(path, framework="np"):
            return None
    except FileNotFoundError:
        return f"{path.name} is not there"
    except SafetensorError:
        return f"{path.name} is not a whole safetensors file"
    except OSError:
        return None
