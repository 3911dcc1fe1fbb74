"""The LaTeX tables: well formed whatever names hold, and each number is that of report.md and leaderboard.csv."""

from __future__ import annotations

import html
import re
from pathlib import Path

import polars as pl
import pytest
from latex_reader import caption, check_balance, set_text, tabulars
from prediction_factory import add_predictions
from run_factory import MELD_SUPPORT, SENTENCE, FakeFeature, add_suite, make_run

from features.errors import RunError
from pipeline.report import latex_table
from pipeline.report.latex_table import Table
from pipeline.report.write import write_report

pytestmark = pytest.mark.usefixtures("without_plots")

LABELS = ("an_ger", "dis&gust", "fe#ar", "jo%y", "neutral", "{sad}ness", "[sur]^prise~\\")
NAMES = ("[best] 100%_#1 & {x}^2 ~ \\z", "*base* $1$", "--tw--in--", "été − ± 怒")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs with predictions, of which two on test; one of one seed; a suite that asks three questions."""
    folder = tmp_path_factory.mktemp("latex") / "runs"
    for position, (name, skill) in enumerate(zip(NAMES, (0.7, 0.4, 0.4, 0.2), strict=True)):
        splits = ("dev", "test") if position < 2 else ("dev",)
        run = make_run(
            folder,
            name,
            skill=skill,
            splits=splits,
            labels=LABELS,
            title="My_Corpus & 50% {more}",
            seeds=(0, 1, 2) if position < 3 else (0,),
            folder=f"run-{position}",
            config={"paper": {"exp": position, "reported": 50.5}} if position == 1 else {},
        )
        for split in splits:
            add_predictions(run, split, skill=skill)
    questions = [
        ("100% of_it & more?", NAMES[0], NAMES[1]),
        ("[Twin]?", NAMES[2], NAMES[1]),
        ("Gone?", "a_b", NAMES[0]),
    ]
    add_suite(folder, questions, baseline=NAMES[1])
    return folder


@pytest.fixture
def out(runs: Path, written: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of these runs, written once."""
    if not written:
        written["out"] = tmp_path_factory.mktemp("out")
        write_report(runs, written["out"], latex=True)
    return written["out"]


@pytest.fixture(scope="module")
def written() -> dict[str, Path]:
    return {}


def latex(out: Path, name: str) -> str:
    return (out / "latex" / f"{name}.tex").read_text(encoding="utf-8")


def markdown_rows(out: Path, title: str) -> list[list[str]]:
    """The first table below a title of report.md, as text."""
    text = (out / "report.md").read_text(encoding="utf-8")
    part = text[text.index(title) :]
    (block,) = re.findall(r"(?:^\|.*\|\n)+", part, re.MULTILINE)[:1]
    lines = block.splitlines()
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if not set(line) <= set("|-: ")]
    return [[html.unescape(re.sub(r"\\(.)", r"\1", cell)).strip() for cell in row] for row in rows]


def seen(text: str) -> str:
    return text.replace("'", "’")


def test_every_file_is_well_formed(out: Path) -> None:
    files = sorted((out / "latex").glob("*.tex"))
    assert [file.stem for file in files] == [
        "1-labels-dev",
        "1-labels-test",
        "1-leaderboard",
        "1-questions",
        "preamble",
        "report",
    ]
    for file in files:
        text = file.read_text(encoding="utf-8")
        check_balance(text)
        assert len(tabulars(text)) == (file.stem[:2] == "1-"), file.name
        if file.stem[:2] == "1-":
            assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1
            assert text.count(r"\label{tab:") == 1


def test_another_reader_of_latex_finds_no_fault(out: Path) -> None:
    walker = pytest.importorskip("pylatexenc.latexwalker")
    for file in sorted((out / "latex").glob("*.tex")):
        if file.stem != "preamble":  # it defines commands, which the reader does not follow
            nodes, _, _ = walker.LatexWalker(file.read_text(encoding="utf-8"), tolerant_parsing=False).get_latex_nodes()
            assert nodes


