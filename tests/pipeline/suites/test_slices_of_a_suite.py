"""`erc ablate --shard I/N`: the run folders of one machine, whoever trains which head, and whatever ends a shard."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forked_erc import start_erc
from hypothesis import given
from hypothesis import strategies as st
from run_contents import contents
from suite_shell import TEXT, Shell

from features.manifest import read_manifest
from heads.config.suite import read_suite
from pipeline.runs.folder import Run, find_runs
from pipeline.runs.locks import folder_lock, seed_lock
from pipeline.runs.seed_files import SeedResult
from pipeline.suites import workers
from pipeline.suites.plan import Source, make_plan
from pipeline.suites.run import Part, shard_members
from pipeline.suites.shard import ShardRequest, at_work, cost, deal, deal_heads
from pipeline.suites.training import SeedTask

pytestmark = pytest.mark.usefixtures("without_plots")

SEEDS = 3
HEADS = 2 * SEEDS  # `same-as-text` is `text`


def dies_over_the_third_seed_of_text() -> None:
    """As when the kernel ends a process for want of memory."""
    train = workers.train_seed

    def dying(task: SeedTask) -> SeedResult:
        if task.seed == 2 and task.experiment.name == "text":
            os.kill(os.getpid(), signal.SIGKILL)
        return train(task)

    workers.train_seed = dying


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


class Started:
    """`erc ablate` of the suite in a process of its own."""

    def __init__(self, shell: Shell, shard: str, *more: object, first: Callable[[], None] | None = None) -> None:
        fixed = ["ablate", shell.folder / "tiny.yaml", *shell.place, "--out", shell.folder / "runs", "--jobs", 1]
        arguments = [*fixed, "--seeds", SEEDS, "--shard", shard, *more]
        self._output = shell.folder / f"said-{shard[0]}"
        self._process = start_erc([str(item) for item in arguments], self._output, first)

    def end(self) -> tuple[int | None, str]:
        """Its exit status and what it said."""
        self._process.join(timeout=300)
        return self._process.exitcode, self._output.read_text()


def whole(shell: Shell, *arguments: object) -> dict[str, Any]:
    """What one machine leaves; its folder is then out of the way."""
    status, _, errors = shell.ablate("--seeds", SEEDS, *arguments)
    assert status == 0, errors
    found = contents(shell.folder / "runs")
    shutil.rmtree(shell.folder / "runs")
    return found


def in_turn(shell: Shell, shard: str, *arguments: object) -> str:
    status, out, errors = shell.ablate("--seeds", SEEDS, "--shard", shard, *arguments)
    assert status == 0, errors
    return out


@given(st.lists(st.integers(0, 10**12), max_size=40), st.integers(1, 8))
def test_heads_are_dealt_evenly_and_each_to_one(costs: list[int], count: int) -> None:
    owners = deal(costs, count)
    assert set(owners) <= set(range(1, count + 1))
    loads = [sum(cost for cost, owner in zip(costs, owners, strict=True) if owner == i + 1) for i in range(count)]
    assert max(loads) - min(loads) <= max(costs, default=0)


def test_a_dear_head_stands_against_many_cheap_ones() -> None:
    """Not so many heads for each, but as much work."""
    assert deal([1, 1, 10, *[1] * 8], 2) == [2, 2, 1, *[2] * 8]


def test_what_a_head_costs_grows_with_its_weights_its_steps_and_its_epochs(shell: Shell) -> None:
    place = Source.open(shell.folder / "store", shell.manifest)

    def of(*changes: tuple[str, str]) -> int:
        text = TEXT
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (shell.folder / "changed.yaml").write_text(text)
        planned = make_plan(read_suite(str(shell.folder / "changed.yaml")).experiments, place).planned[0]
        return cost(planned.experiment, planned.features, place.utterances)

    wide, long, fine = ("[4]", "[40000]"), ("epochs: 3", "epochs: 30"), ("{size: 16}", "{size: 4}")
    assert of(wide) > of() < of(fine)
    assert of(long) == pytest.approx(10 * of(), rel=1e-6)


def test_shards_at_once_leave_what_one_machine_leaves(shell: Shell) -> None:
    """Two processes, and nothing is trained twice."""
    expected = whole(shell)
    said = []
    for process in [Started(shell, part) for part in ("1/2", "2/2")]:
        status, out = process.end()
        assert status == 0, out
        said.append(out)
    assert contents(shell.folder / "runs") == expected
    assert all(f"{HEADS // 2} heads trained, 0 kept from before, of this shard's {HEADS // 2}" in out for out in said)
    assert sum(f"all {HEADS} heads are done" in out for out in said) >= 1
    assert f"0 heads trained, {HEADS} kept" in shell.ablate("--seeds", SEEDS)[1]
    assert contents(shell.folder / "runs") == expected


def test_a_killed_shard_harms_no_other_and_goes_on_where_it_was(shell: Shell) -> None:
    expected = whole(shell)
    other = Started(shell, "2/2")
    killed = Started(shell, "1/2", first=dies_over_the_third_seed_of_text)
    assert killed.end()[0] == -signal.SIGKILL
    status, out = other.end()
    assert status == 0, out
    runs = shell.folder / "runs"
    assert list(runs.glob("text-*/.seed-2.lock"))  # left behind by the dead, and in nobody's way
    left = HEADS - len(list(runs.glob("*/seed-*/result.json")))
    assert 0 < left <= HEADS // 2
    for run in find_runs([runs]):
        assert run.metrics("dev").seeds == tuple(run.finished_seeds())
    assert shell.erc("report", runs, "--out", shell.folder / "page")[0] == 0
    assert f"all {HEADS} heads are done" in in_turn(shell, "1/2")
    assert contents(runs) == expected
    shutil.rmtree(next(runs.glob("both-*")) / "seed-1")
    assert "1 heads trained, 5 kept" in shell.ablate("--seeds", SEEDS)[1]
    assert contents(runs) == expected


def test_slices_one_after_the_other_in_any_order(shell: Shell) -> None:
    expected = whole(shell)
    heads = []
    for part in ("3/3", "1/3", "2/3"):
        out = in_turn(shell, part)
        heads.append(len(list((shell.folder / "runs").glob("*/seed-*/result.json"))))
        assert f"{HEADS - heads[-1]} of all {HEADS} are left" in out or heads[-1] == HEADS
    assert heads == [2, 4, 6]
    assert contents(shell.folder / "runs") == expected
    document = json.loads(in_turn(shell, "2/3", "--json"))
    assert (document["trained"], document["kept"], document["shard_heads"], document["heads_left"]) == (0, 2, 2, 0)


@pytest.mark.parametrize("nested", [False, True])
def test_shards_of_a_cross_validation_leave_its_summary(shell: Shell, nested: bool) -> None:
    """Whichever shard ends last, and although folds that one trains first are finished later by another."""
    place = ["--cv", 3, *(["--nested"] if nested else [])]
    expected = whole(shell, *place)
    in_turn(shell, "2/2", *place)
    summary = next((shell.folder / "runs").glob("*/summary.json"))
    assert json.loads(summary.read_text())["experiments"] == []
    out = in_turn(shell, "1/2", *place)
    assert f"of this shard's {3 * HEADS // 2}; all {3 * HEADS} heads are done" in out
    assert contents(shell.folder / "runs") == expected


def test_folds_that_others_finish_meanwhile_are_in_the_summary(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard that scored its first fold before another one was done with it, and ends last."""
    place = ["--cv", 3, "--only", "text"]
    expected = whole(shell, *place)
    import pipeline.suites.cross_validation as module

    original, done = module.run_parts, []

    def with_another(*arguments: Any, **options: Any) -> Any:
        outcomes = original(*arguments, **options)
        done.append(len(done))
        if len(done) == 1:  # 1/2 has read the first of three folds
            assert Started(shell, "2/2", *place).end()[0] == 0
        return outcomes

    monkeypatch.setattr(module, "run_parts", with_another)
    in_turn(shell, "1/2", *place)
    assert len(done) == 3
    found = contents(shell.folder / "runs")
    assert found["cv-3-dialogue/summary.json"] == expected["cv-3-dialogue/summary.json"]


