"""Running suites: the same numbers whatever the jobs, finished seeds kept, failures that stop nobody."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load
from small_corpus import HOG, LOGMEL, SENTENCE, edited, embeddings, make_manifest, make_store
from suite_shell import TEXT

import pipeline.suites.workers
from features import hardware
from features.digests import digest_of
from features.errors import RunError
from features.manifest import Manifest
from features.store import Store, write_feature
from heads.config.suite import Suite, read_suite
from pipeline.runs.folder import Run, find_runs
from pipeline.runs.metrics_file import Coverage
from pipeline.suites.plan import Plan, Source, make_plan
from pipeline.suites.record import write_suite_record
from pipeline.suites.run import Outcome, run_plan
from pipeline.suites.training import SeedTask


class Corner:
    """A manifest, a store, a suite, and a folder for runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = make_manifest(folder / "M.parquet")
        self.store = make_store(folder / "store", self.manifest, missing=(0, 3, 61))
        (folder / "tiny.yaml").write_text(TEXT)
        self.suite: Suite = read_suite(str(folder / "tiny.yaml"))
        self.out = folder / "runs"

    def source(self, manifest: Manifest | None = None, **options: Any) -> Source:
        return Source.open(self.store, manifest or self.manifest, **options)

    def plan(self, source: Source | None = None) -> Plan:
        return make_plan(self.suite.experiments, source or self.source())

    def folders(self, plan: Plan) -> dict[str, Path]:
        return {item.experiment.name: self.out / item.folder_name for item in plan.planned}

    def run(self, seeds: int = 2, jobs: int = 1) -> tuple[Plan, Outcome]:
        source = self.source()
        plan = self.plan(source)
        return plan, run_plan(plan, source, range(seeds), self.folders(plan), jobs, "cpu", "erc test")


@pytest.fixture
def corner(tmp_path: Path) -> Corner:
    return Corner(tmp_path)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_two_processes_give_the_bits_of_one(corner: Corner) -> None:
    corner.run(jobs=1)
    alone = files(corner.out)
    shutil.rmtree(corner.out)
    _, outcome = corner.run(jobs=2)
    together = files(corner.out)
    assert outcome.trained == 4
    assert alone.keys() == together.keys()
    assert len(alone) == 2 * (3 + 2 * 5)
    for name in alone:
        if name.endswith("head.safetensors"):  # the order of its metadata is not fixed
            one, other = load(alone[name]), load(together[name])
            assert one.keys() == other.keys()
            assert all(torch.equal(one[key], other[key]) for key in one), name
        elif not name.endswith(("result.json", "history.parquet", "train.log")):  # those hold seconds
            assert alone[name] == together[name], name


def test_a_run_folder_holds_what_the_contract_names(corner: Corner) -> None:
    plan, outcome = corner.run()
    run = Run(corner.folders(plan)["both"])
    assert run.path.name == f"both-{plan.planned[1].key[:8]}"
    assert run.experiment == corner.suite.experiments[1]
    assert run.features.manifest.labels == ("joy", "anger", "neutral")
    assert sum(run.features.manifest.train_label_counts.values()) == 60
    text, audio = run.features.features
    assert (text.folder, audio.modality, text.weights) == (SENTENCE.folder, "audio", "random")
    assert audio.coverage["train"] == Coverage(ok=58, missing={"no-file": 2}, failed={}, absent=0)
    result = run.result(1)
    assert (
        None
        not in result.model_dump(
            include={"seed", "best_epoch", "epochs", "train_seconds", "parameters", "dev_weighted_f1"}
        ).values()
    )
    history = pl.read_parquet(run.seed_folder(1) / "history.parquet")
    assert history.columns == ["epoch", "train_loss", "dev_loss", "dev_weighted_f1", "learning_rate", "seconds"]
    assert history["dev_weighted_f1"].max() == pytest.approx(result.dev_weighted_f1)
    frame = run.predictions(1, "dev")
    assert frame.columns == [
        "utterance_id",
        "dialogue_id",
        "gold",
        "predicted",
        "p_joy",
        "p_anger",
        "p_neutral",
        "no_input",
        "missing",
    ]
    assert frame["dialogue_id"].to_list() == [name.rpartition("_")[0] for name in frame["utterance_id"]]
    assert frame["missing"].to_list()[:3] == [[], ["audio"], []]
    assert frame.schema["p_joy"] == pl.Float32
    sums = frame.select(pl.sum_horizontal("p_joy", "p_anger", "p_neutral")).to_series().to_numpy()
    assert np.allclose(sums, 1, atol=1e-6)
    values = json.loads((run.path / "metrics-dev.json").read_text())
    assert values == outcome.metrics["both"].model_dump(mode="json")
    assert values["weighted_f1"]["values"][1] == pytest.approx(result.dev_weighted_f1)
    assert values["utterances"] == sum(values["support"].values()) == sum(map(sum, values["confusion"])) / 2 == 24
    assert values["coverage"][LOGMEL.folder]["missing"] == {"no-file": 1}


