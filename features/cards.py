"""Dataset cards: what a corpus is, where it is to be had, its labels, and the clips known to be wrong.

The cards that ship are YAML files in `data_manifests/`. A manifest written as Parquet carries its card; one that is CSV or
JSONL gets the shipped card of its `dataset`, where there is one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from importlib import resources
from typing import Any

import yaml

from features.errors import ManifestError, nearest


@dataclass(frozen=True)
class DatasetCard:
    """Facts about a corpus that its rows do not say.

    labels:     emotions in the order that every metric and report uses
    neutral:    the label of the always-neutral baseline, or None
    known_bad:  utterance_id -> why its clip must not be used (its text still may)
    counts:     split -> utterances, as published; ingest says where they differ
    synthetic:  a generated corpus: whatever is made from it must say so
    """

    dataset: str
    title: str = ""
    labels: tuple[str, ...] = ()
    neutral: str | None = None
    url: str = ""
    licence: str = ""
    citation: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    folders: dict[str, list[str]] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    known_bad: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    synthetic: bool = False

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict; `DatasetCard.from_dict` reads it back."""
        return asdict(self) | {"labels": list(self.labels), "notes": list(self.notes)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DatasetCard:
        """Raises ManifestError for a key that cards do not have."""
        known = set(cls.__dataclass_fields__)
        for key in values:
            if key not in known:
                raise ManifestError(f"dataset card has an unknown key {key!r}: {nearest(key, known)}")
        if "dataset" not in values:
            raise ManifestError("dataset card has no 'dataset' key: give the corpus a name")
        return cls(
            **values
            | {"labels": tuple(values.get("labels") or ()), "notes": tuple(values.get("notes") or ())}
        )


def shipped_cards() -> list[str]:
    """Names of the cards in `data_manifests/`."""
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in resources.files("data_manifests").iterdir()
        if entry.name.endswith(".yaml")
    )


def load_card(dataset: str) -> DatasetCard:
    """The shipped card of a corpus. Raises ManifestError for a name that has none."""
    names = shipped_cards()
    if dataset not in names:
        raise ManifestError(f"no dataset card {dataset!r} in data_manifests/: {nearest(dataset, names)}")
    text = resources.files("data_manifests").joinpath(f"{dataset}.yaml").read_text(encoding="utf-8")
    return DatasetCard.from_dict(yaml.safe_load(text))
