"""Any text as LaTeX that sets just that text, whatever it holds."""

from __future__ import annotations

import unicodedata

# What TeX reads as markup, what OT1 fonts show as something else, and signs that pdfLaTeX does not know by themselves.
# `[` and `*` would be arguments of a `\\` before them.
_MARKUP = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",
    "`": r"\textasciigrave{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "\N{NO-BREAK SPACE}": "~",
    "\N{SOFT HYPHEN}": r"\-",
    "\N{MINUS SIGN}": "$-$",
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{RIGHTWARDS ARROW}": r"$\rightarrow$",
    "\N{EN DASH}": "--",
    "\N{EM DASH}": "---",
    "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
    "\N{LEFT SINGLE QUOTATION MARK}": "`",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": "``",
    "\N{RIGHT DOUBLE QUOTATION MARK}": "''",
}
# What stands before -> what may not follow it at once: TeX sets the two as one other sign (--, '', ,, ?`).
_JOINED = {"-": "-", "'": "'", "`": "`", ",": ",", "?": "`", "!": "`"}
_LAST_OF_PDFLATEX = 0x17F  # Latin letters with accents, which its usual fonts have


def latex_of(value: object) -> str:
    r"""Any value as LaTeX on one line.

    White space becomes one space; a character that cannot be printed becomes `?`, one that is not seen is left out.
    Letters of any script stay as they are (`beyond_pdflatex`).
    """
    parts = [""]
    for sign in _printable(str(value)):
        piece = _MARKUP.get(sign, sign)
        if _JOINED.get(parts[-1][-1:]) == piece[0]:
            parts.append("{}")
        parts.append(piece)
    return "".join(parts)


def beyond_pdflatex(text: str) -> str:
    """The characters of a LaTeX text, each once and sorted, that pdfLaTeX's usual fonts lack: XeLaTeX and LuaLaTeX set
    them with a font that has them."""
    return "".join(sorted({sign for sign in text if ord(sign) > _LAST_OF_PDFLATEX}))


def _printable(text: str) -> str:
    """One line in composed form (NFC)."""
    line = "".join(map(_seen, unicodedata.normalize("NFC", text)))
    return " ".join(part for part in line.split(" ") if part)


def _seen(sign: str) -> str:
    if sign.isspace() and sign != "\N{NO-BREAK SPACE}":
        return " "
    category = unicodedata.category(sign)
    if category == "Cf" and sign not in ("\N{SOFT HYPHEN}", "\N{ZERO WIDTH JOINER}", "\N{ZERO WIDTH NON-JOINER}"):
        return ""
    return "?" if category in ("Cc", "Cs", "Cn", "Co") else sign
