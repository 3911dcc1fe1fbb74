"""What the points of a plot are coloured by: emotion, speaker or split.

Legend: n utterances of the sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from heads.data.utterances import Utterances

SPEAKERS = 6
"""Speakers with a colour of their own: the most frequent of train. MELD has as many leads."""

GREY = "#98a2ad"
PALETTE = ("#d8344f", "#3c9a4e", "#8b5fd0", "#e58a0c", "#2b7bdd", "#11a3a8", "#e0569d", "#8f5b34", "#8d8f14")
SHAPES = ("circle", "square", "diamond", "cross")  # one a round through the palette
_OTHER = "other"


@dataclass(frozen=True)
class Group:
    """Points of one colour. rows: int64, ascending places within the sample."""

    name: str
    colour: str
    shape: str
    rows: np.ndarray


def colour_groups(utterances: Utterances, sample: np.ndarray, colour_by: str, neutral: str | None) -> list[Group]:
    """The sample in groups, each with a colour: grey for neutral, for all but SPEAKERS speakers, and for train.

    sample: int64 [n], places among the utterances, all labelled
    """
    if colour_by == "emotion":
        keys = [utterances.label_names[place] for place in utterances.labels[sample]]
        return _groups(keys, list(utterances.label_names), grey=neutral)
    if colour_by == "split":
        keys = [str(split) for split in utterances.splits[sample]]
        return _groups(keys, list(dict.fromkeys(map(str, utterances.splits))), grey="train")
    leads = utterances.frequent_speakers(1)[:SPEAKERS]
    spoken = [utterances.speakers[row] for row in sample]
    others = set(spoken) - set(leads)
    rest = f"{len(others)} others" if len(others) > 1 else _OTHER
    while rest in leads:
        rest += "…"
    return _groups([name if name in leads else rest for name in spoken], [*leads, rest], grey=rest)


def _groups(keys: Sequence[str], order: Sequence[str], grey: str | None) -> list[Group]:
    """One group for each key of `order` that occurs; `grey` takes no colour of the palette."""
    places: dict[str, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    groups, taken = [], 0
    for key in order:
        colour, shape = GREY, SHAPES[0]
        if key != grey:
            colour, shape = PALETTE[taken % len(PALETTE)], SHAPES[taken // len(PALETTE) % len(SHAPES)]
            taken += 1
        if key in places:
            groups.append(Group(key, colour, shape, np.array(places[key], dtype=np.int64)))
    return groups
