"""Intervals, answers, the baseline beside the selected model, slices: the page's figures are those of the data."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from prediction_factory import ATTRIBUTES, add_predictions
from run_factory import HOG, LOGMEL, MELD_LABELS, SENTENCE, add_suite, add_test_read, make_run, write_json
from sklearn.metrics import f1_score
from test_report_page import read_page

from pipeline.comparison.compare import (
    Comparison,
    Difference,
    Interval,
    Reach,
    compare,
    margin_interval,
    score_interval,
)
from pipeline.comparison.holm import holm
from pipeline.comparison.power import Spread
from pipeline.pages import words
from pipeline.report import facts, tables
from pipeline.report.corpus import Corpus, corpora_of
from pipeline.report.evidence import with_findings
from pipeline.report.findings import Answer
from pipeline.report.hardest import hardest_of
from pipeline.report.markdown import text_of
from pipeline.report.provenance import notes_on
from pipeline.report.read import read_runs
from pipeline.report.write import write_report
from pipeline.runs.suite_record import Contrast

pytestmark = pytest.mark.usefixtures("without_plots")

ATTACK = "<script>alert(1)</script>"


def judged(runs: Path) -> Corpus:
    (corpus,) = corpora_of(read_runs(runs))
    return with_findings(corpus)


def frames(runs: Path, experiment: str, split: str) -> dict[int, pl.DataFrame]:
    (folder,) = runs.glob(f"{experiment}-*")
    return {seed: pl.read_parquet(folder / f"seed-{seed}" / f"predictions-{split}.parquet") for seed in (0, 1, 2)}


def name_baseline(runs: Path, name: str | None) -> None:
    record = json.loads((runs / "suite-fake.json").read_text())
    write_json(runs / "suite-fake.json", record | {"baseline": name})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """best, base (the suite's baseline) and twin of base's skill; test was read of best and base."""
    folder = tmp_path_factory.mktemp("answers") / "runs"
    for name, skill, splits, features in (
        ("best", 0.7, ("dev", "test"), (SENTENCE, LOGMEL)),
        ("base", 0.4, ("dev", "test"), (SENTENCE, LOGMEL)),
        ("twin", 0.4, ("dev",), (SENTENCE,)),
    ):
        run = make_run(folder, name, splits=splits, features=features)
        for split in splits:
            add_predictions(run, split, skill=skill, lacking="audio")
    questions = [
        ("Does it help?", "best", "base"),
        ("And so?", "base", "best"),
        ("Is the twin another?", "twin", "base"),
        ("Gone?", "gone", "best"),
    ]
    add_suite(folder, questions)
    name_baseline(folder, "base")
    for name in ("best", "base"):
        add_test_read(folder, name, name)
    return folder


@pytest.fixture(scope="module")
def out(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("answers-out")
    write_report(runs, out)
    return out


def shown_interval(value: Interval) -> str:
    return f"{100 * value.low:.1f} to {100 * value.high:.1f}"


def test_the_first_sentence_states_test_with_both_margins_and_their_intervals(runs: Path, out: Path) -> None:
    best, base = (frames(runs, name, "test") for name in ("best", "base"))
    gold = best[0]["gold"]
    scores = {
        name: [f1_score(gold, frame["predicted"], labels=MELD_LABELS, average="weighted") for frame in found.values()]
        for name, found in (("best", best), ("base", base))
    }
    constant = f1_score(gold, ["neutral"] * len(gold), labels=MELD_LABELS, average="weighted")
    mean, other = (sum(scores[name]) / 3 for name in ("best", "base"))
    above, over_base = 100 * (mean - constant), 100 * (mean - other)
    interval = score_interval(best, MELD_LABELS)
    margin = margin_interval(best, "neutral", MELD_LABELS).interval
    over = compare(best, base, MELD_LABELS).weighted_f1.interval
    deviation = pl.Series(scores["best"]).std()
    expected = (
        f"best, best of 3 configurations on dev, reaches a weighted F1 of {100 * mean:.1f} ± {100 * deviation:.1f} over"
        f" 3 seeds on test (95% interval over dialogues {shown_interval(interval)}), {above:.1f} points above"
        f" always-neutral ({words.point_interval(margin)}) and {over_base:.1f} points above the baseline base"
        f" ({words.point_interval(over)})."
    )
    page = read_page(out)
    assert expected in page.text
    assert expected in (out / "report.md").read_text().replace("**", "")
    assert "On dev, which chose it: " in page.text
    assert interval.low < mean < interval.high
    assert 0 < over.low < mean - other < over.high


def test_each_answer_has_the_comparisons_figures_and_holms_p(runs: Path, out: Path) -> None:
    corpus = judged(runs)
    pairs = [("best", "base"), ("base", "best"), ("twin", "base")]
    found = [compare(frames(runs, a, "dev"), frames(runs, b, "dev"), MELD_LABELS) for a, b in pairs]
    adjusted = holm([item.p_value for item in found])
    rows = {row[0]: row for row in read_page(out).rows if len(row) == 12}
    by = [words.percent(abs(item.weighted_f1.value)) for item in found]
    answers = [f"best is higher by {by[0]} points", f"best is higher by {by[1]} points"]
    answers += ["no difference shown between twin and base"]
    for question, item, p, answer in zip(list(rows)[1:4], found, adjusted, answers, strict=True):
        row = rows[question]
        assert row[1] == answer
        assert row[2] == words.points(item.weighted_f1.value)
        assert row[3] == words.point_interval(item.weighted_f1.interval)
        assert row[4:6] == [words.p_value(item.p_value), words.p_value(p)]
        reach = Reach.of(item.reach.spread, (3, 3), 0.05 / 3)  # the first of Holm's steps
        assert row[6:8] == [words.percent(reach.smallest), "–" if reach.point_takes is None else str(reach.point_takes)]
    assert "Gone?" not in rows
    gone = next(row for row in read_page(out).rows if row[0] == "Gone?")
    assert gone == ["Gone?", "not answered: not among the runs: gone", "gone", "best"]
    assert [answer.family for answer in corpus.findings.answers] == [3, 3, 3, 0]
    assert f"2,000 resamples of the {found[0].dialogues} dialogues" in read_page(out).text


def test_a_verdict_needs_holms_p_and_says_where_one_training_may_differ() -> None:
    def verdict(low: float, high: float, p: float, family: int = 4) -> str:
        difference = Difference((low + high) / 2, Interval(low, high))
        reach = Reach.of(Spread(1e-4), (1, 1))
        comparison = Comparison(
            100, 40, 2000, difference, p / 4, difference, {}, "weighted_f1", difference, difference, reach
        )
        answer = Answer("s", Contrast(question="?", A="a", B="b"), None, None, comparison, p, family)
        assert answer.higher == (answer.verdict[0].upper() if "is higher" in answer.verdict else "")
        return answer.verdict

    assert verdict(0.01, 0.05, 0.01) == "a is higher by 3.0 points"
    assert verdict(-0.05, -0.01, 0.01) == "b is higher by 3.0 points"
    assert verdict(-0.01, 0.05, 0.049) == "a is higher on average, by 2.0 points"
    assert verdict(-0.01, 0.05, 0.05) == "no difference shown between a and b"
    assert verdict(0.01, 0.05, 0.2) == "no difference shown between a and b, with 4 questions asked"
    assert verdict(0.01, 0.05, 0.2, family=1) == "no difference shown between a and b"


def test_equal_arms_and_unscored_ones_get_no_answer(tmp_path: Path) -> None:
    for name, splits in (("a", ("dev",)), ("b", ("test",))):
        make_run(tmp_path, name, splits=splits)
    add_suite(tmp_path, [("Twins?", "a", "twin"), ("Unscored?", "a", "b")], {"twin": "a"})
    troubles = [answer.verdict for answer in judged(tmp_path).findings.answers]
    assert troubles == [
        "not answered: both are one and the same configuration",
        "not answered: no dev scores: b",
    ]


def test_the_baseline_table_is_on_test_with_an_interval_a_label(runs: Path, out: Path) -> None:
    comparison = compare(frames(runs, "best", "test"), frames(runs, "base", "test"), MELD_LABELS)
    metrics = {
        name: json.loads(next(runs.glob(f"{name}-*/metrics-test.json")).read_text()) for name in ("best", "base")
    }
    assert "base beside best on test." in read_page(out).text
    rows = {row[0]: row for row in read_page(out).rows if len(row) == 6}
    for label in MELD_LABELS:
        row = rows[label]
        base, best = (metrics[name]["per_class_f1"][label] for name in ("base", "best"))
        assert row[1] == words.count(metrics["best"]["support"][label])
        assert row[2:4] == [f"{100 * one['mean']:.1f} ± {100 * one['std']:.1f}" for one in (base, best)]
        assert row[4] == words.points(best["mean"] - base["mean"])
        assert row[5] == words.point_interval(comparison.per_class_f1[label].interval)
    assert rows["Weighted F1"][5] == words.point_interval(comparison.weighted_f1.interval)
    assert rows["Accuracy"][5] == words.point_interval(comparison.accuracy.interval)
    assert rows["Macro F1"][5] == words.point_interval(comparison.macro_f1.interval)


def test_without_test_scores_of_the_baseline_the_table_is_on_dev(tmp_path: Path) -> None:
    for name, skill, splits in (("best", 0.7, ("dev", "test")), ("base", 0.4, ("dev",))):
        run = make_run(tmp_path, name, splits=splits)
        for split in splits:
            add_predictions(run, split, skill=skill)
    add_suite(tmp_path, [("?", "best", "base")])
    name_baseline(tmp_path, "base")
    corpus = judged(tmp_path)
    found = tables.against_baseline(corpus)
    assert found is not None
    assert found.split == "dev"
    assert all(row.interval for row in found.labels)
    # The headline is on test all the same, and says nothing of a baseline that was not scored there.
    assert "on test" in facts.headline_text(corpus)
    assert "baseline" not in facts.headline_text(corpus)


@pytest.mark.parametrize(
    ("baseline", "said"),
    [
        (None, "No suite of the selected model names a baseline experiment that was trained."),
        ("gone", "No suite of the selected model names a baseline experiment that was trained."),
        ("best", "The selected model is the suite's baseline itself: best."),
        ("unscored", "The suite's baseline, unscored, has no scores on dev or test."),
    ],
)
def test_a_baseline_that_cannot_stand_beside_is_told(tmp_path: Path, baseline: str | None, said: str) -> None:
    make_run(tmp_path / "runs", "best")
    make_run(tmp_path / "runs", "unscored", splits=())
    add_suite(tmp_path / "runs", [("?", "best", "unscored")])
    name_baseline(tmp_path / "runs", baseline)
    write_report(tmp_path / "runs", tmp_path / "out")
    page = read_page(tmp_path / "out")
    assert said in page.text
    assert text_of(said) in (tmp_path / "out" / "report.md").read_text()
    assert "points above the baseline" not in page.text


def test_the_baseline_is_of_the_selected_runs_suite(tmp_path: Path) -> None:
    for name, skill in (("best", 0.7), ("base", 0.4), ("stranger", 0.3)):
        add_predictions(make_run(tmp_path, name, folder=name), skill=skill)
    other = {"suite": "a", "runs": {"stranger": "stranger"}, "contrasts": [], "baseline": "stranger"}
    mine = {"suite": "b", "runs": {"best": "best", "base": "base"}, "contrasts": [], "baseline": "base"}
    write_json(tmp_path / "suite-a.json", other)
    write_json(tmp_path / "suite-b.json", mine)
    corpus = judged(tmp_path)
    assert corpus.baseline is not None
    assert corpus.baseline.experiment == "base"


def test_the_baseline_of_another_suite_is_not_borrowed(tmp_path: Path) -> None:
    for name, skill in (("best", 0.7), ("base", 0.4), ("stranger", 0.3)):
        add_predictions(make_run(tmp_path / "runs", name, folder=name), skill=skill)
    other = {"suite": "a", "runs": {"stranger": "stranger"}, "contrasts": [], "baseline": "stranger"}
    mine = {"suite": "b", "runs": {"best": "best", "base": "base"}, "contrasts": [], "baseline": "gone"}
    write_json(tmp_path / "runs" / "suite-a.json", other)
    for baseline in ("gone", None):
        write_json(tmp_path / "runs" / "suite-b.json", mine | {"baseline": baseline})
        corpus = judged(tmp_path / "runs")
        assert corpus.baseline is None
        assert corpus.findings.over_baseline == {}
    write_report(tmp_path / "runs", tmp_path / "out")
    page = read_page(tmp_path / "out").text
    assert "No suite of the selected model names a baseline experiment that was trained." in page
    assert "the baseline stranger" not in page
    write_json(tmp_path / "runs" / "suite-b.json", mine | {"baseline": "base"})
    baseline = judged(tmp_path / "runs").baseline
    assert baseline is not None
    assert baseline.experiment == "base"


def test_slices_stand_beside_the_baselines_and_dev_is_there_too(runs: Path, out: Path) -> None:
    metrics = {
        name: {(item["group"], item["name"]): item for item in json.loads(file.read_text())["slices"]}
        for name in ("best", "base")
        for file in runs.glob(f"{name}-*/metrics-test.json")
    }
    corpus = judged(runs)
    test, dev = tables.slice_tables(corpus)
    assert (test.split, dev.split) == ("test", "dev")
    (all_row,) = test.groups[0][1]
    assert all_row.utterances == 2610
    assert corpus.selected is not None
    assert all_row.score == corpus.selected.metrics["test"].weighted_f1
    flat = [row for _, rows in test.groups[1:] for row in rows]
    assert len(flat) == len(metrics["best"]) == sum(map(len, ATTRIBUTES.values())) + 2
    for row, (key, item) in zip(flat, metrics["best"].items(), strict=True):
        assert row.utterances == item["utterances"]
        assert row.score is not None
        assert row.score.mean == item["weighted_f1"]["mean"]
        assert row.baseline is not None
        assert row.baseline.mean == metrics["base"][key]["weighted_f1"]["mean"]
        assert row.difference == pytest.approx(row.score.mean - row.baseline.mean)
    names = [row[0] for row in read_page(out).rows]
    assert names.count("audio missing") == names.count("all there") == names.count("no shift") == 2


def test_inputs_of_a_baseline_that_reads_other_modalities_are_not_compared(tmp_path: Path) -> None:
    for name, skill, features in (("best", 0.7, (SENTENCE, LOGMEL)), ("base", 0.4, (SENTENCE, HOG))):
        add_predictions(make_run(tmp_path, name, features=features), skill=skill, lacking="audio")
    add_suite(tmp_path, [("?", "best", "base")])
    name_baseline(tmp_path, "base")
    (table,) = tables.slice_tables(judged(tmp_path))
    groups = dict(table.groups)
    assert [row.baseline for row in groups["Inputs"]] == [None, None]
    assert all(row.baseline for row in groups["Speaker"])


def test_older_runs_read_and_the_page_says_what_is_lacking(tmp_path: Path) -> None:
    best, base = (make_run(tmp_path / "runs", name) for name in ("best", "base"))
    for run, skill in ((best, 0.7), (base, 0.4)):
        add_predictions(run, skill=skill, dialogue_ids=False)
    for file in (tmp_path / "runs").glob("*/metrics-dev.json"):
        values: dict[str, Any] = json.loads(file.read_text())
        for key in ("slices", "reliability", "negative_log_likelihood", "calibration_error"):
            del values[key]
        write_json(file, values)
    add_suite(tmp_path / "runs", [("Does it help?", "best", "base")])
    write_report(tmp_path / "runs", tmp_path / "out")
    page, text = read_page(tmp_path / "out"), (tmp_path / "out" / "report.md").read_text()
    file = best / "seed-0" / "predictions-dev.parquet"
    said = f"{file}: has no column dialogue_id: run `erc evaluate {best} --split dev`"
    said = said.replace(f"{tmp_path}/", "")  # pages show no path of the machine
    for shown in (page.text, text.replace("\\", "")):
        assert f"No interval of best on dev: {said}." in shown
        assert f"not answered: {said}" in shown
        assert "The metrics files hold no slices: " in shown
        assert "No contrast could be tested: each row says why." in shown
    assert "95% interval over dialogues" not in page.text
    assert "NLL" not in page.text
    assert "so no difference" not in page.text


def test_predictions_that_do_not_give_the_metrics_are_not_used(tmp_path: Path) -> None:
    for name, skill in (("best", 0.7), ("base", 0.4)):
        run = make_run(tmp_path, name)
        add_predictions(run, skill=skill)
        other = make_run(tmp_path / "elsewhere", name)
        add_predictions(other, skill=0.2)
        for seed in (0, 1, 2):
            file = f"seed-{seed}/predictions-dev.parquet"
            (run / file).write_bytes((other / file).read_bytes())
    add_suite(tmp_path, [("?", "best", "base")])
    corpus = judged(tmp_path)
    problem = "the predictions do not give the scores of metrics-dev.json: evaluate again"
    assert f"No interval of best on dev: {problem}." in notes_on(corpus)
    assert corpus.findings.intervals == {}
    assert corpus.findings.answers[0].verdict == f"not answered: {problem}"


def test_a_damaged_file_of_predictions_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run")
    add_predictions(run)
    (run / "seed-1" / "predictions-dev.parquet").write_bytes(b"PAR1")
    (note,) = judged(tmp_path).findings.notes
    file = run / "seed-1" / "predictions-dev.parquet"
    assert note.startswith(f"No interval of run on dev: {file}: cannot be read (")
    assert note.endswith(f": run `erc evaluate {run} --split dev`.")


def test_a_file_whose_labels_are_numbers_costs_its_own_figures_alone(tmp_path: Path) -> None:
    best, base, twin = (make_run(tmp_path / "runs", name) for name in ("best", "base", "twin"))
    for run, skill in ((best, 0.7), (base, 0.4), (twin, 0.4)):
        add_predictions(run, skill=skill)
    file = best / "seed-1" / "predictions-dev.parquet"
    frame = pl.read_parquet(file)
    frame.with_columns(gold=pl.col("gold").rank("dense").cast(pl.Int64)).write_parquet(file)
    add_suite(tmp_path / "runs", [("Does it help?", "best", "base"), ("Is the twin another?", "twin", "base")])
    write_report(tmp_path / "runs", tmp_path / "out")
    problem = f"{file}: its column gold holds Int64: run `erc evaluate {best} --split dev`"
    problem = problem.replace(f"{tmp_path}/", "")  # pages show no path of the machine
    page = read_page(tmp_path / "out")
    assert f"No interval of best on dev: {problem}." in page.text
    assert f"Not shown: {problem}" in page.text
    answers = {row[0]: row[1] for row in page.rows if len(row) > 1}
    assert answers["Does it help?"] == f"not answered: {problem}"
    assert answers["Is the twin another?"] == "no difference shown between twin and base"
    assert "95% interval over dialogues" not in page.text


def test_a_folder_with_brackets_in_its_name_loses_nothing(tmp_path: Path) -> None:
    support = dict.fromkeys(("train", "dev", "test"), (10,) * 7)
    for name, skill in (("best", 0.7), ("base", 0.4)):
        add_predictions(make_run(tmp_path / "runs[1]", name, support=support), skill=skill)
    add_suite(tmp_path / "runs[1]", [("Does it help?", "best", "base")], baseline="base")
    corpus = judged(tmp_path / "runs[1]")
    assert [len(run.curves) for run in corpus.runs] == [3, 3]
    assert corpus.findings.intervals.keys() == corpus.findings.over_baseline.keys() == {"dev"}
    assert corpus.findings.answers[0].comparison is not None
    assert not [note for note in notes_on(corpus) if "cannot be read" in note or "is not there" in note]
    hardest = hardest_of(corpus)
    assert hardest is not None
    assert (hardest.labelled, hardest.problem) == (70, None)


def test_a_control_character_in_a_folders_name_is_not_written(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_run(tmp_path / "runs\x01", name)
    add_suite(tmp_path / "runs\x01", [("?", "a", "b")])
    corpus = judged(tmp_path / "runs\x01")
    hardest = hardest_of(corpus)
    assert hardest is not None
    for said in (corpus.findings.notes[0], corpus.findings.answers[0].verdict, hardest.problem or ""):
        assert "runs\ufffd/" in said
        assert "\x01" not in said


def test_few_dialogues_are_a_caveat(tmp_path: Path) -> None:
    few = dict.fromkeys(("train", "dev", "test"), (40,) * 7)
    many = dict.fromkeys(("train", "dev", "test"), (45,) * 7)
    for name, support in (("few", few), ("many", many)):
        add_predictions(make_run(tmp_path / name, name, support=support))
    caveat = "dev has 28 dialogues: intervals from so few are rough, and likelier too narrow than too wide."
    assert caveat in notes_on(judged(tmp_path / "few"))
    assert not any("dialogues" in note for note in notes_on(judged(tmp_path / "many")))


def test_a_headline_on_dev_says_that_dev_chose_it(tmp_path: Path) -> None:
    note = "Test was not read. Dev chose the model and scores it here, so its score is likely a little too high."
    make_run(tmp_path, "one", skill=0.5)
    assert note not in notes_on(judged(tmp_path))
    make_run(tmp_path, "two", skill=0.4)
    assert note in notes_on(judged(tmp_path))
    assert " on dev" in facts.headline_text(judged(tmp_path))


def test_margins_that_zero_lies_in_are_no_difference(tmp_path: Path) -> None:
    for name in ("best", "base"):
        add_predictions(make_run(tmp_path, name), skill=0.4)
    add_suite(tmp_path, [("?", "best", "base")])
    corpus = judged(tmp_path)
    chosen, other = corpus.runs
    name_baseline(tmp_path, other.experiment)
    text = facts.headline_text(judged(tmp_path))
    assert re.search(
        rf" points above the baseline {other.experiment} \(−\d\.\d to \+\d\.\d, so no difference is shown\)", text
    )
    assert chosen.experiment in text


def test_searches_and_speaker_names_are_badges(tmp_path: Path) -> None:
    tuned = {"tuned": {"configurations_tried": 40, "selected_by": "dev weighted F1"}}
    make_run(tmp_path, "found", skill=0.7, config=tuned)
    make_run(tmp_path, "other", skill=0.4)
    texts = {badge.key: badge.text for badge in facts.badges(judged(tmp_path))}
    assert texts["Tried"] == "2 configurations, one chosen by search among 40"
    assert texts["Speaker names"] == "not recorded"
    for value, said in ((True, "used"), (False, "not used")):
        for file in tmp_path.glob("*/features.json"):
            looks_at = {"dialogue": True, "later_turns": False, "speaker_names": value}
            write_json(file, json.loads(file.read_text()) | {"looks_at": looks_at})
        texts = {badge.key: badge.text for badge in facts.badges(judged(tmp_path))}
        assert texts["Speaker names"] == said
        assert texts["Context"] == "causal: past turns only"


def test_likelihood_and_calibration_are_columns_where_less_is_better(runs: Path, out: Path) -> None:
    table = [row for row in read_page(out).rows if len(row) > 12]
    head = next(row for row in table if row[0] == "Experiment")
    rows = {row[0]: row for row in table}
    for name in ("best", "base", "twin"):
        values = json.loads(next(runs.glob(f"{name}-*/metrics-dev.json")).read_text())
        assert rows[name][head.index("NLL")] == f"{values['negative_log_likelihood']['mean']:.2f}"
        assert rows[name][head.index("ECE")] == f"{100 * values['calibration_error']['mean']:.1f}"
    corpus = judged(runs)
    for key in ("negative_log_likelihood", "calibration_error"):
        means = {run.folder: getattr(run.dev, key).mean for run in corpus.runs}
        assert corpus.best[key] == {min(means, key=lambda folder: means[folder])}
    frame = pl.read_csv(out / "leaderboard.csv")
    first = frame.row(0, named=True)
    assert first["weighted_f1_low"] == corpus.findings.intervals["dev"].low
    assert frame.filter(pl.col("experiment") == "base")["weighted_f1_low"].null_count() == 2


def test_the_markdown_states_what_the_page_states(out: Path) -> None:
    text = (out / "report.md").read_text()
    before, provenance = re.sub(r"## Hardest .*?(?=\n## )", "", text, flags=re.DOTALL).split("## Provenance")
    cells = [
        "".join(cell.split())
        for line in before.splitlines()
        if line.startswith("| ")
        for cell in line.replace("&lt;", "<").replace("\\", "").strip("| ").split(" | ")
    ]
    page = {"".join(cell.split()) for row in read_page(out).rows for cell in row}
    numbers = {cell for cell in cells if re.fullmatch(r"[−+<]?\d[\d.,]*(±[\d.]+|to[−+]?[\d.]+)?", cell)}
    assert len(numbers) > 150
    shares = {str(number) for number in range(101)}  # of the confusion matrix, which the page draws
    assert numbers - page <= shares
    assert provenance


@pytest.mark.with_plots
def test_names_and_slices_from_data_are_shown_as_text(tmp_path: Path) -> None:
    evil = dataclasses.replace(LOGMEL, name=ATTACK)
    for name, skill in ((f"best {ATTACK}", 0.7), (f"base {ATTACK}", 0.4)):
        folder = make_run(tmp_path / "runs", name, folder=name[:4], features=(evil,))
        add_predictions(folder, skill=skill)
        values = json.loads((folder / "metrics-dev.json").read_text())
        for item in values["slices"][:4]:
            item |= {"group": f"g{ATTACK}", "name": f"{item['name']}{ATTACK}"}
        write_json(folder / "metrics-dev.json", values)
    record = {
        "suite": ATTACK,
        "title": ATTACK,
        "runs": {ATTACK: "best", "b": "base", f"{ATTACK}2": "gone"},
        "contrasts": [{"question": f"q{ATTACK}", "A": ATTACK, "B": other} for other in ("b", f"{ATTACK}2")],
        "baseline": "b",
    }
    write_json(tmp_path / "runs" / "suite-evil.json", record)
    write_report(tmp_path / "runs", tmp_path / "out")
    page = read_page(tmp_path / "out")
    assert "<script>alert" not in (tmp_path / "out" / "report.html").read_text()
    assert "<script" not in (tmp_path / "out" / "report.md").read_text()
    for shown in (f"q{ATTACK}", f"g{ATTACK}", f"shift{ATTACK}", f"base {ATTACK}", f"not among the runs: {ATTACK}2"):
        assert shown in page.text
