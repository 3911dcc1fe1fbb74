"""`erc ablate --engine ray` as a command: it starts a cluster, so that no other test of this file may hold one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from run_contents import contents
from suite_shell import Shell

from features.engines import ray_cluster
from features.extras import install_extra

pytest.importorskip("ray")

SEEDS = 2


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


def local(shell: Shell, *arguments: object) -> dict[str, Any]:
    """What `--engine local` leaves; its folder is then out of the way."""
    status, _, errors = shell.ablate("--seeds", SEEDS, *arguments)
    assert status == 0, errors
    found = contents(shell.folder / "runs")
    shutil.rmtree(shell.folder / "runs")
    return found


@pytest.mark.slow  # test_ray_trainers.py does the same without the command
def test_the_command_trains_folds_on_a_cluster_of_its_own(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two shards, each with one actor, leave what one machine does."""
    place = ["--cv", 2, "--nested"]
    expected = local(shell, *place)
    monkeypatch.setenv("RAY_ADDRESS", "local")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    for part in ("1/2", "2/2"):
        arguments = ["--engine", "ray", "--ray-actors", 1, "--shard", part, "--seeds", SEEDS, *place]
        fixed = ["ablate", shell.folder / "tiny.yaml", *shell.place, "--out", shell.folder / "runs"]
        status, out, errors = shell.erc(*fixed, *arguments)
        assert status == 0, errors
        assert "4 heads trained" in out
    assert contents(shell.folder / "runs") == expected


def test_options_that_do_not_go_together_are_one_line(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = ["ablate", shell.folder / "tiny.yaml", *shell.place]
    for arguments, told in (
        (["--ray-actors", 2], "--ray-address and --ray-actors are for --engine ray"),
        (
            ["--engine", "ray", "--jobs", 2],
            "--jobs sets processes on this machine: with --engine ray, use --ray-actors",
        ),
        (["--engine", "ray", "--list"], "--list shows the whole suite, trained on this machine"),
        (["--shard", "1/2", "--list"], "--list shows the whole suite, trained on this machine"),
    ):
        status, _, errors = shell.erc(*fixed, *arguments)
        assert status == 2
        assert told in errors
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: None)
    status, _, errors = shell.erc(*fixed, "--engine", "ray")
    assert status == 2
    assert f"--engine ray needs Ray: {install_extra('ray')}" in errors
