"""Joining a foreign file's rows to a manifest's utterances: by id, through a rule, and held against what the file says.

A row is never joined for its place in the file. Ids that stand twice are refused. Where the file has texts, labels or
splits, those of the joined utterances are compared: a list of ids that was shifted disagrees nearly everywhere, and is
refused with the count and the first.
"""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from features.imports.checks import MOST_WRONG, Check, compare, refuse_shifted, words_of
from features.imports.foreign import Foreign, ForeignError
from features.imports.rule import DIALOGUE_RULES, UTTERANCE_RULES, Rule, row_names
from features.manifest import Manifest

_LOOKED_AT = 5000
_SHOWN = 3
BY_WORDS = "dialogues with the same words"


@dataclass(frozen=True)
class Joined:
    """rule:   the template that joined them, or BY_WORDS
    places:   row of the manifest -> row of the file
    unfit:    ids of the file that fit no utterance
    checks:   what was compared; empty where the file says nothing but its ids
    nearest:  of the first that fit nothing -> the utterance, of those without a row, whose id looks most like it
    """

    rule: str
    places: dict[int, int]
    unfit: tuple[str, ...]
    checks: tuple[Check, ...] = ()
    nearest: Mapping[str, str] = field(default_factory=dict)


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
    checks = compare(foreign, manifest, places)
    refuse_shifted(checks, rule)
    return Joined(rule, joined, unfit, checks, _nearest(rule, unfit, names, joined))


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
    """The usual rule that fits most ids. Lists by dialogue whose names of utterances do not fit them all are joined by
    their dialogues, where that fits more: by the words of the turns, or by the dialogue's key."""
    best: tuple[str, dict[int, int]] = ("", {})
    if foreign.named:
        for template in UTTERANCE_RULES:
            places = _places(foreign.ids, foreign.splits, names, Rule(template))
            if len(places) > len(best[1]):
                best = (template, places)
    if foreign.turns is not None and len(best[1]) < len(foreign):
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


def _nearest(
    rule: str, unfit: Sequence[str], names: Sequence[dict[str, Any]], joined: Mapping[int, int]
) -> dict[str, str]:
    if rule.count("{") == 0 or rule.endswith(" in order"):
        return {}
    template = Rule(rule)
    free: dict[str, str] = {}
    for row, values in enumerate(names):
        if row not in joined and len(free) < _LOOKED_AT and (made := template.of(values)):
            free[made] = values["utterance_id"]
    close = {name: difflib.get_close_matches(name, free, n=1, cutoff=0.6) for name in unfit[:_SHOWN]}
    return {name: free[found[0]] for name, found in close.items() if found}


def _nothing_fits(foreign: Foreign, manifest: Manifest, names: Sequence[dict[str, Any]], template: str | None) -> str:
    name = foreign.ids[0]
    if template is not None:
        made = Rule(template).of(names[0])
        return f"no id fits by --id {template!r}, which makes {made!r} of {manifest.ids[0]}; the file has {name!r}"
    return (
        f"none of its {len(foreign):,} ids fits an utterance by a usual rule: the file has {name!r}, the manifest"
        f" {manifest.ids[0]!r}: give a rule, such as --id 'dia{{Dialogue_ID}}_utt{{Utterance_ID}}'"
    )