def test_reads_of_test_name_the_seeds_that_a_shard_trains(shell: Shell) -> None:
    place = ["--cv", 3, "--nested", "--all-splits", "--only", "text"]
    for part in ("1/2", "2/2"):
        in_turn(shell, part, *place)
    lines = [json.loads(line) for line in (shell.folder / "runs" / "test_reads.jsonl").read_text().splitlines()]
    assert {seed for line in lines for seed in line["seeds"]} == set(range(SEEDS))
    assert [line["experiment"] for line in lines] == ["text", "text"]


def test_a_shard_at_work_is_not_started_twice_and_none_deals_otherwise(shell: Shell) -> None:
    source = Source.open(shell.folder / "store", read_manifest(shell.folder / "M.parquet"))
    runs = shell.folder / "runs"
    plan = make_plan(read_suite(str(shell.folder / "tiny.yaml")).experiments, source)
    folders = {planned.experiment.name: runs / planned.folder_name for planned in plan.planned}
    members = shard_members([Part(plan, source, folders)])
    with at_work(ShardRequest(1, 2, "tiny"), runs, members, range(SEEDS), "cpu"):
        for arguments, told in (
            (["--shard", "1/2"], "shard 1/2 of tiny is at work: wait for it"),
            (["--shard", "3/3"], "shards of tiny are at work that deal other heads"),
            (["--shard", "2/2", "--only", "text"], "shards of tiny are at work that deal other heads"),
        ):
            status, _, errors = shell.ablate("--seeds", SEEDS, *arguments)
            assert status == 1
            assert told in errors
            assert len(errors.strip().splitlines()) == 1
        in_turn(shell, "2/2")
    in_turn(shell, "1/2")


