"""Table 4 in the paper's order beside ours, and its objectives: of the runs that are there, and honest of the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from latex_reader import caption, check_balance, set_text, tabulars
from page_checks import findings_of
from prediction_factory import add_predictions
from run_factory import MELD_LABELS, make_run, write_json
from test_report_page import read_page

from features.errors import RunError
from heads.config.suite import read_suite
from pipeline.cli import erc, run
from pipeline.comparison.compare import score_interval
from pipeline.pages import words
from pipeline.report.latex_paper import _letters
from pipeline.report.paper_facts import OBJECTIVES, PAPERS
from pipeline.report.write import write_report

pytestmark = pytest.mark.usefixtures("without_plots")

# The weighted F1 that the report prints in table 4, of its experiments 1 to 30.
PRINTED = [25, 27, 25, 29, 50, 40, 28, 25, 25, 26, 25, 27, 30, 36, 53, 26, 46, 38, 36, 38, 46, 41, 39, 55]
PRINTED += [54] * 6
SKILLS = {
    "01-baseline-cce": 0.3,
    "02-baseline-dice": 0.3,
    "03-baseline-focal": 0.3,
    "04-t-um-glove": 0.3,
    "05-t-um-gpt2": 0.6,
    "06-t-mm-gpt2": 0.6,
    "10-v-um-resnet50": 0.5,
    "11-v-um-retinaface": 0.3,
    "12-v-mm-retinaface": 0.5,
    "13-fusion-mha-baseline": 0.3,
    "14-fusion-concat-adv": 0.3,
    "16b-size-sampler": 0.35,
}
ONE_SEED, UNSCORED, UNPREDICTED = "30-i10-not-normalised", "27-i07-512-512", "26-i06-512-256"


def make_table4(folder: Path, names: Collection[str] = tuple(SKILLS), dataset: str = "meld") -> None:
    """Some rows of table 4; one has one seed, one no scores, one no predictions, and one is equal to another."""
    suite = read_suite("table4")
    papers = {one.name: one.paper.model_dump() if one.paper else None for one in suite.experiments}
    folders = {}
    for name in (*names, ONE_SEED, UNSCORED, UNPREDICTED):
        made = make_run(
            folder,
            name,
            skill=SKILLS.get(name, 0.2),
            seeds=(0,) if name == ONE_SEED else (0, 1, 2),
            splits=() if name == UNSCORED else ("dev",),
            dataset=dataset,
            title=dataset.upper(),
            config={"suite": "table4", "paper": papers[name]},
        )
        folders[name] = made.name
        if name not in (UNSCORED, UNPREDICTED):
            add_predictions(made, "dev", skill=SKILLS.get(name, 0.2))
    folders["25-wav2vec2-250Kx1536"] = folders.get("14-fusion-concat-adv", "gone")
    record = {"suite": "table4", "title": suite.title, "baseline": suite.baseline, "runs": folders}
    record["duplicates"] = {"25-wav2vec2-250Kx1536": "14-fusion-concat-adv"}
    write_json(folder / "suite-table4.json", record | {"contrasts": [one.model_dump() for one in suite.contrasts]})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table4") / "runs"
    make_table4(folder)
    return folder


@pytest.fixture(scope="module")
def written() -> dict[str, Path]:
    return {}


@pytest.fixture
def out(runs: Path, written: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of these runs, written once."""
    if not written:
        written["out"] = tmp_path_factory.mktemp("out")
        write_report(runs, written["out"], latex=True, paper="table4")
    return written["out"]


def table4(out: Path) -> tuple[list[str], dict[str, list[str]], str]:
    """Header, number -> row, and the whole text."""
    text = (out / "latex" / "1-table4.tex").read_text(encoding="utf-8")
    check_balance(text)
    (rows,) = tabulars(text)
    return rows[0], {row[0]: row for row in rows[1:]}, text


def test_all_rows_stand_in_the_papers_order_with_what_it_printed(out: Path) -> None:
    header, rows, _ = table4(out)
    assert header == ["Exp", "Experiment", *MELD_LABELS, "Weighted F1", "95% interval", "Seeds", "Reported"]
    assert list(rows) == [str(number) for number in range(1, 31)]
    assert [int(row[-1].partition("^")[0]) for row in rows.values()] == PRINTED


