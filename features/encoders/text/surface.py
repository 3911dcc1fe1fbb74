"""`surface`: what the form of a text tells of the emotion, and lower-casing encoders lose. Counts, no weights.

`COLUMNS` names them in the order of the vector; the names are in the spec. Curly quotes, the one-character ellipsis and
their plain forms count alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from features.digests import digest_of
from features.encoders.protocol import EncoderRequest, Input, Turn
from features.encoders.views import TextView
from features.errors import Reason, UnavailableError
from features.spec import EncoderSpec

VERSION = 1

_PLAIN = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2026": "..."})
_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_ELLIPSIS = re.compile(r"\.{2,}")
_REPEATED = re.compile(r"[!?]{2,}")
_DASH = re.compile(r"[\u2013\u2014]|-{2,}|(?<=\s)-(?=\s)|-$")
_ELONGATED = re.compile(r"([^\W\d_])\1{2,}", re.IGNORECASE)
_STUTTER = re.compile(r"\b(\w+)(?:(?:,\s*|\s+|-)\1\b)+", re.IGNORECASE)
_LAUGHTER = re.compile(r"\b(?:ha(?:[\s,-]*ha)*h?|a(?:ha){2,}h?|(?:he){2,}h?|hee(?:[\s,-]*hee)+|lol)\b", re.IGNORECASE)
_INTERJECTION = re.compile(
    r"\b(?:o+h+|a+h+|u+h+|e+h+|u+m+|h+m+|a+w+|o+w+|e+w+|u+gh+|w+o+w+|w+h+o+a+|h+e+y+|y+a+y+|wo+-?ho+|aha|huh|shh+|psst|"
    r"ouch|oops|gosh|gee|jeez|yikes|yeah|yep|nope|damn|god)\b",
    re.IGNORECASE,
)
_NEGATION = re.compile(r"\b(?:no|not|never|nothing|nobody|none|nowhere|neither|nor|cannot)\b|n't\b", re.IGNORECASE)
_FIRST_PERSON = re.compile(r"\b(?:i|me|my|mine|myself|we|us|our|ours|ourselves)\b", re.IGNORECASE)
_SECOND_PERSON = re.compile(r"\b(?:you|your|yours|yourself|yourselves|ya)\b", re.IGNORECASE)
_INTENSIFIER = re.compile(
    r"\b(?:so|very|really|totally|completely|absolutely|such|too|just|ever|extremely|incredibly|definitely)\b",
    re.IGNORECASE,
)
_POLITE = re.compile(r"\b(?:please|thanks|thank|sorry|welcome|excuse)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Surface:
    """A text in plain quotes and dots, and its words as written."""

    text: str

    @cached_property
    def words(self) -> list[str]:
        return _WORD.findall(self.text)

    def count(self, pattern: re.Pattern[str]) -> int:
        return sum(1 for _ in pattern.finditer(self.text))

    @property
    def capitals_share(self) -> float:
        letters = sum(map(str.isalpha, self.text))
        return sum(map(str.isupper, self.text)) / letters if letters else 0.0

    @property
    def shouted(self) -> int:
        return sum(len(word) > 1 and word.isupper() for word in self.words)


COLUMNS: dict[str, Callable[[Surface], float]] = {
    "characters": lambda s: len(s.text),
    "words": lambda s: len(s.words),
    "mean_word_length": lambda s: sum(map(len, s.words)) / len(s.words) if s.words else 0.0,
    "exclamation_marks": lambda s: s.text.count("!"),
    "question_marks": lambda s: s.text.count("?"),
    "ends_in_exclamation": lambda s: s.text.rstrip("\"' ").endswith("!"),
    "ends_in_question": lambda s: s.text.rstrip("\"' ").endswith("?"),
    "repeated_marks": lambda s: s.count(_REPEATED),
    "ellipses": lambda s: s.count(_ELLIPSIS),
    "dashes": lambda s: s.count(_DASH),
    "commas": lambda s: s.text.count(","),
    "quotes": lambda s: s.text.count('"'),
    "capitals_share": lambda s: s.capitals_share,
    "all_caps_words": lambda s: s.shouted,
    "elongations": lambda s: s.count(_ELONGATED),
    "repeated_words": lambda s: s.count(_STUTTER),
    "interjections": lambda s: s.count(_INTERJECTION),
    "laughter": lambda s: s.count(_LAUGHTER),
    "negations": lambda s: s.count(_NEGATION),
    "first_person": lambda s: s.count(_FIRST_PERSON),
    "second_person": lambda s: s.count(_SECOND_PERSON),
    "intensifiers": lambda s: s.count(_INTENSIFIER),
    "polite_words": lambda s: s.count(_POLITE),
    "digits": lambda s: sum(map(str.isdigit, s.text)),
}


def measure(text: str) -> np.ndarray:
    """The counts of a text: float32 [len(COLUMNS)]. Runs of whitespace count as one space."""
    surface = Surface(" ".join(text.translate(_PLAIN).split()))
    return np.array([column(surface) for column in COLUMNS.values()], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class SurfacePreparer:
    """Counts at once: there is nothing left for a device to do."""

    def __call__(self, turn: Turn) -> Input:
        """Raises UnavailableError(no-text) for a blank text."""
        text = turn.utterance.text
        if not text.strip():
            raise UnavailableError(Reason.NO_TEXT, "the text is blank")
        return Input(measure(text), len(text), (digest_of("surface", text),), ({},))

    def view(self, item: Turn, made: Input, turn: int = 0) -> TextView:
        """The counts."""
        note = "Counted in the text as it is written."
        return TextView(note=note, values=tuple(zip(COLUMNS, made.value.tolist(), strict=True)))


class SurfaceEncoder:
    """See the module."""

    reads = "turn"
    needs = None

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        self.prepare = SurfacePreparer()
        self.batch_size = request.batch_size or 256
        self.spec = EncoderSpec(
            modality="text",
            encoder="surface",
            version=VERSION,
            depends="text",
            kind="vector",
            shape=(len(COLUMNS),),
            settings=settings | {"columns": list(COLUMNS)},
            alias=request.alias,
        )

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """One float32 [len(COLUMNS)] per input, as `prepare` counted it."""
        return [item.value for item in inputs]
