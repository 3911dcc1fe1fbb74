"""How torchtext's tokenizer `basic_english` cuts a text, which the report's code gave to GloVe.

Source: pytorch/text, torchtext/data/utils.py, `_basic_english_normalize`, read in November 2026. Lower case; double
quotation marks go; `<br />`, `;` and `:` become spaces; `'`, `.`, `,`, `(`, `)`, `!` and `?` stand alone. All else is
cut at white space alone: `###` and `uh-huh` are one token each.
"""

from __future__ import annotations

_APART = str.maketrans({mark: f" {mark} " for mark in "'.,()!?"} | dict.fromkeys(";:", " "))


def basic_english(text: str) -> list[str]:
    """The tokens of a text."""
    return text.lower().replace('"', "").replace("<br />", " ").translate(_APART).split()
