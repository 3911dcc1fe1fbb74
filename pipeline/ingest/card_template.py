"""A dataset card to begin with: what was found in a corpus, and a comment on all that a card may say."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from features.cards import DatasetCard
from features.errors import ManifestError, UsageError
from features.files import write_whole
from features.manifest import Manifest, known_speaker

_SHOWN_SPEAKERS = 8
_LONG_TEXT = 40  # a list of longer texts has a line for each

_COMMENTS = {
    "dataset": "The corpus' name: the first part of the ids that ingest makes. Another name needs another extraction.",
    "title": "As reports call it.",
    "labels": "In the order of every table and figure; rows with another are refused. Numbers, yes and no in quotes.",
    "neutral": "The label that the baseline always says, one of the labels; left empty, the baseline is the majority.",
    "url": "Where the corpus is to be had.",
    "licence": "",
    "citation": "",
    "counts": "Split (or `all`): how many utterances the corpus' authors count; ingest says where a table differs.",
    "folders": "Split: [folders of clips]; only shipped cards need it.",
    "checksums": "File name: sha256 of the annotation file that this card was written from.",
    "known_bad": "Utterance id: why its clip must not be used. Its sound and picture are left out, its text stays.",
    "leads": "Main speakers, whose scores are reported apart from all others'.",
    "notes": "What a user of the corpus should know, a sentence or two each.",
    "headline": "The score that the corpus is judged by; an unknown one is refused with the names of all.",
    "polarity": "negative: [labels], positive: [labels], for the accuracy of two classes.",
    "downloads": "Where `erc download FILE` has the corpus from: see docs/corpora.md.",
    "synthetic": "true for a generated corpus: reports then say that their scores mean nothing.",
}


def check_is_new(path: Path | None) -> None:
    """Raises UsageError where a file is there already: it may be a card that somebody has filled in."""
    if path is not None and path.exists():
        raise UsageError(f"--write-card {path}: already exists, and is not overwritten: give another file")


def write_card_template(manifest: Manifest, path: Path) -> None:
    """Write the manifest's card as commented YAML, which `features.cards.read_card` reads back as the same card."""
    text = _text(manifest)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise ManifestError(f"{path}: cannot be written: {error.strerror or error}") from error


def _text(manifest: Manifest) -> str:
    values = vars(manifest.card) | manifest.card.to_dict()  # a dict leaves out what is as usual
    if manifest.card.downloads is not None:
        values["downloads"] = manifest.card.downloads.model_dump(mode="json", exclude_defaults=True)
    found = _found(manifest)
    parts = [
        "# A dataset card: fill it in and give it as `erc ingest table ... --card FILE`. What is empty is not said.\n"
    ]
    for field in fields(DatasetCard):
        value = values.get(field.name, getattr(manifest.card, field.name))
        comments = [line for line in (_COMMENTS.get(field.name), found.get(field.name)) if line]
        parts.append("".join(f"# {line}\n" for line in comments) + _dumped(field.name, value))
    return "\n".join(parts)


def _found(manifest: Manifest) -> dict[str, str]:
    """What the rows say that a card may, as comments."""
    frame = manifest.frame
    names = frame.select(known_speaker().str.strip_chars())["speaker"]
    speakers = Counter(name for name in names if name).most_common(_SHOWN_SPEAKERS)
    labels, splits = Counter(frame["label"].drop_nulls()), Counter(frame["split"])
    counted = {
        "labels": [(label, labels[label]) for label in manifest.card.labels],
        "counts": list(splits.items()),
        "leads": speakers,
    }
    shown = {
        name: ", ".join(" ".join(f"{what} {count}".split()) for what, count in items) for name, items in counted.items()
    }
    return {name: f"Found: {text}" for name, text in shown.items() if text}


def _dumped(name: str, value: Any) -> str:
    if not value:
        return f"{name}:\n"
    flow = isinstance(value, list) and max(map(len, value)) < _LONG_TEXT
    text: str = yaml.safe_dump(value if flow else {name: value}, allow_unicode=True, sort_keys=False, width=110,
                               default_flow_style=flow)  # fmt: skip
    return f"{name}: {text}" if flow else text