def test_the_leaderboard_has_the_numbers_of_report_md(out: Path) -> None:
    (rows,) = tabulars(latex(out, "1-leaderboard"))
    known = markdown_rows(out, "## Leaderboard")
    header, theirs = known[0], {seen(row[0]): row for row in known[1:]}
    wanted = ["dev weighted F1", "test weighted F1", "Places", "Macro F1", "Accuracy", "Reported, fine-tuned"]
    places = [header.index(name) for name in wanted]
    ours = {row[0]: row for row in rows[1:] if len(row) > 1}
    for name in NAMES:
        row = ours[seen(name)]
        assert row[2:] == [theirs[seen(name)][place] for place in places], name
    shown = [seen(row[0]) for row in known[1:] if seen(row[0]) in map(seen, NAMES)]
    assert list(ours)[: len(NAMES)] == shown
    assert rows[4] == ["Fewer than 3 seeds, not ranked:"]
    assert ours["été − ± 怒"][1] == "1"
    for name in ("always-neutral", "class-prior"):
        row = next(row for first, row in ours.items() if first.startswith(name))
        assert row[2:] == [theirs[name][place] for place in places]


def test_the_leaderboard_has_the_numbers_of_the_csv(out: Path) -> None:
    (rows,) = tabulars(latex(out, "1-leaderboard"))
    csv = pl.read_csv(out / "leaderboard.csv")
    for row in rows[1:]:
        if len(row) == 1 or row[0].startswith(("always-neutral:", "class-prior:")):
            continue
        for split, cell in zip(("dev", "test"), row[2:4], strict=True):
            found = csv.filter((pl.col("experiment") == row[0].replace("’", "'")) & (pl.col("split") == split))
            if found.is_empty():
                assert cell == "–"
                continue
            mean, std = found["weighted_f1_mean"][0], found["weighted_f1_std"][0]
            assert cell == f"{100 * mean:.1f}" + (f" ± {100 * std:.1f}" if std is not None else "")


def test_the_questions_have_the_numbers_of_report_md(out: Path) -> None:
    (rows,) = tabulars(latex(out, "1-questions"))
    header, *theirs = markdown_rows(out, "## The suite's questions")
    places = [header.index(name) for name in ("A", "B", "A − B", "95% interval", "Holm's p", "Smallest shown")]
    ours = {row[0]: row[1:] for row in rows[1:]}
    known = {seen(row[0]): [seen(row[place]) for place in places] for row in theirs if row[0] != "Gone?"}
    assert list(ours) == [*known, "Gone?"]
    for question, row in known.items():
        assert ours[question][1:] == row
    assert [ours[question][0] for question in known] == ["A is higher", "A is higher on average"]
    assert known["[Twin]?"][3].startswith("−")  # the interval holds zero, and Holm's p is below 0.05
    assert float(known["[Twin]?"][4]) < 0.05
    assert ours["Gone?"] == ["not answered^1", "a_b", seen(NAMES[0]), *["–"] * 4]
    assert r"\textsuperscript{1}~not among the runs: a\_b" in latex(out, "1-questions")


@pytest.mark.parametrize("split", ["dev", "test"])
def test_the_labels_have_the_numbers_of_report_md(out: Path, split: str) -> None:
    (rows,) = tabulars(latex(out, f"1-labels-{split}"))
    header, *theirs = markdown_rows(out, f"### Labels on {split}")
    assert rows[0][:5] == header
    assert [row[:5] for row in rows[1 : len(LABELS) + 1]] == theirs
    assert rows[len(LABELS) + 1][:2] == ["Weighted F1", f"{sum(MELD_SUPPORT[split]):,}"]
    beside = markdown_rows(out, "## Baseline and selected model")
    if split == "test":
        assert beside[0] == ["Label", "Utterances", "Baseline", "Selected", "Difference", "95% interval"]
        theirs = [[name, selected, other, *rest] for name, _, other, selected, *rest in beside[1:]]
        assert [[row[0], *row[4:]] for row in rows[1:]] == theirs
    else:
        assert len(rows[0]) == 5


def test_captions_tell_split_seeds_and_interval(out: Path) -> None:
    first = (out / "report.md").read_text(encoding="utf-8")
    (bounds,) = set(re.findall(r"95% interval over dialogues (\d+\.\d to \d+\.\d)", first.partition("## ")[0])[:1])
    board = caption(latex(out, "1-leaderboard"))
    assert board.startswith("My_Corpus & 50% {more}: scores in percent, mean ± deviation over 3 seeds")
    assert "on dev (1,109 labelled utterances)" in board
    assert f"95% interval over dialogues {bounds}" in board
    assert "on test" in board
    labels = caption(latex(out, "1-labels-test"))
    assert (
        f"on test, in percent, mean ± deviation over 3 seeds; weighted F1: 95% interval over dialogues {bounds}"
        in labels
    )


