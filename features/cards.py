"""Dataset cards: what a corpus is, where it is to be had, its labels, and the clips known to be wrong.

The cards that ship are YAML files in `data_manifests/`. A manifest written as Parquet carries its card; one that is CSV
or JSONL gets the shipped card of its `dataset`, where there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib import resources
from typing import Any

import yaml

from features.errors import ManifestError, nearest

HEADLINES = (
    "weighted_f1", "macro_f1", "accuracy", "micro_f1_without_neutral", "unweighted_average_recall", "binary_accuracy",
)  # fmt: skip

_LISTS = ("labels", "leads", "notes")


@dataclass(frozen=True)
class DatasetCard:
    """Facts about a corpus that its rows do not say.

    labels:     emotions in the order that every metric and report uses
    neutral:    the label of the always-neutral baseline, one of `labels`, or None
    counts:     split -> utterances, as published, or `all` -> those of the whole corpus; ingest says where they differ
    folders:    split -> names of the folders that hold its clips
    checksums:  file name -> sha256 of the annotation file that this card was written from
    known_bad:  utterance_id -> why its clip must not be used (its text still may)
    leads:      the main speakers, whose scores are reported apart from all others'; () where there are none
    notes:      what a user of the corpus should know, a sentence or two each
    synthetic:  a generated corpus: whatever is made from it must say so
    headline:   the score that the field judges this corpus by, one of HEADLINES
    polarity:   `negative` and `positive` -> the labels that count as such, for the accuracy of two classes
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
    leads: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    synthetic: bool = False
    headline: str = "weighted_f1"
    polarity: dict[str, list[str]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict; `DatasetCard.from_dict` reads it back."""
        return asdict(self) | {key: list(getattr(self, key)) for key in _LISTS}

    @classmethod
    def from_dict(cls, values: Any, where: str = "dataset card") -> DatasetCard:
        """Check and build a card; a key left empty (YAML's null) takes its default.

        Raises ManifestError that lists every unknown key, value of a wrong type and repeated label.
        """
        if not isinstance(values, dict):
            raise ManifestError(f"{where}: is not a mapping of keys to values")
        given = {key: value for key, value in values.items() if value is not None}
        problems = _problems(given)
        if problems:
            raise ManifestError(f"{where}: {'; '.join(problems)}", problems)
        sequences = {key: tuple(given.get(key, ())) for key in _LISTS}
        return cls(**given | sequences)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(map(_is_text, value))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _mapping_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(_is_text(key) and check(item) for key, item in value.items())


_TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "dataset": (_is_text, "text"),
    "title": (_is_text, "text"),
    "labels": (_is_texts, "a list of texts"),
    "neutral": (_is_text, "text"),
    "url": (_is_text, "text"),
    "licence": (_is_text, "text"),
    "citation": (_is_text, "text"),
    "counts": (_mapping_of(_is_count), "a mapping of splits to whole numbers"),
    "folders": (_mapping_of(_is_texts), "a mapping of splits to lists of folder names"),
    "checksums": (_mapping_of(_is_text), "a mapping of file names to sha256"),
    "known_bad": (_mapping_of(_is_text), "a mapping of utterance ids to reasons"),
    "leads": (_is_texts, "a list of texts"),
    "notes": (_is_texts, "a list of texts"),
    "synthetic": (lambda value: isinstance(value, bool), "true or false"),
    "headline": (lambda value: value in HEADLINES, f"one of {', '.join(HEADLINES)}"),
    "polarity": (_mapping_of(_is_texts), "a mapping of negative and positive to lists of labels"),
}


def _problems(given: dict[Any, Any]) -> list[str]:
    problems = []
    for key, value in given.items():
        if key not in _TYPES:
            problems.append(f"unknown key {key!r}: {nearest(str(key), _TYPES)}")
        elif not _TYPES[key][0](value):
            problems.append(f"{key} must be {_TYPES[key][1]}, not {value!r}")
    if "dataset" not in given:
        problems.append("no 'dataset' key: give the corpus a name")
    if not problems:
        labels = given.get("labels", ())
        repeated = sorted({label for label in labels if labels.count(label) > 1})
        if repeated:
            problems.append(f"labels hold {', '.join(map(repr, repeated))} more than once")
        neutral = given.get("neutral")
        if neutral is not None and labels and neutral not in labels:
            problems.append(f"neutral {neutral!r} is not one of the labels: {nearest(neutral, labels)}")
    return problems


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
    where = f"{dataset}.yaml"
    text = resources.files("data_manifests").joinpath(where).read_text(encoding="utf-8")
    return DatasetCard.from_dict(yaml.safe_load(text), where)
