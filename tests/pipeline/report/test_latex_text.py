"""Whatever a name holds, LaTeX sets that name, and takes nothing of it as markup."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from latex_reader import check_balance, set_text

from pipeline.report.latex_text import beyond_pdflatex, latex_of

SPECIAL = "\\{}$&#%_^~<>|\"`'[]*-,?!−±–—×→… “”‘’\N{NO-BREAK SPACE}\N{SOFT HYPHEN}aé怒\n\t"
NAMES = st.text(st.sampled_from(SPECIAL)) | st.text()


def expected(text: str) -> str:
    """What is to be seen of a text: one line, composed; straight apostrophes are curly in TeX."""
    kept = []
    for sign in unicodedata.normalize("NFC", text):
        category = unicodedata.category(sign)
        if sign.isspace() and sign != "\N{NO-BREAK SPACE}":
            kept.append(" ")
        elif category in ("Cc", "Cs", "Cn", "Co"):
            kept.append("?")
        elif category != "Cf" or sign in "\N{SOFT HYPHEN}\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}":
            kept.append(sign)
    return re.sub(" +", " ", "".join(kept)).strip(" ").replace("'", "’")


@settings(max_examples=300, deadline=None)
@example("50%_of #1 & {x}^2 ~ \\newcommand $y$")
@example("a--b '' `` ,, ?` !` <<x>> |")
@example("?‘ -– –- '’ ‘‘ “‘")
@example("−2.5 ± 0.3")
@given(NAMES)
def test_latex_sets_the_text_itself(text: str) -> None:
    latex = latex_of(text)
    assert set_text(latex) == expected(text)
    check_balance(latex)


@settings(max_examples=200, deadline=None)
@given(NAMES)
def test_no_row_end_takes_a_text_as_its_argument(text: str) -> None:
    r"""`\\` reads a `*` and a `[` that follow it."""
    assert latex_of(text)[:1] not in ("*", "[")
    assert "\n" not in latex_of(text)


@pytest.mark.parametrize("pair", ["--", "---", "''", ",,", "?`", "!`", "<<", ">>", "?‘", "!‘", "-–", "'’"])
def test_signs_that_tex_would_join_stay_apart(pair: str) -> None:
    joined = ("---", "--", "''", ",,", "?`", "!`", "<<", ">>", "``")
    latex = latex_of(f"a{pair}b")
    left = latex.replace("--", "", 1) if "–" in pair else latex
    assert not any(sign in left for sign in joined), latex


@pytest.mark.parametrize("text", ["50%_of #1 & {x}^2 ~ \\newcommand $y$", "a_b", "−2.5 ± 0.3 – 1 × 2", "[x]*"])
def test_another_reader_of_latex_sees_the_same(text: str) -> None:
    reader = pytest.importorskip("pylatexenc.latex2text")
    seen = reader.LatexNodes2Text(math_mode="text", strict_latex_spaces=True).latex_to_text(latex_of(text))
    its_own = {"ˆ": "^", "˜": "~"}  # what it calls these two signs
    assert "".join(its_own.get(sign, sign) for sign in seen) == text.replace("−", "-")


def test_letters_that_pdflatex_lacks_are_told() -> None:
    assert beyond_pdflatex(latex_of("joy ± 0.3, été, −1, 怒 and حزن")) == "حزن怒"
    assert beyond_pdflatex(latex_of("joy ± 0.3, été, −1 – “x” → …")) == ""
