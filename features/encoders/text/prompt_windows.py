"""From a dialogue to the windows of token ids that hold its turns' prompts, for a causal language model.

The ids of a prompt are the joined ids of its pieces (`prompts.report_pieces`), each tokenised alone. For GPT-2 they
equal its own tokenisation of the whole string. Other tokenizers may differ at the joints: one that puts a space before
every text puts it before every piece.

A window holds at most `max_tokens` ids: what the tokenizer puts before a text (nothing for GPT-2, one token for OPT and
Llama), then the last ids of a prompt that fit. Positions count from 0 in every window. The prompts that fit whole are
beginnings of one another, so the longest of them is the one window of all their turns; each later turn has its own.
What a tokenizer puts behind a text is left out: an embedding is the state of the turn's own last token.

published: the report's code cut its prompts on the right. Only the first ids are kept, so a turn beyond the window is
given the state of the window's last token: a token of some past turn, the same for all such turns, and nothing that the
turn itself says. Two prompts of MELD's test split are longer than GPT-2's 1,024 tokens, none of train and dev.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.digests import digest_of, sha256_bytes
from features.encoders.protocol import Input
from features.encoders.text.token_windows import special_tokens
from features.encoders.text.unknown_tokens import count_unknown, unknown_id
from features.encoders.views import Part, TextView, Token, token_text
from features.errors import Reason, UnavailableError, UsageError
from features.prompts import report_pieces
from features.utterances import Dialogue

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class PromptWindow:
    """Turns of the dialogue that are seen in one window, oldest first.

    ids:    int32 [t]
    turns:  int64 [k], which
    places: int64 [k], where in ids each one's last token is
    pieces: int64 [k], where in ids each one's own piece of the prompt begins
    """

    ids: np.ndarray
    turns: np.ndarray
    places: np.ndarray
    pieces: np.ndarray

    @property
    def spans(self) -> list[tuple[int, int, int]]:
        """Per turn (start, piece, stop) in ids: what is new in it since the turn before it, and of that its own piece.

        The spans of all turns, one behind the other, are the whole window.
        """
        stops = (self.places + 1).tolist()
        return list(zip([0, *stops[:-1]], self.pieces.tolist(), stops, strict=True))


@dataclass(frozen=True, slots=True)
class Prompts:
    """num_turns: turns of the dialogue, those without an embedding among them."""

    num_turns: int
    windows: tuple[PromptWindow, ...]


class PromptPreparer:
    """Makes Prompts of a Dialogue. It holds the fast tokenizer and no weights, and pickles.

    tokenizer: a `tokenizers.Tokenizer` without truncation and padding
    max_tokens: window, the special tokens before it included
    whole: whether the states of all tokens are kept, for a view
    Raises UsageError for a window that leaves no room for a token of text.
    """

    def __init__(self, tokenizer: Tokenizer, max_tokens: int, published: bool = False, whole: bool = False) -> None:
        self.tokenizer = tokenizer
        self.prefix = np.array(special_tokens(tokenizer)[0], dtype=np.int32)
        self.room = max_tokens - len(self.prefix)
        if self.room < 1:
            least = len(self.prefix) + 1
            raise UsageError(f"max_tokens={max_tokens} leaves no room for text: at least {least}")
        self.published, self.whole = published, whole
        self._unknown = unknown_id(tokenizer)

    def __call__(self, dialogue: Dialogue) -> Input:
        """One Input for all turns. A turn of blank text has no embedding, but stands in the prompts of later turns."""
        pieces = self._pieces(dialogue)
        ids = np.array([token for piece in pieces for token in piece], dtype=np.int32)
        ends = np.cumsum([len(piece) for piece in pieces])
        starts = np.zeros_like(ends) if self.published else np.maximum(ends - self.room, 0)
        stops = np.minimum(ends, starts + self.room)
        unavailable = tuple(
            UnavailableError(Reason.NO_TEXT, "the text is blank") if not utterance.text.strip() else None
            for utterance in dialogue.utterances
        )
        wanted = [turn for turn, error in enumerate(unavailable) if error is None]
        groups = [[turn for turn in wanted if starts[turn] == 0], *([turn] for turn in wanted if starts[turn] > 0)]
        begins = np.maximum(np.concatenate([[0], ends[:-1]]), starts)
        windows = tuple(self._window(ids, turns, starts, begins, stops) for turns in groups if turns)
        spans = [self._ids(ids, start, stop) for start, stop in zip(starts, stops, strict=True)]
        return Input(
            Prompts(len(pieces), windows),
            sum(len(window.ids) for window in windows),
            tuple(digest_of("prompt", sha256_bytes(span.astype("<i4").tobytes())) for span in spans),
            tuple(
                {"num_tokens": len(span), "cut": int(end > self.room)} | count_unknown(span, self._unknown)
                for span, end in zip(spans, ends, strict=True)
            ),
            unavailable,
        )

    def view(self, item: Dialogue, made: Input, turn: int = 0) -> TextView:
        """The prompt of a turn that has an embedding: the window up to where it ends, and what was cut around it."""
        window = next(window for window in made.value.windows if turn in window.turns)
        own = int(window.places[list(window.turns).index(turn)]) + 1 - len(self.prefix)
        pieces = self._pieces(item)[: turn + 1]
        prompt = [token for piece in pieces for token in piece]
        first = 0 if self.published else len(prompt) - own  # how many were cut on the left
        kept = window.ids[len(self.prefix) : len(self.prefix) + own].tolist()
        begin = len(prompt) - len(pieces[-1])
        tokens = [Token(token_text(self.tokenizer, token), True, "special", False) for token in self.prefix.tolist()]
        for place, token in enumerate([*prompt[:first], *kept, *prompt[first + own :]]):
            inside = first <= place < first + own
            part: Part = "own" if place >= begin else "past"
            kept_here = inside and part == "own" if self.whole else place == first + own - 1
            tokens.append(Token(token_text(self.tokenizer, token), inside, part, kept_here))
        note = "The embedding is the state at the last token of the window."
        if self.whole:
            note = "The states of all tokens are kept, each once in a dialogue; the underlined ones are pooled."
        if own < len(prompt) and self.published:
            note += " As published, the prompt is cut on the right: what this utterance says is lost."
        return TextView(tuple(tokens), self.room + len(self.prefix), note)

    def _pieces(self, dialogue: Dialogue) -> list[list[int]]:
        """The ids of each turn's piece of the prompt."""
        return [
            self.tokenizer.encode(piece, add_special_tokens=False).ids for piece in report_pieces(dialogue.utterances)
        ]

    def _window(
        self, ids: np.ndarray, turns: list[int], starts: np.ndarray, begins: np.ndarray, stops: np.ndarray
    ) -> PromptWindow:
        """The window of turns that begin at one start, oldest first. begins: of each turn's own piece"""
        start = starts[turns[0]]
        before = len(self.prefix) - start
        places, pieces = stops[turns] + before - 1, begins[turns] + before
        return PromptWindow(self._ids(ids, start, stops[turns[-1]]), np.array(turns), places, pieces)

    def _ids(self, ids: np.ndarray, start: int, stop: int) -> np.ndarray:
        return np.concatenate([self.prefix, ids[start:stop]])
