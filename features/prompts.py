"""How turns of a dialogue are written for a text encoder, and how many of the past ones fit its window.

A context is one line a turn, `Speaker: text`, oldest first, each ended by a newline but the last: the target. Trimming
drops whole turns from the left, so that what is left is always the most recent past without a gap.

The report's prompt (HLM12ERC) is `The speaker "X" said:`, then the text between two lines of `###`, a turn; turns are
joined by two empty lines. Speaker and text stand in it as the manifest has them, whitespace included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from features.utterances import Utterance

LINE_END = "\n"
_TURN_SEPARATOR = "\n\n\n"


@dataclass(frozen=True, slots=True)
class Line:
    """One turn as a line. name: `Speaker: ` with its space, or empty where nobody is named; text: what is said."""

    name: str
    text: str

    def __str__(self) -> str:
        return self.name + self.text


def turn_line(utterance: Utterance) -> Line:
    """An utterance's line; runs of whitespace, newlines among them, become one space."""
    speaker = " ".join(utterance.speaker.split())
    return Line(f"{speaker}: " if speaker else "", " ".join(utterance.text.split()))


def past_lines(past: Sequence[Utterance]) -> Iterable[str]:
    """The lines of past turns, **newest first**, each with its newline. Turns without text are left out."""
    for utterance in reversed(past):
        line = turn_line(utterance)
        if line.text:
            yield str(line) + LINE_END


def report_pieces(utterances: Sequence[Utterance]) -> list[str]:
    """The report's prompt in one piece a turn, oldest first: joined, the first n of them are the prompt of turn n - 1.

    The separator leads the turn after it. So cut, the ids of the pieces one by one are GPT-2's ids of the whole prompt.
    """
    return [
        f'{_TURN_SEPARATOR if index else ""}The speaker "{utterance.speaker}" said:\n###\n{utterance.text}\n###'
        for index, utterance in enumerate(utterances)
    ]


def fit_past(newest_first: Iterable[Sequence[int]], room: int) -> tuple[list[int], bool]:
    """Token ids of the most recent turns that fit `room` tokens, and whether any turn had to go.

    newest_first: the ids of each past turn; read only as far as they fit
    Returns the ids of the kept turns joined, oldest first. The first turn that does not fit ends it, even where an
    older one would.
    """
    kept: list[Sequence[int]] = []
    for ids in newest_first:
        if len(ids) > room:
            return _joined(kept), True
        room -= len(ids)
        kept.append(ids)
    return _joined(kept), False


def _joined(newest_first: Sequence[Sequence[int]]) -> list[int]:
    return [token for ids in reversed(newest_first) for token in ids]
