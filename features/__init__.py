"""Stage 1: run each frozen encoder once over a corpus and keep one embedding per utterance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from features.loaded import Loaded, load
    from features.manifest import Manifest, read_manifest
    from features.store import Store

__all__ = ["Loaded", "Manifest", "Store", "load", "read_manifest"]

_HOMES = {
    "Loaded": "features.loaded",
    "Manifest": "features.manifest",
    "Store": "features.store",
    "load": "features.loaded",
    "read_manifest": "features.manifest",
}


def __getattr__(name: str) -> Any:
    """What a notebook begins with, imported when it is asked for: `import features` alone loads nothing heavy."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
