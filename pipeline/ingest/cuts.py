"""Utterances that are to be cut out of a longer clip, where that is not as long as they say."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from features.manifest import Manifest
from pipeline.ingest.probe import probe_clips
from pipeline.ingest.summary import Finding, finding

CUT_TOLERANCE_S = 0.5


def note_cuts_outside(manifest: Manifest) -> tuple[Manifest, list[Finding]]:
    """The manifest with a note at each utterance whose `end` is beyond the end of its clip, and how many there are.

    Only clips that are cut are opened, each once and no further than its header; those that do not open or do not tell
    their length are left to extraction.
    """
    root = manifest.media_root
    cut = manifest.frame.with_row_index("row").filter(pl.col("media").is_not_null() & pl.col("end").is_not_null())
    if root is None or cut.is_empty():
        return manifest, []
    names = cut["media"].unique(maintain_order=True).to_list()
    lengths = dict(zip(names, probe_clips([root / name for name in names], root), strict=True))
    notes = manifest.frame["note"].to_list()
    outside = []
    for row, utterance_id, name, end in cut.select("row", "utterance_id", "media", "end").iter_rows():
        length = lengths[name]
        if isinstance(length, float) and end > length + CUT_TOLERANCE_S:
            outside.append(utterance_id)
            notes[row] = "; ".join([*filter(None, [notes[row]]), f"ends at {end:.2f} s, its clip at {length:.2f} s"])
    meaning = f"They end more than {CUT_TOLERANCE_S:g} s after their clip: what there is will be used, with a note."
    frame = manifest.frame.with_columns(pl.Series("note", notes, dtype=pl.String()))
    return replace(manifest, frame=frame), [finding("cuts-outside-clips", outside, meaning)]
