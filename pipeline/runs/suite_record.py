"""suite-NAME.json, the record that a suite leaves beside its runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field

from pipeline.runs.json_files import read_checked


class Contrast(BaseModel, frozen=True, extra="ignore"):
    """A question that a suite asks of two of its experiments, which differ in one factor."""

    question: str
    a: Annotated[str, Field(alias="A")]
    b: Annotated[str, Field(alias="B")]


class SuiteRecord(BaseModel, frozen=True, extra="ignore"):
    """Which run folder answers for which experiment, and the suite's questions.

    duplicates: experiment -> the equal one that was trained in its place
    baseline:   the experiment that others are measured against
    seeds:      the most that the whole suite was asked to train; None in records of before they said
    """

    suite: str
    title: str = ""
    runs: dict[str, str]
    duplicates: dict[str, str] = {}
    contrasts: tuple[Contrast, ...] = ()
    baseline: str | None = None
    seeds: Annotated[int, Field(ge=1)] | None = None


def read_suite_record(file: Path) -> SuiteRecord:
    """Raises RunFileError where it cannot be read or is damaged."""
    return read_checked(SuiteRecord, file, "run the suite's `erc ablate` again, which writes it", printable=True)
