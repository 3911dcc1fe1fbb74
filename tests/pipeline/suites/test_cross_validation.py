"""Cross-validation: folds of whole dialogues or groups, alike in classes, of the train split and of nothing else."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from small_corpus import HOG, LOGMEL, SENTENCE, TURNS, make_manifest, make_store
from suite_shell import Shell

from features.errors import ManifestError, TrainingError, UsageError
from features.manifest import build_manifest, write_manifest
from features.store import Feature
from heads.data.utterances import Utterances, read_utterances
from heads.training.folds import Folding, fold_numbers, fold_utterances
from pipeline.runs.features_file import Fold
from pipeline.runs.folder import Run
from pipeline.runs.seed_files import SeedResult
from pipeline.suites import workers
from pipeline.suites.training import SeedTask


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Utterances:
    return read_utterances(make_manifest(tmp_path_factory.mktemp("corpus") / "M.parquet"), ["train"])


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


def summary_of(shell: Shell, name: str = "cv-3-dialogue") -> dict[str, Any]:
    values: dict[str, Any] = json.loads((shell.folder / "runs" / name / "summary.json").read_text())
    return values


def test_every_dialogue_is_held_out_once_and_whole(train: Utterances) -> None:
    folds = fold_utterances(train, Folding(5), "M")
    held_out = np.stack([fold.splits == "dev" for fold in folds])
    assert (held_out.sum(axis=0) == 1).all()
    assert all(set(fold.splits) == {"train", "dev"} for fold in folds)
    assert all(len(set(column)) == 1 for column in np.split(fold_numbers(train, Folding(5), "M"), len(train) // TURNS))
    again = fold_utterances(train, Folding(5), "M")
    assert [fold.digest() for fold in again] == [fold.digest() for fold in folds]
    assert len({fold.digest() for fold in folds}) == 5


def many(seed: int) -> Utterances:
    """120 dialogues, each mostly of one class, two thirds of them of the first."""
    draw = np.random.default_rng(seed)
    moods = draw.choice(3, 120, p=[0.65, 0.25, 0.1])
    labels = np.concatenate([np.where(draw.random(8) < 0.7, mood, draw.integers(3)) for mood in moods])
    count = len(labels)
    return Utterances(
        ids=[f"u{number}" for number in range(count)],
        splits=np.array(["train"] * count, dtype=object),
        labels=labels,
        label_names=("joy", "anger", "neutral"),
        dialogue_ids=[f"d{number // 8}" for number in range(count)],
        dialogues=np.arange(count) // 8,
        slots=np.zeros(count, np.int64),
        speakers=["A"] * count,
        sentiments=np.full(count, -1),
        sentiment_names=(),
        groups=[f"show{number // 40}" for number in range(count)],
    )


def test_folds_are_alike_in_classes() -> None:
    """Four times as alike as plain GroupKFold makes them."""
    from sklearn.model_selection import GroupKFold

    utterances = many(0)
    folds = fold_numbers(utterances, Folding(5), "M")
    ours = np.stack([np.bincount(utterances.labels[folds == number], minlength=3) for number in range(5)])
    plain = np.stack(
        [
            np.bincount(utterances.labels[rows], minlength=3)
            for _, rows in GroupKFold(5).split(folds, groups=utterances.dialogues)
        ]
    )
    assert (ours.std(axis=0) / ours.mean(axis=0)).max() < 0.25 * (plain.std(axis=0) / plain.mean(axis=0)).max()


def test_groups_are_kept_together() -> None:
    utterances = many(1)
    folds = fold_numbers(utterances, Folding(4, "group"), "M")
    by_group: dict[str | None, set[int]] = {}
    for group, number in zip(utterances.groups, folds, strict=True):
        by_group.setdefault(group, set()).add(int(number))
    assert len(by_group) == 24
    assert all(len(numbers) == 1 for numbers in by_group.values())
    assert set(folds) == {0, 1, 2, 3}


def test_what_cannot_be_split_is_refused(train: Utterances) -> None:
    with pytest.raises(
        ManifestError, match=r"60 of 60 train utterances have no `group` .*dia0_utt0.* --group dialogue"
    ):
        fold_numbers(train, Folding(3, "group"), "M")
    mixed = replace(train, groups=["a", "b"] * 30)
    with pytest.raises(ManifestError, match="the dialogue of tiny/train/dia0_utt1 has more than one `group`"):
        fold_numbers(mixed, Folding(2, "group"), "M")
    with pytest.raises(UsageError, match=r"--cv 11: M has 10 train dialogue\(s\) with a label: give at most --cv 10"):
        fold_numbers(train, Folding(11), "M")
    bare = replace(train, labels=np.where(train.dialogues < 9, -1, train.labels))
    with pytest.raises(UsageError, match="cross-validation needs two"):
        fold_numbers(bare, Folding(2), "M")
    few = replace(train, labels=np.where(np.arange(60) % TURNS == 0, train.labels, -1))
    assert all((few.labels[fold_numbers(few, Folding(4), "M") == number] >= 0).any() for number in range(4))


def test_ablate_writes_folds_a_table_and_a_summary(shell: Shell) -> None:
    status, out, err = shell.ablate("--cv", 3, "--seeds", 2)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split()[:5] == ["experiment", "weighted", "F1", "over", "folds"]
    assert [line.split()[0] for line in lines[1:3]] == ["text", "both"]
    assert "same-as-text is the same as text" in out
    assert "12 heads trained, 0 kept from before" in out
    assert "2 configurations tried on these folds" in out
    summary = summary_of(shell)
    assert (summary["folds"], summary["group"], summary["configurations_tried"]) == (3, "dialogue", 2)
    assert sum(fold["utterances"] for fold in summary["held_out"]) == 60
    assert sum(fold["dialogues"] for fold in summary["held_out"]) == 10
    text = summary["experiments"][0]
    assert len(text["weighted_f1"]["values"]) == 3
    folder = shell.folder / "runs" / "cv-3-dialogue"
    held_out: list[str] = []
    for fold, value in zip(text["folds"], text["weighted_f1"]["values"], strict=True):
        run = Run(folder / fold["run"])
        assert run.path.parent.name == f"fold-{fold['fold']}"
        assert run.features.fold == Fold(number=fold["fold"], of=3, group="dialogue")
        assert [run.result(seed).dev_weighted_f1 for seed in (0, 1)] == pytest.approx(
            list(fold["weighted_f1"].values())
        )
        assert value == pytest.approx(np.mean(list(fold["weighted_f1"].values())))
        held_out += run.predictions(0, "dev")["utterance_id"].to_list()
    assert sorted(held_out) == sorted(item for item in shell.manifest.ids if "/train/" in item)
    assert text["weighted_f1"]["std"] == pytest.approx(np.std(text["weighted_f1"]["values"], ddof=1))
    assert not (shell.folder / "runs" / "suite-tiny.json").exists()


def test_dev_and_test_are_not_read(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their rows are gone from the store, and whoever asks for one is caught."""
    shutil.rmtree(shell.folder / "store")
    make_store(shell.folder / "store", shell.manifest.select_splits(["train"]), (SENTENCE, LOGMEL, HOG))
    asked: list[str] = []
    original = Feature.read

    def spy(self: Feature, ids: list[str], out: Any = None) -> Any:
        asked.extend(ids)
        return original(self, ids, out)

    monkeypatch.setattr(Feature, "read", spy)
    assert shell.ablate("--cv", 2, "--seeds", 1)[::2] == (0, "")
    assert {item.split("/")[1] for item in asked} == {"train"}
    without = shell.folder / "train-only.parquet"
    write_manifest(shell.manifest.select_splits(["train"]), without)
    arguments = ["--manifest", without, "--store", shell.folder / "store", "--out", shell.folder / "mine"]
    assert shell.erc("train", shell.folder / "tiny.yaml", "--only", "text", *arguments, "--cv", 2)[0] == 0


