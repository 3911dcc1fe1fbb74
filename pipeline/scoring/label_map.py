"""The labels of another corpus as those that a run was trained on: `--labels-map`, and manifests without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path

import polars as pl

from features.errors import ConfigError, RunError, UsageError, nearest
from features.manifest import Manifest

LabelMap = Mapping[str, str | None]
"""Label of the scored corpus -> label of the run, or None where its utterances are to be left out."""

_FOLDER = "suites/label-maps"
_OPTION = "--labels-map"
_SHOWN = 12  # labels of a message


def shipped_maps() -> list[str]:
    """Names of the maps in heads/suites/label-maps/."""
    folder = resources.files("heads").joinpath(_FOLDER)
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def read_label_map(source: str) -> LabelMap:
    """`joyful=joy,mad=anger`, or YAML that says the same: a file, or the name of a map that ships.

    Several labels may go to one; nothing after `=` (in YAML, after `:`) leaves a label out.
    Raises UsageError for what is none of these, and for a label that is given twice.
    """
    path = Path(source)
    if path.is_file():
        try:
            return _from_yaml(path.read_text(encoding="utf-8"), source)
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{_OPTION} {source}: cannot be read: {error}") from error
    if "=" in source:
        return _from_pairs(source)
    if source in shipped_maps():
        text = resources.files("heads").joinpath(_FOLDER, f"{source}.yaml").read_text(encoding="utf-8")
        return _from_yaml(text, source)
    raise UsageError(
        f"{_OPTION} {source!r}: is neither a file, nor a map that ships ({', '.join(shipped_maps())}), nor pairs: write"
        " THEIRS=OURS with commas between, as in joyful=joy,mad=anger"
    )


def _from_pairs(text: str) -> LabelMap:
    found: dict[str, str | None] = {}
    for pair in text.split(","):
        theirs, separator, ours = (part.strip() for part in pair.partition("="))
        if not separator or not theirs:
            raise UsageError(
                f"{_OPTION}: {pair.strip()!r} is not THEIRS=OURS: write joyful=joy,mad=anger, or a YAML file where a"
                " label has a comma or '='"
            )
        if theirs in found:
            raise UsageError(f"{_OPTION}: label {theirs!r} is given twice: give it once")
        found[theirs] = ours or None
    return found


def _from_yaml(text: str, where: str) -> LabelMap:
    from heads.config.strict_yaml import parse_yaml

    try:
        content = parse_yaml(text, where)
    except ConfigError as error:
        raise UsageError(f"{_OPTION} {error}") from error
    if not isinstance(content, dict) or not content:
        raise UsageError(f"{_OPTION} {where}: must be a mapping, a line a label: `joyful: joy`")
    return {_text(theirs, where): None if ours is None else _text(ours, where) for theirs, ours in content.items()}


def _text(value: object, where: str) -> str:
    """A label as YAML has it: text, or a whole number, which is a label of numbered classes."""
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    raise UsageError(f"{_OPTION} {where}: {value!r} is not a label: put it in quotes if it is meant as text")


@dataclass(frozen=True)
class Fitted:
    """rows: with the labels of the run, null where there is none; theirs: the manifest's own label of each row.

    used: label -> label of the run, of the map; left_out: label -> utterances of the split, of those mapped to none
    """

    rows: Manifest
    theirs: pl.Series
    used: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)


def fit_labels(rows: Manifest, labels: Sequence[str], neutral: str | None, mapping: LabelMap | None) -> Fitted:
    """The rows of a split with the labels of a run. Labels are joined by name, whatever their order in the manifest.

    Raises RunError where a label that occurs is not one of the run's and there is no map, and UsageError for a map that
    names a label that one side does not have, or that reaches none of the labels that occur.
    """
    card = replace(rows.card, labels=tuple(labels), neutral=neutral)
    theirs = rows.frame["label"]
    occurring = theirs.drop_nulls().unique(maintain_order=True).to_list()
    if mapping is None or _is_identity(mapping, rows.card.labels, labels):
        unknown = [label for label in occurring if label not in labels]
        if unknown:
            raise RunError(_refusal(rows, labels, occurring))
        same = tuple(labels) == rows.card.labels
        return Fitted(rows if same else replace(rows, card=card), theirs)
    _check(mapping, [*rows.card.labels, *occurring], labels, rows)
    used = {name: ours for name, ours in mapping.items() if ours is not None}
    if occurring and not used.keys() & set(occurring):
        raise UsageError(f"{_OPTION}: maps none of the labels that occur: {', '.join(sorted(occurring))}")
    mapped = theirs.replace_strict(used, default=None, return_dtype=pl.String)
    counts = dict(theirs.filter(theirs.is_not_null() & mapped.is_null()).value_counts().iter_rows())
    frame = rows.frame.with_columns(mapped.alias("label"))
    left_out = {label: counts[label] for label in sorted(counts)}
    return Fitted(replace(rows, frame=frame, card=card), theirs, used, left_out)


def _is_identity(mapping: LabelMap, theirs: Sequence[str], ours: Sequence[str]) -> bool:
    return set(theirs) == set(ours) and all(mapping.get(label) == label for label in ours)


def _check(mapping: LabelMap, theirs: Sequence[str], ours: Sequence[str], rows: Manifest) -> None:
    for name, target in mapping.items():
        if name not in theirs:
            raise UsageError(
                f"{_OPTION}: no label {name!r} in {rows.path}: {nearest(name, list(dict.fromkeys(theirs)))}"
            )
        if target is not None and target not in ours:
            raise UsageError(f"{_OPTION} {name}={target}: the run has no label {target!r}: {nearest(target, ours)}")


def _refusal(rows: Manifest, labels: Sequence[str], occurring: Sequence[str]) -> str:
    known = rows.card.labels or tuple(sorted(occurring))
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    pairs = ",".join(f"{label}={label if label in labels else ''}" for label in known[:_SHOWN])
    pairs += ",..." if more else ""
    return (
        f"trained on the labels {', '.join(labels)}, but {rows.path} has {', '.join(known[:_SHOWN])}{more}: give the"
        f" manifest of the same corpus, or say which label is which with {_OPTION} '{pairs}' (nothing after = leaves a"
        " label out)"
    )
