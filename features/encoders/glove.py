"""`glove`: the mean of GloVe word vectors.

scope `utterance`: the mean over this utterance's tokens. scope `context` with `over=all`: one mean over the tokens of
the past turns and of this one, without speakers' names. Word vectors do not see their neighbours, so a context pooled
over the target alone would be the utterance's own mean again: that pair is refused.

Tokens are those of GloVe's own corpora, in Penn Treebank style: lower case; clitics apart (`do n't`, `it 's`); `...`
and `--` whole, other marks one by one; abbreviations (`mr.`, `u.s.`) keep their dots. A hyphenated word that the
vocabulary lacks is split at its hyphens. Tokens without a vector are counted and left out of the mean.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.digests import digest_of
from features.encoders import ENCODERS, EncoderRequest, Input, Turn
from features.encoders.token_windows import check_scope
from features.encoders.word_vectors import VectorSource, find_vectors, read_vectors, read_vocabulary
from features.errors import Reason, UnavailableError, UsageError
from features.spec import EncoderSpec

VERSION = 1

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
    """Makes the rows of a Turn's known tokens, int64 [t]. The vocabulary is read once in each process that prepares."""

    source: VectorSource
    scope: str

    def __call__(self, turn: Turn) -> Input:
        """Raises UnavailableError: no-text for a blank text, no-known-token where no token has a vector."""
        if not turn.utterance.text.strip():
            raise UnavailableError(Reason.NO_TEXT, "the text is blank")
        rows = read_vocabulary(self.source).rows
        turns = (*turn.past, turn.utterance) if self.scope == "context" else (turn.utterance,)
        tokens = [token for utterance in turns for token in tokenise(utterance.text, rows)]
        known = [rows[token] for token in tokens if token in rows]
        if not known:
            raise UnavailableError(Reason.NO_KNOWN_TOKEN, f"none of {len(tokens)} tokens has a vector: {tokens[:5]}")
        counts = {"num_tokens": len(tokens), "num_unknown": len(tokens) - len(known)}
        return Input(np.array(known, dtype=np.int64), len(known), (digest_of("tokens", tokens),), (counts,))


class GloveEncoder:
    """See the module."""

    reads = "turn"
    needs = None

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        """Raises UsageError for settings that do not fit, WeightsError where the vectors are not to be had."""
        check_scope(settings["scope"], settings["over"])
        if settings["scope"] == "context" and settings["over"] == "target":
            raise UsageError("glove: scope=context with over=target is the utterance's own mean: add --set over=all")
        if request.weights == "random":
            raise UsageError("glove reads its vectors from a file: leave --weights random out")
        model = request.model or ENCODERS["glove"].default_model or ""
        source = find_vectors(model)
        vectors = read_vectors(source)
        self._matrix = vectors.matrix
        self.prepare = GlovePreparer(source, settings["scope"])
        self.batch_size = request.batch_size or 256
        self.spec = EncoderSpec(
            modality="text",
            encoder="glove",
            version=VERSION,
            depends="dialogue" if settings["scope"] == "context" else "text",
            kind="vector",
            shape=(vectors.matrix.shape[1],),
            settings=dict(settings),
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
