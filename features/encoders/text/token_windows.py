"""From a turn to the token ids of a transformer's window, and the span of them that is pooled.

scope `utterance`: the special tokens and the utterance's tokens, cut on the right where they do not fit. All of them
    are pooled, the special ones too, as sentence-transformers does: its mean runs over every attended token.
scope `context`: the past turns as `prompts` writes them, then the target's line. Past turns are dropped from the left
    by whole turns; the target always stays, itself cut on the right where it is longer than the window. `over=target`
    pools the tokens of what the target says, without its speaker's name and without special tokens; `over=all` pools
    the whole window.

The tokens of a context are the joined tokens of its lines, each tokenised alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from features.digests import digest_of, sha256_bytes
from features.encoders.protocol import Input, Turn
from features.encoders.text.unknown_tokens import count_unknown, unknown_id
from features.encoders.views import Part, TextView, Token, token_text
from features.errors import Reason, UnavailableError, UsageError, WeightsError, nearest
from features.prompts import fit_past, past_lines, turn_line

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SCOPES = ("utterance", "context")
OVERS = ("target", "all")

_CACHED_LINES = 4096
_PROBE = "Oh my God!! You're naïve, Dr. Geller… \u201cHA-ha\u201d,\nsaid\tJoey 3.14 \u4f60\u597d \U0001f600 [MASK]"


@dataclass(frozen=True, slots=True)
class Window:
    """ids: int32 [t], special tokens included; [start, stop) is the span of them to pool."""

    ids: np.ndarray
    start: int
    stop: int


class WindowPreparer:
    """Makes a Window of a Turn. It holds the fast tokenizer and no weights, and pickles.

    tokenizer: a `tokenizers.Tokenizer` without truncation and padding (see `bare_tokenizer`). Its `encode` is called
               directly: `PreTrainedTokenizerFast.__call__` sets padding and truncation up anew for every text.
    max_tokens: window, special tokens included
    prompt: what stands before the text, and is tokenised with it; before a context it is tokenised alone
    pools_prompt: whether the prompt's tokens are pooled with the text's, where the whole window is
    around: what stands before and behind the prompt and text instead of the tokenizer's special tokens
    Raises UsageError for a window that leaves no room for a token of text.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        max_tokens: int,
        scope: str = "utterance",
        over: str = "target",
        prompt: str = "",
        pools_prompt: bool = True,
        around: tuple[str, str] | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.prefix, self.suffix = special_tokens(tokenizer)
        if around is not None:
            before, behind = (tuple(tokenizer.encode(text, add_special_tokens=False).ids) for text in around)
            self.prefix, self.suffix = before, behind
        prompt_ids = tokenizer.encode(prompt, add_special_tokens=False).ids
        room = max_tokens - len(self.prefix) - len(self.suffix)
        if room < len(prompt_ids) + 1:
            beside = "the special tokens and the prefix" if prompt_ids else "the special tokens"
            least = max_tokens - room + len(prompt_ids) + 1
            raise UsageError(f"max_tokens={max_tokens} leaves no room for text beside {beside}: at least {least}")
        if scope == "context":
            self.prefix = (*self.prefix, *prompt_ids)
        self.room = max_tokens - len(self.prefix) - len(self.suffix)
        self.prompt, self.pools_prompt = prompt, pools_prompt
        self.scope, self.over = scope, over
        self._unknown = unknown_id(tokenizer)
        self._line_ids = LineTokenizer(tokenizer)

    def __call__(self, turn: Turn) -> Input:
        """Raises UnavailableError(no-text) for a blank text, or one of which the tokenizer leaves nothing."""
        if not turn.utterance.text.strip():
            raise UnavailableError(Reason.NO_TEXT, "the text is blank")
        past, target, spoken, cut = self._parts(turn)
        if len(target) <= spoken:
            raise UnavailableError(Reason.NO_TEXT, "the tokenizer leaves nothing of the text")
        ids = np.array([*self.prefix, *past, *target, *self.suffix], dtype=np.int32)
        start, stop = 0, len(ids)
        if self.prompt and not self.pools_prompt:
            start = len(self.prefix) + (spoken if self.scope == "utterance" else 0)
        if self.scope == "context" and self.over == "target":
            start = len(self.prefix) + len(past) + spoken
            stop = len(ids) - len(self.suffix)
        return window_input(ids, start, stop, cut, self._unknown)

    def view(self, item: Turn, made: Input, turn: int = 0) -> TextView:
        """The window, between what was cut of the past and of the utterance."""
        past, target, named, _ = self._parts(item)
        whole, spoken = self._target(item)
        begin = spoken - named  # above 0 where the speaker's name was cut
        lines = reversed(list(past_lines(item.past))) if self.scope == "context" else ()
        all_past = [token for line in lines for token in self._line_ids(line)]
        tokens = [
            *cut_tokens(self.tokenizer, all_past[: len(all_past) - len(past)], "past"),
            *cut_tokens(self.tokenizer, whole[:begin]),
            *window_tokens(self.tokenizer, made.value, (len(self.prefix), len(past), len(target), len(self.suffix))),
            *cut_tokens(self.tokenizer, whole[begin + len(target) :]),
        ]
        note = "The embedding is taken of the states of all tokens that are underlined."
        return TextView(tuple(tokens), self.room + len(self.prefix) + len(self.suffix), note)

    def _target(self, turn: Turn) -> tuple[list[int], int]:
        """All ids of the target, and how many of them are its prompt or its speaker's name."""
        if self.scope == "utterance":
            before, text = self.prompt, self.prompt + turn.utterance.text.strip()
        else:
            line = turn_line(turn.utterance)
            before, text = line.name, str(line)
        encoded = self.tokenizer.encode(text, add_special_tokens=False)
        if self.scope == "utterance" and not before:
            return encoded.ids, 0
        spoken = next((i for i, (_, end) in enumerate(encoded.offsets) if end > len(before)), len(encoded.ids))
        return encoded.ids, spoken

    def _parts(self, turn: Turn) -> tuple[list[int], list[int], int, bool]:
        """Ids of the past that fits, ids of the target, how many of the latter are its prompt or its speaker's name,
        and whether anything was cut."""
        target, spoken = self._target(turn)
        if self.scope == "utterance":
            return [], target[: self.room], spoken, len(target) > self.room
        if len(target) <= self.room:
            past, cut = fit_past(map(self._line_ids, past_lines(turn.past)), self.room - len(target))
            return past, target, spoken, cut
        if spoken >= self.room:  # a name as long as the window: what is said goes first
            target, spoken = target[spoken:], 0
        return [], target[: self.room], spoken, True


