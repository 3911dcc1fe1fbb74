"""Joining a foreign file's rows to a manifest's utterances: by id, through a rule, and held against what the file says.

A row is never joined for its place in the file. Ids that stand twice are refused. Where the file has texts, labels or
splits, those of the joined utterances are compared: a list of ids that was shifted disagrees nearly everywhere, and is
refused with the count and the first.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from features.errors import nearest
from features.imports.foreign import Foreign, ForeignError
from features.imports.rule import DIALOGUE_RULES, UTTERANCE_RULES, Rule, row_names
from features.manifest import Manifest, repair_cp1252

MOST_WRONG = 0.02
"""The share of compared rows that may disagree, and one row besides: texts are edited and labels corrected."""

BY_WORDS = "dialogues with the same words"


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


@dataclass(frozen=True)
class Joined:
    """rule:   the template that joined them, or BY_WORDS
    places:   row of the manifest -> row of the file
    unfit:    ids of the file that fit no utterance
    checks:   what was compared; empty where the file says nothing but its ids
    """

    rule: str
    places: dict[int, int]
    unfit: tuple[str, ...]
    checks: tuple[Check, ...] = field(default=())


def join(foreign: Foreign, manifest: Manifest, template: str | None = None) -> Joined:
    """template: the rule; None: of those that are usual, the one that fits most ids.

    Raises ForeignError where ids stand twice, nothing fits, a rule names several utterances, or the checks disagree.
    """
    if not len(foreign):
        raise ForeignError("holds no rows")
    _refuse_doubles(foreign)
    names = row_names(manifest)
    if template is not None:
        rule, places = template, _places(foreign.ids, foreign.splits, names, Rule(template), strict=True)
    else:
        rule, places = _best(foreign, names)
    _refuse_two_for_one(places, foreign, manifest, rule)
    joined = {row: place for place, row in places.items()}
    if not joined:
        raise ForeignError(_nothing_fits(foreign, manifest, names, template))
    unfit = tuple(name for place, name in enumerate(foreign.ids) if place not in places)
    checks = _checks(foreign, manifest, places)
    _refuse_shifted(checks, rule)
    return Joined(rule, joined, unfit, checks)


def _refuse_doubles(foreign: Foreign) -> None:
    splits: Sequence[Any] = foreign.splits or [None] * len(foreign)
    counts = Counter(zip(foreign.ids, splits, strict=True))
    doubled = [name for (name, _), count in counts.items() if count > 1]
    if doubled:
        raise ForeignError(
            f"{len(doubled)} ids stand twice or more in it, first {doubled[0]!r}: which vector is whose cannot be"
            " told: mend the list of ids"
        )


def _refuse_two_for_one(places: dict[int, int], foreign: Foreign, manifest: Manifest, rule: str) -> None:
    seen: dict[int, int] = {}
    for place, row in places.items():
        if row in seen:
            raise ForeignError(
                f"{foreign.ids[seen[row]]!r} and {foreign.ids[place]!r} both fit {manifest.ids[row]} by {rule}: give"
                " another rule by --id"
            )
        seen[row] = place


def _places(
    ids: Sequence[str],
    splits: Sequence[frozenset[str] | None] | None,
    names: Sequence[dict[str, Any]],
    rule: Rule,
    strict: bool = False,
) -> dict[int, int]:
    """Place in the file -> row of the manifest. Where an id fits rows of several splits, the file's split decides.

    strict: an id that still fits several is an error, not one that fits nothing
    """
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, values in enumerate(names):
        made = rule.of(values)
        if made is not None:
            rows[made].append(row)
    found = {}
    for place, name in enumerate(ids):
        fits = rows.get(name, [])
        allowed = splits[place] if splits else None
        if len(fits) > 1 and allowed:
            fits = [row for row in fits if names[row]["split"] in allowed]
        if len(fits) == 1:
            found[place] = fits[0]
        elif fits and strict:
            told = " and ".join(names[row]["utterance_id"] for row in fits[:2])
            raise ForeignError(
                f"{name!r} fits {len(fits)} utterances by --id {rule.template!r}, {told}: put {{split}} or another"
                " part into the rule and the ids, or import a manifest of one split"
            )
    return found


def _best(foreign: Foreign, names: Sequence[dict[str, Any]]) -> tuple[str, dict[int, int]]:
    """The usual rule that fits most ids. Lists by dialogue are joined by their dialogues where they name no utterances:
    by the dialogue's key, or else by the words of its turns."""
    best: tuple[str, dict[int, int]] = ("", {})
    if foreign.named:
        for template in UTTERANCE_RULES:
            places = _places(foreign.ids, foreign.splits, names, Rule(template))
            if len(places) > len(best[1]):
                best = (template, places)
    if foreign.turns is not None and 2 * len(best[1]) < len(foreign):
        for found in _by_dialogues(foreign, names):
            if len(found[1]) > len(best[1]):
                best = found
    return best


