"""A table as LaTeX: booktabs rules, a caption, marks and the notes that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.report.latex_text import latex_of

MOST_ROWS = 42  # of one float: a taller one does not fit on a page, and LaTeX would set its end beyond the paper
_WRAPPED = r">{\raggedright\arraybackslash}p{0.26\linewidth}"


@dataclass(frozen=True)
class Cell:
    """Plain text, perhaps bold, perhaps with the mark of a note."""

    text: str
    bold: bool = False
    mark: str = ""

    def latex(self) -> str:
        text = latex_of(self.text)
        text = rf"\textbf{{{text}}}" if self.bold else text
        return text + (rf"\textsuperscript{{{latex_of(self.mark)}}}" if self.mark else "")


@dataclass(frozen=True)
class Rule:
    """A rule between rows, with words below it where there are any."""

    words: str = ""


Row = Sequence[str | Cell]


@dataclass(frozen=True)
class Table:
    """name: of its file and of its label, `tab:NAME`, letters of file names alone
    caption:      plain text
    text_columns: how many of the first columns stand left; the others are numbers and stand right
    wrapped:      whether the first column holds sentences, which may break
    notes:        mark -> what it says, plain text
    """

    name: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Row | Rule]
    text_columns: int = 1
    wrapped: bool = False
    notes: dict[str, str] = field(default_factory=dict)

    def latex(self) -> str:
        """One float, or several of at most MOST_ROWS rows with the number of the first."""
        parts = [self.rows[start : start + MOST_ROWS] for start in range(0, len(self.rows), MOST_ROWS)] or [[]]
        return "\n".join(self._float(rows, number) for number, rows in enumerate(parts))

    def _float(self, rows: Sequence[Row | Rule], number: int) -> str:
        caption = latex_of(f"{self.caption} (continued)" if number else self.caption)
        lines = [r"\begin{table*}[tp]", r"\centering\footnotesize\setlength{\tabcolsep}{4pt}"]
        lines += [r"\addtocounter{table}{-1}"] if number else []
        lines += [rf"\caption{{{caption}}}"] + ([] if number else [rf"\label{{tab:{self.name}}}"])
        lines += [r"\ercfit{%", rf"\begin{{tabular}}{{@{{}}{self._columns()}@{{}}}}", r"\toprule"]
        lines += [self._row(self.header), r"\midrule"]
        lines += [self._line(row) for row in rows]
        lines += [r"\bottomrule", r"\end{tabular}}"]
        used = {cell.mark for row in rows if not isinstance(row, Rule) for cell in row if isinstance(cell, Cell)}
        notes = [(mark, text) for mark, text in self.notes.items() if mark in used]
        if notes:
            lines += [r"\par\smallskip", r"\begin{minipage}{\linewidth}\raggedright"]
            lines += [rf"\textsuperscript{{{latex_of(mark)}}}~{latex_of(text)}\par" for mark, text in notes]
            lines.append(r"\end{minipage}")
        return "\n".join([*lines, r"\end{table*}"]) + "\n"

    def _columns(self) -> str:
        first = _WRAPPED if self.wrapped else "l"
        return first + "l" * (self.text_columns - 1) + "r" * (len(self.header) - self.text_columns)

    def _line(self, row: Row | Rule) -> str:
        if not isinstance(row, Rule):
            return self._row(row)
        words = rf"\multicolumn{{{len(self.header)}}}{{@{{}}l@{{}}}}{{{latex_of(row.words)}}} \\"
        return "\n".join([r"\midrule", *([words] if row.words else [])])

    def _row(self, cells: Row) -> str:
        return " & ".join(cell.latex() if isinstance(cell, Cell) else latex_of(cell) for cell in cells) + r" \\"
