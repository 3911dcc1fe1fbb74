"""The part of a manifest that a benchmark runs on."""

from __future__ import annotations

from features.manifest import Manifest, build_manifest


def whole_dialogues(manifest: Manifest, least: int) -> Manifest:
    """The first dialogues that hold at least so many utterances."""
    stop = next((stop for _, stop in manifest.dialogue_bounds() if stop >= least), len(manifest))
    return build_manifest(manifest.frame[:stop], manifest.card, manifest.media_root)