class LineTokenizer:
    """Ids of a line of text alone, without special tokens around it. Lines are kept: a turn is past to all later ones.

    It pickles, without what it keeps.
    special_as_text: whether `[MASK]` and its like within a line are text; else they are the special tokens
    """

    def __init__(self, tokenizer: Tokenizer, special_as_text: bool = False) -> None:
        self._tokenizer = type(tokenizer).from_str(tokenizer.to_str()) if special_as_text else tokenizer
        self._special_as_text = special_as_text
        self.__setstate__(self.__dict__)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_lines": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lines: dict[str, list[int]] = {}
        if self._special_as_text:
            self._tokenizer.encode_special_tokens = True  # which a pickled tokenizer forgets

    def __call__(self, line: str) -> list[int]:
        ids = self._lines.get(line)
        if ids is None:
            if len(self._lines) >= _CACHED_LINES:
                self._lines.clear()
            ids = self._lines[line] = self._tokenizer.encode(line, add_special_tokens=False).ids
        return ids


def window_input(ids: np.ndarray, start: int, stop: int, cut: bool, unknown: int | None = None) -> Input:
    """The Input of a Window. cut: whether anything was left out to fit it; unknown: see `unknown_id`"""
    digest = digest_of("window", sha256_bytes(ids.astype("<i4").tobytes()), start, stop)
    counts = {"num_tokens": len(ids), "cut": int(cut)} | count_unknown(ids, unknown)
    return Input(Window(ids, start, stop), len(ids), (digest,), (counts,))


def window_tokens(tokenizer: Tokenizer, window: Window, lengths: tuple[int, int, int, int]) -> list[Token]:
    """The tokens of a window. lengths: of the special ones before, the past, the target, the special ones behind"""
    parts: list[Part] = []
    order: tuple[Part, ...] = ("special", "past", "own", "special")
    for part, length in zip(order, lengths, strict=True):
        parts += [part] * length
    return [
        Token(token_text(tokenizer, token), True, part, window.start <= place < window.stop)
        for place, (token, part) in enumerate(zip(window.ids.tolist(), parts, strict=True))
    ]


def cut_tokens(tokenizer: Tokenizer, ids: Sequence[int], part: Part = "own") -> list[Token]:
    """Tokens that did not fit."""
    return [Token(token_text(tokenizer, token), False, part, False) for token in ids]


def check_scope(scope: str, over: str) -> None:
    """Raises UsageError for a scope or span that does not exist, or a span that needs a context."""
    if scope not in SCOPES:
        raise UsageError(f"no scope {scope!r}: {nearest(scope, SCOPES)}")
    if over not in OVERS:
        raise UsageError(f"over={over!r} does not exist: {nearest(over, OVERS)}")
    if scope == "utterance" and over != "target":
        raise UsageError(f"over={over} needs a context to pool over: add --set scope=context")


def bare_tokenizer(tokenizer: Any, model: str) -> Tokenizer:
    """The fast tokenizer within one of transformers, without the truncation and padding that its file may ask for.

    Raises WeightsError where there is only a slow one.
    """
    backend: Tokenizer | None = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise WeightsError(f"model {model!r} has no fast tokenizer: add its tokenizer.json to the folder")
    backend.no_truncation()
    backend.no_padding()
    return backend


def special_tokens(tokenizer: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ids that the tokenizer puts before a text and after it. Raises WeightsError where it has no token for `a`."""
    encoded = tokenizer.encode("a")
    special = encoded.special_tokens_mask
    if 0 not in special:
        raise WeightsError("the tokenizer knows no token for the letter a: it is damaged, or none for text")
    first = special.index(0)
    last = len(special) - special[::-1].index(0)
    return tuple(encoded.ids[:first]), tuple(encoded.ids[last:])


def tokenizer_digest(tokenizer: Tokenizer) -> str:
    """sha256 over what a tokenizer does: its vocabulary, and its ids of a text with case, accents, marks and scripts.

    Its file is not hashed: libraries rewrite it without changing what it does.
    """
    vocabulary = sorted(tokenizer.get_vocab().items())
    return digest_of("tokenizer", vocabulary, tokenizer.encode(_PROBE).ids)
