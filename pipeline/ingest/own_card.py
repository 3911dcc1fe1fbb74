"""The dataset card of a table: one of the user's own, a shipped one, or one made of what was found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from features.cards import DatasetCard, load_card, neutral_of, read_card, shipped_cards
from features.errors import UsageError, nearest
from pipeline.ingest.labels import sorted_labels
from pipeline.ingest.summary import Finding, finding

_CHANGED = "the dataset card, with these labels"


def given_card(path: Path | None, dataset: str | None) -> DatasetCard | None:
    """The card that --card or --dataset names, or None. Raises UsageError where the two are at odds."""
    if path is not None:
        card = read_card(path)
        if dataset is not None and dataset != card.dataset:
            raise UsageError(
                f"{path} is the card of {card.dataset!r}, and --dataset says {dataset!r}: give one of them"
            )
        return card
    return load_card(dataset) if dataset in shipped_cards() else None


def card_of(
    card: DatasetCard | None, datasets: Iterable[str], found: Iterable[str], labels: Sequence[str] | None
) -> DatasetCard:
    """The given card, else the shipped one of the only dataset, else a new one with the labels that were found.

    labels: of --labels: they replace the card's. Raises UsageError where they name one twice
    """
    repeated = [label for label in labels or () if list(labels or ()).count(label) > 1]
    if repeated:
        raise UsageError(f"--labels names {repeated[0]!r} more than once")
    if card is None:
        name = "+".join(sorted(set(datasets))) or "unnamed"
        card = load_card(name) if name in shipped_cards() else DatasetCard(dataset=name, title=name)
    chosen = tuple(labels) if labels else card.labels or sorted_labels(found)
    kept = card.neutral if card.neutral in chosen else neutral_of(chosen)
    return replace(card, labels=chosen, neutral=kept)


def with_neutral(card: DatasetCard, neutral: str | None) -> DatasetCard:
    """The card with --neutral's label, whose case need not be the label's, checked as one from a file is.

    Raises UsageError for a label that is none, and ManifestError where the card no longer fits its labels.
    """
    if neutral is None:
        return DatasetCard.from_dict(card.to_dict(), _CHANGED)
    fold = neutral.strip().casefold()
    found = [label for label in card.labels if label == neutral] or [
        label for label in card.labels if label.casefold() == fold
    ]
    if len(found) != 1:
        raise UsageError(f"--neutral {neutral!r} is not one of the labels: {nearest(neutral, card.labels)}")
    return DatasetCard.from_dict(replace(card, neutral=found[0]).to_dict(), _CHANGED)


def card_findings(card: DatasetCard, frame: pl.DataFrame) -> list[Finding]:
    """What a card of one's own says of rows that are not there, and how many clips it masks; only what there is."""
    ids, speakers = set(frame["utterance_id"]), set(frame["speaker"].str.strip_chars())
    found = [
        finding(
            "known-bad",
            [name for name in card.known_bad if name in ids],
            "The card says why: extraction masks their sound and picture, not their text.",
        ),
        finding(
            "known-bad-without-rows",
            [name for name in card.known_bad if name not in ids],
            "Ids of the card's known_bad that no row has: nothing is masked for them.",
        ),
        finding("leads-without-rows", [name for name in card.leads if name not in speakers], "Leads who never speak."),
    ]
    return [item for item in found if item.count]
