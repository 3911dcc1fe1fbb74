"""Tokens that stand for what a model's vocabulary does not have, counted for the ledger."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def unknown_id(tokenizer: Tokenizer) -> int | None:
    """The id that stands for what is not in the vocabulary, or None where all bytes are."""
    kind = type(tokenizer.model).__name__
    if kind == "Unigram":  # which does not tell it otherwise
        found = json.loads(tokenizer.to_str())["model"].get("unk_id")
        return None if found is None else int(found)
    token = getattr(tokenizer.model, "unk_token", None)
    return tokenizer.token_to_id(token) if token else None


def count_unknown(ids: np.ndarray, unknown: int | None) -> dict[str, int]:
    """What the ledger tells of unknown tokens among a window's: their number, and nothing where there is none."""
    number = 0 if unknown is None else int((ids == unknown).sum())
    return {"num_unknown": number} if number else {}
