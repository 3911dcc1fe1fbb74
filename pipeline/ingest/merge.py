"""Several manifests as one: rows one after another, ids that never collide, one card, one media root."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from features.errors import ManifestError, UsageError
from features.manifest import Manifest, known_speaker, read_manifest
from pipeline.ingest.labels import clean_labels
from pipeline.ingest.merge_cards import merge_cards
from pipeline.ingest.own_card import card_findings, card_of, given_card, with_neutral
from pipeline.ingest.rows import build_from_rows
from pipeline.ingest.splits import with_dev
from pipeline.ingest.summary import Finding, IngestSummary, finding, summarise


def merge_manifests(
    paths: Sequence[Path],
    dataset: str | None = None,
    labels: Sequence[str] | None = None,
    neutral: str | None = None,
    card: Path | None = None,
    media_root: Path | None = None,
    dev: float | None = None,
    seed: int = 0,
) -> tuple[Manifest, IngestSummary]:
    """The manifests' rows as one manifest. Ids stay as they are, so that stored features are found again.

    dataset:    what the card calls the whole; rows keep their own. By default the cards' name, else all joined by `+`
    labels, neutral, card: what holds where the manifests' cards do not agree
    media_root: the folder that all clips lie in; by default the manifests' own, else what their own have in common
    dev, seed:  see `with_dev`

    Raises UsageError where cards contradict each other or media roots have nothing in common, and ManifestError where
    an id or a dialogue stands in two manifests, or a row's label is not among those chosen.
    """
    if len(paths) < 2:
        raise UsageError("merging needs two manifests: name another")
    manifests = [read_manifest(path) for path in paths]
    _refuse_collisions(manifests, paths)
    own = given_card(card, dataset) if card is not None else None
    if own is None:
        own = merge_cards([one.card for one in manifests], dataset, labels, neutral)
    root, moved = _media_root(manifests, media_root)
    frame = pl.concat(moved)
    places = [
        f"{path.name} row {row + 1}" for path, one in zip(paths, manifests, strict=True) for row in range(len(one))
    ]
    cleaned, findings = clean_labels(frame["label"].to_list(), places, labels or own.labels)
    frame = frame.with_columns(pl.Series("label", cleaned, dtype=pl.String()))
    made = with_neutral(card_of(own, frame["dataset"], frame["label"].drop_nulls(), labels), neutral)
    manifest = build_from_rows(", ".join(path.name for path in paths), frame, places, made, root)
    findings += [*_shared_speakers(manifests), *_moved(manifests, moved)]
    if card is not None:
        findings += card_findings(made, manifest.frame)
    if dev is not None:
        manifest, told = with_dev(manifest, dev, seed)
        findings.append(told)
    return manifest, summarise(manifest, findings)


def _refuse_collisions(manifests: Sequence[Manifest], paths: Sequence[Path]) -> None:
    for column, mend in (
        ("utterance_id", "leave one out, or ingest one of them again with another --dataset"),
        ("dialogue_id", "ingest one of them again with another --dataset, or with --map dialogue=COLUMN"),
    ):
        seen: dict[str, Path] = {}
        problems = []
        for one, path in zip(manifests, paths, strict=True):
            ids = one.frame[column].unique(maintain_order=True).to_list()
            problems += [
                f"{path.name}, {column}: {name!r} is also in {seen[name].name}" for name in ids if name in seen
            ]
            seen |= dict.fromkeys(ids, path)
        if problems:
            more = f" ({len(problems):,} such)" if len(problems) > 1 else ""
            raise ManifestError(f"{problems[0]}{more}: {mend}", problems)


def _media_root(manifests: Sequence[Manifest], given: Path | None) -> tuple[Path | None, list[pl.DataFrame]]:
    """The root of all clips, and the frames with their paths relative to it."""
    roots = {
        row: one.media_root.resolve()
        for row, one in enumerate(manifests)
        if one.media_root is not None and one.frame["media"].count()
    }
    frames = [one.frame for one in manifests]
    if not roots:
        return given, frames
    common = given.resolve() if given is not None else Path(os.path.commonpath(roots.values()))
    shown = " and ".join(str(root) for root in dict.fromkeys(roots.values()))
    if common == Path(common.anchor):
        raise UsageError(f"clips lie in {shown}, which have no folder in common: link or move them into one")
    outside = [root for root in roots.values() if not root.is_relative_to(common)]
    if outside:
        raise UsageError(f"--media-root {given} does not hold {outside[0]}: give a folder that all clips lie in")
    for row, root in roots.items():
        if root != common:
            prefix = pl.lit(root.relative_to(common).as_posix() + "/")
            frames[row] = frames[row].with_columns((prefix + pl.col("media")).alias("media"))
    return common, frames


def _moved(manifests: Sequence[Manifest], frames: Sequence[pl.DataFrame]) -> list[Finding]:
    moved = [
        utterance_id
        for one, frame in zip(manifests, frames, strict=True)
        for utterance_id in frame.filter(frame["media"].is_not_null() & (frame["media"] != one.frame["media"]))[
            "utterance_id"
        ]
    ]
    meaning = (
        "Clips whose path is another now, since the media roots differ: their sound and picture are extracted again."
        " Ingest all with one --media-root, and they are not."
    )
    return [finding("media-paths-changed", moved, meaning)] if moved else []


def _shared_speakers(manifests: Sequence[Manifest]) -> list[Finding]:
    """Names that several corpora have: they count as one person."""
    corpora: dict[str, set[str]] = {}
    for one in manifests:
        for name, dataset in one.frame.select(known_speaker().str.strip_chars(), "dataset").unique().iter_rows():
            if name:
                corpora.setdefault(name, set()).add(dataset)
    shared = sorted(name for name, datasets in corpora.items() if len(datasets) > 1)
    meaning = "Speakers' names that several corpora have: they count as one person. Rename them in the tables if not."
    return [finding("shared-speakers", shared, meaning)] if shared else []
