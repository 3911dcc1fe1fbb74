"""Splits as files name them, and a dev split cut out of train where there is none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from features.errors import ManifestError, UsageError, nearest
from features.manifest import Manifest
from pipeline.ingest.summary import Finding

SPLITS = ("train", "dev", "test")

_NAMES = {
    "train": ("train", "training", "trn", "trainset", "trainingset"),
    "dev": ("dev", "devel", "development", "devset", "valid", "val", "validate", "validation", "validset", "eval",
            "evaluation"),
    "test": ("test", "testing", "tst", "testset"),
}  # fmt: skip
_MEANT = {name: split for split, names in _NAMES.items() for name in names}
SPLIT_WORDS = frozenset(_MEANT)


def meant_split(name: str) -> str | None:
    """train, dev or test where a name is another spelling of one (`valid`, `Testing`, `train_set`), else None."""
    return _MEANT.get(re.sub(r"[\s_-]", "", name).casefold())


def split_of_file(path: Path) -> str | None:
    """The split that a file's name tells by one of its words, as `emorynlp_dev_final.csv`; None for none or several."""
    words = [word for word in re.split(r"[^A-Za-z]+", path.stem) if word]
    found = {_MEANT[word.casefold()] for word in words if word.casefold() in _MEANT}
    return found.pop() if len(found) == 1 else None


def name_splits(
    names: Sequence[str | None], places: Sequence[str], given: Mapping[str, str]
) -> tuple[list[str | None], list[Finding]]:
    """The splits under the names that the commands know, and which were renamed.

    given: the file's name -> ours, of --split-map. Raises UsageError for a name that no row has, and where two names
    would become one split without --split-map having said so; an empty cell stays for the manifest's own check.
    """
    spelt = [None if name is None or not name.strip() else name.strip() for name in names]
    found = list(dict.fromkeys(name for name in spelt if name is not None))
    unknown = [name for name in given if name not in found]
    if unknown:
        raise UsageError(f"--split-map {unknown[0]}: no row has that split: {nearest(unknown[0], found)}")
    chosen = {name: meant_split(given.get(name, name)) or given.get(name, name) for name in found}
    for split in dict.fromkeys(chosen.values()):
        theirs = [name for name in found if chosen[name] == split]
        guessed = {name.casefold() for name in theirs if name not in given}
        if len(guessed) > 1 or (guessed - {split} and any(name in given for name in theirs)):
            raise UsageError(
                f"splits {' and '.join(map(repr, theirs))} would both be {split!r}: say what each is with --split-map,"
                f" as {theirs[0]}={split},{theirs[1]}=..."
            )
    counts = {name: spelt.count(name) for name in found if chosen[name] != name}
    renamed = [f"{name} -> {chosen[name]} {count}" for name, count in counts.items()]
    finding = Finding(
        "splits-renamed", sum(counts.values()), "Rows whose split has another name here.", tuple(renamed), complete=True
    )
    return [None if name is None else chosen[name] for name in spelt], [finding] if renamed else []


def with_dev(manifest: Manifest, share: float, seed: int) -> tuple[Manifest, Finding]:
    """The manifest with a share of train as dev, and what was done, which its card says, too. Raises as `cut_dev`."""
    cut, sentence = cut_dev(manifest.frame, share, seed)
    noted = replace(manifest.card, notes=(*manifest.card.notes, f"This manifest: {sentence}"))
    told = Finding("dev-cut", int((cut["split"] == "dev").sum()), f"Rows: {sentence}")
    return replace(manifest, frame=cut, card=noted), told


def cut_dev(frame: pl.DataFrame, share: float, seed: int) -> tuple[pl.DataFrame, str]:
    """The frame with a share of train's groups, or dialogues where there are none, as dev; and a sentence on it.

    frame: a checked manifest's. Drawn with numpy's default generator from the sorted names, so that the order of rows
    does not matter. Raises UsageError where there is no train split, a dev split already, or nothing to cut.
    """
    splits = set(frame["split"])
    if "dev" in splits:
        raise UsageError("--dev: there is a dev split already: leave --dev out")
    if "train" not in splits:
        raise UsageError(f"--dev cuts dev out of train, and no row is train: splits are {', '.join(sorted(splits))}")
    train = frame.filter(pl.col("split") == "train")
    grouped = not train["group"].null_count()
    unit = "group" if grouped else "dialogue_id"
    if grouped:
        _refuse_split_dialogues(train)
    units = sorted(set(train[unit]))
    if len(units) < 2:
        mend = "`--map group=` leaves groups out, so that dialogues are drawn" if grouped else "it cannot be parted"
        raise UsageError(f"--dev: train has only one {unit.removesuffix('_id')}, {units[0]!r}: {mend}")
    count = min(max(1, round(share * len(units))), len(units) - 1)
    drawn = np.random.default_rng(seed).permutation(len(units))[:count]
    held = [units[place] for place in drawn]
    is_dev = (pl.col("split") == "train") & pl.col(unit).is_in(held)
    cut = frame.with_columns(pl.when(is_dev).then(pl.lit("dev")).otherwise("split").alias("split"))
    what = f"{count} of {len(units)} {'groups' if grouped else 'dialogues'} of train"
    return cut, f"dev is {what}, drawn with seed {seed}; their ids stay those of train."


def _refuse_split_dialogues(train: pl.DataFrame) -> None:
    several = train.group_by("dialogue_id", maintain_order=True).agg(pl.col("group").n_unique())
    broken = several.filter(pl.col("group") > 1)["dialogue_id"].to_list()
    if broken:
        raise ManifestError(
            f"--dev: dialogue {broken[0]!r} has more than one `group`: give all its utterances the same, or leave the"
            " group unmapped"
        )
