"""The files of one corpus as one set of columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from features.errors import ManifestError, UsageError
from pipeline.ingest.annotations import TextRepairs
from pipeline.ingest.columns import Cells, choose_columns, read_cells, tells_split
from pipeline.ingest.raw_table import RawTable
from pipeline.ingest.reading import Reading, read_raw, reading_findings
from pipeline.ingest.sources import Source, dataset_name, file_splits
from pipeline.ingest.summary import Finding, finding

_SHOWN = 5


@dataclass(frozen=True)
class Gathered:
    """All rows, in the order of the files.

    where:    the file's path, or the names of several, as errors begin; several: whether there are
    columns:  manifest column (or `dialogue`) -> one cell a row; labels and sentiments as the files have them
    places:   where each row stands: `row 3`, or with several files `dev.csv row 3`
    theirs:   manifest column -> the files' columns
    problems: cells that are no text
    findings: of reading; those on text are still to be asked of `repairs`
    """

    where: str
    several: bool
    columns: dict[str, list[Any]]
    places: list[str]
    theirs: dict[str, str]
    repairs: TextRepairs
    problems: list[str]
    findings: list[Finding]


def gather(
    sources: Sequence[Source], mapping: Mapping[str, str], dataset: str | None, split: str | None, reading: Reading
) -> Gathered:
    """Read the files and choose their columns; `dataset` and `split` are columns of what comes out.

    Raises UsageError and ManifestError as `ingest_table` says.
    """
    repairs = TextRepairs()
    tables = [read_raw(source.path, reading, repairs) for source in sources]
    splits, by_name = _splits(sources, tables, mapping, split)
    chosen = [
        choose_columns(table, mapping, {"dataset": dataset, "split": told})
        for table, told in zip(tables, splits, strict=True)
    ]
    said = []
    if dataset is None and not all("dataset" in one for one in chosen):
        dataset, sentence = dataset_name(sources, bool(by_name) or any(source.split for source in sources))
        said = [Finding("dataset-named", 1, sentence)] if sentence else []
    if not any(table.rows for table in tables):
        raise ManifestError(f"{', '.join(str(source.path) for source in sources)}: no row has a value")
    several = len(tables) > 1
    places = [[f"{table.path.name} {place}" for place in table.places] if several else table.places for table in tables]
    cells = [read_cells(table, one, there) for table, one, there in zip(tables, chosen, places, strict=True)]
    for one, told in zip(cells, splits, strict=True):
        count = len(next(iter(one.columns.values())))
        for name, value in (("dataset", dataset), ("split", told)):
            one.columns.setdefault(name, [value] * count)
    findings = [
        *said,
        *([finding("splits-of-files", by_name, "Files whose name tells their split.")] if by_name else []),
        *reading_findings(tables),
        _unused(tables, chosen),
        *_of_columns(tables, chosen),
        *_of_cells(cells),
    ]
    where = str(sources[0].path) if not several else ", ".join(table.path.name for table in tables)
    return Gathered(
        where,
        several,
        _joined(cells),
        [place for there in places for place in there],
        {target: column for one in chosen for target, column in one.items()},
        repairs,
        [problem for one in cells for problem in one.problems],
        findings,
    )


def _splits(
    sources: Sequence[Source], tables: Sequence[RawTable], mapping: Mapping[str, str], split: str | None
) -> tuple[list[str | None], list[str]]:
    """The split of all rows of each file, None where a column tells it; and those that were told by files' names."""
    told: list[str | None] = []
    by_name: list[str] = []
    for source, table, of_name in zip(sources, tables, file_splits(sources), strict=True):
        if source.split and split:
            given = f"{source.split}=FILE and as --split {split}"
            raise UsageError(f"{source.path.name}: its split is given twice, as {given}")
        if source.split or split or tells_split(table, mapping):
            told.append(source.split or split)
            continue
        told.append(of_name)
        if of_name:
            by_name.append(f"{source.path.name}: {of_name}")
    return told, by_name


def _joined(cells: Sequence[Cells]) -> dict[str, list[Any]]:
    """The columns of all files one after another; a file without one of them has no values there."""
    joined: dict[str, list[Any]] = {target: [] for one in cells for target in one.columns}
    for one in cells:
        count = len(one.columns["dataset"])
        for target, values in joined.items():
            nothing = "" if target in ("text", "speaker") else None
            values += one.columns.get(target, [nothing] * count)
    return joined


def _unused(tables: Sequence[RawTable], chosen: Sequence[Mapping[str, str]]) -> Finding:
    unused = [
        column or "(no heading)"
        for table, one in zip(tables, chosen, strict=True)
        for column in table.columns
        if column not in one.values()
    ]
    return finding("unused-columns", list(dict.fromkeys(unused)), "Left out.")


def _of_columns(tables: Sequence[RawTable], chosen: Sequence[Mapping[str, str]]) -> list[Finding]:
    """Columns that were found by a name of other case, and files that lack one that others have."""
    own = [
        f"{column} as {target}"
        for one in chosen
        for target, column in one.items()
        if target == column.casefold() != column
    ]
    targets = dict.fromkeys(target for one in chosen for target in one)
    lacking = [
        f"{table.path.name}: {target}"
        for table, one in zip(tables, chosen, strict=True)
        for target in targets
        if target not in one and target not in ("split", "dataset")
    ]
    found = [
        finding("columns-by-name", list(dict.fromkeys(own)), "Columns taken for a manifest's by their name."),
        finding("columns-lacking", lacking, "Files without a column that others have: no values there."),
    ]
    return [item for item in found if item.count]


def _of_cells(cells: Sequence[Cells]) -> list[Finding]:
    absent, nobody = Counter[str](), Counter[str]()
    for one in cells:
        absent += one.absent
        nobody += one.nobody
    counted = [
        ("no-value", absent, "Cells that say there is no value: left empty."),
        (
            "unknown-speakers",
            nobody,
            "Cells that name nobody: such a turn is a stranger's, and no two are one person's.",
        ),
    ]
    found = [
        Finding(
            name,
            items.total(),
            meaning,
            tuple(f"{text} {count}" for text, count in items.most_common(_SHOWN)),
            complete=len(items) <= _SHOWN,
        )
        for name, items, meaning in counted
    ]
    commas, clock = ([place for one in cells for place in getattr(one, kind)] for kind in ("commas", "clock"))
    found += [
        finding("decimal-commas", commas, "Seconds as 1,5: read as 1.5."),
        finding("clock-times", clock, "Seconds as 0:01:02,5: read as 62.5."),
    ]
    return [item for item in found if item.count]