def test_a_seed_that_another_process_trains_is_left_to_it(shell: Shell) -> None:
    shell.ablate("--seeds", 1)
    run = next((shell.folder / "runs").glob("text-*"))
    with seed_lock(run, 1) as held:
        assert held
        status, _, errors = shell.ablate("--seeds", 2, "--jobs", 2)
        assert status == 1
        assert "text: seed 1: another process is training it: wait for it" in errors
        assert Run(run).finished_seeds() == [0]
    assert shell.ablate("--seeds", 2)[0] == 0
    assert Run(run).finished_seeds() == [0, 1]


def test_a_lock_is_gone_with_its_holder(tmp_path: Path) -> None:
    with folder_lock(tmp_path / "a"), seed_lock(tmp_path / "a", 0) as first, seed_lock(tmp_path / "a", 0) as second:
        assert (first, second) == (True, False)
        assert {path.name for path in (tmp_path / "a").iterdir()} == {".lock", ".seed-0.lock"}
    assert list((tmp_path / "a").iterdir()) == []


def test_a_shard_sets_its_own_seeds_aside_and_no_others(shell: Shell) -> None:
    """After the code changed: what other shards are to train again stays until they do."""
    expected = whole(shell)
    in_turn(shell, "1/1")
    runs = shell.folder / "runs"
    for result in runs.glob("*/seed-*/result.json"):
        result.write_text(json.dumps(json.loads(result.read_text()) | {"device": "cuda"}))
    status, _, errors = shell.ablate("--seeds", SEEDS, "--shard", "1/2")
    assert status == 0
    assert "not scored yet, since other shards' seeds there were not made as today" in errors
    aside = {str(path.relative_to(runs)) for path in runs.glob("*/earlier-1/seed-*")}
    assert len(aside) == HEADS // 2
    status, _, errors = shell.ablate("--seeds", SEEDS, "--shard", "2/2")
    assert status == 0
    assert "not scored yet" not in errors
    found = {name: value for name, value in contents(runs).items() if "/earlier-" not in name}
    assert found.keys() == expected.keys()
    assert [name for name, value in found.items() if value != expected[name]] == []