def test_normalisation_is_fitted_on_the_rows_that_are_not_held_out(shell: Shell) -> None:
    from heads.training.checkpoint import read_checkpoint
    from pipeline.suites.cross_validation import fold_sources, open_rows

    shell.ablate("--cv", 3, "--seeds", 1, "--only", "text")
    source = open_rows(shell.folder / "store", shell.manifest, Folding(3))
    feature = source.store.choose("text", "sentence")
    for number, fold in enumerate(fold_sources(source, Folding(3)), start=1):
        (folder,) = shell.folder.glob(f"runs/cv-3-dialogue/fold-{number}/text-*")
        head = read_checkpoint(folder / "seed-0" / "head.safetensors", Run(folder).experiment)
        kept = [fold.utterances.ids[row] for row in fold.utterances.rows("train")]
        mean = head.inputs["text"][0].normaliser.mean
        assert mean is not None
        assert np.allclose(mean, feature.read(kept).values.mean(axis=0), atol=1e-5)
        assert not np.allclose(mean, feature.read(source.utterances.ids).values.mean(axis=0), atol=1e-3)


@pytest.mark.slow  # test_nested_folds.py does the same and more
def test_jobs_do_not_change_it_and_what_is_finished_is_kept(shell: Shell) -> None:
    shell.ablate("--cv", 3, "--seeds", 1)
    before = summary_of(shell)
    victim = next(shell.folder.glob("runs/cv-3-dialogue/fold-2/both-*/seed-0/result.json"))
    victim.unlink()
    assert "1 heads trained, 5 kept from before" in shell.ablate("--cv", 3, "--seeds", 1)[1]
    assert summary_of(shell) == before
    shutil.rmtree(shell.folder / "runs")
    status, out, err = shell.ablate("--cv", 3, "--seeds", 1, "--jobs", 2, "--json")
    assert (status, err) == (0, "")
    assert summary_of(shell) == before
    document = json.loads(out)
    assert [item["experiment"] for item in document["experiments"]] == ["text", "both"]
    assert (document["trained"], document["kept"], document["failures"]) == (6, 0, {})


