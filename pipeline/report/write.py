"""A folder of runs -> report.html, report.md, leaderboard.csv, folds.csv, figures/ and latex/. Equal runs give equal
bytes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from features.errors import ErcError, RunError
from pipeline.pages.files import figure_files
from pipeline.pages.paths import relative_to
from pipeline.report import facts, folds
from pipeline.report.corpus import Corpus, corpora_of
from pipeline.report.evidence import with_findings
from pipeline.report.figures import drawings_of
from pipeline.report.folds import FoldedResult
from pipeline.report.folds_tables import folds_csv, folds_markdown
from pipeline.report.hardest import Hardest, hardest_of
from pipeline.report.html import html_report
from pipeline.report.latex import FOLDER, latex_files
from pipeline.report.leaderboard_csv import leaderboard_csv
from pipeline.report.markdown import markdown_report
from pipeline.report.paper import PaperResult, paper_results
from pipeline.report.paper_markdown import paper_markdown
from pipeline.report.read import read_runs
from pipeline.report.snapshot import Unreadable


@dataclass(frozen=True)
class Written:
    """What was written, and what the command says of it. csv: None where there are only cross-validations; folds: None
    where there are none; latex: the file that a paper inputs, None where it was not asked for; papers: the published
    tables that were asked for."""

    html: Path
    markdown: Path
    csv: Path | None
    folds: Path | None
    latex: Path | None
    papers: tuple[PaperResult, ...]
    corpora: tuple[Corpus, ...]
    folded: tuple[FoldedResult, ...]
    unreadable: tuple[Unreadable, ...]

    @property
    def headlines(self) -> list[str]:
        """One sentence a corpus, and one a cross-validation."""
        return [*map(facts.headline_text, self.corpora), *map(folds.headline_text, self.folded)]


def write_report(runs: Path, out: Path, *, latex: bool = False, paper: str | None = None) -> Written:
    """Read the runs in a folder and write their report to `out`, each file whole or not at all.

    latex: write latex/ as well, tables and figures for a paper
    paper: name of the suite whose published table and objectives the report is to have beside ours

    Raises RunError where no run can be read, or none is of what `latex` or `paper` ask for; ErcError where `out` cannot
    be written.
    """
    with relative_to(runs.resolve().parent, runs.absolute().parent):
        return _write_report(runs, out, latex, paper)


def _write_report(runs: Path, out: Path, latex: bool, paper: str | None) -> Written:
    found = read_runs(runs)
    corpora = [with_findings(corpus) for corpus in corpora_of(found)]
    if latex and not corpora:
        raise RunError(f"{runs} holds only nested cross-validations, for which --latex has no tables: see folds.csv")
    papers = paper_results(corpora, paper) if latex or paper else []
    folded = folds.folded_results(found.folded)
    notes = [f"Skipped run {item.folder}: {item.problem}." for item in found.unreadable]
    notes += found.notes
    if len(corpora) > 1:
        several = len({corpus.criterion.name for corpus in corpora}) > 1
        titles = ", ".join(
            f"{corpus.title} ({len(corpus.labels)} labels{f', by {corpus.criterion.words}' if several else ''})"
            for corpus in corpora
        )
        notes.append(f"The runs are of {len(corpora)} corpora or label sets, ranked apart: {titles}.")
    drawings = drawings_of(corpora) | folds.drawings_of(folded, len(corpora) + 1)
    files = figure_files(drawings)
    if corpora:
        files["leaderboard.csv"] = leaderboard_csv(corpora)
    if folded:
        files["folds.csv"] = folds_csv(folded)
    captions = {f"figures/{key}.svg": drawing.title for key, drawing in drawings.items()}
    hardest = [hardest_of(corpus) for corpus in corpora]
    asked = papers if paper else []
    files["report.md"] = _markdown(corpora, folded, notes, captions, hardest, asked)
    files["report.html"] = html_report(corpora, drawings, notes, hardest, folded, asked)
    files |= latex_files(corpora, drawings, papers) if latex else {}
    _write_all(out, files)
    return Written(
        html=out / "report.html",
        markdown=out / "report.md",
        csv=out / "leaderboard.csv" if corpora else None,
        folds=out / "folds.csv" if folded else None,
        latex=out / FOLDER / "report.tex" if latex else None,
        papers=tuple(asked),
        corpora=tuple(corpora),
        folded=tuple(folded),
        unreadable=found.unreadable,
    )


def _markdown(
    corpora: Sequence[Corpus],
    folded: Sequence[FoldedResult],
    notes: Sequence[str],
    captions: Mapping[str, str],
    hardest: Sequence[Hardest | None],
    papers: Sequence[PaperResult],
) -> str:
    """The runs' report, and behind it published tables and the cross-validations. notes: of the folder, told once."""
    blocks = [markdown_report(corpora, notes, captions, hardest).strip()] if corpora else []
    blocks += [block for result in papers for block in paper_markdown(result)]
    for number, result in enumerate(folded, start=len(corpora) + 1):
        images = {image: title for image, title in captions.items() if image.startswith(f"figures/{number}-")}
        told = list(notes) if not corpora and result is folded[0] else []
        blocks += folds_markdown(result, images, told)
    return "\n\n".join(blocks) + "\n"


def _write_all(out: Path, files: dict[str, str | bytes]) -> None:
    """Write everything beside its place first, then rename: a full disk leaves the old report as it was."""
    staging = out / f".report.{os.getpid()}.tmp"
    try:
        folders = {Path("figures"), *(Path(name).parent for name in files)}
        for folder in folders:
            (staging / folder).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (staging / name).write_bytes(content.encode() if isinstance(content, str) else content)
        for folder in folders:
            (out / folder).mkdir(parents=True, exist_ok=True)
        for name in files:
            (staging / name).replace(out / name)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ErcError(f"{out}: the report cannot be written ({reason}): give another folder with --out") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
