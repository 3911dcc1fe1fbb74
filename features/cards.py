"""Dataset cards: what a corpus is, where it is to be had, its labels, and the clips known to be wrong.

The cards that ship are YAML files in `data_manifests/`. A manifest written as Parquet carries its card; one that is CSV
or JSONL gets the shipped card of its `dataset`, where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from features.errors import ManifestError, nearest

if TYPE_CHECKING:
    from features.card_downloads import Downloads

_LISTS = ("labels", "leads", "notes")

WEIGHTED_F1 = "weighted_f1"
HEADLINES = {
    WEIGHTED_F1: "weighted F1",
    "macro_f1": "macro F1",
    "accuracy": "accuracy",
    "micro_f1_without_neutral": "micro F1 without neutral",
    "unweighted_average_recall": "unweighted average recall",
    "binary_accuracy": "accuracy of two classes",
}
"""The scores that a corpus can be judged by, as they are told; `heads.criterion` says how each is computed."""
SIDES = ("negative", "positive")


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
    headline:   the score that the corpus is judged by, one of HEADLINES: it chooses epochs and ranks runs
    polarity:   `negative` and `positive` -> labels of that side, for the accuracy of two classes; {} for none
    downloads:  where `erc download` has it from, or None; manifests do not carry it
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
    headline: str = WEIGHTED_F1
    polarity: dict[str, list[str]] = field(default_factory=dict)
    downloads: Downloads | None = field(default=None, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict; `DatasetCard.from_dict` reads it back.

        Without the headline where it is weighted F1 and the polarity where there is none, so that manifests of such
        corpora keep their bytes.
        """
        values = asdict(self) | {key: list(getattr(self, key)) for key in _LISTS}
        usual = {"headline": WEIGHTED_F1, "polarity": {}}
        return {key: value for key, value in values.items() if key != "downloads" and usual.get(key) != value}

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
        given |= {key: tuple(given.get(key, ())) for key in _LISTS}
        if "downloads" in given:
            from features.card_downloads import read_downloads

            given["downloads"] = read_downloads(given["downloads"])
        return cls(**given)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(map(_is_text, value))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _mapping_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(_is_text(key) and check(item) for key, item in value.items())


def _quotes(value: Any) -> str:
    """The mend where YAML took an unquoted word of a list, such as 3 or no, for something else than text."""
    items = value if isinstance(value, list) else [value]
    is_word = any(isinstance(item, bool | int | float) for item in items)
    return ": put quotes around numbers, yes and no that are texts" if is_word else ""


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
    "headline": (_is_text, "text"),
    "polarity": (_mapping_of(_is_texts), "a mapping of negative and positive to lists of labels"),
}


def _problems(given: dict[Any, Any]) -> list[str]:
    problems = []
    for key, value in given.items():
        if key == "downloads":
            from features.card_downloads import downloads_problems

            problems += downloads_problems(value)
        elif key not in _TYPES:
            problems.append(f"unknown key {key!r}: {nearest(str(key), [*_TYPES, 'downloads'])}")
        elif not _TYPES[key][0](value):
            problems.append(f"{key} must be {_TYPES[key][1]}, not {value!r}{_quotes(value)}")
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
        problems += [*_polarity_problems(given.get("polarity"), labels), *_headline_problems(given)]
    return problems


def _headline_problems(given: dict[Any, Any]) -> list[str]:
    """A headline that does not exist, or that the card gives too little to compute."""
    name = given.get("headline", WEIGHTED_F1)
    if name not in HEADLINES:
        return [f"headline {name!r} is no score: {nearest(name, HEADLINES)}"]
    if name == "micro_f1_without_neutral":
        if given.get("neutral") is None:
            return [f"headline {name} needs to know the neutral label: add `neutral: LABEL`"]
        if len(given.get("labels", ())) == 1:
            return [f"headline {name} has nothing to score: {given['neutral']!r} is the only label"]
    if name == "binary_accuracy" and not given.get("polarity"):
        sides = "{negative: [LABEL, ...], positive: [LABEL, ...]}"
        return [f"headline {name} needs to know the labels of either side: add `polarity: {sides}`"]
    return []


def _polarity_problems(polarity: dict[str, Any] | None, labels: Any) -> list[str]:
    if not polarity:
        return []
    problems = [f"polarity has no side {side!r}: {nearest(side, SIDES)}" for side in polarity if side not in SIDES]
    problems += [f"polarity gives no {side} label: name one or more" for side in SIDES if not polarity.get(side)]
    named = [label for side in SIDES for label in polarity.get(side) or ()]
    twice = sorted({label for label in named if named.count(label) > 1})
    if twice:
        problems.append(f"polarity holds {', '.join(map(repr, twice))} more than once")
    unknown = [label for label in dict.fromkeys(named) if labels and label not in labels]
    return problems + [f"polarity {label!r} is not one of the labels: {nearest(label, labels)}" for label in unknown]


def neutral_of(labels: Sequence[str]) -> str | None:
    """The label that is spelt `neutral`, in any case; None where there is none, or several. Nothing is guessed."""
    found = [label for label in labels if label.strip().casefold() == "neutral"]
    exact = [label for label in found if label == "neutral"]
    return (exact or found)[0] if len(exact or found) == 1 else None


def shipped_cards() -> list[str]:
    """Names of the cards in `data_manifests/`."""
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in resources.files("data_manifests").iterdir()
        if entry.name.endswith(".yaml")
    )


def read_card(path: Path) -> DatasetCard:
    """A card of one's own, from a YAML file. Raises ManifestError as for a shipped card, with the file's name."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise ManifestError(
            f"{path}: cannot be read: {reason}: give a dataset card (`erc ingest table`'s"
            " --write-card FILE.yaml begins one)"
        ) from error
    except yaml.YAMLError as error:
        raise ManifestError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    return DatasetCard.from_dict(values, str(path))


def load_card(dataset: str) -> DatasetCard:
    """The shipped card of a corpus. Raises ManifestError for a name that has none."""
    names = shipped_cards()
    if dataset not in names:
        raise ManifestError(f"no dataset card {dataset!r} in data_manifests/: {nearest(dataset, names)}")
    where = f"{dataset}.yaml"
    text = resources.files("data_manifests").joinpath(where).read_text(encoding="utf-8")
    return DatasetCard.from_dict(yaml.safe_load(text), where)
