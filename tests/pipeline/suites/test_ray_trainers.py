"""`erc ablate --engine ray`: what `--engine local` leaves, on a local Ray cluster, whatever becomes of its actors."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dying_trainers import DiesAlways, DiesOnce, HasAnotherTorch, SeesNoStore
from run_contents import contents
from suite_shell import Shell

from features.engines.ray_cluster import Cluster, connected
from features.errors import EngineError
from heads.config.suite import read_suite
from pipeline.suites.plan import Plan, Source, make_plan
from pipeline.suites.ray_trainers import RayTrainers
from pipeline.suites.ray_worker import HeadTrainer
from pipeline.suites.run import Outcome, run_plan

pytest.importorskip("ray")

SEEDS = 2


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # actors import the tests' own workers
        patch.setenv("RAY_worker_niceness", "0")  # Ray's own 15 lets the other tests starve the actors
        with connected("local") as found:
            yield found


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


def by_ray(shell: Shell, cluster: Cluster, worker: type[HeadTrainer], notices: list[str]) -> tuple[Plan, Outcome]:
    source = Source.open(shell.folder / "store", shell.manifest)
    plan = make_plan(read_suite(str(shell.folder / "tiny.yaml")).experiments, source)
    folders = {planned.experiment.name: shell.folder / "runs" / planned.folder_name for planned in plan.planned}
    trainers = RayTrainers(cluster, "cpu", 2, notices.append, worker)
    return plan, run_plan(plan, source, range(SEEDS), folders, 2, "cpu", "erc test", trainers=trainers)


def test_actors_leave_what_processes_leave_though_one_is_killed(shell: Shell, cluster: Cluster) -> None:
    expected = local(shell)
    del expected["suite-tiny.json"]
    notices: list[str] = []
    _, outcome = by_ray(shell, cluster, DiesOnce, notices)
    assert (shell.folder / "died").exists()
    assert [line for line in notices if "waiting" not in line] == ["a worker died over both, seed 1: retry 1 of 3"]
    assert (outcome.trained, outcome.failures) == (4, {})
    found = contents(shell.folder / "runs")
    left_behind = [name for name in found if name.endswith(".lock")]
    assert {name: value for name, value in found.items() if name not in left_behind} == expected


@pytest.mark.slow  # a killed actor is tested beside it
def test_a_head_that_kills_every_actor_fails_and_the_rest_is_trained(shell: Shell, cluster: Cluster) -> None:
    _, outcome = by_ray(shell, cluster, DiesAlways, [])
    assert outcome.failures == {"both": "seed 1: it killed its worker 4 times, perhaps for want of memory"}
    assert outcome.metrics["both"].seeds == (0,)
    assert outcome.metrics["text"].seeds == (0, 1)


@pytest.mark.parametrize(
    ("worker", "told"),
    [
        (HasAnotherTorch, r"host .*: trains otherwise \(torch 1\.0, now .*\): install what the driver has"),
        (SeesNoStore, r"host .*: does not see the store at /nowhere/store: keep it on a folder that every node"),
    ],
)
def test_a_host_that_is_not_alike_ends_the_run_with_one_line(
    shell: Shell, cluster: Cluster, worker: type[HeadTrainer], told: str
) -> None:
    with pytest.raises(EngineError, match=told) as caught:
        by_ray(shell, cluster, worker, [])
    assert "\n" not in str(caught.value)
    assert not list((shell.folder / "runs").glob("*/seed-*/result.json"))
