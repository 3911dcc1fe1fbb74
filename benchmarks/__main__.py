"""python -m benchmarks [--size small] [SECTION ...]: measure, write docs/benchmarks.md, fail where a claim breaks."""

from __future__ import annotations

import importlib
import os
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.sections.table import sections_of

if TYPE_CHECKING:
    from benchmarks.harness.results import Results, Section

ROOT = Path(__file__).resolve().parents[1]
RECORDS = "benchmarks"  # beside the page: a JSON file a size, a picture a section
SIZES = ("tiny", "small", "full", "gpu")


@click.command()
@click.argument("names", nargs=-1, metavar="[SECTION]...")
@click.option(
    "--size", type=click.Choice(SIZES), default="small", show_default=True, help="tiny only shows that it runs."
)
@click.option("--device", default="cuda", show_default=True, help="Of the size gpu.")
@click.option("--page", is_flag=True, help="Only write the page anew, from the records that there are.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of page and records; default docs/, and none for tiny.",
)
def main(names: tuple[str, ...], size: str, device: str, page: bool, out: Path | None) -> None:
    """Measure SECTIONs, all of a size by default: extraction, together, starting, reading, heads, reporting,
    scale; in full table4, too; or gpu-extraction, gpu-pictures, gpu-heads.

    A section that is measured alone replaces its part of the page; each tells its own day and machine.

    \b
    Example:
      python -m benchmarks heads reading
    """
    from benchmarks.harness.contender import BenchmarkError
    from benchmarks.harness.results import RecordError, Results

    if page:
        try:
            write_from_records(out or ROOT / "docs")
        except RecordError as error:
            raise click.ClickException(str(error)) from error
        return
    known = sections_of(size)
    if unknown := [name for name in names if name not in known]:
        raise click.UsageError(f"no section {unknown[0]!r} of size {size}: there are {', '.join(known)}")
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as `erc` sets it
    chosen = [name for name in known if name in (names or known)]
    published = size != "tiny" or out is not None
    found = Results(size)
    try:
        for name in chosen:
            found = found.with_section(measure(name, known[name], size, device))
            if published:
                publish(found, out or ROOT / "docs")  # after each: what follows may take long, or fail
    except (BenchmarkError, RecordError) as error:
        raise click.ClickException(str(error)) from error
    if size != "tiny" and (broken := found.broken()):
        raise click.ClickException("\n".join([f"{len(broken)} stated ratios do not hold:", *broken]))


def measure(name: str, module: str, size: str, device: str) -> Section:
    """One section, with its seconds."""
    from benchmarks.harness.machine import machine
    from benchmarks.harness.results import Section

    section = importlib.import_module(module)
    click.echo(f"{section.TITLE}")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="erc-benchmarks-") as folder:
        options = {"device": device} if size == "gpu" else {}
        tables = section.measure(size, Path(folder), click.echo, **options)
    seconds, today = time.perf_counter() - started, date.today().isoformat()
    used = machine(device if size == "gpu" else "cpu")
    return Section(name, section.TITLE, section.TEXT, tuple(tables), seconds, today, used)


def publish(found: Results, folder: Path) -> None:
    """The record of this run beside those of other sizes, and the page of them all."""
    from benchmarks.harness.results import read_results, write_results

    path = folder / RECORDS / f"{found.size}.json"
    write_results(found.merged(read_results(path) if path.is_file() else None, tuple(sections_of(found.size))), path)
    write_from_records(folder)


def write_from_records(folder: Path) -> None:
    from benchmarks.harness.page import write_page
    from benchmarks.harness.results import read_results

    kept = [folder / RECORDS / f"{size}.json" for size in SIZES]
    write_page([read_results(one) for one in kept if one.is_file()], folder / "benchmarks.md", folder / RECORDS)
    click.echo(folder / "benchmarks.md")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
