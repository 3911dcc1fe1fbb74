"""`erc ablate --list`: what would be trained, how big it is, and about how long it takes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_corpus import make_manifest, make_store
from suite_shell import Shell
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from features.errors import ConfigError
from features.spec import EncoderSpec
from features.store import Store, write_feature
from heads.config.experiment import Experiment
from heads.config.resolve import experiment_from_dict
from heads.config.sections import Batch
from heads.config.suite import read_suite, shipped_suites
from heads.data.data import choose_features
from heads.data.utterances import Utterances, read_utterances
from pipeline.cli import erc, run
from pipeline.suites.estimate import count_parameters, estimate, seconds_a_weight, slice_of
from pipeline.suites.listing import Line, Listing, badges_of, duration

SUITE = """
defaults: {feedforward: {sizes: [4]}, batch: {size: 16}, stop: {epochs: 40}}
experiments:
  text: {inputs: {text: [sentence]}, speakers: {min_rows: 1}}
  whole:
    inputs: {text: [sentence], audio: [logmel]}
    context: {name: transformer, dim: 8, heads: 2, causal: false}
    batch: {unit: dialogues, size: 4}
  over-batch: {inputs: {text: [sentence], audio: [gpt2]}, fusion: {name: attention-over-batch, dim: 8}}
  also: {inputs: {audio: [gpt2]}}
"""


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    made = Shell(tmp_path, capsys)
    (tmp_path / "tiny.yaml").write_text(SUITE)
    return made


@pytest.fixture(scope="module")
def corner(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Utterances]:
    folder = tmp_path_factory.mktemp("corner")
    manifest = make_manifest(folder / "M.parquet", unlabelled=5)
    make_store(folder / "store", manifest)
    wave = EncoderSpec("audio", "wave", 1, "media", "sequence", (1,))
    draw = np.random.default_rng(0)
    sound = {
        item: draw.standard_normal((200 + number, 1)).astype(np.float16) for number, item in enumerate(manifest.ids)
    }
    write_feature(folder / "store", wave, manifest, sound)
    return Store(folder / "store"), read_utterances(manifest, ["train", "dev"])


def experiment(**values: Any) -> Experiment:
    return experiment_from_dict(
        {"name": "x", "inputs": {"text": ["sentence"]}, "stop": {"epochs": 30}} | values, "test"
    )


def test_a_suite_is_shown_as_it_is_written_and_can_be_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in shipped_suites():
        assert run(erc, ["ablate", name, "--show"], "erc") == 0
        Path(f"{name}.yaml").write_text(capsys.readouterr().out, encoding="utf-8")
        assert read_suite(f"{name}.yaml").experiments == read_suite(name).experiments
    assert run(erc, ["ablate", "no-such", "--show"], "erc") == 2


def test_a_line_has_size_batch_badges_and_time(shell: Shell) -> None:
    status, out, err = shell.ablate("--list", "--seeds", 3)
    assert status == 0
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == ["text", "whole", "over-batch", "also"]
    assert "batch 16 utterances  uses speaker names " in lines[0]
    assert " weights " in lines[0]
    assert " a seed  (its features are there)" in lines[0]
    assert "batch 4 dialogues    full dialogue " in lines[1]
    assert "sees its batch" in lines[2]
    assert "weights" not in lines[2]
    assert lines[2].endswith("lacks audio/gpt2)")
    assert err.count("what is lacking is made by `erc extract --modality audio --encoder ENCODER") == 1
    assert "for 2 of 4 experiments, 3 heads each, 1 at a time" in err
    assert not (shell.folder / "runs").exists()


def test_json_has_the_numbers(shell: Shell) -> None:
    status, out, err = shell.ablate("--list", "--json", "--seeds", 2)
    assert (status, err) == (0, "")
    document = json.loads(out)
    text, whole, over_batch, _ = document["experiments"]
    missing, speakers = 8, 3 * 16  # a vector in place of a missing text; A, B and the others
    assert text["parameters"] == missing + speakers + (8 + 1 + 16) * 4 + 4 + 4 * 3 + 3
    assert text["seconds_a_seed"] > 0
    assert document["seconds"] == pytest.approx(2 * (text["seconds_a_seed"] + whole["seconds_a_seed"]))
    assert (over_batch["parameters"], over_batch["lacking"]) == (None, ["audio/gpt2"])
    assert len(document["commands"]) == 1
    document = json.loads(shell.ablate("--list", "--json", "--no-estimate")[1])
    assert (document["experiments"][0]["parameters"], document["seconds"]) == (text["parameters"], None)
    assert document["experiments"][0]["seconds_a_seed"] is None


def test_a_part_that_does_not_fit_the_features_is_said(shell: Shell) -> None:
    (shell.folder / "tiny.yaml").write_text(
        "experiments: {x: {inputs: {text: [sentence]}, fusion: {name: attention, dim: 8, heads: 3}}}"
    )
    _, out, _ = shell.ablate("--list")
    assert out.startswith("x ")
    assert "heads" in out
    assert "its features are there" not in out


def test_without_a_suite_the_shipped_ones_are_listed(shell: Shell) -> None:
    status, out, err = shell.erc("ablate", "--list")
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == shipped_suites()
    assert "Heads on MELD's text" in out
    assert [item["suite"] for item in json.loads(shell.erc("ablate", "--list", "--json")[1])] == shipped_suites()
    status, _, err = shell.erc("ablate")
    assert (status, "no SUITE is named" in err) == (2, True)


def test_parameters_are_those_of_the_trained_head(shell: Shell) -> None:
    document = json.loads(shell.ablate("--list", "--json", "--no-estimate")[1])
    shell.ablate("--seeds", 1, "--only", "text", "--only", "whole")
    for line in document["experiments"][:2]:
        (result,) = shell.folder.glob(f"runs/{line['experiment']}-*/seed-0/result.json")
        assert json.loads(result.read_text())["parameters"] == line["parameters"]


@pytest.mark.parametrize("unit", ["utterances", "dialogues"])
def test_a_slice_holds_whole_batches_and_every_class(corner: tuple[Store, Utterances], unit: Any) -> None:
    part, share = slice_of(corner[1], Batch(unit=unit, size=2), 2)
    train = part.rows("train")
    assert len(train) == (4 if unit == "utterances" else 4 * 6)
    assert share == pytest.approx(len(train) / 60)
    assert len(part.rows("dev")) == np.ceil(share * 24)
    assert set(part.labels) == {0, 1, 2}
    assert slice_of(corner[1], Batch(unit=unit, size=64), 2)[1] == 1.0


@pytest.mark.parametrize(
    "values",
    [
        {"batch": {"size": 15, "sampler": "class-balanced"}},
        {"loss": ["spcl"], "batch": {"size": 8, "sampler": "spcl-curriculum"}},
        {"optim": {"ema": 0.9}},
        {"inputs": {"audio": ["wave"]}, "readers": {"audio": {"name": "waveform-mlp"}}},
        {"context": {"name": "bclstm"}, "batch": {"unit": "dialogues", "size": 4}},
    ],
)
def test_every_kind_of_training_is_timed(corner: tuple[Store, Utterances], values: dict[str, Any]) -> None:
    store, utterances = corner
    if "loss" in values:
        values = values | {"loss": [{"name": name} for name in values["loss"]]}
    made = experiment(feedforward={"sizes": [4]}, **values)
    found = estimate(made, choose_features(store, made.inputs), utterances)
    assert found.seconds is not None
    assert 0 < found.seconds < math.inf


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that an operation makes, those without memory left out."""

    numel = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        real = [leaf.numel() for leaf in tree_leaves(made) if isinstance(leaf, torch.Tensor) and not leaf.is_meta]
        self.numel = max([self.numel, *real])
        return made


