"""Heads that train an encoder's top, through the commands: from a real store, in processes, resumed, scored."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from small_corpus import make_manifest
from tiny_bert import write_tiny_bert
from tiny_gpt2 import write_tiny_gpt2

from features.manifest import Manifest
from features.store import Store
from heads.config.suite import read_suite
from heads.data.batch import batch_of
from heads.data.data import HeadData, fit_feature
from heads.data.utterances import read_utterances
from heads.readers.encoder_top import EncoderTop
from pipeline.cli import erc, run
from pipeline.report.architecture import architecture_of
from pipeline.report.read import read_runs
from pipeline.runs.features_file import LooksAt
from pipeline.runs.folder import Run
from pipeline.suites import computation
from pipeline.suites.estimate import estimate
from pipeline.suites.plan import Source, make_plan
from pipeline.suites.run import Part, shard_members
from pipeline.suites.shard import ShardRequest, at_work

SUITE = """
defaults:
  inputs: {text: [tokens-top2]}
  feedforward: {sizes: [4]}
  batch: {size: 16, sampler: bucketed}
  optim: {lr: 1.0e-3, lr_top: 1.0e-4, top_decay: 0.9}
  stop: {epochs: 2}
experiments:
  alone: {}
  normalised: {normalise: none}
  beside: {inputs: {text: [tokens-top2, tokens]}, fusion: {name: gated, dim: 4}, optim: {ema: 0.9}}
contrasts:
  - {question: "Do the last layer's tokens help?", A: beside, B: alone}
"""


class Corner:
    """A corner of the disk with a manifest, a tiny BERT, its tokens and the states below its last two layers."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.model = folder, write_tiny_bert(folder / "bert")
        self.manifest: Manifest = make_manifest(folder / "M.parquet")
        self.place = ["--store", str(folder / "store"), "--manifest", str(folder / "M.parquet")]
        (folder / "top.yaml").write_text(SUITE)
        for more in (["--set", "from_top=2", "--as", "tokens-top2"], ["--as", "tokens"]):
            extract = ["extract", "--modality", "text", "--encoder", "sentence-tokens", "--model", str(self.model)]
            assert self.erc(*extract, *self.place, "--dtype", "fp32", *more) == 0

    def erc(self, *arguments: object) -> int:
        return run(erc, [str(item) for item in arguments], "erc")

    def ablate(self, out: str, *arguments: object) -> int:
        suite = self.folder / "top.yaml"
        return self.erc("ablate", suite, *self.place, "--out", self.folder / out, "--seeds", 1, *arguments)

    def store(self) -> Store:
        return Store(self.folder / "store", self.manifest.select_splits(("train", "dev")))


@pytest.fixture(scope="module")
def corner(tmp_path_factory: pytest.TempPathFactory) -> Corner:
    return Corner(tmp_path_factory.mktemp("top"))


def runs_of(folder: Path) -> dict[str, Run]:
    return {path.name.rpartition("-")[0]: Run(path) for path in folder.iterdir() if (path / "features.json").is_file()}


def test_from_a_real_store_it_is_the_whole_model(corner: Corner) -> None:
    """The mean of the last layer's tokens, which another feature holds, but for what float16 rounds."""
    utterances = read_utterances(corner.manifest, ("train", "dev"))
    store = corner.store()
    rows, plain = (fit_feature(store.choose("text", name), utterances, "none") for name in ("tokens-top2", "tokens"))
    assert rows.values.dtype == np.float16
    assert plain.offsets is not None
    top = rows.shape.top
    assert top is not None
    (values,) = batch_of(HeadData(utterances, {"text": (rows,)})).values["text"]
    with torch.no_grad():
        found = EncoderTop(top).eval()(values).numpy()
    spans = zip(plain.offsets[:-1], plain.offsets[1:], strict=True)
    expected = np.stack([plain.values[a:b].mean(axis=0) if b > a else np.zeros(32, np.float32) for a, b in spans])
    assert np.linalg.norm(found - expected) < 2e-3 * np.linalg.norm(expected)
    assert np.linalg.norm(expected) > 10


def test_nothing_normalises_states_below_a_top(corner: Corner) -> None:
    utterances = read_utterances(corner.manifest, ("train", "dev"))
    feature = corner.store().choose("text", "tokens-top2")
    plain, other = (fit_feature(feature, utterances, how) for how in ("none", "standardise"))
    assert np.array_equal(plain.values, other.values)
    assert (other.normaliser.name, other.scale) == ("none", 1.0)


