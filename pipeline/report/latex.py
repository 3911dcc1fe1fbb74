"""The folder latex/ of a report: tables and figures for a paper, and the two files that a paper inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.pages import words
from pipeline.pages.drawing import Drawing
from pipeline.report.corpus import Corpus
from pipeline.report.figures import FIGURES, key_of
from pipeline.report.latex_paper import objectives_latex, paper_table
from pipeline.report.latex_tables import corpus_tables, warnings
from pipeline.report.latex_text import beyond_pdflatex, latex_of
from pipeline.report.paper import PaperResult

FOLDER = "latex"
_MADE = "% Made by `erc report --latex`: change it there, or it is lost at the next report.\n"
_PREAMBLE = r"""% For the preamble of the paper. Where the folder lies elsewhere, define \ercreport before this line.
\usepackage{array,booktabs,graphicx}
\providecommand{\ercreport}{report/latex}
% A table that is wider than the line is made as wide as the line.
\newsavebox{\ercbox}
\newcommand{\ercfit}[1]{\sbox{\ercbox}{#1}%
  \ifdim\wd\ercbox>\linewidth\resizebox{\linewidth}{!}{\usebox{\ercbox}}\else\usebox{\ercbox}\fi}
"""


def latex_files(
    corpora: Sequence[Corpus], drawings: Mapping[str, Drawing], papers: Sequence[PaperResult]
) -> dict[str, str | bytes]:
    """Path below the report's folder -> content. drawings: by key, as `figures.drawings_of` has them."""
    tables = {
        table.name: table.latex() for number, one in enumerate(corpora, 1) for table in corpus_tables(one, number)
    }
    for result in papers:
        table = paper_table(result)
        tables[table.name] = table.latex()
        tables[f"{table.name}-objectives"] = objectives_latex(result)
    figures = {key: _figure(key, drawing, corpora) for key, drawing in drawings.items() if _corpus_of(key, corpora)}
    files: dict[str, str | bytes] = {f"{FOLDER}/preamble.tex": _MADE + _PREAMBLE}
    files |= {f"{FOLDER}/{name}.tex": _MADE + _engine(text) + text for name, text in tables.items()}
    files |= {f"{FOLDER}/figures/{key}.pdf": drawings[key].pdf() for key in figures}
    body = [rf"\input{{\ercreport/{name}}}" for name in tables] + list(figures.values())
    whole = "\n".join(body) + "\n"
    files[f"{FOLDER}/report.tex"] = _MADE + _engine("".join([*tables.values(), whole])) + whole
    return files


def _engine(text: str) -> str:
    """A comment where pdfLaTeX's usual fonts do not suffice."""
    signs = beyond_pdflatex(text)
    return f"% For XeLaTeX or LuaLaTeX with a font that has: {signs}\n" if signs else ""


def _figure(key: str, drawing: Drawing, corpora: Sequence[Corpus]) -> str:
    lines = [
        r"\begin{figure}[tp]",
        r"\centering",
        rf"\includegraphics[width=\linewidth,height=0.8\textheight,keepaspectratio]{{\ercreport/figures/{key}.pdf}}",
        rf"\caption{{{latex_of(_caption(key, drawing, corpora))}}}",
        rf"\label{{fig:{key}}}",
        r"\end{figure}",
    ]
    return "\n".join(lines)


def _caption(key: str, drawing: Drawing, corpora: Sequence[Corpus]) -> str:
    """The figure's title and corpus; of a figure of one split, the selected run's score there, seeds and interval."""
    corpus = _corpus_of(key, corpora)
    if corpus is None:
        return f"{drawing.title}."
    text = f"{corpus.title}. {drawing.title}."
    number = int(key.partition("-")[0])
    for position, line in enumerate(corpus.headlines):
        if key in {key_of(number, kind, line.split, position) for kind in FIGURES}:
            bounds = corpus.findings.intervals.get(line.split)
            known = f"; 95% interval over dialogues {words.interval(bounds)}" if bounds else ""
            text += (
                f" {words.capital(corpus.criterion.words)} on {line.split}: {words.score(line.score)} "
                f"({words.plural(line.seeds, 'seed')}{known})."
            )
    return text + warnings(corpus)


def _corpus_of(key: str, corpora: Sequence[Corpus]) -> Corpus | None:
    """The corpus that a figure is of, by the number that its key starts with; None for a cross-validation's."""
    number = int(key.partition("-")[0])
    return corpora[number - 1] if number <= len(corpora) else None
