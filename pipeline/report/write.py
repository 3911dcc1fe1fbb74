"""A folder of runs -> report.html, report.md, leaderboard.csv and figures/. Equal runs give equal bytes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from features.errors import ErcError
from pipeline.report import facts, figures
from pipeline.report.html import html_report
from pipeline.report.leaderboard import Corpus, corpora_of, leaderboard_csv
from pipeline.report.markdown import markdown_report
from pipeline.report.model import Unreadable
from pipeline.report.read import read_runs
from pipeline.report.svg import standalone


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
    corpora = corpora_of(found)
    notes = [f"Skipped run {item.folder}: {item.problem}." for item in found.unreadable]
    notes += found.notes
    if len(corpora) > 1:
        titles = ", ".join(f"{corpus.title} ({len(corpus.labels)} labels)" for corpus in corpora)
        notes.append(f"The runs are of {len(corpora)} corpora or label sets, ranked apart: {titles}.")
    drawings = _drawings(corpora)
    texts = {f"figures/{name}": content for name, content in drawings.items()}
    texts["leaderboard.csv"] = leaderboard_csv(corpora)
    texts["report.md"] = markdown_report(corpora, notes, list(texts)[: len(drawings)])
    texts["report.html"] = html_report(corpora, notes)
    _write_all(out, texts)
    return Written(
        html=out / "report.html",
        markdown=out / "report.md",
        csv=out / "leaderboard.csv",
        corpora=tuple(corpora),
        unreadable=found.unreadable,
    )


def _drawings(corpora: Sequence[Corpus]) -> dict[str, str]:
    """File name -> SVG text; names start with the number of their corpus."""
    drawings = {}
    for number, corpus in enumerate(corpora, start=1):
        run = corpus.selected
        if run is not None:
            for position, line in enumerate(corpus.headlines):
                metrics, name = run.metrics[line.split], corpus.names[run.folder]
                stem = line.split if line.split.isalnum() else f"split{position}"
                drawings[f"{number}-f1-{stem}.svg"] = standalone(figures.per_class_f1(metrics, name))
                drawings[f"{number}-confusion-{stem}.svg"] = standalone(figures.confusion(metrics, name))
        curves = figures.learning_curves(corpus)
        losses = figures.losses(run, corpus.names[run.folder]) if run else None
        for stem, figure in (("learning-curves", curves), ("losses", losses)):
            if figure is not None:
                drawings[f"{number}-{stem}.svg"] = standalone(figure)
    return drawings


def _write_all(out: Path, texts: dict[str, str]) -> None:
    """Write everything beside its place first, then rename: a full disk leaves the old report as it was."""
    staging = out / f".report.{os.getpid()}.tmp"
    try:
        for name, text in texts.items():
            file = staging / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
        (out / "figures").mkdir(exist_ok=True)
        for name in texts:
            (staging / name).replace(out / name)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ErcError(f"{out}: the report cannot be written ({reason}): give another folder with --out") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