@pytest.mark.parametrize("folds", [[], ["--cv", 2, "--nested"]])
def test_old_seeds_that_no_shard_trains_are_set_aside_by_any(shell: Shell, folds: list[object]) -> None:
    """After the code changed, fewer seeds are asked for than are there."""
    place = [*folds, "--only", "text", "--seeds"]
    shell.ablate(*place, 2)
    runs = shell.folder / "runs"
    expected = contents(runs)
    shell.ablate(*place, 3)
    for result in runs.rglob("seed-*/result.json"):
        result.write_text(json.dumps(json.loads(result.read_text()) | {"device": "cuda"}))
    shell.ablate(*place, 2, "--shard", "1/2")
    _, out, errors = shell.ablate(*place, 2, "--shard", "2/2")
    assert "not scored yet" not in errors
    assert " heads are done" in out
    found = {name: value for name, value in contents(runs).items() if "earlier-" not in name}
    assert found == expected
    assert len(list(runs.rglob("earlier-*/seed-2"))) == (2 if folds else 1)


@pytest.mark.parametrize("nested", [False, True])
def test_shards_average_no_folds_that_were_not_made_alike(shell: Shell, nested: bool) -> None:
    """One seed a fold, so that no single fold is mixed: of the old heads, each shard trains its own again."""
    place = ["--cv", 3, *(["--nested"] if nested else []), "--only", "text", "--seeds", 1]
    shell.ablate(*place)
    runs = shell.folder / "runs"
    expected = contents(runs)
    (summary,) = (name for name in expected if name.endswith("summary.json"))
    for result in runs.glob("*/fold-*/*/seed-*/result.json"):
        result.write_text(json.dumps(json.loads(result.read_text()) | {"device": "cuda"}))
    status, out, errors = shell.ablate(*place, "--shard", "1/2")
    assert status == 0
    assert "text: not scored yet, since other shards' seeds there were not made as today" in errors
    assert "text " not in out
    trained = len(list(runs.glob("*/fold-*/*/earlier-1/seed-0")))
    assert (
        f"{trained} heads trained, 0 kept from before, of this shard's {trained}; {3 - trained} of all 3 are left"
        in out
    )
    assert json.loads((runs / summary).read_text())["experiments"] == []
    status, out, errors = shell.ablate(*place, "--shard", "2/2")
    assert (status, "not scored yet" in errors) == (0, False)
    assert "all 3 heads are done" in out
    assert contents(runs)[summary] == expected[summary]


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "²/3", "-1/2"])
def test_what_is_no_shard_is_one_line(shell: Shell, text: str) -> None:
    status, _, errors = shell.ablate(f"--shard={text}")
    assert status == 2
    assert f"--shard '{text}' is not I/N with I from 1 to N: for three machines, 1/3, 2/3 and 3/3" in errors


def test_the_cost_and_the_deal_do_not_depend_on_what_is_finished(shell: Shell) -> None:
    source = Source.open(shell.folder / "store", shell.manifest)
    plan = make_plan(read_suite(str(shell.folder / "tiny.yaml")).experiments, source)
    folders = {planned.experiment.name: shell.folder / "runs" / planned.folder_name for planned in plan.planned}
    members = shard_members([Part(plan, source, folders)])
    before = deal_heads(ShardRequest(1, 2, "tiny"), members, range(SEEDS), "cpu")
    in_turn(shell, "2/2")
    after = deal_heads(ShardRequest(1, 2, "tiny"), members, range(SEEDS), "cpu")
    assert before.heads == after.heads
    assert after.finished() == (0, HEADS // 2)