def test_suites_run_in_processes_are_resumed_and_scored(corner: Corner, capsys: pytest.CaptureFixture[str]) -> None:
    assert corner.ablate("one", "--jobs", 1) == 0
    assert corner.ablate("two", "--jobs", 2) == 0
    one, two = runs_of(corner.folder / "one"), runs_of(corner.folder / "two")
    assert set(one) == {"alone", "normalised", "beside"}
    for name, found in one.items():
        assert found.predictions(0, "dev").equals(two[name].predictions(0, "dev"))
    assert one["alone"].predictions(0, "dev").equals(one["normalised"].predictions(0, "dev"))
    capsys.readouterr()
    assert corner.ablate("one", "--jobs", 1) == 0
    assert "0 heads trained, 3 kept" in capsys.readouterr().out
    assert corner.erc("evaluate", one["beside"].path, *corner.place, "--split", "dev") == 0
    result = json.loads((one["alone"].seed_folder(0) / "result.json").read_text())
    assert {"transformers", "torch"} <= set(result["versions"])
    assert {"features.top.network", "features.top.top", "heads.readers.encoder_top"} <= {*result["sources"]}
    (snapshot,) = (item for item in read_runs(corner.folder / "one").runs if item.experiment == "alone")
    assert architecture_of(snapshot).parameters == result["parameters"]


def test_its_size_and_time_are_estimated(corner: Corner, capsys: pytest.CaptureFixture[str]) -> None:
    assert corner.ablate("three", "--list") == 0
    out = capsys.readouterr().out
    assert out.count("its features are there") == 3
    assert out.count("a seed") >= 3
    source = Source.open(corner.folder / "store", corner.manifest)
    (experiment, *_) = read_suite(str(corner.folder / "top.yaml")).experiments
    features = {"text": (source.store.choose("text", "tokens-top2"),)}
    found = estimate(experiment, features, source.utterances)
    assert found.parameters > 2 * 7000
    assert found.seconds is not None


def test_a_lost_top_is_told_before_training(corner: Corner, capsys: pytest.CaptureFixture[str]) -> None:
    feature = corner.store().choose("text", "tokens-top2")
    file = feature.path / "top.safetensors"
    content = file.read_bytes()
    file.unlink()
    try:
        assert corner.ablate("four", "--only", "alone") == 1
        assert "top.safetensors" in "".join(capsys.readouterr())
    finally:
        file.write_bytes(content)


def test_of_gpt2_over_dialogues_it_is_the_whole_model_and_is_trained(
    corner: Corner, capsys: pytest.CaptureFixture[str]
) -> None:
    """Last own token of each turn: the vector that `gpt2` stores without from_top."""
    model = write_tiny_gpt2(corner.folder / "gpt2")
    extract = ["extract", "--modality", "text", "--encoder", "gpt2", "--model", model, *corner.place, "--dtype", "fp32"]
    for more in (["--as", "gpt2-top2", "--set", "from_top=2"], ["--as", "gpt2-plain"]):
        assert corner.erc(*extract, *more) == 0
    utterances, store = read_utterances(corner.manifest, ("train", "dev")), corner.store()
    rows, plain = (fit_feature(store.choose("text", name), utterances, "none") for name in ("gpt2-top2", "gpt2-plain"))
    top = rows.shape.top
    assert top is not None
    assert top.windows == "dialogue"
    (values,) = batch_of(HeadData(utterances, {"text": (rows,)})).values["text"]
    with torch.no_grad():
        found = EncoderTop(top, pooling="last", over="dialogue").eval()(values).numpy()
    assert np.linalg.norm(found - plain.values) < 2e-3 * np.linalg.norm(plain.values)
    suite = corner.folder / "gpt2.yaml"
    dialogues = (
        "readers: {text: {name: encoder-top, over: dialogue, pooling: last}}\nbatch: {unit: dialogues, size: 4}\n"
    )
    suite.write_text("inputs: {text: [gpt2-top2]}\nstop: {epochs: 1}\n")
    assert corner.erc("train", suite, *corner.place, "--out", corner.folder / "refused", "--jobs", 1) == 1
    assert "write {name: encoder-top, over: dialogue}, and batch" in "".join(capsys.readouterr())
    suite.write_text(f"inputs: {{text: [gpt2-top2]}}\nstop: {{epochs: 1}}\n{dialogues}")
    out = corner.folder / "whole-dialogues"
    assert corner.erc("train", suite, *corner.place, "--out", out, "--jobs", 1) == 0
    assert Run(out).features.looks_at == LooksAt(dialogue=True, later_turns=False, speaker_names=True)


