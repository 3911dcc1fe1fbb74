"""A folder of runs -> report.html, report.md, leaderboard.csv and figures/. Equal runs give equal bytes."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from features.errors import ErcError
from pipeline.pages.files import figure_files
from pipeline.report import facts
from pipeline.report.corpus import Corpus, corpora_of
from pipeline.report.evidence import with_findings
from pipeline.report.figures import drawings_of
from pipeline.report.hardest import hardest_of
from pipeline.report.html import html_report
from pipeline.report.leaderboard_csv import leaderboard_csv
from pipeline.report.markdown import markdown_report
from pipeline.report.read import read_runs
from pipeline.report.snapshot import Unreadable


@dataclass(frozen=True)
class Written:
    """What was written, and what the command says of it."""

    html: Path
    markdown: Path
    csv: Path
    corpora: tuple[Corpus, ...]
    unreadable: tuple[Unreadable, ...]

    @property
    def headlines(self) -> list[str]:
        """One sentence a corpus."""
        return [facts.headline_text(corpus) for corpus in self.corpora]


def write_report(runs: Path, out: Path) -> Written:
    """Read the runs in a folder and write their report to `out`, each file whole or not at all.

    Raises RunError where no run can be read, ErcError where `out` cannot be written.
    """
    found = read_runs(runs)
    corpora = [with_findings(corpus) for corpus in corpora_of(found)]
    notes = [f"Skipped run {item.folder}: {item.problem}." for item in found.unreadable]
    notes += found.notes
    if len(corpora) > 1:
        titles = ", ".join(f"{corpus.title} ({len(corpus.labels)} labels)" for corpus in corpora)
        notes.append(f"The runs are of {len(corpora)} corpora or label sets, ranked apart: {titles}.")
    drawings = drawings_of(corpora)
    files = figure_files(drawings)
    files["leaderboard.csv"] = leaderboard_csv(corpora)
    captions = {f"figures/{key}.svg": drawing.title for key, drawing in drawings.items()}
    hardest = [hardest_of(corpus) for corpus in corpora]
    files["report.md"] = markdown_report(corpora, notes, captions, hardest)
    files["report.html"] = html_report(corpora, drawings, notes, hardest)
    _write_all(out, files)
    return Written(
        html=out / "report.html",
        markdown=out / "report.md",
        csv=out / "leaderboard.csv",
        corpora=tuple(corpora),
        unreadable=found.unreadable,
    )


def _write_all(out: Path, files: dict[str, str | bytes]) -> None:
    """Write everything beside its place first, then rename: a full disk leaves the old report as it was."""
    staging = out / f".report.{os.getpid()}.tmp"
    try:
        (staging / "figures").mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (staging / name).write_bytes(content.encode() if isinstance(content, str) else content)
        (out / "figures").mkdir(exist_ok=True)
        for name in files:
            (staging / name).replace(out / name)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ErcError(f"{out}: the report cannot be written ({reason}): give another folder with --out") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