def test_scores_that_are_no_results_say_so_in_every_caption(tmp_path: Path) -> None:
    random = FakeFeature("text", "gpt_2", "gpt2", "ab" * 32, weights="random")
    make_run(tmp_path / "runs", "run", features=(random,), synthetic=True)
    write_report(tmp_path / "runs", tmp_path / "out", latex=True)
    for name in ("1-leaderboard", "1-labels-dev"):
        text = caption(latex(tmp_path / "out", name))
        assert "gpt_2 comes from an encoder whose weights are random" in text
        assert "Synthetic data" in text
    figures = latex(tmp_path / "out", "report")
    assert figures.count("Synthetic data") == figures.count(r"\caption") > 0


def test_the_file_that_a_paper_inputs_has_every_table_and_figure(out: Path) -> None:
    text = latex(out, "report")
    assert set(re.findall(r"\\input\{\\ercreport/(.*?)\}", text)) == {
        file.stem for file in (out / "latex").glob("1-*.tex")
    }
    drawn = set(re.findall(r"\\includegraphics\[.*?\]\{\\ercreport/figures/(.*?)\}", text))
    assert drawn == {file.name for file in (out / "latex" / "figures").iterdir()}
    assert {file.removesuffix(".pdf") for file in drawn} == {file.stem for file in (out / "figures").glob("*.svg")}
    for command in ("table*", "figure", "toprule", "includegraphics", "ercfit", "ercreport"):
        assert command in "".join(file.read_text() for file in (out / "latex").glob("*.tex"))
    preamble = latex(out, "preamble")
    assert r"\usepackage{array,booktabs,graphicx}" in preamble
    assert r"\newcommand{\ercfit}[1]" in preamble
    assert "% For XeLaTeX or LuaLaTeX with a font that has: 怒" in latex(out, "1-leaderboard")


def test_a_table_that_is_taller_than_a_page_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latex_table, "MOST_ROWS", 3)
    text = Table("long", "Many rows", ["a", "b"], [[str(row), "1"] for row in range(8)]).latex()
    check_balance(text)
    parts = tabulars(text)
    assert [len(part) for part in parts] == [4, 4, 3]
    assert [row[0] for part in parts for row in part[1:]] == [str(row) for row in range(8)]
    assert text.count(r"\label{tab:long}") == 1
    assert text.count(r"\addtocounter{table}{-1}") == 2
    assert text.count("(continued)") == 2


def test_without_the_flag_there_is_no_folder(runs: Path, tmp_path: Path) -> None:
    written = write_report(runs, tmp_path / "out")
    assert written.latex is None
    assert not (tmp_path / "out" / "latex").exists()


@pytest.mark.with_plots
def test_figures_are_pdf_files_with_their_fonts_and_equal_bytes(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "run", features=(SENTENCE,))
    first, second = ({}, {})
    for place, files in (("a", first), ("b", second)):
        write_report(tmp_path / "runs", tmp_path / place, latex=True)
        files |= {file.name: file.read_bytes() for file in (tmp_path / place / "latex" / "figures").iterdir()}
    assert first == second
    assert "1-f1-dev.pdf" in first
    for content in first.values():
        assert content.startswith(b"%PDF-")
        assert b"/Type /Page" in content
        assert b"/Subtype /Type3" not in content
        assert b"CreationDate" not in content


def test_only_cross_validations_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.report import write

    monkeypatch.setattr(write, "corpora_of", lambda found: [])
    make_run(tmp_path / "runs", "run")
    with pytest.raises(RunError, match=r"only nested cross-validations.*folds\.csv"):
        write_report(tmp_path / "runs", tmp_path / "out", latex=True)
    assert not (tmp_path / "out").exists()


def test_the_reader_of_these_tests_finds_faults() -> None:
    for bad in ("a_b", "50%", "a & b", "#1", "$x$", "\\foo"):
        with pytest.raises(ValueError, match="bare"):
            set_text(bad)
    for bad in ("{", "}", r"\begin{a}", r"\begin{a}{\end{a}}", r"\end{a}"):
        with pytest.raises(ValueError, match=r"open|closes"):
            check_balance(bad)
    table = "\\begin{tabular}{@{}lr@{}}\n%s\n\\end{tabular}"
    for bad in (r"a & b & c \\", r"a \\", "a & b"):
        with pytest.raises(ValueError, match=r"cells|end"):
            tabulars(table % bad)
