"""`basic_english`: what torchtext's tokenizer of that name says of the same texts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.encoders.text.basic_english import basic_english

# The rules that torchtext's docstring lists, in its order: what is found, and what takes its place.
RULES = [
    ("'", " '  "),
    ('"', ""),
    (r"\.", " . "),
    ("<br />", " "),
    (",", " , "),
    (r"\(", " ( "),
    (r"\)", " ) "),
    ("!", " ! "),
    (r"\?", " ? "),
    (";", " "),
    (":", " "),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I don't. It's Joey's!", ["i", "don", "'", "t", ".", "it", "'", "s", "joey", "'", "s", "!"]),
        ('The speaker "Ann" said:\n###\nOh...\n###', ["the", "speaker", "ann", "said", "###", "oh", *"...", "###"]),
        ("(So;what)?", ["(", "so", "what", ")", "?"]),
        ("uh-huh -- 10:30 1,000 can’t", ["uh-huh", "--", "10", "30", "1", ",", "000", "can’t"]),
        ('one<br />two<BR />"three"<br/>', ["one", "two", "three<br/>"]),
        (" \n\x85\u2028", []),
    ],
)
def test_tokens(text: str, expected: list[str]) -> None:
    assert basic_english(text) == expected


@given(st.lists(st.one_of(st.sampled_from([*"'\".,()!?;: \n#-", "<br />", '<br" />']), st.text(max_size=3))))
def test_it_is_what_the_rules_give_one_after_another(parts: list[str]) -> None:
    text = "".join(parts)
    line = text.lower()
    for found, instead in RULES:
        line = re.sub(found, instead, line)
    assert basic_english(text) == line.split()
