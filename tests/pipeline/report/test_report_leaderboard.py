"""The leaderboard: dev decides, and every number is the metrics file's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from run_factory import (
    HOG,
    LOGMEL,
    MELD_LABELS,
    SENTENCE,
    _confusion,
    _over_seeds,
    _scores,
    add_suite,
    add_test_read,
    make_run,
    write_json,
)

from pipeline.report.configuration import loss_name, part_name
from pipeline.report.corpus import Corpus, corpora_of
from pipeline.report.leaderboard_csv import leaderboard_csv
from pipeline.report.provenance import coverage_rows, modality_coverage, notes_on, settings_of
from pipeline.report.read import read_runs
from pipeline.runs.folder import find_runs
from pipeline.runs.metrics_file import Metrics
from pipeline.scoring.selection import select_runs


def only_corpus(runs: Path) -> Corpus:
    (corpus,) = corpora_of(read_runs(runs))
    return corpus


def test_dev_selects_even_where_test_prefers_another(tmp_path: Path) -> None:
    make_run(tmp_path, "dev-winner", skill=0.6, splits=("dev", "test"), skill_on={"test": 0.1})
    make_run(tmp_path, "test-winner", skill=0.3, splits=("dev", "test"), skill_on={"test": 0.9})
    corpus = only_corpus(tmp_path)
    assert [run.experiment for run in corpus.runs] == ["dev-winner", "test-winner"]
    assert corpus.selected is corpus.runs[0]
    winner, loser = (run.metrics["test"].weighted_f1.mean for run in corpus.runs)
    assert winner < loser
    assert [line.split for line in corpus.headlines] == ["dev", "test"]
    assert corpus.headlines[1].score.mean == winner


def test_the_margin_is_over_always_neutral_of_the_same_split(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "run", splits=("dev", "test"))
    for line in only_corpus(tmp_path).headlines:
        values = json.loads((folder / f"metrics-{line.split}.json").read_text())
        assert line.baseline == "always-neutral"
        assert line.margin == values["weighted_f1"]["mean"] - values["baselines"]["always-neutral"]["weighted_f1"]
    # ERC.md states the constant's weighted F1 on MELD: 25.23 on dev, 31.27 on test.
    corpus = only_corpus(tmp_path)
    assert corpus.selected is not None
    measured = {split: item.baselines["always-neutral"].weighted_f1 for split, item in corpus.selected.metrics.items()}
    assert {split: round(100 * value, 2) for split, value in measured.items()} == {"dev": 25.23, "test": 31.27}


def test_runs_without_dev_scores_are_never_selected(tmp_path: Path) -> None:
    make_run(tmp_path, "unscored", splits=("test",), skill=0.95)
    make_run(tmp_path, "scored", skill=0.2)
    corpus = only_corpus(tmp_path)
    assert corpus.selected is not None
    assert corpus.selected.experiment == "scored"
    assert "Without dev scores, and so not ranked: unscored." in notes_on(corpus)
    assert "Some runs were scored on test, but not the one that dev selects." not in notes_on(corpus)
    assert any("test_reads.jsonl does not say" in note for note in notes_on(corpus))
    add_test_read(tmp_path, "unscored", "unscored")
    assert "Some runs were scored on test, but not the one that dev selects." in notes_on(only_corpus(tmp_path))


def test_equal_dev_scores_go_by_name(tmp_path: Path) -> None:
    for name in ("b", "a"):
        make_run(tmp_path, name, folder=name)
        metrics = json.loads((tmp_path / name / "metrics-dev.json").read_text())
        metrics["weighted_f1"]["mean"] = 0.5
        (tmp_path / name / "metrics-dev.json").write_text(json.dumps(metrics))
    assert [run.experiment for run in only_corpus(tmp_path).runs] == ["a", "b"]


def test_of_equal_runs_the_one_that_test_is_read_of_leads_the_report(tmp_path: Path) -> None:
    for name, folder in (("z", "1"), ("a", "2"), ("m", "3")):
        run = make_run(tmp_path, name, folder=folder)
        metrics = json.loads((run / "metrics-dev.json").read_text())
        metrics["weighted_f1"]["mean"] = 0.4 if name == "m" else 0.5
        write_json(run / "metrics-dev.json", metrics)
    runs = find_runs([tmp_path])
    for ordered in (runs, runs[::-1]):
        (chosen,) = select_runs(ordered, ["best-dev"]).runs
        selected = only_corpus(tmp_path).selected
        assert selected is not None
        assert chosen.path.name == selected.folder == "1"


def test_best_marks_are_the_highest_dev_means_of_each_column(tmp_path: Path) -> None:
    for name, skill in (("low", 0.1), ("middle", 0.5), ("high", 0.52)):
        make_run(tmp_path, name, skill=skill, folder=name, splits=("dev", "test"), skill_on={"test": 1 - skill})
    corpus = only_corpus(tmp_path)
    probabilities = {"negative_log_likelihood", "calibration_error"}
    assert set(corpus.best) == {"macro_f1", "accuracy", *(f"f1_{label}" for label in MELD_LABELS)} | probabilities
    for label in MELD_LABELS:
        means = {run.folder: run.dev.per_class_f1[label].mean for run in corpus.runs if run.dev}
        assert corpus.best[f"f1_{label}"] == {max(means, key=lambda folder: means[folder])}


def test_a_column_of_zeros_has_no_best(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_run(tmp_path, name, collapse=(0, 1, 2), folder=name)
    corpus = only_corpus(tmp_path)
    assert corpus.best["f1_fear"] == set()
    assert corpus.best["f1_neutral"] == {"one", "two"}


def test_csv_has_one_row_an_experiment_and_split_with_the_files_own_fractions(tmp_path: Path) -> None:
    folders = {
        name: make_run(tmp_path, name, skill=skill, features=features, splits=("dev", "test"), seeds=seeds)
        for name, skill, features, seeds in (
            ("text", 0.5, (SENTENCE,), (0, 1, 2)),
            ("all, three", 0.6, (SENTENCE, LOGMEL, HOG), (4,)),
        )
    }
    out = tmp_path / "leaderboard.csv"
    out.write_text(leaderboard_csv([only_corpus(tmp_path)]), encoding="utf-8")
    frame = pl.read_csv(out)
    assert frame.select("experiment", "split", "ranked").rows() == [
        ("text", "dev", True),
        ("text", "test", True),
        ("all, three", "dev", False),  # one seed beside three
        ("all, three", "test", False),
    ]
    assert frame["selected_by_dev"].to_list() == [True, True, False, False]
    for row in frame.iter_rows(named=True):
        values = json.loads((folders[row["experiment"]] / f"metrics-{row['split']}.json").read_text())
        for name in ("weighted_f1", "macro_f1", "accuracy"):
            assert (row[f"{name}_mean"], row[f"{name}_std"]) == (values[name]["mean"], values[name]["std"])
        for label in MELD_LABELS:
            assert row[f"f1_mean_{label}"] == values["per_class_f1"][label]["mean"]
            assert row[f"support_{label}"] == values["support"][label]
        assert row["seeds"] == len(values["seeds"])
        assert row["baseline_weighted_f1_class-prior"] == values["baselines"]["class-prior"]["weighted_f1"]
    assert frame["modalities"].to_list()[2] == "text+audio+visual"


def test_csv_keeps_runs_without_scores(tmp_path: Path) -> None:
    make_run(tmp_path, "pending", seeds=(), unfinished=(0, 1), splits=())
    out = tmp_path / "leaderboard.csv"
    out.write_text(leaderboard_csv([only_corpus(tmp_path)]), encoding="utf-8")
    (row,) = pl.read_csv(out).iter_rows(named=True)
    assert (row["experiment"], row["split"], row["seeds_unfinished"]) == ("pending", None, 2)


def test_collapsed_seeds_are_counted(tmp_path: Path) -> None:
    make_run(tmp_path, "all", collapse=(0, 1, 2))
    make_run(tmp_path, "one", collapse=(1,))
    make_run(tmp_path, "none")
    corpus = only_corpus(tmp_path)
    found = {run.experiment: run.dev.collapsed_seeds() for run in corpus.runs if run.dev}
    assert found == {"all": 3, "one": 1, "none": 0}


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=12).filter(
        lambda pairs: len({gold for gold, _ in pairs}) > 1
    )
)
def test_a_seed_is_collapsed_exactly_if_its_predictions_are_all_one_class(pairs: list[tuple[int, int]]) -> None:
    gold, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    confusion = _confusion(gold, predicted, 3)
    scores, labels = _scores(confusion), ("a", "b", "c")
    per_class = {
        label: {part: _over_seeds([scores[part][place]]) for part in ("precision", "recall", "f1")}
        for place, label in enumerate(labels)
    }
    metrics = Metrics.model_validate(
        {
            "split": "dev",
            "utterances": len(pairs),
            "seeds": [0],
            "labels": labels,
            "support": {label: int((gold == place).sum()) for place, label in enumerate(labels)},
            **{name: _over_seeds([scores[name]]) for name in ("weighted_f1", "macro_f1", "accuracy")},
            "per_class_f1": {label: per_class[label]["f1"] for label in labels},
            "per_class": per_class,
            "confusion": confusion.astype(int).tolist(),
        }
    )
    assert metrics.collapsed_seeds() == int(len(set(predicted.tolist())) == 1)


def test_corpora_and_label_sets_are_ranked_apart(tmp_path: Path) -> None:
    four = dict.fromkeys(("train", "dev", "test"), (10, 20, 30, 40))
    make_run(tmp_path, "meld-run", skill=0.2)
    make_run(tmp_path, "iemocap-4", dataset="iemocap", labels=("angry", "happy", "sad", "neutral"), support=four)
    make_run(tmp_path, "iemocap-7", dataset="iemocap", skill=0.9)
    corpora = corpora_of(read_runs(tmp_path))
    assert [(corpus.dataset, len(corpus.labels)) for corpus in corpora] == [("iemocap", 7), ("iemocap", 4), ("meld", 7)]
    assert [corpus.selected.experiment for corpus in corpora if corpus.selected] == [
        "iemocap-7",
        "iemocap-4",
        "meld-run",
    ]
    frame = pl.read_csv(leaderboard_csv(corpora).encode())
    assert frame.height == 3
    assert frame.filter(pl.col("experiment") == "meld-run")["f1_mean_angry"].to_list() == [None]


def test_several_runs_of_one_experiment_are_told_apart_by_folder(tmp_path: Path) -> None:
    make_run(tmp_path, "text", folder="text-11111111")
    make_run(tmp_path, "text", folder="text-22222222", features=(LOGMEL,), skill=0.1)
    make_run(tmp_path, "other")
    corpus = only_corpus(tmp_path)
    assert set(corpus.names.values()) == {"text-11111111", "text-22222222", "other"}


def test_notes_say_what_qualifies_the_numbers(tmp_path: Path) -> None:
    make_run(tmp_path, "five", seeds=(0, 1, 2, 3, 4), unfinished=(5, 6))
    make_run(tmp_path, "same", folder="same")
    make_run(tmp_path, "again", folder="again")
    metrics = tmp_path / "again" / "metrics-dev.json"
    values = json.loads(metrics.read_text())
    values["support"]["fear"] += 1
    values["weighted_f1"]["mean"] = 0.99
    metrics.write_text(json.dumps(values))
    (metrics,) = tmp_path.glob("five-*/metrics-dev.json")  # the only run of five seeds, and so the selected one
    metrics.write_text(json.dumps(json.loads(metrics.read_text()) | {"no_input": 1, "unlabelled": 2}))
    features = tmp_path / "again" / "features.json"
    features.write_text(features.read_text().replace("5d5d5d5d", "6e6e6e6e"))
    add_suite(tmp_path, [], {"twin": "five"})
    notes = notes_on(only_corpus(tmp_path))
    for expected in (
        "2 versions of the manifest: meld.parquet (5d5d5d5d) and meld.parquet (6e6e6e6e)",
        "Not all runs were scored on the same dev utterances",
        "Experiments have between 3 and 5 seeds.",
        "five: 2 of 7 seeds not finished (5 and 6).",
        "twin has the configuration and features of five: trained once.",
        "1 utterance of dev had no input at all",
        "2 of 1,109 dev utterances have no label",
        "Same configuration and features under several names: five, again and same.",
    ):
        assert any(expected in note for note in notes), expected


def test_scores_that_leave_out_a_finished_seed_are_noted(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "run", seeds=(0, 1))
    (folder / "seed-3").mkdir()
    result = json.loads((folder / "seed-1" / "result.json").read_text()) | {"seed": 3}
    (folder / "seed-3" / "result.json").write_text(json.dumps(result))
    assert "run: the dev scores do not cover finished seed 3." in notes_on(only_corpus(tmp_path))


def test_contrasts_find_their_runs_and_duplicates_answer_for_their_twin(tmp_path: Path) -> None:
    make_run(tmp_path, "a")
    make_run(tmp_path, "b", skill=0.3)
    add_suite(
        tmp_path,
        [("b or a?", "b", "a"), ("twin?", "twin", "b"), ("gone?", "gone", "a"), ("no", "x", "y")],
        {"twin": "a"},
    )
    corpus = only_corpus(tmp_path)
    found = [
        (contrast.question, a and a.experiment, b and b.experiment)
        for contrast, a, b in corpus.contrasts_of(corpus.suites[0])
    ]
    assert found == [("b or a?", "b", "a"), ("twin?", "a", "b"), ("gone?", None, "a")]


def test_coverage_is_listed_by_feature_and_split(tmp_path: Path) -> None:
    make_run(tmp_path, "text", features=(SENTENCE,))
    make_run(tmp_path, "all", features=(HOG, SENTENCE, LOGMEL), splits=("dev", "test"), skill=0.7)
    corpus = only_corpus(tmp_path)
    rows = coverage_rows(corpus)
    assert [feature.name for feature, _ in rows] == ["sentence", "logmel", "hog-colour"]
    assert [split for split, _ in rows[1][1]] == ["train", "dev", "test"]
    logmel = dict(rows[1][1])["dev"]
    assert (logmel.total, logmel.ok, logmel.missing) == (1109, 1105, {"no-audio": 3, "known-bad": 1})
    assert corpus.selected is not None
    assert [(name, round(item.share, 4)) for name, item in modality_coverage(corpus.selected)] == [
        ("text", 1.0),
        ("audio", round(1105 / 1109, 4)),
        ("visual", round(1105 / 1109, 4)),
    ]


def test_settings_are_flattened_and_told_apart(tmp_path: Path) -> None:
    make_run(tmp_path, "a", skill=0.7)
    make_run(tmp_path, "b", config={"optim": {"lr": 5e-4, "weight_decay": 0.01, "warmup": 0.05, "clip": None}})
    found = {setting.key: setting for setting in settings_of(only_corpus(tmp_path))}
    assert found["optim.lr"].values == ("0.001", "0.0005")
    assert not found["optim.lr"].shared
    assert found["optim.clip"].values == (None, "none")
    assert found["context.causal"].values == ("yes", "yes")
    assert found["feedforward.sizes"].shared
    assert "name" not in found


def test_parts_are_named_as_configs_name_them() -> None:
    assert part_name({"name": "gated", "dim": 256}) == "gated"
    assert part_name("mean") == "mean"
    assert part_name(None) == "none"
    assert loss_name([{"name": "dice", "weight": 1.0}, {"name": "triplet", "weight": 0.5}]) == "dice + 0.5 triplet"
    assert loss_name("focal") == "focal"
