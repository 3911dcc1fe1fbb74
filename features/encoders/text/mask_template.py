"""From a turn to a template that asks a masked language model about it, such as SPCL's
`For utterance: {text} {speaker} feels {mask}` (Song et al. 2022, section 3): the embedding is the state at the mask.

Checked against caskcsg/SPCL, data_process.py. There the text is `speaker:text` and a separator follows each turn and
the text; the dialogue before the template holds the turn itself, too, and at most 8 turns before it; training adds
questions about earlier turns. Here past turns are written as all prompts write them.

With scope `context` the past turns stand before the template as `prompts` writes them, and are dropped from the left by
whole turns where they do not fit. The template's own words and its mask are never cut: of a text that is too long the
end is left out, and of a speaker's name only where one token of the text is left.

The ids are the joined ids of the template's pieces (its words, the text, the name), each tokenised alone together with
the space before it. Text and names are read as plain text: `[MASK]` or `{mask}` in them is no mask.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from features.encoders.protocol import Input, Turn
from features.encoders.text.token_windows import (
    LineTokenizer,
    cut_tokens,
    special_tokens,
    window_input,
    window_tokens,
)
from features.encoders.text.unknown_tokens import unknown_id
from features.encoders.views import TextView
from features.errors import Reason, UnavailableError, UsageError, nearest
from features.prompts import fit_past, past_lines

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

TEXT, SPEAKER, MASK = "{text}", "{speaker}", "{mask}"
_PLACE = re.compile(r"(\{\w*\})")


class TemplatePreparer:
    """Makes a Window of a Turn whose span is the mask. It holds the fast tokenizer and no weights, and pickles.

    tokenizer:  a `tokenizers.Tokenizer` without truncation and padding; a copy is kept
    mask_token: the tokenizer's own mask
    max_tokens: window, special tokens included
    Raises UsageError for a template without {text} or {mask}, with an unknown place, or too long for the window.
    """

    def __init__(
        self, tokenizer: Tokenizer, mask_token: AddedToken, max_tokens: int, template: str, scope: str = "utterance"
    ) -> None:
        mask_id = tokenizer.token_to_id(mask_token.content)
        if mask_id is None:
            raise UsageError(f"pooling=mask: the tokenizer has no id for its mask token {mask_token.content!r}")
        self.tokenizer = tokenizer
        self.prefix, self.suffix = special_tokens(tokenizer)
        self.scope = scope
        self._unknown = unknown_id(tokenizer)
        self._mask_id = mask_id
        self._ids = LineTokenizer(tokenizer, special_as_text=True)
        self._pieces = split_template(template, mask_token.lstrip, mask_token.rstrip)
        self.room = max_tokens - len(self.prefix) - len(self.suffix)
        least = sum(len(self._ids(words)) for place, words in self._pieces if not place) + 2
        if self.room < least:
            raise UsageError(
                f"max_tokens={max_tokens} leaves no room for text within template={template!r}:"
                f" at least {max_tokens - self.room + least}"
            )

    def __call__(self, turn: Turn) -> Input:
        """Raises UnavailableError(no-text) for a blank text, or one of which the tokenizer leaves nothing."""
        if not turn.utterance.text.strip():
            raise UnavailableError(Reason.NO_TEXT, "the text is blank")
        ids, cut = self._fit(self._filled(turn))
        past: list[int] = []
        if self.scope == "context" and not cut:
            past, cut = fit_past(map(self._ids, past_lines(turn.past)), self.room - sum(map(len, ids)))
        before = [name for name, _ in self._pieces].index(MASK)
        place = len(self.prefix) + len(past) + sum(map(len, ids[:before]))
        window = [*self.prefix, *past, *(token for piece in ids for token in piece), *self.suffix]
        return window_input(np.array(window, dtype=np.int32), place, place + 1, cut, self._unknown)

    def view(self, item: Turn, made: Input, turn: int = 0) -> TextView:
        """The filled template, behind the past turns that fit."""
        whole = self._filled(item)
        kept, _ = self._fit(whole)
        num_own = sum(map(len, kept))
        num_past = len(made.value.ids) - len(self.prefix) - num_own - len(self.suffix)
        lines = reversed(list(past_lines(item.past))) if self.scope == "context" else ()
        past = [token for line in lines for token in self._ids(line)]
        lengths = len(self.prefix), num_past, num_own, len(self.suffix)
        tokens = cut_tokens(self.tokenizer, past[: len(past) - num_past], "past")
        tokens += window_tokens(self.tokenizer, made.value, lengths)
        for piece, fitted in zip(whole, kept, strict=True):
            tokens += cut_tokens(self.tokenizer, piece[len(fitted) :])
        note = "The embedding is the state at the mask. What was cut of the text or the name stands at the end."
        return TextView(tuple(tokens), self.room + len(self.prefix) + len(self.suffix), note)

    def _filled(self, turn: Turn) -> list[list[int]]:
        """The ids of each piece."""
        values = {
            TEXT: " ".join(turn.utterance.text.split()),
            SPEAKER: " ".join(turn.utterance.speaker.split()),
        }
        filled = []
        for place, words in self._pieces:
            if place == MASK:
                filled.append([self._mask_id])
            elif place:
                filled.append(self._ids(words + values[place]) if values[place] else [])
            else:
                filled.append(self._ids(words))
            if place == TEXT and not filled[-1]:
                raise UnavailableError(Reason.NO_TEXT, "the tokenizer leaves nothing of the text")
        return filled

    def _fit(self, whole: list[list[int]]) -> tuple[list[list[int]], bool]:
        """The pieces cut to the room: the text's end down to one token, then the ends of names; and whether."""
        filled = list(whole)
        excess = total = sum(map(len, filled)) - self.room
        for place, least in ((TEXT, 1), (SPEAKER, 0)):
            for index, (name, _) in enumerate(self._pieces):
                if name == place and excess > 0:
                    kept = max(least, len(filled[index]) - excess)
                    excess -= len(filled[index]) - kept
                    filled[index] = filled[index][:kept]
        return filled, total > 0


def split_template(template: str, mask_takes_left: bool, mask_takes_right: bool) -> list[tuple[str, str]]:
    """The template's pieces in order: (place, the space before it), or ("", words with the space before them).

    mask_takes_left, mask_takes_right: whether the mask token swallows the space beside it, as RoBERTa's does
    Raises UsageError for a place that is unknown, missing or, but for the speaker, there twice.
    """
    parts = _PLACE.split(" ".join(template.split()))
    for part in parts[1::2]:
        if part not in (TEXT, SPEAKER, MASK):
            raise UsageError(f"template={template!r} has no place {part}: {nearest(part, (TEXT, SPEAKER, MASK))}")
    for place in (TEXT, MASK):
        if parts.count(place) != 1:
            wrong = "lacks" if place not in parts else "holds more than one"
            raise UsageError(f"template={template!r} {wrong} {place}: write it once")
    pieces: list[tuple[str, str]] = []
    space = ""
    for number, part in enumerate(parts):
        if number % 2:
            if part == MASK and space and not mask_takes_left:
                pieces.append(("", space))
            pieces.append((part, space if part != MASK else ""))
            space = ""
            continue
        if number and parts[number - 1] == MASK and mask_takes_right:
            part = part.lstrip()
        words = part.rstrip()
        if words:
            pieces.append(("", words))
        space = " " if words != part else ""
    return pieces
