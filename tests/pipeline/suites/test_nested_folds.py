"""Nested cross-validation: a result, since no epoch is chosen on what is scored."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from run_factory import make_run
from small_corpus import LABELS, make_manifest, make_store
from suite_shell import Shell

from features.cards import DatasetCard
from features.errors import UsageError
from features.manifest import Manifest, build_manifest, write_manifest
from heads.criterion import Criterion
from heads.data.utterances import HELD_OUT, Utterances, read_utterances
from heads.metrics import over_seeds, score
from heads.training.folds import Folding, fold_numbers, fold_utterances
from pipeline.runs.features_file import Fold
from pipeline.runs.folder import Run
from pipeline.runs.folds_file import read_folds
from pipeline.suites.fold_scores import common_seeds, scores_over_folds

GROUPS = Folding(None, "group", nested=True)
CARD = DatasetCard(
    "tiny",
    title="Tiny",
    labels=LABELS,
    neutral="neutral",
    headline="unweighted_average_recall",
    polarity={"negative": ["anger"], "positive": ["joy"]},
)


def grouped(manifest: Manifest, path: Path, groups: int = 4, card: DatasetCard = CARD, **labels: str) -> Manifest:
    """Written to `path`: dialogue i of every split is of group i modulo `groups`. labels: group -> the label of all its
    train rows."""
    number = pl.col("dialogue_id").str.extract(r"dia(\d+)").cast(pl.Int64) % groups
    group = pl.concat_str(pl.lit("show"), number.cast(pl.String))
    frame = manifest.frame.with_columns(group=group)
    for show, label in labels.items():
        new = pl.when((pl.col("group") == show) & (pl.col("split") == "train")).then(pl.lit(label))
        frame = frame.with_columns(label=new.otherwise(pl.col("label")))
    found = build_manifest(frame, card, manifest.media_root, path)
    write_manifest(found, path)
    return found


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    shell = Shell(tmp_path, capsys)
    shell.manifest = grouped(shell.manifest, tmp_path / "M.parquet")
    return shell


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Utterances:
    folder = tmp_path_factory.mktemp("corpus")
    return read_utterances(grouped(make_manifest(folder / "M.parquet"), folder / "G.parquet"), ["train"])


def summary_of(shell: Shell, name: str = "nested-leave-one-group-out") -> dict[str, Any]:
    values: dict[str, Any] = json.loads((shell.folder / "runs" / name / "summary.json").read_text())
    return values


# The folds


@pytest.mark.parametrize("folding", [GROUPS, Folding(3, "dialogue", nested=True), Folding(2, "group", nested=True)])
def test_each_row_is_held_out_once_and_dev_is_a_part_of_the_others(train: Utterances, folding: Folding) -> None:
    folds = fold_utterances(train, folding, "M")
    assert len(folds) == (folding.count or 4)
    held_out = np.stack([fold.splits == HELD_OUT for fold in folds])
    assert (held_out.sum(axis=0) == 1).all()
    for fold in folds:
        assert set(fold.splits) == {"train", "dev", HELD_OUT}
        for unit in (fold.dialogues.tolist(), fold.groups if folding.by == "group" else fold.dialogue_ids):
            parts: dict[Any, set[str]] = {}
            for one, split in zip(unit, fold.splits, strict=True):
                parts.setdefault(one, set()).add(split)
            # Two folds of four groups leave two, one of which is dev.
            assert all(len(found) == 1 for found in parts.values())
    assert [fold.digest() for fold in fold_utterances(train, folding, "M")] == [fold.digest() for fold in folds]


def test_leaving_one_out_makes_a_fold_of_each_group(train: Utterances) -> None:
    numbers = fold_numbers(train, GROUPS, "M")
    assert [{train.groups[row] for row in np.flatnonzero(numbers == fold)} for fold in range(4)] == [
        {"show0"},
        {"show1"},
        {"show2"},
        {"show3"},
    ]
    uneven = replace(train, groups=["big"] * 48 + ["small"] * 6 + ["tiny"] * 6)
    assert np.bincount(fold_numbers(uneven, GROUPS, "M")).tolist() == [48, 6, 6]


def test_dev_is_of_dialogues_where_one_group_is_left(train: Utterances) -> None:
    two = replace(train, groups=["a"] * 30 + ["b"] * 30)
    for fold in fold_utterances(two, GROUPS, "M"):
        assert {two.groups[row] for row in fold.rows("dev")} == {two.groups[row] for row in fold.rows("train")}
        assert not set(fold.dialogues[fold.rows("dev")]) & set(fold.dialogues[fold.rows("train")])


def test_no_part_depends_on_the_labels_that_are_held_out(train: Utterances) -> None:
    for number, fold in enumerate(fold_utterances(train, GROUPS, "M")):
        mixed = np.where(fold.splits == HELD_OUT, (train.labels + 1) % 3, train.labels)
        other = fold_utterances(replace(train, labels=mixed), GROUPS, "M")[number]
        assert np.array_equal(other.splits, fold.splits)


def test_what_cannot_be_nested_is_refused(train: Utterances) -> None:
    one = replace(train, groups=["a"] * 60)
    with pytest.raises(
        UsageError, match=r"--cv groups: M has 1 train group\(s\) with a label: cross-validation needs two"
    ):
        fold_numbers(one, GROUPS, "M")
    bare = replace(train, labels=np.where(np.array(train.groups) == "show2", -1, train.labels))
    with pytest.raises(UsageError, match="group 'show2' has no labelled row to score"):
        fold_numbers(bare, GROUPS, "M")
    few = replace(train, labels=np.where(train.dialogues < 2, train.labels, -1))
    with pytest.raises(UsageError, match="--cv 2: M has one dialogue with a label beside fold 1"):
        fold_utterances(few, Folding(2, nested=True), "M")


def test_dev_is_drawn_and_not_always_the_group_least_like_the_others() -> None:
    """StratifiedGroupKFold puts the group of one class into its first fold."""
    draw = np.random.default_rng(0)
    labels = np.concatenate([np.zeros(20, np.int64), draw.integers(3, size=11 * 20)])
    count = len(labels)
    utterances = Utterances(
        ids=[f"u{number}" for number in range(count)],
        splits=np.array(["train"] * count, dtype=object),
        labels=labels,
        label_names=LABELS,
        dialogue_ids=[f"d{number // 20}" for number in range(count)],
        dialogues=np.arange(count) // 20,
        slots=np.zeros(count, np.int64),
        speakers=["A"] * count,
        sentiments=np.full(count, -1),
        sentiment_names=(),
        groups=[f"g{number // 20}" for number in range(count)],
    )
    folds = fold_utterances(utterances, GROUPS, "M")
    chosen = [{utterances.groups[row] for row in fold.rows("dev")} for fold in folds]
    assert sum("g0" in groups for groups in chosen) < 6
    assert len(set().union(*chosen)) > 8
    assert all(24 <= len(fold.rows("dev")) <= 80 for fold in folds)


# The command


def test_training_is_not_given_the_labels_that_are_held_out(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    from heads.training import trainer

    seen: list[Utterances] = []
    original = trainer.train_head

    def spy(experiment: Any, data: Any, *more: Any) -> Any:
        seen.append(data.utterances)
        return original(experiment, data, *more)

    monkeypatch.setattr(trainer, "train_head", spy)
    assert shell.ablate("--cv", "groups", "--nested", "--seeds", 1, "--only", "text")[0] == 0
    assert len(seen) == 4
    for utterances in seen:
        held_out = utterances.splits == HELD_OUT
        assert held_out.any()
        assert (utterances.labels[held_out] == -1).all()
        assert (utterances.labels[~held_out] >= 0).all()


def test_ablate_leaves_one_group_out_and_scores_what_it_held_out(shell: Shell) -> None:
    status, out, err = shell.ablate("--cv", "groups", "--nested", "--seeds", 2)
    assert (status, err) == (0, "")
    assert out.splitlines()[0].split("  ")[:3] == [
        "experiment",
        "unweighted average recall over folds (%)",
        "all folds together",
    ]
    assert "16 heads trained, 0 kept from before" in out
    folder = shell.folder / "runs" / "nested-leave-one-group-out"
    summary = summary_of(shell)
    assert (summary["nested"], summary["folds"], summary["splitter"]) == (True, 4, "LeaveOneGroupOut")
    assert [fold["names"] for fold in summary["held_out"]] == [["show0"], ["show1"], ["show2"], ["show3"]]
    assert all(fold["dev"]["by"] == "group" and fold["dev"]["labelled"] for fold in summary["held_out"])
    assert not any(set(fold["dev"]["names"]) & set(fold["names"]) for fold in summary["held_out"])
    text = summary["experiments"][0]
    pooled: dict[int, list[pl.DataFrame]] = {0: [], 1: []}
    by_fold = []
    for fold in text["folds"]:
        run = Run(folder / fold["run"])
        assert run.features.fold == Fold(number=fold["fold"], of=4, group="group", nested=True)
        scored = []
        for seed in (0, 1):
            frame = run.predictions(seed, HELD_OUT)
            pooled[seed].append(frame)
            scored.append(scores_of(frame))
            history = pl.read_parquet(run.path / f"seed-{seed}" / "history.parquet")
            assert fold["best_epochs"][str(seed)] == 1 + int(history["dev_headline"].arg_max() or 0)
            dev = scores_of(run.predictions(seed, "dev"))
            assert dev["unweighted_average_recall"] == pytest.approx(history["dev_headline"].max())
        by_fold.append({name: float(np.mean([one[name] for one in scored])) for name in scored[0]})
    for name in by_fold[0]:
        expected = over_seeds([fold[name] for fold in by_fold])
        assert text["scores"][name]["values"] == pytest.approx(expected["values"])
        assert (text["scores"][name]["mean"], text["scores"][name]["std"]) == pytest.approx(
            (expected["mean"], expected["std"])
        )
        together = [scores_of(pl.concat(frames))[name] for frames in pooled.values()]
        assert text["pooled"][name]["values"] == pytest.approx(together)
    assert sorted(pl.concat(pooled[0])["utterance_id"]) == sorted(
        item for item in shell.manifest.ids if "/train/" in item
    )
    assert sum(map(sum, text["pooled"]["confusion"])) == 2 * 60
    assert set(text["scores"]["per_class_f1"]) == set(LABELS)
    assert read_folds(folder / "summary.json").experiments[0].pooled.labels == LABELS


def scores_of(frame: pl.DataFrame) -> dict[str, float]:
    gold, predicted = (np.array([LABELS.index(label) for label in frame[name]]) for name in ("gold", "predicted"))
    chances = frame.select([f"p_{label}" for label in LABELS]).to_numpy()
    found = vars(score(gold, predicted, LABELS, Criterion.of_card(CARD), chances))
    return {name: value for name, value in found.items() if isinstance(value, float)}


def test_the_labels_that_are_scored_change_neither_epochs_nor_weights(shell: Shell) -> None:
    """All labels of show1 become another: what fold 2 trains and chooses stays, bit for bit, and its scores do not."""
    shell.ablate("--cv", "groups", "--nested", "--seeds", 2, "--only", "both")
    before = {fold["fold"]: fold for fold in summary_of(shell)["experiments"][0]["folds"]}
    heads = {number: weights_of(shell, fold["run"]) for number, fold in before.items()}
    shutil.rmtree(shell.folder / "runs")
    grouped(shell.manifest, shell.folder / "M.parquet", show1="joy")
    shell.ablate("--cv", "groups", "--nested", "--seeds", 2, "--only", "both")
    after = {fold["fold"]: fold for fold in summary_of(shell)["experiments"][0]["folds"]}
    assert after[2]["best_epochs"] == before[2]["best_epochs"]
    assert weights_of(shell, after[2]["run"]) == heads[2]
    assert after[2]["run"] != before[2]["run"]  # another corpus, so another run
    assert after[2]["scores"] != before[2]["scores"]
    parts = summary_of(shell)["held_out"]
    learnt = [part["fold"] for part in parts if "show1" not in part["names"] + part["dev"]["names"]]
    assert learnt
    assert all(weights_of(shell, after[number]["run"]) != heads[number] for number in learnt)


def weights_of(shell: Shell, run: str) -> list[bytes]:
    from safetensors.numpy import load_file

    heads = sorted((shell.folder / "runs" / "nested-leave-one-group-out" / run).glob("seed-*/head.safetensors"))
    assert len(heads) == 2
    return [value.tobytes() for head in heads for _, value in sorted(load_file(head).items())]


def test_jobs_do_not_change_it_what_is_finished_is_kept_and_folds_are_not_evaluated(shell: Shell) -> None:
    shell.ablate("--cv", 2, "--nested", "--seeds", 1)
    before = summary_of(shell, "nested-2-dialogue")
    assert before["splitter"] == "StratifiedGroupKFold"
    victim = next(shell.folder.glob("runs/nested-2-dialogue/fold-2/both-*/seed-0/result.json"))
    victim.unlink()
    assert "1 heads trained, 3 kept from before" in shell.ablate("--cv", 2, "--nested", "--seeds", 1)[1]
    assert summary_of(shell, "nested-2-dialogue") == before
    shutil.rmtree(shell.folder / "runs")
    assert shell.ablate("--cv", 2, "--nested", "--seeds", 1, "--jobs", 2)[0] == 0
    assert summary_of(shell, "nested-2-dialogue") == before
    status, _, err = shell.erc("evaluate", victim.parent.parent, "--split", "dev")
    assert status == 1
    assert "is fold 2 of 2 of a cross-validation" in err


def test_all_splits_are_folded_when_asked_for_and_reading_test_is_recorded(shell: Shell) -> None:
    status, _, err = shell.ablate("--cv", 2, "--nested", "--all-splits", "--seeds", 1, "--only", "text")
    assert (status, err) == (0, "")
    summary = summary_of(shell, "nested-2-dialogue-all-splits")
    assert summary["splits"] == ["train", "dev", "test"]
    assert sum(fold["utterances"] for fold in summary["held_out"]) == 108
    assert sum(summary["experiments"][0]["pooled"]["support"].values()) == 108
    reads = (shell.folder / "runs" / "test_reads.jsonl").read_text().splitlines()
    assert [json.loads(line)["experiment"] for line in reads] == ["text"]
    shell.ablate("--cv", 2, "--nested", "--all-splits", "--seeds", 1, "--only", "text")  # nothing is left to score
    assert len((shell.folder / "runs" / "test_reads.jsonl").read_text().splitlines()) == 1
    shell.ablate("--cv", 2, "--nested", "--seeds", 1, "--only", "text")
    assert len((shell.folder / "runs" / "test_reads.jsonl").read_text().splitlines()) == 1


def test_folds_to_choose_by_have_every_score_too(shell: Shell) -> None:
    assert shell.ablate("--cv", "groups", "--seeds", 1, "--only", "text")[0] == 0
    (text,) = summary_of(shell, "cv-leave-one-group-out")["experiments"]
    folder = shell.folder / "runs" / "cv-leave-one-group-out"
    found = [scores_of(Run(folder / fold["run"]).predictions(0, "dev")) for fold in text["folds"]]
    assert len(found) == 4
    for name in found[0]:
        assert text["scores"][name]["values"] == pytest.approx([one[name] for one in found])
    assert text["headline"] == "unweighted_average_recall"
    assert len(text["scores"]["negative_log_likelihood"]["values"]) == 4
    assert "pooled" not in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--nested"], "--nested works only with cross-validation: add --cv K"),
        (["--all-splits"], "--all-splits works only with cross-validation: add --cv K"),
        (["--cv", "3", "--all-splits"], "--all-splits works only with --nested: add it"),
        (["--cv", "groups", "--group", "dialogue"], "--cv groups holds out one `group` at a time"),
        (["--cv", "1"], "'1' is neither a number of folds, of at least 2, nor `groups`"),
        (["--cv", "group"], "'group' is neither a number of folds"),
    ],
)
def test_options_that_do_not_go_together_are_refused(shell: Shell, options: list[str], message: str) -> None:
    status, _, err = shell.ablate(*options)
    assert status == 2
    assert message in " ".join(err.split())


def test_a_search_chooses_and_is_not_nested(shell: Shell) -> None:
    (shell.folder / "space.yaml").write_text("optim.lr: {low: 0.001, high: 0.01}\n")
    status, _, err = shell.erc(
        *("train", shell.folder / "tiny.yaml", "--only", "text", *shell.place, "--out", shell.folder / "s"),
        *("--search", shell.folder / "space.yaml", "--cv", 2, "--nested"),
    )
    assert status == 2
    assert "--nested gives a result, and --search only chooses" in " ".join(err.split())


def test_a_listing_counts_the_groups(shell: Shell) -> None:
    status, _, err = shell.ablate("--cv", "groups", "--nested", "--seeds", 2, "--list")
    assert status == 0
    assert "6 heads each" in " ".join(err.split())  # four folds of three quarters of the rows, two seeds


def test_a_store_of_train_alone_is_enough(shell: Shell) -> None:
    shutil.rmtree(shell.folder / "store")
    make_store(shell.folder / "store", shell.manifest.select_splits(["train"]))
    assert shell.ablate("--cv", "groups", "--nested", "--seeds", 1, "--only", "text")[::2] == (0, "")


def test_folds_are_averaged_over_the_seeds_that_all_of_them_have(tmp_path: Path) -> None:
    seeds = {"a": (0, 1, 2), "b": (2, 1)}
    runs = [Run(make_run(tmp_path, "x", folder=name, seeds=found)) for name, found in seeds.items()]
    folds = [run.metrics("dev") for run in runs]
    assert common_seeds(folds) == [1, 2]
    found = scores_over_folds(folds)
    assert found["accuracy"]["values"] == pytest.approx(
        [np.mean(folds[0].accuracy.values[1:]), np.mean(folds[1].accuracy.values)]
    )
    assert found["per_class_f1"]["joy"]["values"][0] == pytest.approx(np.mean(folds[0].per_class_f1["joy"].values[1:]))
    assert found["binary_accuracy"] is None  # of no fold
