"""What a tracker gets of a whole folder of runs: each experiment's mean, the suite's contrasts, the report."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from features.digests import digest_of, sha256_file
from features.errors import ErcError, RunError
from pipeline.comparison.contrasts import Answer, compare_declared, contrasts_document, contrasts_text
from pipeline.comparison.read import Declared
from pipeline.runs.folder import Run
from pipeline.runs.json_files import write_json, write_text
from pipeline.runs.splits import SELECTION_SPLIT
from pipeline.tracking.experiments import began_of
from pipeline.tracking.item import Content, known
from pipeline.tracking.seeds import environment_of


class Whole:
    """A folder of runs. Its report is written once, and its contrasts are compared once, when they are first asked for.

    home: folder in which the report and the contrasts are written
    """

    def __init__(self, out: Path, home: Path) -> None:
        self.out = out
        self.home = home

    def digest(self, group: str, runs: Sequence[Run]) -> str:
        """Of all that the report and the contrasts are made from."""
        files = [file for run in runs for file in sorted(run.path.glob("metrics-*.json"))]
        files += [self.out / f"suite-{group}.json", self.out / "test_reads.jsonl"]
        files += sorted(self.out.glob("nested-*/summary.json"))
        there = [[file.relative_to(self.out).as_posix(), sha256_file(file)] for file in files if file.is_file()]
        return digest_of("tracked suite", 1, group, there)

    def content(self, group: str, runs: Sequence[Run]) -> Content:
        """Raises RunError where a run's files are damaged."""
        numbers: dict[str, float | None] = {"runs": len(runs)}
        for run in runs:
            if not run.features.fold and SELECTION_SPLIT in run.scored_splits():
                metrics = run.metrics(SELECTION_SPLIT)
                name = f"experiments/{run.name}/{SELECTION_SPLIT}/{metrics.headline}"
                numbers |= {f"{name}/mean": metrics.headline_score.mean, f"{name}/std": metrics.headline_score.std}
        answers = [answer for answer in self._answers if answer.declared.suite == group]
        for answer in answers:
            numbers |= _contrast(answer)
        files = self._report | self._contrast_files(group, answers)
        record = self.out / f"suite-{group}.json"
        files |= {record.name: record} if record.is_file() else {}
        told = environment_of(runs[0])
        return Content(
            parameters={"suite": group},
            environment={name: told[name] for name in ("corpus", "manifest", "headline", "store") if name in told},
            numbers=known(numbers),
            files=files,
            began_s=began_of(runs),
            ended_s=max([file.stat().st_mtime for run in runs for file in run.path.glob("metrics-*.json")] or [0.0]),
        )

    @cached_property
    def _answers(self) -> list[Answer[Declared]]:
        try:
            return compare_declared(self.out, SELECTION_SPLIT)
        except RunError:  # no suite, no contrast, or none that can be compared
            return []

    @cached_property
    def _report(self) -> dict[str, Path]:
        """Name -> file of the report; empty where there is nothing to report."""
        from pipeline.report.write import write_report

        folder = self.home / "report"
        shutil.rmtree(folder, ignore_errors=True)  # figures of runs that are no more
        folder.mkdir(parents=True)
        try:
            write_report(self.out, folder)
        except ErcError:
            return {}
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {path.relative_to(folder).as_posix(): path for path in files}

    def _contrast_files(self, group: str, answers: Sequence[Answer[Declared]]) -> dict[str, Path]:
        if not any(answer.comparison for answer in answers):
            return {}
        folder = self.home / "contrasts" / group
        folder.mkdir(parents=True, exist_ok=True)
        text, document = folder / "contrasts.txt", folder / "contrasts.json"
        write_text(text, contrasts_text(answers, SELECTION_SPLIT) + "\n")
        write_json(document, contrasts_document(answers, SELECTION_SPLIT))
        return {"contrasts.txt": text, "contrasts.json": document}


def _contrast(answer: Answer[Declared]) -> dict[str, float | None]:
    found = answer.comparison
    if found is None:
        return {}
    name = f"contrasts/{answer.declared.a} - {answer.declared.b}"
    return {
        f"{name}/difference": found.headline.value,
        f"{name}/low": found.headline.interval.low,
        f"{name}/high": found.headline.interval.high,
        f"{name}/p": found.p_value,
        f"{name}/p_holm": answer.adjusted_p,
    }
