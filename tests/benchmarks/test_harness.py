"""Contenders in turns, claims, records, the page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import SIZES
from benchmarks.harness import charts
from benchmarks.harness.contender import BenchmarkError, Contender
from benchmarks.harness.page import write_page
from benchmarks.harness.results import (
    Claim,
    Comparison,
    Curve,
    Growth,
    Measured,
    Ratio,
    RecordError,
    Results,
    Section,
    figure,
    read_results,
    write_results,
)
from benchmarks.harness.rounds import in_turns

ROOT = Path(__file__).resolve().parents[2]
TARGET = "tests.benchmarks.contenders:"


def quiet(line: str) -> None:
    pass


def counting(log: Path, name: str, seconds: float, value: float = 1.0) -> Contender:
    options = {"log": str(log), "name": name, "seconds": seconds, "value": value}
    return Contender(name, f"{TARGET}Counting", options)


def test_rounds_go_in_turns_after_one_that_warms_up_and_is_not_counted(tmp_path: Path) -> None:
    log = tmp_path / "log"
    found = in_turns([counting(log, "a", 3.0), counting(log, "b", 2.0)], 2, quiet, alike=0.0)
    assert [line.replace(" before", "") for line in log.read_text(encoding="utf-8").splitlines()] == [
        *("a", "a run", "b", "b run"),
        *("a", "a run", "b", "b run", "b", "b run", "a", "a run"),
    ]
    assert [(one.name, one.seconds) for one in found] == [("a", (3.0, 3.0)), ("b", (2.0, 2.0))]
    assert all(one.peak_mib is not None and one.peak_mib > 5 for one in found)


def test_another_outcome_is_no_contender(tmp_path: Path) -> None:
    contenders = [counting(tmp_path / "log", "a", 1.0), counting(tmp_path / "log", "b", 1.0, value=1.1)]
    in_turns(contenders, 1, quiet, alike=0.11)
    with pytest.raises(BenchmarkError, match=r"b makes something else than a: .* distance 0\.1, at most 0\.09"):
        in_turns(contenders, 1, quiet, alike=0.09)


def test_what_is_not_installed_is_left_out_and_said(tmp_path: Path) -> None:
    contenders = [counting(tmp_path / "log", "a", 1.0), Contender("its tool", f"{TARGET}lacking")]
    measured = in_turns(contenders, 1, quiet)
    assert measured[1] == Measured("its tool", (), None, "ray.data is not installed")
    table = Comparison("t", "w", "a", measured, (Claim("its tool", "a", "at least", 2.0, 2.0),))
    assert table.value(table.claims[0]) is None


def test_a_contender_that_says_much_is_not_held_up(tmp_path: Path) -> None:
    """More than a pipe holds, which nobody reads meanwhile."""
    (one,) = in_turns([Contender("a", f"{TARGET}Talking")], 1, quiet)
    assert one.seconds
    with pytest.raises(BenchmarkError, match=r"the end of a long story$"):
        in_turns([Contender("a", f"{TARGET}Talking", {"fails": True})], 1, quiet)


def test_what_a_contender_leaves_is_removed(tmp_path: Path) -> None:
    in_turns([Contender("a", f"{TARGET}Leaving", {"log": str(tmp_path / "log")})], 1, quiet)
    left = Path((tmp_path / "log").read_text(encoding="utf-8"))
    assert left.is_absolute()
    assert not left.exists()


def test_memory_is_that_of_all_processes(tmp_path: Path) -> None:
    """Which a process that starts others does not have itself."""
    (alone,) = in_turns([Contender("a", f"{TARGET}Holding", {"mib": 0})], 1, quiet)
    (both,) = in_turns([Contender("a", f"{TARGET}Holding", {"mib": 300})], 1, quiet)
    assert alone.peak_mib is not None
    assert both.peak_mib is not None
    assert 290 < both.peak_mib - alone.peak_mib < 400


@pytest.mark.parametrize(("factory", "said"), [("Failing", "the disk is full"), ("lacking_another", "torhc")])
def test_a_failure_is_never_left_out(factory: str, said: str) -> None:
    with pytest.raises(BenchmarkError, match=f"x .*{factory}.*(?s:.*){said}"):
        in_turns([Contender("x", f"{TARGET}{factory}")], 1, quiet)


def results(*claims: Claim, growths: tuple[Growth, ...] = ()) -> Results:
    measured = (
        Measured("ours", (1.0, 2.0, 1.5), 100.0),
        Measured("theirs", (4.0, 6.0, 4.5), 200.0),
        Measured("another", (), None, "ray is not installed"),
    )
    comparison = Comparison("One", "10 utterances", "ours", measured, claims)
    lines: dict[str, tuple[float | None, ...]] = {"plan": (0.1, 1.0), "train": (None, 2.0)}
    curve = Curve("Two", "utterances", "utterances", "s", (10, 100), lines, claims=growths)
    return Results("small", (section("s", comparison, curve),))


def section(name: str, *tables: Comparison | Curve, date: str = "2026-01-02", machine: str = "a machine") -> Section:
    return Section(name, name.upper(), "What.", tables, 60.0, date, machine)


def test_a_ratio_is_of_the_medians_with_the_range_of_the_rounds() -> None:
    (table, _) = results().sections[0].tables
    assert isinstance(table, Comparison)
    assert table.ratio("theirs", "ours") == Ratio(3.0, 3.0, 4.0)


@pytest.mark.parametrize(
    ("claim", "broken"),
    [
        (Claim("theirs", "ours", "at least", 4.0, 3.0), False),
        (Claim("theirs", "ours", "at least", 4.0, 3.1), True),
        (Claim("theirs", "ours", "at most", 2.0, 3.0), False),
        (Claim("theirs", "ours", "at most", 2.0, 2.9), True),
        (Claim("ours", None, "at most", 1.0, None), False),  # seconds are of one machine
        (Claim("another", "ours", "at least", 4.0, 4.0), True),  # it was not measured: nothing shows it
    ],
)
def test_what_is_stated_fails_the_run_where_it_does_not_hold(claim: Claim, broken: bool) -> None:
    found = results(claim).broken()
    assert bool(found) == broken
    assert all(claim.over in line and figure(claim.stated or 0.0) in line for line in found)


@pytest.mark.parametrize(
    ("growth", "value", "broken"),
    [
        (Growth("plan", "straight", 1.0, 1.0), 1.0, False),  # ten times the time for ten times the size
        (Growth("plan", "straight", 0.9, 0.9), 1.0, True),
        (Growth("plan", "flat", 2.0, 10.0), 10.0, False),
        (Growth("plan", "flat", 2.0, 9.9), 10.0, True),
        (Growth("train", "flat", 2.0, 9.9), None, True),  # at one size alone
    ],
)
def test_growth_is_claimed_of_the_two_greatest_sizes(growth: Growth, value: float | None, broken: bool) -> None:
    found = results(growths=(growth,))
    (table,) = (one for one in found.sections[0].tables if isinstance(one, Curve))
    longer = replace(table, sizes=(1, *table.sizes), lines={"plan": (9.0, 0.1, 1.0), "train": (None, None, 2.0)})
    for one in (table, longer):
        assert one.value(growth) == (None if value is None else pytest.approx(value))
    assert bool(found.broken()) == broken


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    claims = Claim("theirs", "ours", "at least", 4.0, 3.0), Claim("ours", None, "at most", 1.0, 1.5)
    found = results(*claims, growths=(Growth("plan", "flat", 1.0, 2.0),))
    write_results(found, tmp_path / "r.json")
    assert read_results(tmp_path / "r.json") == found


@pytest.mark.parametrize("text", ["", "{}", '{"size": "small", "date": "2026-01-02", "sections": [{"name": "s"}]}'])
def test_a_file_that_is_no_record_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "small.json").write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match=r"small\.json is no record of this version: .*remove it$") as caught:
        read_results(tmp_path / "small.json")
    assert "\n" not in str(caught.value)


def test_one_section_measured_again_replaces_its_own_and_keeps_the_others() -> None:
    older = results()
    older = replace(older, sections=(*older.sections, replace(older.sections[0], name="other", machine="another")))
    newer = results(Claim("ours", None, "at most", 1.0, 1.5))
    assert newer.merged(older, ("s", "other")).sections == (newer.sections[0], older.sections[1])
    assert newer.merged(older, ("other", "s")).sections == (older.sections[1], newer.sections[0]), "in the page's order"
    assert newer.merged(None, ("s",)) == newer


def test_the_page_tells_figures_claims_and_what_is_open(tmp_path: Path) -> None:
    claims = (Claim("theirs", "ours", "at least", 4.0, 2.0), Claim("ours", None, "at most", 2.0, 2.0))
    write_page(
        [results(*claims, growths=(Growth("plan", "straight", 0.9, 1.5),))], tmp_path / "page.md", tmp_path / "pictures"
    )
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "2026-01-02, a machine. It took 1 minutes." in page
    assert "| **ours** | 1.50 s |  | 100 MiB |" in page
    assert "| theirs | 4.50 s | 3.00 (3.00 to 4.00) | 200 MiB |" in page
    assert "| another | ray is not installed |  |  |" in page
    assert "| theirs / ours: at least | 3.00 (3.00 to 4.00), **open** | 2.00 | 4.00 |" in page
    assert "| ours: at most | 1.50 s, reached | 2.00 s | 2.00 s |" in page
    assert "| plan: growth / that of the size: at most | 1.00, **open** | 1.50 | 0.90 |" in page
    assert "| 100 | 1.00 s | 2.00 s |" in page
    assert "On a GPU\n\nNot measured yet" in page
    ((picture, larger),) = re.findall(r"\[!\[S\]\((.*?)\)\]\((.*?)\)", page)
    assert picture == larger, "on a narrow screen a chart is small: it leads to itself"
    assert (tmp_path / picture).read_text(encoding="utf-8").startswith("<?xml")


def test_sections_of_several_runs_tell_their_own_days_and_machines(tmp_path: Path) -> None:
    (table, _) = results().sections[0].tables
    sections = (section("s", table), section("t", table, date="2026-02-03", machine="another"))
    write_page([Results("gpu", sections)], tmp_path / "page.md", tmp_path / "pictures")
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "Not of one run" in page
    assert "### S\n\n2026-01-02, a machine. It took 1 minutes.\n" in page
    assert "### T\n\n2026-02-03, another. It took 1 minutes.\n" in page
    assert "Not measured yet" not in page


def test_parts_of_one_work_are_not_set_beside_ours(tmp_path: Path) -> None:
    """Once each: no spread that says nothing either."""
    parts = Comparison("Parts", "a suite", None, (Measured("whole", (8.0,)), Measured("part", (2.0,))))
    pair = Comparison("Pair", "a work", "ours", (Measured("ours", (1.0,)), Measured("theirs", (2.0,))))
    found = Results("small", (section("s", parts, pair),))
    write_page([found], tmp_path / "page.md", tmp_path / "pictures")
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "|  | once |\n|---|---|\n| whole | 8.00 s |\n| part | 2.00 s |\n" in page
    assert "| theirs | 2.00 s | 2.00 |\n" in page
    said = [text for text in drawn_texts(found.sections[0], tmp_path) if text.endswith(("s", "ours"))]
    assert said == ["8.00 s", "2.00 s", "1.00 s", "2.00 s, 2.00 times ours"]


def test_a_chart_has_every_line_of_its_table(tmp_path: Path) -> None:
    """In colours and dashes that tell them apart, with a tick at each size."""
    sizes = (1_000.0, 10_000.0, 100_000.0)
    curve = Curve("Steps", "once", "utterances", "s", sizes, {f"step {n}": (0.1 + n, 1.0, 90.0) for n in range(11)})
    (panel,) = drawn_panels(section("s", curve), tmp_path)
    assert [line.get_label() for line in panel.lines] == list(curve.lines)
    assert len({(line.get_color(), line.get_linestyle()) for line in panel.lines}) == 11
    assert [label.get_text() for label in panel.get_xticklabels()] == ["1,000", "10,000", "100,000"]
    assert panel.get_yscale() == "log"


def test_values_within_a_decade_are_drawn_from_zero_on(tmp_path: Path) -> None:
    curve = Curve("Memory", "once", "clips", "MiB", (2_000.0, 20_000.0), {"one": (200.0, 400.0)})
    (panel,) = drawn_panels(section("s", curve), tmp_path)
    assert (panel.get_yscale(), panel.get_ylim()[0]) == ("linear", 0)


def drawn_panels(section: Section, folder: Path) -> list[Any]:
    from matplotlib.figure import Figure

    drawn: list[Figure] = []
    with pytest.MonkeyPatch.context() as patch:
        saved = Figure.savefig
        patch.setattr(
            Figure, "savefig", lambda self, *given, **named: (drawn.append(self), saved(self, *given, **named))
        )
        charts.chart(section, folder / "chart.svg")
    return drawn[0].axes


def drawn_texts(section: Section, folder: Path) -> list[str]:
    return [text.get_text() for panel in drawn_panels(section, folder) for text in panel.texts]


def test_the_committed_page_is_what_the_committed_records_say(tmp_path: Path) -> None:
    """So that no figure on it was typed; mend: python -m benchmarks --page."""
    records = ROOT / "docs" / "benchmarks"
    found = [read_results(path) for size in SIZES if (path := records / f"{size}.json").is_file()]
    write_page(found, tmp_path / "benchmarks.md", tmp_path / "benchmarks")
    made, committed = (folder / "benchmarks.md" for folder in (tmp_path, ROOT / "docs"))
    assert committed.read_text(encoding="utf-8") == made.read_text(encoding="utf-8")
    assert {path.name for path in (tmp_path / "benchmarks").iterdir()} == {path.name for path in records.glob("*.svg")}


@pytest.mark.parametrize("slowest", [30.0, 1.4, 0.003])
def test_labels_of_bars_end_within_their_panels(slowest: float, tmp_path: Path) -> None:
    """On a linear and on a logarithmic axis, wherever the longest bar ends."""
    measured = (Measured("ours", (0.001, 0.0011)), Measured("a contender with a long name", (slowest, slowest * 1.2)))
    table = Comparison("One", "10 utterances", "ours", measured)
    (panel,) = drawn_panels(section("one", table), tmp_path)
    ends = [text.get_window_extent().x1 for text in panel.texts if text.get_text()]
    assert len(ends) == 2
    assert max(ends) <= panel.bbox.x1
    assert max(ends) > panel.bbox.x0 + 0.8 * panel.bbox.width, "no more room than they need"