def test_huge_heads_are_told_from_the_cost_of_a_weight(
    corner: tuple[Store, Utterances], monkeypatch: pytest.MonkeyPatch
) -> None:
    """400 million weights: neither are they allocated nor is a step of them taken."""
    store, utterances = corner
    made = experiment(feedforward={"sizes": [20_000, 20_000]}, batch={"size": 60})
    features = choose_features(store, made.inputs)
    monkeypatch.setattr("pipeline.suites.estimate.seconds_a_weight", lambda rows, device: rows * 1e-9)
    with Largest() as largest:
        found = estimate(made, features, utterances)
    assert largest.numel < 1_000
    assert found.parameters > 400_000_000
    assert found.seconds == pytest.approx(30 * 60e-9 * found.parameters)  # one step an epoch
    shared = experiment(fusion={"name": "attention", "dim": 8, "heads": 3})
    with pytest.raises(ConfigError, match="heads"):
        count_parameters(shared, features, utterances)


def test_a_weights_cost_is_measured() -> None:
    assert 0 < seconds_a_weight(2) < math.inf


def test_the_time_of_all_is_shared_by_the_processes() -> None:
    def line(seconds: float | None) -> Line:
        return Line("x", {}, [], None, "", [], 1, seconds)

    listing = Listing([line(10.0), line(None), line(30.0)])
    assert listing.seconds(5, 2) == 100.0
    assert listing.seconds(1, 100) == 30.0
    assert Listing([line(None)]).seconds(5, 1) is None
    assert [duration(value) for value in (0.42, 12.4, 130, 9000)] == ["0.4 s", "12 s", "2.2 min", "2.5 h"]


def test_badges() -> None:
    dialogues = {"unit": "dialogues", "size": 4}
    assert badges_of(experiment()) == []
    assert badges_of(experiment(context={"name": "previous-turns"}, batch=dialogues)) == ["causal"]


def test_what_a_suite_can_show_is_told_before_it_is_run(shell: Shell) -> None:
    """From the size of dev alone; then from runs that are there, more strictly for more contrasts."""
    (shell.folder / "tiny.yaml").write_text(
        "defaults: {feedforward: {sizes: [4]}, stop: {epochs: 2}, inputs: {text: [sentence]}}\n"
        "experiments: {a: {}, b: {feedforward: {sizes: [6]}}}\n"
        "contrasts: [{question: b, A: b, B: a}]\n"
    )
    _, _, err = shell.ablate("--list", "--no-estimate", "--seeds", 5)
    assert "with 5 seeds an experiment, a contrast shows a true difference of " in err
    assert "a rough figure: as MELD's text heads vary, for 24 labelled utterances" in err
    assumed = json.loads(shell.ablate("--list", "--json", "--no-estimate", "--seeds", 5)[1])["shows"]
    assert (assumed["pairs"], assumed["utterances"], assumed["level"]) == (0, 24, 0.05)
    fewer = json.loads(shell.ablate("--list", "--json", "--no-estimate", "--seeds", 2)[1])["shows"]
    assert fewer["smallest"] > assumed["smallest"] > 0.05  # of 24 utterances
    shell.ablate("--seeds", 2)
    _, _, err = shell.ablate("--list", "--no-estimate", "--seeds", 3)
    assert "as the runs that are there vary (1 pair)" in err
    found = json.loads(shell.ablate("--list", "--json", "--no-estimate", "--seeds", 3)[1])["shows"]
    assert (found["pairs"], found["seeds"], found["contrasts"]) == (1, 3, 1)
    assert json.loads(shell.ablate("--list", "--json", "--no-estimate", "--cv", 3)[1])["shows"] is None
