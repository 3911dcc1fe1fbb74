"""What of the code counts where a trained head is used: the way from stored features to probabilities, nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from run_factory import make_run

from heads import source_code
from heads.config.experiment import Experiment
from heads.config.resolve import experiment_from_dict
from heads.context import CONTEXTS
from heads.fusion import FUSIONS
from heads.losses import LOSSES
from heads.readers import READERS
from pipeline.runs.folder import Run
from pipeline.runs.other_code import since_training, sources_that_predict
from pipeline.suites.computation import _ROOTS

TRAINS = ("heads.training.trainer",)
HOUSE = Path(source_code.__file__).parent
DECIDING = {name for name, loss in LOSSES.items() if loss.decides}


def experiment(**parts: Any) -> Experiment:
    batch = {"unit": "dialogues"} | parts.pop("batch", {})
    return experiment_from_dict({"name": "x", "inputs": {"text": ["sentence"]}, "batch": batch, **parts}, "test")


PARTS: list[tuple[type, dict[str, Any]]] = [
    *((part, {"fusion": {"name": name}}) for name, part in FUSIONS.items()),
    *((part, {"context": {"name": name}}) for name, part in CONTEXTS.items()),
    *((part, {"modality_context": {"name": name}}) for name, part in CONTEXTS.items()),
    *((part, {"readers": {"text": {"name": name}}}) for name, part in READERS.items()),
    *((LOSSES[name], {"loss": [{"name": name}]}) for name in DECIDING),
]


def test_every_part_of_a_head_counts_and_is_recorded_under_the_same_name() -> None:
    assert len(PARTS) == len(FUSIONS) + 2 * len(CONTEXTS) + len(READERS) + 1 >= 25
    for part, parts in PARTS:
        chosen = experiment(**parts)
        kinds = {"text": sorted(getattr(part, "kinds", ())) or ["vector"]}
        found = sources_that_predict(chosen, kinds)
        assert part.__module__ in found
        assert {"heads.model", "heads.feedforward", "heads.predict", "heads.data.normalise"} <= set(found)
        recorded = source_code.source_digests(_ROOTS, source_code.parts_of(chosen, kinds))
        assert found.items() <= recorded.items()


def test_nothing_of_training_counts() -> None:
    for name in LOSSES:
        chosen = experiment(loss=[{"name": name}], batch={"sampler": "shuffle"})
        found = {module.partition(":")[0] for module in sources_that_predict(chosen, {"text": {"vector"}})}
        assert not [module for module in found if module.startswith(("heads.training", "pipeline"))]
        assert {module for module in found if module.startswith("heads.config")} == {"heads.config.experiment"}
        assert not found & {
            "heads.data.samplers",
            "heads.metrics",
            "heads.criterion",
            "heads.precision",
            "heads.signals",
        }
        assert (LOSSES[name].__module__ in found) == (name in DECIDING)


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of heads/, which today's digests are taken of."""
    shutil.copytree(HOUSE, tmp_path / "code" / "heads", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(source_code, "files", lambda package: tmp_path / "code" / package)
    _forget()
    yield tmp_path / "code" / "heads"
    _forget()


def _forget() -> None:
    for name in ("_digests", "_module", "_tables", "_is_of_user", "_file_of", "_tree"):
        getattr(source_code, name).cache_clear()


def made(folder: Path, *, config: dict[str, Any] | None = None, top: bool = False, **recorded: Any) -> Run:
    """A run whose seeds were made by today's code, apart from what is recorded otherwise."""
    resolved = experiment(**(config or {})).to_dict()
    run = Run(make_run(folder, "mine", seeds=(0, 1), config=resolved))
    if top:
        record = json.loads((run.path / "features.json").read_text())
        record["features"][0] |= {"kind": "sequence", "top": {"encoder": "bert"}}
        (run.path / "features.json").write_text(json.dumps(record))
    sources = source_code.source_digests(
        TRAINS, source_code.parts_of(run.experiment, {"text": {"top" if top else "vector"}})
    )
    for seed in (0, 1):
        file = run.seed_folder(seed) / "result.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"sources": sources} | recorded))
    return run


@pytest.mark.parametrize(
    "file",
    [
        *("training/trainer.py", "training/steps.py", "training/adamw.py", "training/weight_decay.py"),
        *("data/samplers/shuffle.py", "losses/cross_entropy.py", "losses/__init__.py"),
        *("config/sections.py", "training/dev_scores.py", "signals.py"),
    ],
)
def test_an_edit_of_what_trains_changes_nothing(copy: Path, tmp_path: Path, file: str) -> None:
    run = made(tmp_path / "runs")
    before = dict(source_code.source_digests(TRAINS, source_code.parts_of(run.experiment, {"text": {"vector"}})))
    with (copy / file).open("a") as text:
        text.write("\nEDITED = True\n")
    _forget()
    assert source_code.source_digests(TRAINS, source_code.parts_of(run.experiment, {"text": {"vector"}})) != before
    assert since_training(run, [0, 1]).changed == ""


@pytest.mark.parametrize(
    "file", ["feedforward.py", "model.py", "predict.py", "config/experiment.py", "fusion/concat.py", "losses/spcl.py"]
)
def test_an_edit_of_what_predicts_is_named(copy: Path, tmp_path: Path, file: str) -> None:
    run = made(tmp_path / "runs", config={"loss": [{"name": "spcl"}, {"name": "cross-entropy"}]})
    before = since_training(run, [0, 1])
    with (copy / file).open("a") as text:
        text.write("\nEDITED = True\n")
    _forget()
    after = since_training(run, [0, 1])
    assert after.changed == f"the code of heads.{file.removesuffix('.py').replace('/', '.')}"
    assert after.code != before.code
    assert after.warning(run) == (
        f"{run.path}: since it was trained, {after.changed} changed: its heads may say something else than they learnt"
        " to. Train again, or use the version that trained it (erc-feature-store 0.1.0)"
    )


def test_the_machine_that_trained_does_not_count(tmp_path: Path) -> None:
    """A head of a GPU, of other versions of torch and numpy, is used on a laptop."""
    versions = {"torch": "1.0", "numpy": "1.0", "python": "3.9", "erc-feature-store": "0.0", "transformers": "1.0"}
    run = made(tmp_path, device="cuda:1", precision="bf16", versions=versions)
    assert since_training(run, [0, 1]).changed == ""
    assert since_training(run, [0, 1]).warning(run) == ""


@pytest.mark.parametrize(("before", "told"), [("1.0", True), (None, False), (version("transformers"), False)])
def test_what_builds_an_encoders_top_counts_where_it_was_recorded(
    tmp_path: Path, before: str | None, told: bool
) -> None:
    versions = {"torch": "1.0"} | ({"transformers": before} if before else {})
    config = {"readers": {"text": {"name": "encoder-top"}}}
    run = made(tmp_path, config=config, top=True, versions=versions)
    expected = f"transformers (1.0, now {version('transformers')})" if told else ""
    assert since_training(run, [0, 1]).changed == expected


def test_one_seed_of_other_code_is_enough(tmp_path: Path) -> None:
    run = made(tmp_path)
    file = run.seed_folder(1) / "result.json"
    record = json.loads(file.read_text())
    record |= {"commit": "abc and changes", "sources": record["sources"] | {"heads.model": "0"}}
    file.write_text(json.dumps(record))
    assert since_training(run, [0]).changed == ""
    found = since_training(run, [0, 1])
    assert found.changed == "the code of heads.model"
    assert "(erc-feature-store 0.1.0 or erc-feature-store 0.1.0, commit abc and changes)" in found.warning(run)


def test_what_was_not_recorded_is_said_and_refuses_nothing(tmp_path: Path) -> None:
    run = made(tmp_path, sources={}, versions={})
    found = since_training(run, [0, 1])
    assert (found.changed, found.unknown) == ("", (0, 1))
    told = "the code that trained it was not recorded (seed 0, 1): today's is used"
    assert found.warning(run) == f"{run.path}: {told}"


def test_a_file_that_predicts_and_was_not_there_then_counts(tmp_path: Path) -> None:
    run = made(tmp_path)
    for seed in (0, 1):
        file = run.seed_folder(seed) / "result.json"
        record = json.loads(file.read_text())
        del record["sources"]["heads.dropout"]
        file.write_text(json.dumps(record))
    assert since_training(run, [0, 1]).changed == "the code of heads.dropout"