def test_auto_precision_is_resolved_before_it_becomes_the_runs_key(
    corner: Corner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """So that seeds of fp32 and of bf16 are never one run, and a suite that asks for neither keeps its folders."""
    (named,) = [item for item in corner.suite.experiments if item.name == "both"]

    def planned(precision: str, gain: float) -> tuple[str, str]:
        monkeypatch.setenv("ERC_CACHE", str(tmp_path / f"a CPU with {gain}"))
        monkeypatch.setattr(hardware, "_gain_of_bf16", lambda: gain)
        chosen = replace(named, optim=named.optim.model_copy(update={"precision": precision}))
        (item,) = make_plan([chosen], corner.source()).planned
        return item.experiment.optim.precision, item.key

    assert planned("auto", 0.5) == planned("fp32", 0.5)
    assert planned("auto", 4.0) == planned("bf16", 0.5)
    assert planned("bf16", 0.5)[1] != planned("fp32", 0.5)[1]
    assert "precision" not in named.settings()["optim"]


def test_equal_experiments_run_once(corner: Corner) -> None:
    plan, outcome = corner.run(seeds=1)
    assert plan.duplicates == {"same-as-text": "text"}
    assert outcome.trained == 2
    write_suite_record(corner.suite, plan, corner.out)
    record = json.loads((corner.out / "suite-tiny.json").read_text())
    assert record["runs"]["same-as-text"] == record["runs"]["text"]
    assert record["contrasts"] == [{"question": "Does sound help?", "A": "both", "B": "text"}]


def test_finished_seeds_are_kept_and_unfinished_ones_trained_again(
    corner: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, _ = corner.run(seeds=2)
    before = files(corner.out)
    victim = corner.folders(plan)["text"] / "seed-1"
    (victim / "result.json").unlink()
    trained: list[tuple[str, int]] = []
    original = pipeline.suites.workers.train_seed

    def spy(task: SeedTask) -> dict[str, Any]:
        trained.append((task.experiment.name, task.seed))
        return original(task)

    monkeypatch.setattr(pipeline.suites.workers, "train_seed", spy)
    _, outcome = corner.run(seeds=2)
    assert trained == [("text", 1)]
    assert outcome.metrics["text"].seeds == (0, 1)
    after = files(corner.out)
    assert before.keys() == after.keys()
    assert (
        before[f"{victim.relative_to(corner.out)}/predictions-dev.parquet"]
        == (after[f"{victim.relative_to(corner.out)}/predictions-dev.parquet"])
    )


def test_one_failing_experiment_does_not_stop_the_others(corner: Corner, monkeypatch: pytest.MonkeyPatch) -> None:
    original = pipeline.suites.workers.train_seed

    def failing(task: SeedTask) -> dict[str, Any]:
        if task.experiment.name == "text" and task.seed == 0:
            raise ValueError("broken\nin two lines")
        return original(task)

    monkeypatch.setattr(pipeline.suites.workers, "train_seed", failing)
    _, outcome = corner.run()
    assert outcome.failures == {"text": "seed 0: ValueError: broken in two lines"}
    assert outcome.metrics["text"].seeds == (1,)
    assert outcome.metrics["both"].seeds == (0, 1)


def test_a_seed_whose_scores_are_no_numbers_is_not_finished(corner: Corner) -> None:
    """One step of a huge learning rate: its loss is finite and what it leaves is not. Training again tries again."""
    quick = "  batch: {size: 16}\n  stop: {epochs: 3}\n"
    assert quick in TEXT
    huge = "  optim: {lr: 1.0e+38, warmup: 0.0}\n  batch: {size: 512}\n  stop: {epochs: 1}\n"
    (corner.folder / "diverging.yaml").write_text(TEXT.replace(quick, huge))
    corner.suite = read_suite(str(corner.folder / "diverging.yaml"))
    for _ in range(2):
        plan, outcome = corner.run(seeds=2)
        assert not outcome.metrics
        assert "scores on dev are no numbers after epoch 1" in outcome.failures["text"]
        assert [Run(folder).finished_seeds() for folder in corner.folders(plan).values()] == [[], []]


def test_an_error_in_a_worker_comes_back_and_the_others_go_on(corner: Corner) -> None:
    plan = corner.plan()
    blocked = corner.folders(plan)["text"]
    blocked.mkdir(parents=True)
    (blocked / "seed-0").write_text("a file where a folder should be")
    _, outcome = corner.run(jobs=2)
    assert "seed 0: FileExistsError" in outcome.failures["text"]
    assert outcome.metrics["both"].seeds == (0, 1)


def test_a_folder_of_another_run_is_refused(corner: Corner) -> None:
    source = corner.source()
    plan = corner.plan(source)
    taken = dict.fromkeys(("text", "both"), corner.out / "mine")
    outcome = run_plan(plan, source, [0], taken, 1, "cpu", "erc test")
    assert "holds a run of another config or other features" in outcome.failures["both"]
    assert list(outcome.metrics) == ["text"]


def test_a_missing_feature_is_named_with_the_command_that_makes_it(corner: Corner) -> None:
    shutil.rmtree(corner.store / LOGMEL.folder)
    plan, outcome = corner.run(seeds=1)
    assert list(outcome.metrics) == ["text"]
    assert (
        "lacks audio/logmel (make it with `erc extract --modality audio --encoder logmel --manifest"
        in plan.failures["both"]
    )


def test_two_features_of_a_name_are_listed(corner: Corner) -> None:
    other = replace(SENTENCE, settings={"layers": "-1"})
    write_feature(corner.store, other, corner.manifest, embeddings(corner.manifest, other))
    plan = corner.plan()
    assert "matches 2 features" in plan.failures["text"]
    assert [item.experiment.name for item in plan.planned] == ["same-as-text"]


def test_stale_rows_are_refused_unless_allowed(corner: Corner) -> None:
    changed = edited(corner.manifest, corner.folder / "changed.parquet", "tiny/train/dia1_utt0", text="new")
    plan = corner.plan(corner.source(changed))
    assert "tiny/train/dia1_utt0" in plan.failures["text"]
    assert "erc extract --modality text --encoder sentence" in plan.failures["text"]
    assert not plan.planned
    assert [item.experiment.name for item in corner.plan(corner.source(changed, allow_stale=True)).planned] == [
        "text",
        "both",
    ]


def test_an_edit_in_test_makes_nothing_stale(corner: Corner) -> None:
    changed = edited(corner.manifest, corner.folder / "changed.parquet", "tiny/test/dia0_utt0", text="new", label="joy")
    plan = corner.plan(corner.source(changed))
    assert not plan.failures
    assert [item.key for item in plan.planned] == [item.key for item in corner.plan().planned]


def test_other_labels_make_another_run(corner: Corner) -> None:
    gold = dict(corner.manifest.frame.select("utterance_id", "label").iter_rows())["tiny/train/dia0_utt0"]
    other = "joy" if gold != "joy" else "anger"
    changed = edited(corner.manifest, corner.folder / "changed.parquet", "tiny/train/dia0_utt0", label=other)
    assert corner.plan(corner.source(changed)).planned[0].key != corner.plan().planned[0].key


def test_the_test_split_is_never_read(corner: Corner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows are gone from the store, and whoever asks for one is caught."""
    from features.store import Feature

    shutil.rmtree(corner.store)
    make_store(corner.store, corner.manifest.select_splits(["train", "dev"]), (SENTENCE, LOGMEL, HOG))
    asked: list[str] = []
    original = Feature.read

    def spy(self: Feature, ids: list[str], out: Any = None) -> Any:
        asked.extend(ids)
        return original(self, ids, out)

    monkeypatch.setattr(Feature, "read", spy)
    plan, outcome = corner.run(seeds=1)
    assert not plan.warnings
    assert list(outcome.metrics) == ["text", "both"]
    assert asked
    assert not [utterance_id for utterance_id in asked if "/test/" in utterance_id]


def test_rows_never_extracted_are_refused_or_warned_of(corner: Corner) -> None:
    shutil.rmtree(corner.store)
    make_store(corner.store, corner.manifest.select_splits(["train"]), (SENTENCE, LOGMEL))
    plan = corner.plan()
    assert (plan.planned, plan.warnings) == ([], [])
    assert set(plan.failures) == {"text", "both", "same-as-text"}
    assert (
        "24 of 84 utterances were never extracted (the first is tiny/dev/dia0_utt0): run `erc extract"
        in (plan.failures["text"])
    )
    allowed = corner.plan(corner.source(allow_absent=True))
    assert len(allowed.planned) == 2
    warnings = allowed.warnings
    assert len(warnings) == 2
    assert "24 of 84 train and dev utterances were never extracted" in warnings[0]


def test_run_folders_are_found_once_each(corner: Corner) -> None:
    plan, _ = corner.run(seeds=1)
    one = corner.folders(plan)["text"]
    assert [run.path for run in find_runs([one, corner.out])] == [one, corner.folders(plan)["both"]]
    with pytest.raises(RunError, match="holds no run"):
        find_runs([corner.store])
    with pytest.raises(RunError, match="no run folder at"):
        find_runs([corner.folder / "none"])
    (one / "features.json").write_text("{")
    with pytest.raises(RunError, match=r"features\.json cannot be read: Expecting .*: train the experiment again"):
        _ = Run(one).features


def test_a_part_that_needs_its_weights_to_be_built_is_tried_by_training(
    corner: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of one's own may read a value of a tensor, which torch's `meta` device has not."""

    def reads(*_: object) -> None:
        torch.zeros(1, device="meta").item()

    monkeypatch.setattr("pipeline.suites.fits.unallocated_head", reads)
    assert corner.plan().failures == {}


def test_a_feature_whose_extraction_was_stopped_before_its_first_rows_stops_no_other(corner: Corner) -> None:
    feature = Store(corner.store).find("logmel")
    for path in feature.path.glob("0*"):
        path.unlink()
    assert Store(corner.store).find("logmel").rows_digest(["a"]) == digest_of("rows", [("a", None)])
    plan = corner.plan(corner.source(allow_absent=True))
    assert "text" in [item.experiment.name for item in plan.planned]