def test_our_numbers_are_those_of_the_csv(out: Path, runs: Path) -> None:
    _, rows, _ = table4(out)
    csv = pl.read_csv(out / "leaderboard.csv").filter(pl.col("split") == "dev")
    for name in SKILLS:
        if name == "16b-size-sampler":
            continue
        row = next(row for row in rows.values() if row[1] == name)
        (found,) = csv.filter(pl.col("experiment") == name).to_dicts()
        assert row[2:9] == [f"{100 * found[f'f1_mean_{label}']:.1f}" for label in MELD_LABELS]
        assert row[9] == f"{100 * found['weighted_f1_mean']:.1f} ± {100 * found['weighted_f1_std']:.1f}"
        assert row[11] == str(found["seeds"])
    (folder,) = runs.glob("05-t-um-gpt2-*")
    frames = {seed: pl.read_parquet(folder / f"seed-{seed}" / "predictions-dev.parquet") for seed in (0, 1, 2)}
    assert rows["5"][10] == words.interval(score_interval(frames, MELD_LABELS))


def test_what_is_not_known_is_a_dash_with_a_note(out: Path) -> None:
    _, rows, text = table4(out)
    notes = {
        mark: set_text(said) for mark, said in re.findall(r"^\\textsuperscript\{(\w+)\}~(.*)\\par$", text, re.MULTILINE)
    }

    def note(cell: str) -> tuple[str, str]:
        shown, _, mark = cell.partition("^")
        return shown, notes[mark]

    assert rows["7"][2:9] == ["–"] * 7
    assert note(rows["7"][9]) == ("–", "Not among the runs.")
    assert rows["7"][10:12] == ["–", "–"]
    assert note(rows["27"][9]) == ("–", "No scores on dev: it failed, or is not finished.")
    assert rows["26"][9] != "–"
    assert note(rows["26"][10])[0] == "–"
    assert note(rows["26"][10])[1].startswith("No interval: the predictions are not at hand")
    assert note(rows["30"][11]) == ("1", "Fewer than the 3 seeds that are asked for.")
    assert note(rows["25"][1]) == (
        "25-wav2vec2-250Kx1536",
        "Equal to 14-fusion-concat-adv, which was trained once for both.",
    )
    assert note(rows["28"][12])[1].startswith("The score printed for this experiment is that of experiment 26")
    assert "45.7" in note(rows["28"][12])[1]
    assert "52.4" in note(rows["29"][12])[1]
    missing = 30 - 11 - 3
    assert f"{missing} experiments of 30 without scores." in caption(text)
    assert sum(row[9].startswith("–") for row in rows.values()) == missing


def test_the_page_and_report_md_have_the_same_rows(out: Path) -> None:
    _, rows, _ = table4(out)
    plain = [[re.sub(r"\^\w+", "", cell) for cell in row] for row in rows.values()]
    page = read_page(out)
    assert [row for row in page.rows if len(row) == 13 and row[0].isdigit()] == plain
    text = (out / "report.md").read_text(encoding="utf-8")
    for row in plain:
        assert f"| {' | '.join(row)} |" in text.replace("\\_", "_")
    assert "- 7, 8, 9, 15" in text


def test_the_page_is_read_with_a_keyboard_and_by_screen_readers(out: Path) -> None:
    page = (out / "report.html").read_text(encoding="utf-8")
    assert findings_of(page) == []
    assert '<a href="#table4-1">' in page


