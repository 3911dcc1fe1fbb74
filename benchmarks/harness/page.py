"""docs/benchmarks.md, from the records of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.harness.charts import chart
from benchmarks.harness.results import Claim, Comparison, Curve, Measured, Results, Section, duration, figure

_OPENING = """\
# Benchmarks

Every claim about speed is a command that anyone can run. The contenders of a table do the same work on the same
inputs in one run, each in a process of its own, in turns; a ratio is that of the medians, with the least and greatest
of the rounds behind it. Figures belong to the machine that is named above them: on yours, run

```sh
make bench         # small sizes, 15 to 20 minutes on two cores; fails where a stated ratio is not reached
make bench-full    # larger sizes, the whole of table 4, a million utterances: 1.5 hours
make bench-gpu     # on a machine with a GPU: 10 minutes
```

which write this page and its charts anew. One section alone: `.venv/bin/python -m benchmarks heads`;
`benchmarks/README.md` tells where each is. **aim** is what we want, **stated** what holds today and what a run fails
without; where they differ, the aim is open. Weights are drawn by chance in the real architectures: time does not
depend on their values.
"""
_SIZES = {"tiny": "That it runs", "small": "Small sizes", "full": "Real sizes", "gpu": "On a GPU"}


def write_page(results: Sequence[Results], page: Path, pictures: Path) -> None:
    """The page of these runs, one after the other, and a chart a section in `pictures`, which lies beside the page."""
    pictures.mkdir(parents=True, exist_ok=True)
    for old in pictures.glob("*.svg"):
        old.unlink()
    parts = [_OPENING]
    for run in results:
        parts.append(f"## {_SIZES[run.size]}\n\n{run.date}, {run.machine}. It took {run.seconds / 60:.0f} minutes.\n")
        for section in run.sections:
            path = pictures / f"{run.size}-{section.name}.svg"
            chart(section, path)
            parts.append(_section(section, path.relative_to(page.parent)))
    page.write_text("\n".join(parts), encoding="utf-8")


def _section(section: Section, picture: Path) -> str:
    lines = [
        f"### {section.title}",
        "",
        section.text,
        "",
        f"[![{section.title}]({picture.as_posix()})]({picture.as_posix()})",
        "",
    ]
    for table in section.tables:
        lines += [f"**{table.title}** ({table.work})", ""]
        lines += _comparison(table) if isinstance(table, Comparison) else _curve(table)
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
    lines.append("")
    if table.claims:
        lines += ["| claim | measured | stated | aim |", "|---|---|---|---|"]
        lines += [_claim(claim, table) for claim in table.claims]
        lines.append("")
    return lines


def _middle(table: Comparison) -> str:
    return "median" if any(len(one.seconds) > 1 for one in table.measured) else "once"


def _name(one: Measured, table: Comparison) -> str:
    shown = f"**{one.name}**" if one.name == table.ours else one.name
    return f"{shown} ({one.note})" if one.note and one.seconds else shown


def _seconds(one: Measured) -> str:
    return duration(one.median) if one.seconds else one.note


def _peak(one: Measured) -> str:
    return "" if one.peak_mib is None else f"{one.peak_mib:,.0f} MiB"


def _claim(claim: Claim, table: Comparison) -> str:
    said = f"{claim.over}: {claim.sense}" if claim.under is None else f"{claim.over} / {claim.under}: {claim.sense}"
    unit = " s" if claim.under is None else ""
    value = table.value(claim)
    if value is None:
        measured = claim.unless or "not measured"
    else:
        ratio = table.ratio(claim.over, claim.under) if claim.under else None
        measured = f"{ratio or figure(value)}{unit}"
        measured += ", reached" if claim.holds(value, claim.aim) else ", **open**"
    return f"| {said} | {measured} | {figure(claim.stated)}{unit} | {figure(claim.aim)}{unit} |"


def _curve(table: Curve) -> list[str]:
    lines = [f"| {table.along} | " + " | ".join(table.lines) + " |", "|---" * (len(table.lines) + 1) + "|"]
    for place, size in enumerate(table.sizes):
        values = [values[place] for values in table.lines.values()]
        shown = ["" if value is None else f"{figure(value)} {table.unit}" for value in values]
        lines.append(f"| {size:,.0f} | " + " | ".join(shown) + " |")
    return [*lines, ""]
