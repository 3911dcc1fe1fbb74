"""A finished seed whose head cannot be read is trained again, as its error says, and no other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors
import torch
from safetensors.torch import load, save_file
from suite_shell import Shell

from pipeline.runs.folder import Run
from pipeline.runs.head_file import head_trouble

pytestmark = pytest.mark.usefixtures("without_plots")


def remove(head: Path) -> None:
    head.unlink()


def truncate(head: Path) -> None:
    head.write_bytes(head.read_bytes()[:-7])


def blank(head: Path) -> None:
    """As a power cut leaves it."""
    head.write_bytes(b"\0" * head.stat().st_size)


def spoil_numbers(head: Path) -> None:
    tensors = load(head.read_bytes())
    with safetensors.safe_open(head, framework="pt") as file:
        metadata = file.metadata()
    name = next(name for name, value in tensors.items() if name.startswith("head.") and value.dim() == 2)
    tensors[name][0, 0] = torch.nan
    save_file(tensors, head, metadata)


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


def head_of(run: Path, seed: int) -> Path:
    return run / f"seed-{seed}" / "head.safetensors"


@pytest.mark.parametrize("mix", [[], ["--mix-seeds"]])
@pytest.mark.parametrize(
    ("damage", "told", "why"),
    [
        (remove, "seed 1 has no head.safetensors", "is not there"),
        (truncate, "is not a whole safetensors file", "is not a whole safetensors file"),
        (blank, "is not a whole safetensors file", "is not a whole safetensors file"),
    ],
)
def test_training_again_mends_what_evaluation_refuses(
    shell: Shell, damage: Callable[[Path], None], told: str, why: str, mix: list[str]
) -> None:
    shell.ablate("--seeds", 2)
    (run,) = (shell.folder / "runs").glob("text-*")
    before = load(head_of(run, 1).read_bytes())
    damage(head_of(run, 1))
    status, _, error = shell.erc("evaluate", run, *shell.place, "--split", "test")
    assert (status, told in error) == (1, True)
    assert "train the" in error
    status, out, notes = shell.ablate("--seeds", 2, *mix)
    assert status == 0
    assert f"1 finished seed of text has no head that can be read (head.safetensors {why}): set aside, as in " in notes
    assert "1 heads trained, 3 kept from before" in out
    assert all(torch.equal(value, before[name]) for name, value in load(head_of(run, 1).read_bytes()).items())
    assert Run(run / "earlier-1").finished_seeds() == [1]
    assert Run(run).metrics("dev").seeds == (0, 1)
    assert shell.erc("evaluate", run, *shell.place, "--split", "test")[0] == 0
    assert "0 heads trained, 4 kept from before" in shell.ablate("--seeds", 2)[1]


def test_weights_that_are_no_numbers_are_mended_as_the_error_says(shell: Shell) -> None:
    shell.ablate("--seeds", 1, "--only", "text")
    (run,) = (shell.folder / "runs").glob("text-*")
    spoil_numbers(head_of(run, 0))
    before = (run / "seed-0" / "predictions-dev.parquet").read_bytes()
    status, _, error = shell.erc("evaluate", run, *shell.place, "--split", "dev")
    assert status == 1
    assert f"holds values that are no numbers: remove {run / 'seed-0'} and train the head again" in error
    assert (run / "seed-0" / "predictions-dev.parquet").read_bytes() == before
    shutil.rmtree(run / "seed-0")
    assert "1 heads trained" in shell.ablate("--seeds", 1, "--only", "text")[1]
    assert shell.erc("evaluate", run, *shell.place, "--split", "dev")[0] == 0


def test_a_fold_has_its_head_trained_again(shell: Shell) -> None:
    place = ["--cv", 2, "--nested", "--seeds", 1, "--only", "text"]
    shell.ablate(*place)
    summary = shell.folder / "runs" / "nested-2-dialogue" / "summary.json"
    before = json.loads(summary.read_text())
    (run,) = summary.parent.glob("fold-2/text-*")
    remove(head_of(run, 0))
    status, out, notes = shell.ablate(*place)
    assert (status, "1 finished seed of text has no head that can be read" in notes) == (0, True)
    assert "1 heads trained, 1 kept from before" in out
    assert json.loads(summary.read_text()) == before


def test_lost_predictions_of_a_fold_are_mended_as_the_error_says(shell: Shell) -> None:
    """Evaluation, which would write those of another run again, refuses folds."""
    place = ["--cv", 2, "--nested", "--seeds", 1, "--only", "text"]
    shell.ablate(*place)
    summary = shell.folder / "runs" / "nested-2-dialogue" / "summary.json"
    before = json.loads(summary.read_text())
    (run,) = summary.parent.glob("fold-2/text-*")
    (run / "seed-0" / "predictions-held-out.parquet").unlink()
    status, _, error = shell.ablate(*place)
    assert status == 1
    assert f"predictions-held-out.parquet: is not there: remove {run / 'seed-0'} and train again" in error
    shutil.rmtree(run / "seed-0")
    assert shell.ablate(*place)[0] == 0
    assert json.loads(summary.read_text()) == before


def test_a_shard_leaves_the_damaged_heads_of_others_to_them(shell: Shell) -> None:
    shell.ablate("--seeds", 2, "--only", "text")
    (run,) = (shell.folder / "runs").glob("text-*")
    for seed in (0, 1):
        truncate(head_of(run, seed))
    for shard, told in (("1/2", "1 heads trained"), ("2/2", "1 heads trained"), ("1/2", "0 heads trained")):
        status, out, _ = shell.ablate("--seeds", 2, "--only", "text", "--shard", shard)
        assert (status, told in out) == (0, True)
    assert [head_trouble(run / f"seed-{seed}") for seed in (0, 1)] == [None, None]


def test_a_head_that_the_system_does_not_open_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert head_trouble(tmp_path) == "head.safetensors is not there"

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(safetensors, "safe_open", refuse)
    assert head_trouble(tmp_path) is None
