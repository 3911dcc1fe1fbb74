"""Reads the LaTeX that reports write, without the code that wrote it: is it well formed, and which text does it set?"""

from __future__ import annotations

import re

_SETS = {
    r"\textbackslash{}": "\\",
    r"\textasciicircum{}": "^",
    r"\textasciitilde{}": "~",
    r"\textasciigrave{}": "`",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"\symbol{34}": '"',
    r"\ldots{}": "…",
    r"$\pm$": "±",
    r"$\times$": "×",
    r"$\rightarrow$": "→",
    "$-$": "−",
    r"\-": "\N{SOFT HYPHEN}",
    **{f"\\{sign}": sign for sign in "{}$&#%_"},
    "---": "—",
    "--": "–",
    "``": "“",
    "''": "”",
    "`": "‘",
    "'": "’",
    "~": "\N{NO-BREAK SPACE}",
    "{": "",
    "}": "",
}
_TOKEN = re.compile("|".join(map(re.escape, sorted(_SETS, key=len, reverse=True))) + r"|[\\$&#%^_]|[^\\]", re.DOTALL)
_BARE = set("\\$&#%^_")


def set_text(latex: str) -> str:
    """The text that LaTeX sets of escaped text. Raises ValueError for a sign that it would take as markup."""
    found = []
    for token in _TOKEN.findall(latex):
        if token in _BARE:
            raise ValueError(f"bare {token!r} in {latex!r}")
        found.append(_SETS.get(token, token))
    return "".join(found)


def check_balance(latex: str) -> None:
    """Raises ValueError where braces or environments are left open, or closed twice."""
    depth, opened = 0, []
    text = re.sub(r"(?<!\\)%.*", "", latex)
    for token in re.finditer(r"\\begin\{([^}]*)\}|\\end\{([^}]*)\}|\\.|[{}]", text, re.DOTALL):
        if token[1]:
            opened.append((token[1], depth))
        elif token[2]:
            if not opened or opened.pop() != (token[2], depth):
                raise ValueError(f"\\end{{{token[2]}}} closes nothing")
        elif token[0] in "{}":
            depth += 1 if token[0] == "{" else -1
            if depth < 0:
                raise ValueError("a brace closes nothing")
    if depth or opened:
        raise ValueError(f"left open: {depth} braces, {opened}")


def tabulars(latex: str) -> list[list[list[str]]]:
    """Of each tabular its rows of cells, as text; marks of notes stand as ^MARK. A row that spans all columns has one
    cell. Raises ValueError where a row has not as many cells as the table has columns."""
    found = []
    for columns, body in re.findall(r"\\begin\{tabular\}\{@\{\}(.*?)@\{\}\}\n(.*?)\\end\{tabular\}", latex, re.DOTALL):
        width = len(re.sub(r"(>\{[^}]*\})?p\{[^}]*\}", "p", columns))
        rows = []
        for line in body.splitlines():
            if line in (r"\toprule", r"\midrule", r"\bottomrule"):
                continue
            if not line.endswith(r" \\"):
                raise ValueError(f"a row does not end: {line!r}")
            cells = [cell.strip() for cell in re.split(r"(?<!\\)&", line.removesuffix(r" \\"))]
            spanned = re.fullmatch(r"\\multicolumn\{(\d+)\}\{@\{\}l@\{\}\}\{(.*)\}", cells[0])
            if spanned:
                cells = [spanned[2]]
            if (int(spanned[1]) if spanned else len(cells)) != width:
                raise ValueError(f"{len(cells)} cells in a table of {width} columns: {line!r}")
            rows.append([cell_text(cell) for cell in cells])
        found.append(rows)
    return found


def cell_text(cell: str) -> str:
    """Of one cell, without what makes it bold."""
    marked = re.fullmatch(r"(.*)\\textsuperscript\{(\w+)\}", cell)
    inner = marked[1] if marked else cell
    bold = re.fullmatch(r"\\textbf\{(.*)\}", inner)
    return set_text(bold[1] if bold else inner) + (f"^{marked[2]}" if marked else "")


def caption(latex: str) -> str:
    """The text of the first caption."""
    found = re.search(r"^\\caption\{(.*)\}$", latex, re.MULTILINE)
    if found is None:
        raise ValueError("no caption")
    return set_text(found[1])
