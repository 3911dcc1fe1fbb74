"""CMU-MOSEI and CH-SIMS as MMSA prepares them: label.csv, and clips Raw/VIDEO/CLIP.mp4."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from features.cards import DatasetCard, load_card
from features.errors import ManifestError, UsageError, nearest
from features.manifest import Manifest, build_manifest, frame_of
from pipeline.ingest.annotations import Row, TextRepairs, raise_problems, read_rows
from pipeline.ingest.sentiment_scores import SCALES, sign_of
from pipeline.ingest.summary import IngestSummary, finding, summarise

UNKNOWN_SPEAKER = "unknown"

_COLUMNS = ("video_id", "clip_id", "text", "label", "mode")
_SPLITS = {"train": "train", "valid": "dev", "val": "dev", "validation": "dev", "dev": "dev", "test": "test"}
_RAW = ("Raw", "raw", "wav")


@dataclass
class _Noticed:
    """What is told at the end; ids unless said otherwise."""

    repairs: TextRepairs = field(default_factory=TextRepairs)
    missing_clips: list[str] = field(default_factory=list)
    unscored: list[str] = field(default_factory=list)
    annotation_differs: list[str] = field(default_factory=list)
    outside_classes: list[str] = field(default_factory=list)
    videos: dict[str, set[str]] = field(default_factory=dict)  # video -> splits


@dataclass(frozen=True)
class _Layout:
    """How rows of one corpus are read: its card, its scale, and where clips are (None where there are none)."""

    card: DatasetCard
    limit: float
    label_of: Callable[[float], str | None]
    media_root: Path
    raw: str | None


def ingest_mmsa(
    root: str | Path, dataset: str, classes: int | None = None, media_root: str | Path | None = None
) -> tuple[Manifest, IngestSummary]:
    """A manifest of CMU-MOSEI (`mosei`) or CH-SIMS (`ch-sims`).

    root:       holds label.csv, with the columns video_id, clip_id, text, label (a score) and mode; or is that file
    classes:    of sentiment, made of the score (`sentiment_scores`): 7, 3 or 2 for mosei, 5, 3 or 2 for ch-sims; by
                default the most
    media_root: holds Raw/VIDEO/CLIP.mp4, or .wav, in a folder Raw, raw or wav; by default label.csv's folder

    `sentiment` is the score's sign, the score itself is in `note`. A video is a dialogue of mosei; clips of ch-sims are
    not told to follow each other, so each is its own. Raises ManifestError for what cannot be read, UsageError for
    another number of classes.
    """
    table = Path(root) / "label.csv" if Path(root).is_dir() else Path(root)
    scale = SCALES[dataset]
    number = max(scale.classes) if classes is None else classes
    if number not in scale.classes:
        raise UsageError(f"classes ({number}) of {dataset} must be one of {', '.join(map(str, scale.classes))}")
    labels, label_of = scale.classes[number]
    clips = Path(media_root) if media_root is not None else table.resolve().parent
    raw = next((name for name in _RAW if (clips / name).is_dir()), None)
    if media_root is not None and raw is None:
        raise ManifestError(f"{clips} holds no folder Raw: give the folder that holds Raw/VIDEO/CLIP.mp4")
    layout = _Layout(_card(dataset, labels, number), scale.limit, label_of, clips, raw)
    noticed = _Noticed()
    problems: list[str] = []
    if not table.is_file():
        raise ManifestError(f"no {table}: give the folder that holds label.csv ({layout.card.url})")
    read = [_row(record, layout, noticed, problems) for record in read_rows(table, _COLUMNS, noticed.repairs)]
    rows = [row for row in read if row is not None]
    raise_problems(table, problems)
    manifest = build_manifest(frame_of(rows), layout.card, clips if raw is not None else None)
    several = [f"{video}: {', '.join(sorted(splits))}" for video, splits in noticed.videos.items() if len(splits) > 1]
    return manifest, summarise(
        manifest,
        [
            *noticed.repairs.findings(),
            finding("videos-in-several-splits", several, "The same people and scenes are trained and tested on."),
            finding("unscored", noticed.unscored, "No score: the utterances stay, unlabelled, as context."),
            finding("outside-classes", noticed.outside_classes, "A score of 0 is in neither class: unlabelled."),
            finding("annotation-differs", noticed.annotation_differs, "`annotation` is not the sign of the score."),
            finding(
                "missing-clips", noticed.missing_clips, "Rows without their mp4 or wav: media is null, text stays."
            ),
            finding("no-clip-folder", [] if raw else [str(clips)], "No folder Raw, raw or wav there: text only."),
        ],
    )


def _card(dataset: str, labels: tuple[str, ...], number: int) -> DatasetCard:
    card = load_card(dataset)
    choice = f"This manifest: {number} classes, {', '.join(labels)}."
    neutral = card.neutral if card.neutral in labels else None
    polarity = {sign: [label for label in listed if label in labels] for sign, listed in card.polarity.items()}
    return replace(card, labels=labels, neutral=neutral, polarity=polarity, notes=(*card.notes, choice))


def _row(record: Row, layout: _Layout, noticed: _Noticed, problems: list[str]) -> dict[str, Any] | None:
    cells = {name: cell.strip() for name, cell in record.cells.items()}
    video, clip, dataset = cells["video_id"], cells["clip_id"], layout.card.dataset
    split = _SPLITS.get(cells["mode"].lower())
    known = len(problems)
    if split is None:
        problems.append(f"{record.where}: mode {cells['mode']!r}: {nearest(cells['mode'], _SPLITS)}")
    if not video or video.startswith("#"):
        problems.append(f"{record.where}: video_id {video!r}: a spreadsheet read it as a formula: get the file again")
    if not clip.isdecimal():
        problems.append(f"{record.where}: clip_id {clip!r} is not a whole number")
    score = _score(record, cells["label"], layout.limit, problems)
    if len(problems) > known or split is None:
        return None
    alone = dataset == "ch-sims"
    utterance_id = f"{dataset}/{split}/{video}/{int(clip):04d}" if alone else f"{dataset}/{split}/{video}/{int(clip)}"
    noticed.videos.setdefault(video, set()).add(split)
    notes = []
    label = layout.label_of(score) if score is not None else None
    if score is None:
        noticed.unscored.append(utterance_id)
    else:
        notes.append(f"score {score:g}")
        if label is None:
            noticed.outside_classes.append(utterance_id)
        if cells.get("annotation", "").lower() not in ("", sign_of(score)):
            noticed.annotation_differs.append(utterance_id)
    media = _media(video, clip, layout)
    if media is None and layout.raw is not None:
        noticed.missing_clips.append(utterance_id)
        notes.append(f"no file {layout.raw}/{video}/{clip}.mp4")
    return {
        "utterance_id": utterance_id,
        "dataset": dataset,
        "split": split,
        "dialogue_id": utterance_id if alone else f"{dataset}/{split}/{video}",
        "turn": 0 if alone else int(clip),
        "speaker": UNKNOWN_SPEAKER if alone else video,
        "text": cells["text"],
        "label": label,
        "sentiment": sign_of(score) if score is not None else None,
        "media": media,
        "group": video,
        "note": "; ".join(notes) or None,
    }


def _score(record: Row, text: str, limit: float, problems: list[str]) -> float | None:
    """The score; None where there is none, or with a problem."""
    if text.lower() in ("", "nan", "none"):
        return None
    try:
        score = float(text)
    except ValueError:
        score = math.inf
    if not -limit <= score <= limit:
        problems.append(f"{record.where}: label {text!r} is not a score from {-limit:g} to {limit:g}")
        return None
    return score


def _media(video: str, clip: str, layout: _Layout) -> str | None:
    """The clip's path, film or else sound; `1` is looked for as 0001, too: spreadsheets drop leading zeros."""
    if layout.raw is None:
        return None
    names = [
        f"{layout.raw}/{video}/{name}{ending}"
        for ending in (".mp4", ".wav")
        for name in dict.fromkeys([clip, f"{int(clip):04d}"])
    ]
    return next((name for name in names if (layout.media_root / name).is_file()), None)
