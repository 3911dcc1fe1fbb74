"""Speakers, dialogues, turns and ids where a table has none, and what its dialogue keys may have meant."""

from __future__ import annotations

import polars as pl

from pipeline.ingest.summary import Finding, finding


def build_ids(frame: pl.DataFrame, several_files: bool = False) -> tuple[pl.DataFrame, list[Finding]]:
    """The frame with speaker, dialogue_id, turn and utterance_id, each built where the table has none.

    frame: texts, null where there is none; `dataset`, `split`, and perhaps `dialogue`, a key within its split
    several_files: rows without a dialogue are counted within their split, so that each file alone gives the same ids
    """
    findings = []
    count = frame.height
    if "speaker" not in frame.columns:
        frame = frame.with_columns(pl.lit("").alias("speaker"))
        findings.append(Finding("no-speakers", count, "No column tells the speaker: every turn is a stranger's."))
    if "dialogue_id" not in frame.columns:
        if "dialogue" in frame.columns:
            findings += _findings(frame)
            key = pl.col("dialogue")
        else:
            number = pl.int_range(1, pl.len() + 1)
            key = pl.format("row{}", number.over("split") if several_files else number)
            findings.append(Finding("no-dialogues", count, "No column tells the dialogue: every row is its own."))
        frame = frame.with_columns(pl.format("{}/{}/{}", "dataset", "split", key).alias("dialogue_id"))
    frame = frame.drop("dialogue", strict=False)
    if "turn" not in frame.columns:
        frame = frame.with_columns(pl.int_range(pl.len()).over("dialogue_id").cast(pl.String()).alias("turn"))
    if "utterance_id" not in frame.columns:
        frame = frame.with_columns(pl.format("{}_utt{}", "dialogue_id", "turn").alias("utterance_id"))
    return frame, findings


def _findings(frame: pl.DataFrame) -> list[Finding]:
    """Keys that could be one dialogue where we make two, or two where we make one; only what there is."""
    keys = frame.filter(pl.col("dialogue").is_not_null())
    splits = keys.group_by("dialogue", maintain_order=True).agg(pl.col("split").n_unique())
    several = splits.filter(pl.col("split") > 1)["dialogue"].to_list()
    found = [
        finding(
            "dialogues-in-several-splits",
            several,
            "Keys that occur in several splits: a dialogue of its own in each. Map dialogue_id where each is one.",
        )
    ]
    if "turn" not in frame.columns:
        runs = keys.select(pl.struct("dataset", "split", "dialogue").alias("key")).with_columns(
            pl.col("key").rle_id().alias("run")
        )
        apart = runs.group_by("key", maintain_order=True).agg(pl.col("run").n_unique())
        scattered = [key["dialogue"] for key in apart.filter(pl.col("run") > 1)["key"].to_list()]
        found.append(
            finding(
                "scattered-dialogues",
                scattered,
                "Keys whose rows do not stand together: one dialogue each, its turns in the order of rows. If a key"
                " begins anew (as scenes do with every episode), make a column that tells them apart.",
            )
        )
    return [item for item in found if item.count]
