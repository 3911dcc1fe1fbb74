"""One dataset card of several, where they do not contradict each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from features.cards import DatasetCard, neutral_of
from features.errors import UsageError

_TOGETHER = ("leads", "notes")
_ONE_AFTER_THE_OTHER = {"title": " + ", "url": "; ", "licence": "; ", "citation": "; "}
_OF_ONE_CORPUS = ("counts", "folders")


def merge_cards(
    cards: Sequence[DatasetCard],
    dataset: str | None = None,
    labels: Sequence[str] | None = None,
    neutral: str | None = None,
) -> DatasetCard:
    """The card of a merged manifest.

    dataset: by default the cards' one name, else all joined by `+`. labels, neutral: as --labels and --neutral say
    Raises UsageError where the cards contradict each other, with what would settle it.
    """
    names = list(dict.fromkeys(card.dataset for card in cards))
    values: dict[str, Any] = {}
    for field in fields(DatasetCard):
        given = [getattr(card, field.name) for card in cards]
        if field.name in _TOGETHER:
            values[field.name] = tuple(dict.fromkeys(item for items in given for item in items))
        elif field.name in _ONE_AFTER_THE_OTHER:
            values[field.name] = _ONE_AFTER_THE_OTHER[field.name].join(dict.fromkeys(filter(None, given)))
        elif field.name in _OF_ONE_CORPUS and len(names) > 1:
            continue  # of splits that each corpus has
        elif field.name not in ("dataset", "labels", "neutral", "synthetic", "downloads"):
            values[field.name] = _agreed(field.name, given)
    values["dataset"] = dataset or "+".join(names)
    values["labels"] = tuple(labels) if labels else _labels(cards)
    values["synthetic"] = any(card.synthetic for card in cards)
    values["neutral"] = _neutral(cards, values["labels"]) if neutral is None else None
    return DatasetCard(**values)


def _agreed(name: str, given: Sequence[Any]) -> Any:
    """The one value, or all keys of mappings. Raises UsageError where two say different things."""
    said = [value for value in given if value]
    if not said:
        return given[0]
    merged = said[0]
    for value in said[1:]:
        if isinstance(merged, dict) and isinstance(value, dict):
            if any(merged.get(key, item) != item for key, item in value.items()):
                raise _contradiction(name, merged, value)
            merged = merged | value
        elif value != merged:
            raise _contradiction(name, merged, value)
    return merged


def _contradiction(name: str, first: Any, second: Any) -> UsageError:
    return UsageError(f"the cards say different things of {name}, {first!r} and {second!r}: give one --card FILE.yaml")


def _labels(cards: Sequence[DatasetCard]) -> tuple[str, ...]:
    """Those of the card that has all of the others'."""
    widest = max(cards, key=lambda card: len(card.labels))
    for card in cards:
        kept = [label for label in widest.labels if label in card.labels]
        if kept != list(card.labels):
            shown = [", ".join(one.labels) for one in (widest, card)]
            raise UsageError(
                f"the manifests do not have the same labels in the same order ({shown[0]}; {shown[1]}): give --labels"
                " A,B,... or --card FILE.yaml; where a corpus names an emotion otherwise, rename it in its table first"
            )
    return widest.labels


def _neutral(cards: Sequence[DatasetCard], labels: Sequence[str]) -> str | None:
    found = list(dict.fromkeys(card.neutral for card in cards if card.neutral in labels))
    if len(found) > 1:
        raise UsageError(
            f"the cards name different labels neutral, {' and '.join(map(repr, found))}: give --neutral LABEL"
        )
    return found[0] if found else neutral_of(labels)