def _by_dialogues(foreign: Foreign, names: Sequence[dict[str, Any]]) -> Iterable[tuple[str, dict[int, int]]]:
    theirs: defaultdict[str, list[int]] = defaultdict(list)
    for place, (key, _) in enumerate(foreign.turns or ()):
        theirs[key].append(place)
    ours: defaultdict[str, list[int]] = defaultdict(list)
    for row, values in enumerate(names):
        ours[values["dialogue_id"]].append(row)
    yield _by_words(foreign, names, theirs, ours)
    firsts = [rows[0] for rows in ours.values()]
    keys = list(theirs)
    splits = [foreign.splits[places[0]] for places in theirs.values()] if foreign.splits else None
    for template in DIALOGUE_RULES:
        fits = _places(keys, splits, [names[row] for row in firsts], Rule(template))
        places: dict[int, int] = {}
        for number, first in fits.items():
            turns, rows = theirs[keys[number]], ours[names[firsts[first]]["dialogue_id"]]
            if len(turns) == len(rows):  # a dialogue of another length is another cut of it: which turn is which?
                places |= dict(zip(turns, rows, strict=True))
        if _agrees(foreign, names, places):
            yield f"{template}, turns in order", places


def _agrees(foreign: Foreign, names: Sequence[dict[str, Any]], places: dict[int, int]) -> bool:
    """Whether dialogues that were joined by key alone say the same words, where the file has any."""
    if foreign.texts is None:
        return True
    checked = [
        (words_of(text), words_of(names[row]["text"]))
        for place, row in places.items()
        if (text := foreign.texts[place])
    ]
    wrong = sum(1 for one, other in checked if one != other)
    return wrong <= max(1, MOST_WRONG * len(checked))


def _by_words(
    foreign: Foreign,
    names: Sequence[dict[str, Any]],
    theirs: dict[str, list[int]],
    ours: dict[str, list[int]],
) -> tuple[str, dict[int, int]]:
    """Dialogues whose turns say the same words in the same order; none that several dialogues say."""
    if foreign.texts is None:
        return BY_WORDS, {}
    spoken: defaultdict[tuple[str, ...], list[list[int]]] = defaultdict(list)
    for rows in ours.values():
        spoken[tuple(words_of(names[row]["text"]) for row in rows)].append(rows)
    claimed: defaultdict[int, list[tuple[list[int], list[int]]]] = defaultdict(list)
    for turns in theirs.values():
        fits = spoken.get(tuple(words_of(foreign.texts[place] or "") for place in turns), [])
        allowed = foreign.splits[turns[0]] if foreign.splits else None
        if len(fits) > 1 and allowed:
            fits = [rows for rows in fits if names[rows[0]]["split"] in allowed]
        if len(fits) == 1:
            claimed[fits[0][0]].append((turns, fits[0]))
    places: dict[int, int] = {}
    for pairs in claimed.values():
        if len(pairs) == 1:
            places |= dict(zip(*pairs[0], strict=True))
    return BY_WORDS, places


def words_of(text: str) -> str:
    """Letters and digits of a text, lower case: how quotes, spaces and encodings were written does not count."""
    repaired = repair_cp1252(text)
    with suppress(UnicodeError):  # UTF-8 that was read as latin-1: what Python 2 pickled
        repaired = repaired.encode("latin-1").decode("utf-8")
    return "".join(character for character in repaired.casefold() if character.isalnum() and character.isascii()) or (
        "".join(character for character in repaired.casefold() if character.isalnum())
    )


def _checks(foreign: Foreign, manifest: Manifest, places: dict[int, int]) -> tuple[Check, ...]:
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


def _refuse_shifted(checks: Sequence[Check], rule: str) -> None:
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


def _nothing_fits(foreign: Foreign, manifest: Manifest, names: Sequence[dict[str, Any]], template: str | None) -> str:
    name = foreign.ids[0]
    if template is not None:
        made = Rule(template).of(names[0])
        return f"no id fits by --id {template!r}, which makes {made!r} of {manifest.ids[0]}; the file has {name!r}"
    return (
        f"none of its {len(foreign):,} ids fits an utterance by a usual rule: the file has {name!r}, the manifest"
        f" {manifest.ids[0]!r}: give a rule, such as --id 'dia{{Dialogue_ID}}_utt{{Utterance_ID}}'"
    )


def nearest_id(name: str, manifest_ids: Sequence[str]) -> str | None:
    """The id of a manifest that looks most like one that fits nothing, or None."""
    told = nearest(name, manifest_ids) if len(manifest_ids) <= 5000 else ""
    return told.partition("'")[2].partition("'")[0] if told.startswith("did you mean") else None
