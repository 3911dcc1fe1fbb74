"""Slices of a split: the utterances that have something in common, such as a change of emotion, and the scores on each.

Only labelled utterances count. The slices of a group do not overlap, but for those of `input`, where an utterance can
lack two modalities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from features.manifest import Manifest, known_speaker
from features.spec import MODALITIES
from heads.metrics import over_known, over_seeds, scores_of_confusions

SECONDS = pl.coalesce("duration", pl.col("end") - pl.col("start"))
"""How long an utterance is: as the manifest says, else between its ends; null where it says neither."""

_TURNS = ("0", "1-4", "5-9", "10-")
_DURATIONS = ("under 1 s", "1-2 s", "2-4 s", "4 s and more", "unknown")
_NAMES: dict[str, tuple[str, ...]] = {
    "emotion-shift": ("shift", "no-shift", "first-turn-of-speaker"),
    "turn": _TURNS,
    "duration": _DURATIONS,
    "speaker": ("lead", "other"),
    "speaker-in-train": ("seen in train", "not seen in train"),
    "text-in-train": ("verbatim", "new"),
}


def attributes(manifest: Manifest, split: str) -> pl.DataFrame:
    """One line an utterance of the split: utterance_id, and for each group the name of its slice, or null for none.

    emotion-shift:    whether the gold label is another than that of the same speaker's previous utterance in the
                      dialogue; null where one of the two has no label or the speaker names nobody
    turn:             the place within the dialogue, from 0 on, gaps of the manifest's numbers closed
    duration:         seconds: the manifest's `duration`, else `end` - `start`
    speaker:          whether the dataset card names the speaker as one of its leads; null where the card names none
    speaker-in-train, text-in-train: whether any train utterance has the same speaker, or the same text apart from white
                      space around it; null for a blank one, on train itself, and where the manifest has no train split
    """
    frame = manifest.frame.filter(pl.col("split") == split)
    train = manifest.frame.filter(pl.col("split") == "train")
    has_train = bool(train.height) and split != "train"
    speaker = known_speaker().str.strip_chars()
    text = pl.col("text").str.strip_chars()
    named, spoken = pl.when(speaker != ""), pl.when(text != "")
    earlier = pl.col("label").shift(1).over("dialogue_id", speaker)
    first = pl.int_range(pl.len()).over("dialogue_id", speaker) == 0
    shifts = (
        pl.when(pl.col("label").is_null() | (speaker == ""))
        .then(None)
        .when(first)
        .then(pl.lit("first-turn-of-speaker"))
        .when(earlier != pl.col("label"))
        .then(pl.lit("shift"))
        .when(earlier == pl.col("label"))
        .then(pl.lit("no-shift"))
    )
    place = pl.int_range(pl.len()).over("dialogue_id")
    known = set(train.select(speaker)["speaker"])
    said = set(train["text"].str.strip_chars())
    leads = manifest.card.leads
    nothing = pl.lit(None, pl.String)
    return frame.select(
        "utterance_id",
        shifts.alias("emotion-shift"),
        _cut(place, (1, 5, 10), _TURNS).alias("turn"),
        _cut(SECONDS, (1.0, 2.0, 4.0), _DURATIONS[:-1]).fill_null("unknown").alias("duration"),
        (named.then(_either(speaker.is_in(leads), "speaker")) if leads else nothing).alias("speaker"),
        (named.then(_either(speaker.is_in(known), "speaker-in-train")) if has_train else nothing).alias(
            "speaker-in-train"
        ),
        (spoken.then(_either(text.is_in(said), "text-in-train")) if has_train else nothing).alias("text-in-train"),
    )


def _cut(value: pl.Expr, edges: Sequence[float], names: Sequence[str]) -> pl.Expr:
    """The name of the interval that a value lies in; each begins with its edge, the first with nothing."""
    chain: Any = pl
    for edge, name in zip(edges, names, strict=False):
        chain = chain.when(value < edge).then(pl.lit(name))
    cut: pl.Expr = chain.when(value >= edges[-1]).then(pl.lit(names[-1]))
    return cut


def _either(condition: pl.Expr, group: str) -> pl.Expr:
    yes, no = _NAMES[group]
    return pl.when(condition).then(pl.lit(yes)).otherwise(pl.lit(no))


def score_slices(
    table: pl.DataFrame | None,
    first: pl.DataFrame,
    gold: np.ndarray,
    predictions: Sequence[np.ndarray],
    num_classes: int,
    judge: Callable[[int, np.ndarray], float | None] | None = None,
) -> list[dict[str, Any]]:
    """The entries of `slices` in metrics-SPLIT.json: utterances, and weighted F1 and accuracy over the seeds.

    table:       `attributes` of the split, joined by utterance id; None leaves only the slices by input
    first:       one seed's predictions of the n labelled utterances
    gold:        int [n]; predictions: int [n] of each seed
    judge:       gives the score that the corpus is judged by, where it is not weighted F1, of the seed at a place and
                 of the utterances of a mask, bool [n]; None where it cannot be computed
    Weighted F1 is over all labels, each with the support that it has within the slice.
    """
    found = [(group, name, mask) for group, name, mask in masks(table, first) if mask.any()]
    cells = num_classes * num_classes
    flat = [gold * num_classes + predicted for predicted in predictions]
    confusions = np.array(
        [[np.bincount(cell[mask], minlength=cells) for cell in flat] for _, _, mask in found], dtype=np.int64
    ).reshape(len(found), len(flat), num_classes, num_classes)
    weighted, accuracy = scores_of_confusions(confusions)
    return [
        {
            "group": group,
            "name": name,
            "utterances": int(mask.sum()),
            "weighted_f1": over_seeds(weighted[place].tolist()),
            "accuracy": over_seeds(accuracy[place].tolist()),
            "headline": over_known([judge(seed, mask) for seed in range(len(flat))]) if judge else None,
        }
        for place, (group, name, mask) in enumerate(found)
    ]


def masks(table: pl.DataFrame | None, first: pl.DataFrame) -> Iterator[tuple[str, str, np.ndarray]]:
    """(group, name, bool [n]) of every slice, in the order of the report. Arguments as of `score_slices`."""
    if table is not None:
        joined = first.select("utterance_id").join(table, on="utterance_id", how="left", maintain_order="left")
        for group, names in _NAMES.items():
            for name in names:
                yield group, name, (joined[group] == name).fill_null(False).to_numpy()
    yield "input", "all there", (first["missing"].list.len() == 0).to_numpy()
    for modality in MODALITIES:
        yield "input", f"{modality} missing", first["missing"].list.contains(modality).to_numpy()
    yield "input", "nothing there", first["no_input"].to_numpy()
