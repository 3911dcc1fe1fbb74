"""From rows to a checked manifest, with what is wrong told by the place where each row stands in its file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from features.cards import DatasetCard
from features.errors import ManifestError
from features.manifest import Manifest, build_manifest, problems_error

_MENDS = {
    "turn": "`--map turn=` leaves that column out, and turns are counted in the order of rows",
    "utterance_id": "`--map utterance_id=` leaves that column out, and ids are made of dialogue and turn",
    "dialogue_id": "every row needs its dialogue",
    "label": "name every label with --labels or in the card, or leave the cell empty",
}
_SPANS = "map a key that is unique only within its split as `dialogue`"
_ROW = re.compile(r"row (\d+), (\w+): ")


def build_from_rows(
    where: str,
    frame: pl.DataFrame,
    places: Sequence[str],
    card: DatasetCard,
    media_root: Path | None,
    problems: Sequence[str] = (),
) -> Manifest:
    """`build_manifest`, with rows named as in their file and with the mend.

    where: what errors begin with; places: where each row of the frame stands; problems: those found before
    """
    found = list(problems)
    manifest = None
    columns = set()
    try:
        manifest = build_manifest(frame, card, media_root)
    except ManifestError as error:
        for problem in error.problems:
            match = _ROW.match(problem)
            if match:
                spans = match[2] == "split" and ": dialogue " in problem
                columns.add("spans" if spans else match[2])
                problem = f"{places[int(match[1]) - 1]}, {problem.split(', ', 1)[1]}"
            found.append(problem)
    if manifest is None or found:
        mends = [mend for column, mend in (*_MENDS.items(), ("spans", _SPANS)) if column in columns]
        raise problems_error(where, found, "; ".join(mends))
    return manifest
