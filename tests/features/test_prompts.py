"""Lines of a dialogue, and trimming by whole turns from the left."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
from tiny_bert import dialogue

from features.prompts import fit_past, past_lines, report_pieces, turn_line

TURNS = st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=6), max_size=8)


def test_a_line_names_the_speaker_and_holds_no_line_break() -> None:
    utterance = dialogue(("Ross  Geller", " Hi\n there!\t")).utterances[0]
    line = turn_line(utterance)
    assert (line.name, line.text) == ("Ross Geller: ", "Hi there!")
    assert str(line) == "Ross Geller: Hi there!"


def test_a_turn_of_nobody_has_no_name() -> None:
    assert str(turn_line(dialogue(("  ", "Hi")).utterances[0])) == "Hi"


def test_past_lines_come_newest_first_and_without_empty_turns() -> None:
    past = dialogue(("A", "one"), ("B", "   "), ("C", "three")).utterances
    assert list(past_lines(past)) == ["C: three\n", "A: one\n"]


def test_the_reports_prompt_takes_speaker_and_text_as_they_are() -> None:
    turns = dialogue(("Ross  G.", " Hi\n there!"), ('A "B"', ""), ("", "x")).utterances
    first, *_ = pieces = report_pieces(turns)
    assert first == 'The speaker "Ross  G." said:\n###\n Hi\n there!\n###'
    assert "".join(pieces) == first + (
        '\n\n\nThe speaker "A "B"" said:\n###\n\n###\n\n\nThe speaker "" said:\n###\nx\n###'
    )
    assert pieces[:2] == report_pieces(turns[:2])
    assert report_pieces([]) == []


@given(turns=TURNS, room=st.integers(0, 30))
def test_what_fits_is_the_longest_run_of_last_turns(turns: list[list[int]], room: int) -> None:
    kept, cut = fit_past(reversed(turns), room)
    suffixes = [[token for turn in turns[start:] for token in turn] for start in range(len(turns) + 1)]
    longest = next(suffix for suffix in suffixes if len(suffix) <= room)
    assert kept == longest
    assert cut == (longest != suffixes[0])


def test_a_short_turn_behind_one_too_long_is_not_fetched() -> None:
    assert fit_past([[1, 2], [9] * 50, [3]], 10) == ([1, 2], True)


def test_turns_are_read_only_as_far_as_they_fit() -> None:
    read: list[int] = []

    def turns() -> Iterator[list[int]]:
        for number in range(1000):
            read.append(number)
            yield [number] * 4

    fit_past(turns(), 9)
    assert read == [0, 1, 2]
