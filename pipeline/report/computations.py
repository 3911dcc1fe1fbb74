"""What made the numbers of a report beside settings and features: notes on seeds and runs that were not made alike."""

from __future__ import annotations

from pipeline.pages.words import NOTHING, listed, plural
from pipeline.report.corpus import Corpus
from pipeline.report.snapshot import RunSnapshot
from pipeline.runs.computation import Computation, mixed_lines
from pipeline.runs.unlike import unlike

_ALWAYS = ("erc-feature-store", "numpy", "python", "torch", "transformers")
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


def made_by(corpus: Corpus) -> list[tuple[str, str]]:
    """What made the heads: each library, the commit of the code, the device. A dash stands for what some of the runs
    did not record."""
    named = {name for run in corpus.runs for name in _libraries(run)}
    rows = [(name, set().union(*(_versions(run, name) for run in corpus.runs))) for name in sorted({*_ALWAYS, *named})]
    results = [result for run in corpus.runs for result in run.results]
    rows.append(("commit", {result.commit or NOTHING for result in results}))
    rows.append(("processor", {result.processor or NOTHING for result in results}))
    rows.append(("device, precision", {f"{one.device or NOTHING}, {one.precision or NOTHING}" for one in results}))
    shards: dict[str, set[str]] = {}
    for cost in corpus.findings.costs:
        for name, versions in cost.versions.items():
            shards.setdefault(name, set()).update(versions)
    told = [(name, "; ".join(sorted(values)) or NOTHING) for name, values in rows]
    extracted = ", ".join(f"{name} {' and '.join(sorted(versions))}" for name, versions in shards.items())
    return [*told, ("features extracted with", extracted or NOTHING)]


def _versions(run: RunSnapshot, name: str) -> set[str]:
    """A library's versions in a run: those that its seeds recorded, else that of when the run was begun."""
    recorded = {result.versions[name] for result in run.results if name in result.versions}
    return recorded or {str(run.record.versions.get(name) or NOTHING)}


def _libraries(run: RunSnapshot) -> set[str]:
    return {*run.record.versions, *(name for result in run.results for name in result.versions)}


def _mixed(name: str, run: RunSnapshot) -> list[str]:
    lines = mixed_lines(run.results)
    asked = "as --mix-seeds asked" if run.record.mixed else "although nobody asked for it: train again"
    return [f"{name} averages seeds that were not made alike, {asked}: {'; '.join(lines)}."] if lines else []


def _across_runs(known: list[Computation]) -> list[str]:
    """What tells runs apart beside what they are compared for."""
    found = unlike(known)
    notes = [f"Runs differ in {what}, too: {listed(values)}." for what, values in found.values.items()]
    changed = found.changed
    if changed:
        more = [f"{plural(len(changed) - _NAMED, 'other file')}"] if len(changed) > _NAMED else []
        notes.append(f"Runs were made by different versions of the code of {listed([*changed[:_NAMED], *more])}.")
    return notes
