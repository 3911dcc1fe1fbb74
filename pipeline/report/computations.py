"""What made the numbers of a report beside settings and features: notes on seeds and runs that were not made alike."""

from __future__ import annotations

from pipeline.pages.words import listed, plural
from pipeline.report.corpus import Corpus
from pipeline.report.snapshot import RunSnapshot
from pipeline.runs.computation import Computation, mixed_lines

_NAMED = 3  # files that a note names


def notes_on_computations(corpus: Corpus) -> list[str]:
    """One sentence each; empty where all seeds say what made them and all of them were made alike."""
    found = [(corpus.names[run.folder], run) for run in corpus.runs]
    notes = [note for name, run in found for note in _mixed(name, run)]
    unknown = [name for name, run in found if any(not Computation.of(result).known for result in run.results)]
    if unknown:
        notes.append(
            "Which code and libraries made them was not recorded, so that seeds of unlike versions may be averaged: "
            f"{listed(unknown)}."
        )
    known = [one for _, run in found for result in run.results if (one := Computation.of(result)).known]
    return [*notes, *_across_runs(known)]


def versions_in(run: RunSnapshot, name: str) -> set[str]:
    """A library's versions in a run: those that its seeds recorded, else that of when the run was begun."""
    recorded = {result.versions[name] for result in run.results if name in result.versions}
    return recorded or {str(run.record.versions.get(name) or "not recorded")}


def libraries_of(run: RunSnapshot) -> set[str]:
    return {*run.record.versions, *(name for result in run.results for name in result.versions)}


def _mixed(name: str, run: RunSnapshot) -> list[str]:
    lines = mixed_lines(run.results)
    asked = "as --mix-seeds asked" if run.record.mixed else "although nobody asked for it: train again"
    return [f"{name} averages seeds that were not made alike, {asked}: {'; '.join(lines)}."] if lines else []


def _across_runs(known: list[Computation]) -> list[str]:
    """What tells runs apart beside what they are compared for."""
    notes = []
    for what, values in (
        ("torch", {one.versions.get("torch", "an unknown version") for one in known}),
        ("numpy", {one.versions.get("numpy", "an unknown version") for one in known}),
        ("the kind of device", {str(one.device) for one in known}),
    ):
        if len(values) > 1:
            notes.append(f"Runs differ in {what}, too: {listed(sorted(values))}.")
    digests: dict[str, set[str]] = {}
    for one in known:
        for module, digest in one.sources.items():
            digests.setdefault(module, set()).add(digest)
    changed = [module for module, values in sorted(digests.items()) if len(values) > 1]
    if changed:
        more = [f"{plural(len(changed) - _NAMED, 'other file')}"] if len(changed) > _NAMED else []
        notes.append(f"Runs were made by different versions of the code of {listed([*changed[:_NAMED], *more])}.")
    return notes
