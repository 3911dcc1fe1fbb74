"""`glove`: the mean of GloVe word vectors.

scope `utterance`: the mean over this utterance's tokens. scope `context` with `over=all`: one mean over the tokens of
the past turns and of this one, without speakers' names. Word vectors do not see their neighbours, so a context pooled
over the target alone would be the utterance's own mean again: that pair is refused.

As published: one mean over the tokens of the report's whole prompt, past turns, names and marks included (`The speaker
"X" said:` and `###` a turn), so that much of every embedding is the same and the present turn is one of many. Tokens
are those of `basic_english` (`don ' t`, not `do n't`). The report trained the vectors along; here they are frozen. Its
mean also divides by the longest prompt of the batch, but then it brings the vector to length 1, which undoes that.

Otherwise tokens are those of GloVe's own corpora, in Penn Treebank style: lower case; clitics apart (`do n't`,
`it 's`); `...` and `--` whole, other marks one by one; abbreviations (`mr.`, `u.s.`) keep their dots. A hyphenated word
that the vocabulary lacks is split at its hyphens. Tokens without a vector are counted and left out of the mean.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.digests import digest_of
from features.encoders.protocol import EncoderRequest, Input, Turn
from features.encoders.table import ENCODERS
from features.encoders.text.basic_english import basic_english
from features.encoders.text.token_windows import check_scope
from features.encoders.text.word_vectors import VectorSource, WordVectors, find_vectors, read_vectors, read_vocabulary
from features.encoders.views import TextView, Token
from features.errors import Reason, UnavailableError, UsageError
from features.prompts import report_pieces
from features.spec import EncoderSpec

VERSION = 1
PUBLISHED_VERSION = 2

_PROMPT = "prompt"
_PLAIN = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2026": "...", "\u2014": "--", "\u2013": "--"}
)
_TOKEN = re.compile(
    r"""
      \.{2,}                                      # an ellipsis, however long
    | -{2,}                                       # a dash
    | \d+(?:[.,:]\d+)*                            # 3.14  1,000  10:30
    | (?:mr|mrs|ms|dr|st|jr|sr)\.                 # titles keep their dot
    | (?:[^\W\d_]\.){2,}                          # u.s.  a.m.
    | '(?:s|m|re|ve|ll|d|em|cause)\b              # clitics, and words that begin with an apostrophe
    | [^\W\d_]+?(?=n't\b)                         # the verb before n't
    | n't\b
    | o'clock\b | ma'am\b
    | [^\W_]+(?:-[^\W_]+)*                        # words, whole where hyphenated
    | \S                                          # any other mark
    """,
    re.VERBOSE,
)


def tokenise(text: str, known: Collection[str]) -> list[str]:
    """The tokens of a text. known: the vocabulary, which decides where a hyphenated word stays whole."""
    tokens: list[str] = []
    for token in _TOKEN.findall(text.translate(_PLAIN).lower()):
        if token.startswith(".."):
            tokens.append("...")
        elif token.startswith("--"):
            tokens.append("--")
        elif "-" in token and token not in known:
            tokens.extend(part for part in token.split("-") if part)
        else:
            tokens.append(token)
    return tokens


@dataclass(frozen=True, slots=True)
class GlovePreparer:
    """Makes the rows of a Turn's known tokens, int64 [t]. The vocabulary is read once in each process that prepares.

    scope: which tokens: the utterance's, with `context` the past turns' too, with `prompt` those of the report's prompt
    """

    source: VectorSource
    scope: str = "utterance"

    def __call__(self, turn: Turn) -> Input:
        """Raises UnavailableError: no-text for a blank text, no-known-token where no token has a vector."""
        if not turn.utterance.text.strip():
            raise UnavailableError(Reason.NO_TEXT, "the text is blank")
        rows = read_vocabulary(self.source).rows
        tokens = [token for text in self._texts(turn) for token in self._tokens(text, rows)]
        known = [rows[token] for token in tokens if token in rows]
        if not known:
            raise UnavailableError(Reason.NO_KNOWN_TOKEN, f"none of {len(tokens)} tokens has a vector: {tokens[:5]}")
        counts = {"num_tokens": len(tokens), "num_unknown": len(tokens) - len(known)}
        return Input(np.array(known, dtype=np.int64), len(known), (digest_of("tokens", tokens),), (counts,))

    def view(self, item: Turn, made: Input, turn: int = 0) -> TextView:
        """The words, those without a vector marked as not kept. The last text is the utterance's own."""
        rows = read_vocabulary(self.source).rows
        texts = self._texts(item)
        tokens = [
            Token(f"{word} ", word in rows, "own" if number == len(texts) else "past", word in rows)
            for number, text in enumerate(texts, start=1)
            for word in self._tokens(text, rows)
        ]
        return TextView(tuple(tokens), None, "Words that are struck out have no vector and are left out.")

    def _tokens(self, text: str, known: Collection[str]) -> list[str]:
        return basic_english(text) if self.scope == _PROMPT else tokenise(text, known)

    def _texts(self, turn: Turn) -> list[str]:
        if self.scope == "utterance":
            return [turn.utterance.text]
        turns = (*turn.past, turn.utterance)
        return report_pieces(turns) if self.scope == _PROMPT else [utterance.text for utterance in turns]


def open_vectors(request: EncoderRequest) -> tuple[str, VectorSource, WordVectors]:
    """What a request names as its model, where its vectors lie, and the vectors.

    Raises UsageError for random weights, WeightsError where the vectors are not to be had.
    """
    if request.weights == "random":
        raise UsageError(f"{request.encoder} reads its vectors from a file: leave --weights random out")
    model = request.model or ENCODERS[request.encoder].default_model or ""
    source = find_vectors(model)
    return model, source, read_vectors(source)


class GloveEncoder:
    """See the module."""

    reads = "turn"
    needs = None

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        """Raises UsageError for settings that do not fit, WeightsError where the vectors are not to be had."""
        if request.as_published:
            scope, resolved = _PROMPT, settings | {"as_published": True}
        else:
            scope, resolved = settings["scope"], dict(settings)
            check_scope(scope, settings["over"])
            if scope == "context" and settings["over"] == "target":
                raise UsageError(
                    "glove: scope=context with over=target is the utterance's own mean: add --set over=all"
                )
        model, source, vectors = open_vectors(request)
        self._matrix = vectors.matrix
        self.prepare = GlovePreparer(source, scope)
        self.batch_size = request.batch_size or 256
        self.spec = EncoderSpec(
            modality="text",
            encoder="glove",
            version=PUBLISHED_VERSION if request.as_published else VERSION,
            depends="text" if scope == "utterance" else "dialogue",
            kind="vector",
            shape=(vectors.matrix.shape[1],),
            settings=resolved,
            weights="pretrained",
            weights_digest=vectors.digest(),
            model=model,
            alias=request.alias,
        )

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """One float32 [d] per input; sums run in float64, one input at a time."""
        if not inputs:
            return []
        rows, places = np.unique(np.concatenate([item.value for item in inputs]), return_inverse=True)
        vectors = np.asarray(self._matrix[rows], dtype=np.float64)
        ends = np.cumsum([item.length for item in inputs])[:-1]
        return [vectors[own].mean(axis=0).astype(np.float32) for own in np.split(places, ends)]
