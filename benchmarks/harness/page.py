"""docs/benchmarks.md, from the records of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.harness.charts import chart
from benchmarks.harness.results import (
    Claim,
    Comparison,
    Curve,
    Growth,
    Measured,
    Results,
    Section,
    Table,
    duration,
    figure,
    measured,
)

_OPENING = """\
# Benchmarks

Every claim about speed is a command that anyone can run. The contenders of a table do the same work on the same
inputs in one run, each in a process of its own, in turns, after it has done the whole work once; a ratio is that of
the medians, with the least and greatest of the rounds behind it. Peak memory is that of a contender's process and of
all that it started, looked at five times a second. Figures belong to the machine that is named above them: on yours,
run

```sh
make bench         # small sizes, under 20 minutes on two cores; fails where a stated ratio is not reached
make bench-full    # larger sizes, the whole of table 4, a million utterances: 1.5 to 2 hours
make bench-gpu     # on a machine with a GPU: 10 minutes
```

which write this page and its charts anew. One section alone: `.venv/bin/python -m benchmarks heads`;
`benchmarks/README.md` tells where each is. **aim** is what we want, **stated** what a run fails without: an aim that
is reached, or what holds today with a margin for noisy cores. Seconds have an aim alone. Weights are drawn by chance
in the real architectures: time does not depend on their values.
"""
_SIZES = {"tiny": "That it runs", "small": "Small sizes", "full": "Real sizes", "gpu": "On a GPU"}
_SEVERAL_RUNS = "Not of one run: each section tells its own."
_NO_GPU = """\
## On a GPU

Not measured yet: `make bench-gpu`, on a machine with a GPU, writes it here.
"""


def write_page(results: Sequence[Results], page: Path, pictures: Path) -> None:
    """The page of these runs, one after the other, and a chart a section in `pictures`, which lies beside the page."""
    pictures.mkdir(parents=True, exist_ok=True)
    for old in pictures.glob("*.svg"):
        old.unlink()
    parts = [_OPENING]
    for run in results:
        runs = {(section.date, section.machine) for section in run.sections}
        minutes = sum(section.seconds for section in run.sections) / 60
        said = f"{_run(run.sections[0])}. It took {minutes:.0f} minutes." if len(runs) == 1 else _SEVERAL_RUNS
        parts.append(f"## {_SIZES[run.size]}\n\n{said}\n")
        for section in run.sections:
            path = pictures / f"{run.size}-{section.name}.svg"
            chart(section, path)
            parts.append(_section(section, path.relative_to(page.parent), alone=len(runs) > 1))
    if not any(run.size == "gpu" for run in results):
        parts.append(_NO_GPU)
    page.write_text("\n".join(parts), encoding="utf-8")


def _run(section: Section) -> str:
    return f"{section.date}, {section.machine}"


def _section(section: Section, picture: Path, alone: bool) -> str:
    """alone: say when and where it was measured"""
    lines = [
        f"### {section.title}",
        "",
        *([f"{_run(section)}. It took {section.seconds / 60:.0f} minutes.", ""] if alone else []),
        section.text,
        "",
        f"[![{section.title}]({picture.as_posix()})]({picture.as_posix()})",
        "",
    ]
    for table in section.tables:
        lines += [f"**{table.title}** ({table.work})", ""]
        lines += _comparison(table) if isinstance(table, Comparison) else _curve(table)
        if table.claims:
            lines += ["| claim | measured | stated | aim |", "|---|---|---|---|"]
            lines += [*(_claim(claim, table) for claim in table.claims), ""]
        lines += [table.text, ""] if table.text else []
    return "\n".join(lines)


def _comparison(table: Comparison) -> list[str]:
    columns: dict[str, Callable[[Measured], str]] = {"": lambda one: _name(one, table), _middle(table): _seconds}
    if table.ours is not None:
        columns["times ours"] = lambda one: str(table.times_ours(one.name) or "")
    if any(one.peak_mib is not None for one in table.measured):
        columns["peak memory"] = _peak
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    lines += ["| " + " | ".join(cell(one) for cell in columns.values()) + " |" for one in table.measured]
    return [*lines, ""]


def _middle(table: Comparison) -> str:
    return "median" if any(len(one.seconds) > 1 for one in table.measured) else "once"


def _name(one: Measured, table: Comparison) -> str:
    shown = f"**{one.name}**" if one.name == table.ours else one.name
    return f"{shown} ({one.note})" if one.note and one.seconds else shown


def _seconds(one: Measured) -> str:
    return duration(one.median) if one.seconds else one.note


def _peak(one: Measured) -> str:
    return "" if one.peak_mib is None else f"{one.peak_mib:,.0f} MiB"


def _claim(claim: Claim | Growth, table: Table) -> str:
    value = measured(table, claim)
    said = "not measured"
    if value is not None:
        ratio = None
        if isinstance(claim, Claim) and isinstance(table, Comparison) and claim.under:
            ratio = table.ratio(claim.over, claim.under)
        said = f"{ratio or figure(value)}{claim.unit}, {'reached' if claim.holds(value, claim.aim) else '**open**'}"
    stated = "" if claim.stated is None else f"{figure(claim.stated)}{claim.unit}"
    return f"| {claim.words} | {said} | {stated} | {figure(claim.aim)}{claim.unit} |"


def _curve(table: Curve) -> list[str]:
    lines = [f"| {table.along} | " + " | ".join(table.lines) + " |", "|---" * (len(table.lines) + 1) + "|"]
    for place, size in enumerate(table.sizes):
        values = [values[place] for values in table.lines.values()]
        shown = ["" if value is None else f"{figure(value)} {table.unit}" for value in values]
        lines.append(f"| {size:,.0f} | " + " | ".join(shown) + " |")
    return [*lines, ""]
