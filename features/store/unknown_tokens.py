"""How much of its texts a feature's encoder could not read: the tokens that its vocabulary lacks, as ledgers count."""

from __future__ import annotations

from features.store.feature import Feature

MANY = 0.1
"""The share of unknown tokens from which on it is warned of: of texts in a model's language they are far fewer."""


def are_many(tokens: int, unknown: int) -> bool:
    """Whether so many of the tokens are unknown that the texts can hardly be read."""
    return unknown > 0 and unknown >= MANY * tokens


def unknown_tokens(feature: Feature) -> tuple[int, int]:
    """How many tokens the rows that hold were made of, and how many of them are unknown. Raises as `Feature.ledger`."""
    rows = feature.ledger()
    tokens, unknown = (int(rows[name].sum()) if name in rows.columns else 0 for name in ("num_tokens", "num_unknown"))
    return tokens, unknown