def test_a_top_is_trained_beside_another_sequence_of_its_modality(corner: Corner) -> None:
    """The code of both readers counts as what made the numbers."""
    suite, out = corner.folder / "both.yaml", corner.folder / "both"
    reader = "readers: {text: {name: encoder-top, pooling: max}}"
    suite.write_text(f"inputs: {{text: [tokens-top2, tokens]}}\nstop: {{epochs: 1}}\n{reader}\n")
    assert corner.erc("train", suite, *corner.place, "--out", out, "--jobs", 1) == 0
    code = json.loads((out / "seed-0" / "result.json").read_text())["sources"]
    assert {"heads.readers.encoder_top", "heads.readers.attention_pooling"} <= {*code}
    assert "heads.readers.text_cnn" not in code


@pytest.mark.parametrize("form", ["parquet", "hdf5", "npy"])
def test_an_export_of_a_top_is_not_imported_as_if_it_were_the_encoders_own(
    corner: Corner, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = corner.folder / f"export-{form}"
    exported = ["store", "export", corner.folder / "store", "--feature", "text/tokens-top2", "--format", form]
    assert corner.erc(*exported, "--to", out) == 0
    for is_whole in (True, False):  # its layers may have been left behind
        if not is_whole:
            (out / "top.safetensors" if form == "npy" else out.with_name(f"{out.name}.top.safetensors")).unlink()
        capsys.readouterr()
        assert corner.erc("store", "import", out, "--modality", "text", "--as", "imp", *corner.place) == 2
        said = "".join(capsys.readouterr())
        assert "holds states below an encoder's last layers" in said
        assert "`erc store pack` and `erc store pull`" in said
        assert said.count("\n") == 1


@pytest.fixture
def other_transformers(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """To be called when another version of transformers is to be installed, until the end of the test."""

    def install() -> None:
        monkeypatch.setattr(computation, "version", lambda name: "99" if name == "transformers" else version(name))

    return install


@pytest.mark.parametrize(("inputs", "refused"), [("tokens-top2", True), ("tokens", False)])
def test_shards_of_unlike_transformers_refuse_each_other(
    corner: Corner,
    tmp_path: Path,
    other_transformers: Callable[[], None],
    capsys: pytest.CaptureFixture[str],
    inputs: str,
    refused: bool,
) -> None:
    """Where an experiment trains a top, and only there."""
    suite, runs = tmp_path / "suite.yaml", tmp_path / "runs"
    suite.write_text(f"experiments: {{one: {{inputs: {{text: [{inputs}]}}, stop: {{epochs: 1}}}}}}\n")
    source = Source.open(corner.folder / "store", corner.manifest)
    plan = make_plan(read_suite(str(suite)).experiments, source)
    members = shard_members([Part(plan, source, {"one": runs / plan.planned[0].folder_name})])
    with at_work(ShardRequest(1, 2, "suite"), runs, members, range(1), "cpu"):
        other_transformers()
        place = [*corner.place, "--out", runs, "--seeds", 1, "--jobs", 1]
        assert corner.erc("ablate", suite, *place, "--shard", "2/2") == int(refused)
    errors = " ".join(capsys.readouterr().err.split())
    assert ("shards of suite are at work that deal other heads" in errors) == refused
    assert ("code, torch, numpy, transformers and kind of device" in errors) == refused


@pytest.mark.parametrize(
    ("inputs", "space", "refused"),
    [
        ("tokens-top2", "optim.lr: {low: 1e-3, high: 1e-1}", True),
        ("tokens", "inputs.text: {choices: [[tokens], [tokens-top2]]}", True),
        ("tokens", "optim.lr: {low: 1e-3, high: 1e-1}", False),
    ],
)
def test_a_search_over_tops_is_not_continued_by_another_transformers(
    corner: Corner,
    tmp_path: Path,
    other_transformers: Callable[[], None],
    capsys: pytest.CaptureFixture[str],
    inputs: str,
    space: str,
    refused: bool,
) -> None:
    (tmp_path / "one.yaml").write_text(f"inputs: {{text: [{inputs}]}}\nstop: {{epochs: 1}}\n")
    (tmp_path / "space.yaml").write_text(space)
    place = [*corner.place, "--out", tmp_path / "search", "--jobs", 1, "--search", tmp_path / "space.yaml"]
    assert corner.erc("train", tmp_path / "one.yaml", *place, "--trials", 1) == 0
    other_transformers()
    assert corner.erc("train", tmp_path / "one.yaml", *place, "--trials", 2) == int(refused)
    assert (f"(transformers {version('transformers')}, now 99)" in capsys.readouterr().err) == refused
