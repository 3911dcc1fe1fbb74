"""A published table beside ours, and its objectives' answers, as LaTeX."""

from __future__ import annotations

from pipeline.report.latex_table import Cell, Table
from pipeline.report.latex_tables import warnings
from pipeline.report.latex_text import latex_of
from pipeline.report.paper import PaperResult
from pipeline.report.paper_words import paper_caption, paper_header, paper_line, reply_sentences


def paper_table(result: PaperResult) -> Table:
    """The rows in the paper's order; what is not known is a dash with a note."""
    marks: dict[str, str] = {}
    rows = []
    for row in result.rows:
        line = paper_line(result, row)
        cells = [
            Cell(text, mark=_mark(marks, line.notes[place]) if place in line.notes else "")
            for place, text in enumerate(line.cells)
        ]
        rows.append(cells)
    caption = paper_caption(result) + warnings(result.corpus)
    notes = {mark: text for text, mark in marks.items()}
    return Table(f"{result.number}-{result.paper.suite}", caption, paper_header(result), rows, 2, notes=notes)


def objectives_latex(result: PaperResult) -> str:
    """A description list: an item an objective, its answer in sentences."""
    lines = [rf"% {result.paper.suite}: the objectives of the paper, answered on dev", r"\begin{description}"]
    for reply in result.replies:
        said = " ".join(reply_sentences(result.corpus, reply))
        asked = reply.objective
        lines.append(rf"\item[Objective {asked.number}.] \emph{{{latex_of(asked.question)}}} {latex_of(said)}")
    warned = warnings(result.corpus).strip()
    lines += [rf"\item[Caution.] {latex_of(warned)}"] if warned else []
    return "\n".join([*lines, r"\end{description}"]) + "\n"


def _mark(marks: dict[str, str], text: str) -> str:
    """The letter of a note; the same note has the same letter."""
    return marks.setdefault(text, _letters(len(marks)))


def _letters(number: int) -> str:
    """a, b, ... z, aa, ab, ..."""
    before, last = divmod(number, 26)
    return (_letters(before - 1) if before else "") + chr(ord("a") + last)
