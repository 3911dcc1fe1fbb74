"""Source digests: an edit changes exactly those that depend on it, and nothing else changes any."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from manifest_rows import DEPENDS, build, row

from features.manifest import Manifest

ROWS = [row(d, t, media=f"d{d}u{t}.mp4", start=1.0, end=2.0, label="joy", note="n") for d in range(2) for t in range(3)]
CHANGES: dict[str, dict[str, set[tuple[int, int]]]] = {
    # an edit of turn 1 of dialogue 0 -> the rows whose digest must change, for each dependence
    "text": {"text": {(0, 1)}, "dialogue": {(0, 1), (0, 2)}, "media": set()},
    "speaker": {"text": set(), "dialogue": {(0, 1), (0, 2)}, "media": set()},
    "media": {"text": set(), "dialogue": set(), "media": {(0, 1)}},
    "start": {"text": set(), "dialogue": set(), "media": {(0, 1)}},
    "end": {"text": set(), "dialogue": set(), "media": {(0, 1)}},
    "label": {"text": set(), "dialogue": set(), "media": set()},
    "sentiment": {"text": set(), "dialogue": set(), "media": set()},
    "duration": {"text": set(), "dialogue": set(), "media": set()},
    "group": {"text": set(), "dialogue": set(), "media": set()},
    "note": {"text": set(), "dialogue": set(), "media": set()},
}
VALUES = {"start": 1.5, "end": 3.0, "duration": 9.0, "label": "neutral"}


def digests(manifest: Manifest, depends: Any) -> dict[str, str]:
    return dict(zip(manifest.ids, manifest.source_digests(depends), strict=True))


@pytest.mark.parametrize("column", CHANGES)
@pytest.mark.parametrize("depends", DEPENDS)
def test_an_edit_changes_exactly_the_digests_that_depend_on_it(column: str, depends: str) -> None:
    edited = [
        values | {column: VALUES.get(column, "other")} if index == 1 else values for index, values in enumerate(ROWS)
    ]
    before, after = digests(build(*ROWS), depends), digests(build(*edited), depends)
    changed = {utterance_id for utterance_id in before if before[utterance_id] != after[utterance_id]}
    assert changed == {f"toy/train/d{d}_u{t}" for d, t in CHANGES[column][depends]}


@given(st.permutations(range(len(ROWS))))
@settings(max_examples=30, deadline=None)
def test_reordering_changes_no_digest(order: list[int]) -> None:
    for depends in DEPENDS:
        assert digests(build(*(ROWS[index] for index in order)), depends) == digests(build(*ROWS), depends)


def test_a_turn_put_in_changes_the_context_of_later_ones_only() -> None:
    later = [values | {"turn": values["turn"] + 1} for values in ROWS[1:3]]
    more = build(*ROWS[:1], row(0, 1) | {"utterance_id": "new"}, *later, *ROWS[3:])
    for depends, expected in (("text", set()), ("media", set()), ("dialogue", {"toy/train/d0_u1", "toy/train/d0_u2"})):
        before, after = digests(build(*ROWS), depends), digests(more, depends)
        assert {utterance_id for utterance_id in before if before[utterance_id] != after[utterance_id]} == expected


def test_digests_tell_fields_apart() -> None:
    def chain(*turns: tuple[str, str]) -> str:
        rows = [row(0, t, speaker=speaker, text=text) for t, (speaker, text) in enumerate(turns)]
        return build(*rows).source_digests("dialogue")[-1]

    seen = [
        chain(("ab", "c")),
        chain(("a", "bc")),
        chain(("", "abc")),
        chain(("abc", "")),
        chain(("a", "b")),
        chain(("a", "b"), ("a", "b")),
        chain(("a", "ba"), ("", "b")),
        chain(("a", "b"), ("a", ""), ("", "b")),
    ]
    assert len(set(seen)) == len(seen)
    cuts = [
        (None, None, None),
        ("a", None, None),
        ("a", 0.0, None),
        ("a", None, 1.0),
        ("a", 0.0, 1.0),
        (None, 0.0, 1.0),
    ]
    rows = [row(0, t, media=media, start=start, end=end) for t, (media, start, end) in enumerate(cuts)]
    assert len(set(build(*rows).source_digests("media"))) == len(cuts)
    one = build(row(0, 0, text="a"), row(1, 0, text="a"))
    assert len(set(one.source_digests("text"))) == 1
    assert not set(one.source_digests("text")) & set(one.source_digests("dialogue")) & set(one.source_digests("media"))


def test_digests_stay_what_they_are() -> None:
    """Stores on disk hold these. If this fails, stored rows of unchanged utterances would be made again."""
    manifest = build(row(0, 0, text="Hé\n"), row(0, 1, media="a.mp4", start=0.5))
    found = {depends: [digest[:16] for digest in manifest.source_digests(depends)] for depends in DEPENDS}
    assert found == {
        "text": ["8a8e50831fe01940", "52d4f5b0563833c9"],
        "dialogue": ["d9a648e820c5d69a", "5ad7193d4ce1fd47"],
        "media": ["96ead6692302c5e8", "164271e06826927c"],
    }


def test_an_unknown_dependence_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown dependence 'audio'"):
        build(row()).source_digests("audio")  # type: ignore[arg-type]
