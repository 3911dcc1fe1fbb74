"""Roles: another stored feature in the place of one that a suite names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from small_corpus import SENTENCE
from suite_shell import Shell

from features.errors import UsageError
from features.spec import EncoderSpec
from features.store import Feature
from heads.config.roles import parse_roles, use_features
from heads.config.suite import Suite, read_suite
from pipeline.terminal.extract_commands import making_command, mending_command

TEXT = """
defaults: {feedforward: {sizes: [4]}, batch: {size: 16}, stop: {epochs: 2}}
experiments:
  big: {inputs: {text: [gpt2, roberta], audio: [wav2vec2-200k]}}
  text: {inputs: {text: gpt2}}
  chosen: {inputs: {text: [{encoder: sentence}]}}
contrasts: [{question: "Does sound help?", A: big, B: text}]
"""


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    (tmp_path / "roles.yaml").write_text(TEXT)
    return read_suite(str(tmp_path / "roles.yaml"))


def test_a_role_is_played_in_every_experiment(suite: Suite) -> None:
    roles = parse_roles(["gpt2=sentence@1f3a", " wav2vec2-200k = logmel"])
    big, text, chosen = use_features(suite.experiments, roles, "roles")[0]
    assert big.inputs == {"text": ("sentence@1f3a", "roberta"), "audio": ("logmel",)}
    assert text.inputs == {"text": ("sentence@1f3a",)}
    assert chosen == suite.experiments[2]


def test_roles_are_replaced_at_once(suite: Suite) -> None:
    roles = parse_roles(["gpt2=roberta", "roberta=gpt2"])
    experiments, notes = use_features(suite.experiments, roles, "roles")
    assert experiments[0].inputs["text"] == ("roberta", "gpt2")
    assert notes == []


def test_two_roles_of_one_feature_are_one_input_and_said(suite: Suite) -> None:
    experiments, notes = use_features(suite.experiments, {"gpt2": "sentence", "roberta": "sentence"}, "roles")
    assert experiments[0].inputs["text"] == ("sentence",)
    assert notes == ["big: gpt2 and roberta are one input, text/sentence"]
    experiments, notes = use_features(suite.experiments, {"gpt2": "roberta"}, "roles")
    assert experiments[0].inputs["text"] == ("roberta",)
    assert notes == ["big: gpt2 and roberta are one input, text/roberta"]


def test_an_unknown_role_names_the_nearest(suite: Suite) -> None:
    with pytest.raises(UsageError, match=r"--use wav2vec2: no experiment of roles has .* mean 'wav2vec2-200k'"):
        use_features(suite.experiments, {"wav2vec2": "logmel"}, "roles")


@pytest.mark.parametrize("item", ["gpt2", "=x", "gpt2= "])
def test_a_role_of_another_form_is_refused(item: str) -> None:
    with pytest.raises(UsageError, match="is not ROLE=FEATURE: write gpt2=sentence"):
        parse_roles([item])


def test_a_role_given_to_two_features_is_refused() -> None:
    with pytest.raises(UsageError, match="--use gpt2 is given as 'a' and as 'b'"):
        parse_roles(["gpt2=a", "gpt2=b"])
    assert parse_roles(["gpt2=a", "gpt2=a"]) == {"gpt2": "a"}


def test_a_command_that_makes_a_feature_never_names_an_encoder_of_another_modality() -> None:
    store = Path("S")
    assert making_command("audio", "logmel@1f", None, store).endswith("--encoder logmel --manifest None --store S")
    assert making_command("text", "logmel", None, store).endswith(
        "--encoder ENCODER --manifest None --store S --as logmel"
    )


@pytest.mark.parametrize(
    ("name", "command"),
    [
        (
            "sentence-tokens-top3",
            "sentence-tokens --manifest None --store S --set from_top=3 --as sentence-tokens-top3",
        ),
        (
            "sentence-tokens-top2-context96",
            "sentence-tokens --manifest None --store S --set from_top=2 --set scope=context --set max_tokens=96"
            " --as sentence-tokens-top2-context96",
        ),
        ("glove-top3", "ENCODER --manifest None --store S --as glove-top3"),
        ("minilm-top3", "ENCODER --manifest None --store S --as minilm-top3"),
        ("sentence-tokens-top", "ENCODER --manifest None --store S --as sentence-tokens-top"),
    ],
)
def test_a_name_that_says_what_is_below_which_layers_tells_its_command(name: str, command: str) -> None:
    made = making_command("text", name, None, Path("S"))
    assert made == f"erc extract --modality text --encoder {command}"
    assert "ENCODER" in making_command("audio", name, None, Path("S"))


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        ({}, ""),
        ({"model": "packaged:all-MiniLM-L6-v2"}, ""),
        ({"model": "intfloat/e5-base"}, " --model intfloat/e5-base"),
        ({"model": "/my models/bert", "weights": "random"}, " --model '/my models/bert' --weights random"),
        ({"settings": {"prefix": "query: ", "pooling": "own"}}, " --set pooling=own --set 'prefix=query: '"),
        ({"alias": "mine", "settings": {"pooling": "mean"}}, " --set pooling=mean --as mine"),
        ({"settings": {"pooling": "mean+max"}}, ""),
        ({"model": "a/b", "settings": {"pooling": "mean+max"}}, " --model a/b --set pooling=mean+max"),
    ],
)
def test_a_command_that_mends_a_feature_makes_that_very_feature(changes: dict[str, Any], command: str) -> None:
    spec = EncoderSpec("text", "sentence", 1, "text", "vector", (4,), weights="pretrained")
    feature = cast(Feature, SimpleNamespace(spec=replace(spec, **changes)))
    fixed = "erc extract --modality text --encoder sentence --manifest M.parquet --store 'my store'"
    assert mending_command(feature, Path("M.parquet"), Path("my store")) == fixed + command


def test_a_published_form_is_mended_as_published() -> None:
    settings = {"as_published": True, "samples": 150_000}
    spec = EncoderSpec("audio", "wav2vec2", 1, "media", "vector", (4,), settings, weights="random", alias="w")
    made = mending_command(cast(Feature, SimpleNamespace(spec=spec)), None, Path("S"))
    assert made.endswith("--store S --weights random --as-published --set samples=150000 --as w")


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    made = Shell(tmp_path, capsys)
    (tmp_path / "tiny.yaml").write_text(TEXT)
    return made


def test_runs_hold_the_features_that_were_used(shell: Shell) -> None:
    uses = ["--use", f"gpt2=sentence@{SENTENCE.fingerprint[:6]}", "--use", "roberta=sentence@0"]
    status, _, err = shell.ablate("--seeds", 1, *uses, "--use", "wav2vec2-200k=logmel")
    assert status == 1
    assert "big: text: no feature 'sentence@0'" in err
    (folder,) = shell.folder.glob("runs/text-*")
    assert yaml.safe_load((folder / "config.yaml").read_text())["inputs"] == {"text": [uses[1].split("=")[1]]}
    record = json.loads((shell.folder / "runs" / "suite-tiny.json").read_text())
    assert record["roles"]["wav2vec2-200k"] == "logmel"
    assert record["duplicates"] == {"chosen": "text"}


def test_train_and_list_speak_of_the_features_that_are_used(shell: Shell) -> None:
    uses = ["--use", "gpt2=sentence", "--use", "roberta=hog-colour", "--use", "wav2vec2-200k=logmel"]
    status, out, err = shell.ablate("--list", *uses)
    assert status == 0
    assert "text: sentence, hog-colour + audio: logmel" in out.splitlines()[0]
    assert "lacks text/hog-colour" in out.splitlines()[0]
    target = shell.folder / "run"
    train = ["train", shell.folder / "tiny.yaml", *shell.place, "--out", target, *uses[:2]]
    assert shell.erc(*train, "--only", "text")[0] == 0
    assert [item["folder"] for item in json.loads((target / "features.json").read_text())["features"]] == [
        SENTENCE.folder
    ]
    status, _, err = shell.erc(*train, "--only", "text", "--use", "hog=logmel")
    assert (status, "--use hog: no experiment of tiny has this feature" in err) == (2, True)