def test_each_objective_has_an_answer_with_its_interval(
    out: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (out / "latex" / "1-table4-objectives.tex").read_text(encoding="utf-8")
    check_balance(text)
    items = dict(re.findall(r"^\\item\[Objective (\d)\.\] \\emph\{.*?\?\} (.*)$", text, re.MULTILINE))
    said = {int(number): set_text(item) for number, item in items.items()}
    assert list(said) == [1, 2, 3, 4, 5, 6]
    first = {number: item.partition(".")[0] for number, item in said.items()}
    assert first == {
        1: "Not shown",
        2: "Yes",
        3: "No, the opposite is shown, as far as it was tested",
        4: "In part",
        5: "Not shown, as far as it was tested",
        6: "Not answered",
    }
    answers = {
        (row["A"], row["B"]): row
        for row in json_report(runs, tmp_path / "r", capsys)["corpora"][0]["answers"]
        if row["interval"]
    }
    for objective in OBJECTIVES:
        for a, b in objective.contrasts:
            row = answers.get((a, b))
            if row is None:
                assert re.search(rf"{a} and {b} were not compared: ", said[objective.number])
                continue
            low, high = (words.points(end) for end in row["interval"])
            assert f"{words.points(row['difference'])} points (95% interval {low} to {high}" in said[objective.number]
        assert f"The published report: {objective.reported}".replace("'", "’") in said[objective.number]
    assert "10-v-um-resnet50 is higher" in said[4]
    assert "12-v-mm-retinaface is higher" in said[4]
    (questions,) = tabulars((out / "latex" / "1-questions.tex").read_text(encoding="utf-8"))
    shown = {row[0]: row[1] for row in questions}
    adjusted = {(row[2], row[3]): row[6] for row in questions[1:] if row[6] != "–"}
    assert adjusted == {arms: words.p_value(row["adjusted_p"]) for arms, row in answers.items()}
    assert any(row["adjusted_p"] > row["p_value"] > 0.001 for row in answers.values())
    assert shown["Dice or cross-entropy?"] == "no difference shown"
    assert shown["GPT-2 or GloVe, text alone?"] == "A is higher"
    assert shown["Faces or the scene, picture alone?"] == "B is higher"


def json_report(runs: Path, to: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert run(erc, ["report", str(runs), "--out", str(to), "--json", "--paper", "table4"], "erc") == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_the_command_tells_answers_and_the_file_to_input(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(erc, ["report", str(runs), "--out", str(tmp_path / "r"), "--paper", "table4", "--latex"], "erc") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:12] for line in lines if line.startswith("Objective")] == [f"Objective {one}." for one in range(1, 7)]
    assert lines[-1] == f"latex: {tmp_path / 'r' / 'latex' / 'report.tex'}"
    assert Path(lines[-1].removeprefix("latex: ")).is_file()


def test_the_json_has_rows_and_objectives(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (paper,) = json_report(runs, tmp_path / "r", capsys)["papers"]
    assert paper["suite"] == "table4"
    assert [row["reported_percent"] for row in paper["rows"]] == PRINTED
    assert paper["rows"][6]["run"] is paper["rows"][6]["weighted_f1"] is paper["rows"][6]["interval"] is None
    assert [one["answer"] for one in paper["objectives"]][:2] == ["not shown", "yes"]


def test_another_corpus_is_said_to_be_one(tmp_path: Path) -> None:
    make_table4(tmp_path / "runs", ("01-baseline-cce",), dataset="other")
    write_report(tmp_path / "runs", tmp_path / "out", latex=True)
    assert "Ours are of another corpus, OTHER: the two cannot be compared." in caption(table4(tmp_path / "out")[2])


def test_runs_of_no_such_suite(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "mine")
    with pytest.raises(RunError, match="no run of the suite table4 here: `erc ablate table4` trains them"):
        write_report(tmp_path / "runs", tmp_path / "out", paper="table4")
    write_report(tmp_path / "runs", tmp_path / "out", latex=True)
    assert not list((tmp_path / "out" / "latex").glob("*table4*"))


def test_a_row_that_was_trained_alone_counts(tmp_path: Path) -> None:
    """`erc train table4 --only NAME` leaves no record of the suite."""
    made = make_run(tmp_path / "runs", "05-t-um-gpt2", config={"suite": "table4"})
    add_predictions(made, "dev")
    make_run(tmp_path / "runs", "04-t-um-glove", config={"suite": "another"})
    write_report(tmp_path / "runs", tmp_path / "out", latex=True, paper="table4")
    _, rows, _ = table4(tmp_path / "out")
    assert re.fullmatch(r"\d+\.\d ± \d+\.\d", rows["5"][9])
    assert rows["4"][9].startswith("–")
    objectives = (tmp_path / "out" / "latex" / "1-table4-objectives.tex").read_text(encoding="utf-8")
    assert objectives.count("Not answered.") == 6


def test_the_choices_of_the_command_are_the_papers() -> None:
    from pipeline.commands.report import command

    (option,) = [one for one in command.params if one.name == "paper"]
    assert list(option.type.choices) == list(PAPERS)  # type: ignore[attr-defined]


def test_objectives_name_experiments_and_contrasts_of_the_suite() -> None:
    suite = read_suite("table4")
    asked = {(one.A, one.B) for one in suite.contrasts}
    for objective in OBJECTIVES:
        assert set(objective.contrasts) <= asked
    numbers = [one.paper.exp for one in suite.experiments if one.paper]
    assert numbers == list(range(1, 31))
    for paper in PAPERS.values():
        assert set(paper.remarks) <= set(numbers)


def test_marks_go_on_behind_z() -> None:
    assert [_letters(number) for number in (0, 25, 26, 51, 52, 702)] == ["a", "z", "aa", "az", "ba", "aaa"]
