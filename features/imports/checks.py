"""What a foreign file says of its rows, held against the manifest: words, labels and splits of the joined utterances.

A list of ids that was shifted disagrees nearly everywhere.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from features.imports.foreign import Foreign, ForeignError
from features.manifest import Manifest, repair_cp1252

MOST_WRONG = 0.02
"""The share of compared rows that may disagree, and one row besides: texts are edited and labels corrected."""


@dataclass(frozen=True)
class Check:
    """One comparison. what: text, label, sentiment or split; wrong: places of the file that disagree, in order"""

    what: str
    compared: int
    wrong: tuple[int, ...]
    first: str = ""

    @property
    def refused(self) -> bool:
        return len(self.wrong) > max(1, MOST_WRONG * self.compared)


def words_of(text: str) -> str:
    """Letters and digits of a text, lower case: how quotes, spaces and encodings were written does not count."""
    repaired = repair_cp1252(text)
    with suppress(UnicodeError):  # UTF-8 that was read as latin-1: what Python 2 pickled
        repaired = repaired.encode("latin-1").decode("utf-8")
    return "".join(character for character in repaired.casefold() if character.isalnum() and character.isascii()) or (
        "".join(character for character in repaired.casefold() if character.isalnum())
    )


def compare(foreign: Foreign, manifest: Manifest, places: dict[int, int]) -> tuple[Check, ...]:
    """One check for each thing that the file says. places: of the file -> row of the manifest"""
    frame = manifest.frame
    checks = []
    if foreign.texts is not None:
        pairs = [
            (
                place,
                words_of(said),
                words_of(text),
                f"{foreign.ids[place]!r} says {said[:40]!r}, {manifest.ids[row]} {text[:40]!r}",
            )
            for place, row in places.items()
            if (said := foreign.texts[place]) and (text := frame["text"][row])
        ]
        checks.append(_check("text", [(place, one == other, told) for place, one, other, told in pairs]))
    for what, values in (("label", foreign.labels), ("sentiment", foreign.sentiments)):
        if values is not None:
            checks.append(_check_named(what, values, frame[what].to_list(), foreign, manifest, places))
    if foreign.splits is not None:
        known = set(frame["split"].unique())
        told = [
            (
                place,
                frame["split"][row] in allowed,
                f"{foreign.ids[place]!r} is of {'/'.join(sorted(allowed))} in the"
                f" file, {manifest.ids[row]} of {frame['split'][row]}",
            )
            for place, row in places.items()
            if (allowed := foreign.splits[place]) and allowed <= known
        ]
        checks.append(_check("split", told))
    return tuple(check for check in checks if check.compared)


def _check(what: str, rows: Sequence[tuple[int, bool, str]]) -> Check:
    wrong = [(place, told) for place, agrees, told in rows if not agrees]
    return Check(what, len(rows), tuple(place for place, _ in wrong), wrong[0][1] if wrong else "")


def _check_named(
    what: str, values: Sequence[Any], ours: Sequence[str | None], foreign: Foreign, manifest: Manifest,
    places: dict[int, int],
) -> Check:  # fmt: skip
    """Labels in whatever order of numbers or names the file has: one of its values should be one of ours. What most of
    the rows with a value are called here is what that value means."""
    pairs = [
        (place, str(values[place]), str(ours[row]))
        for place, row in places.items()
        if values[place] is not None and ours[row] is not None
    ]
    known = {name.casefold() for name in ours if name is not None}
    if pairs and {one.casefold() for _, one, _ in pairs} <= known:
        meaning = {one: one for _, one, _ in pairs}
    else:
        counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for _, one, other in pairs:
            counts[one][other] += 1
        meaning = {one: counted.most_common(1)[0][0] for one, counted in counts.items()}
    return _check(
        what,
        [
            (
                place,
                meaning[one].casefold() == other.casefold(),
                f"{foreign.ids[place]!r} is {one} in the file, {manifest.ids[places[place]]} is {other}",
            )
            for place, one, other in pairs
        ],
    )


def refuse_shifted(checks: Sequence[Check], rule: str) -> None:
    """The words decide where there are any, then the labels, then the split: labels and splits may be of another
    edition of the corpus, words are not."""
    for names in (("text",), ("label", "sentiment"), ("split",)):
        here = [check for check in checks if check.what in names]
        for check in here:
            if check.refused:
                raise ForeignError(
                    f"its {check.what} disagrees with the manifest's in {len(check.wrong):,} of {check.compared:,} rows"
                    f" that {rule} joins: the ids are shifted, or of another corpus: first {check.first}"
                )
        if here:
            return