def test_the_summary_counts_what_earlier_commands_tried(shell: Shell) -> None:
    train = ["train", shell.folder / "tiny.yaml", *shell.place, "--out", shell.folder / "runs", "--jobs", 1]
    shell.erc(*train, "--only", "text", "--cv", 3)
    status, out, _ = shell.erc(*train, "--only", "text", "--cv", 3, "optim.lr=0.05")
    assert status == 0
    assert "2 configurations tried on these folds" in out
    shell.ablate("--cv", 3, "--seeds", 1)
    summary = summary_of(shell)
    assert summary["configurations_tried"] == 3
    assert sorted(item["experiment"] for item in summary["experiments"]) == ["both", "text", "text"]


def test_a_fold_without_a_score_is_named_and_leaves_no_mean(shell: Shell) -> None:
    shell.ablate("--cv", 2, "--seeds", 1, "--only", "both")
    (folder,) = shell.folder.glob("runs/cv-2-dialogue/fold-2/both-*")
    shutil.rmtree(folder)
    folder.write_text("a file where a folder should be")
    status, out, err = shell.ablate("--cv", 2, "--seeds", 1)
    assert status == 1
    told, failed = err.splitlines()
    assert "both: the result over folds was of heads that are no longer there" in told
    assert failed.startswith("erc: both: fold 2: FileExistsError")
    assert "\nboth " not in out


@pytest.mark.parametrize(("failing", "shown"), [({(1, 1), (2, 0)}, ["both"]), ({(2, 1)}, ["text", "both"])])
def test_an_experiment_is_averaged_over_the_seeds_that_all_folds_have(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, failing: set[tuple[int, int]], shown: list[str]
) -> None:
    """failing: fold and seed. Without a seed in common there is no mean, and the other experiments have theirs."""
    train = workers.train_seed

    def train_some(task: SeedTask) -> SeedResult:
        fold = int(task.run.parent.name.removeprefix("fold-"))
        if task.experiment.name == "text" and (fold, task.seed) in failing:
            raise TrainingError("too hard")
        return train(task)

    monkeypatch.setattr(workers, "train_seed", train_some)
    status, _, err = shell.ablate("--cv", 2, "--seeds", 2)
    fold, seed = min(failing)
    assert (status, err.replace("erc: ", "")) == (1, f"text: fold {fold}: seed {seed}: too hard\n")
    experiments = summary_of(shell, "cv-2-dialogue")["experiments"]
    assert [entry["experiment"] for entry in experiments] == shown
    assert [value for entry in experiments for value in entry["weighted_f1"]["values"]]


def test_groups_come_from_the_manifest(shell: Shell) -> None:
    status, _, err = shell.ablate("--cv", 2, "--group", "group")
    assert (status, "train utterances have no `group`" in err) == (1, True)
    episodes = pl.col("dialogue_id").str.extract(r"dia(\d)$").cast(pl.Int64) // 2
    frame = shell.manifest.frame.with_columns(group=pl.format("episode{}", episodes))
    write_manifest(build_manifest(frame, shell.manifest.card, shell.folder), shell.folder / "M.parquet")
    assert shell.ablate("--cv", 2, "--group", "group", "--seeds", 1)[0] == 0
    assert [fold["groups"] for fold in summary_of(shell, "cv-2-group")["held_out"]] in ([2, 3], [3, 2])
    assert shell.ablate("--group", "group")[0] == 2


def test_folds_are_not_mixed_with_runs(shell: Shell) -> None:
    shell.ablate("--cv", 2, "--seeds", 1)
    shell.ablate("--seeds", 1)
    _, out, _ = shell.erc("evaluate", shell.folder / "runs", "--split", "dev", "--json")
    assert len(json.loads(out)) == 2
    _, out, _ = shell.erc("report", shell.folder / "runs", "--out", shell.folder / "report", "--json")
    assert json.loads(out)["runs"] == 2
    status, _, err = shell.erc("evaluate", shell.folder / "runs" / "cv-2-dialogue" / "fold-1", "--split", "test")
    assert (status, "is fold 1 of 2 of a cross-validation" in err) == (1, True)
    assert not list(shell.folder.rglob("test_reads.jsonl"))
    assert shell.erc("evaluate", shell.folder / "runs" / "cv-2-dialogue", "--split", "test")[0] == 1
