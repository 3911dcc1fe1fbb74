"""The manifest that a run was trained on, where it is still at hand."""

from __future__ import annotations

from pathlib import Path

from features.digests import sha256_file
from features.errors import RunError
from features.manifest import Manifest, read_manifest
from pipeline.runs.features_file import ManifestFacts


def manifest_of(facts: ManifestFacts, lost: str) -> Manifest:
    """Raises ErcError where it is gone or is another by now. lost: what a report lacks without it, as a clause."""
    if facts.path is None or facts.sha256 is None:
        raise RunError(f"features.json names no manifest file, so {lost}.")
    path = Path(facts.path)
    try:
        digest = sha256_file(path)
    except OSError:
        raise RunError(f"The manifest {path} is not there, so {lost}.") from None
    if digest != facts.sha256:
        raise RunError(f"The manifest {path} has changed since the run was trained, so {lost}.")
    return read_manifest(path)
