"""The schema of suite files: it takes every suite that ships, refuses what the reader refuses, and ships itself."""

from __future__ import annotations

import json
from copy import deepcopy
from importlib import resources
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from features.errors import ConfigError
from heads.config.json_schema import FILE, suite_schema
from heads.config.suite import read_suite, shipped_suites

SUITE: dict[str, Any] = {
    "title": "t",
    "baseline": "a",
    "defaults": {
        "inputs": {"text": ["sentence", {"encoder": "gpt2"}], "audio": None, "visual": "resnet50"},
        "readers": {"text": "mean", "visual": {"name": "text-cnn", "filters": 3}},
        "fusion": {"name": "attention", "dim": 16},
        "loss": "dice",
        "batch": {"size": 8},
        "speakers": {"dim": 4},
    },
    "experiments": {
        "a": None,
        "b": {"fusion": {"heads": 2}, "loss": ["dice", {"name": "focal", "weight": 2}], "speakers": None},
        "c": {"fusion": "concat", "optim": {"clip": None, "ema": 0.99}, "normalise": "none"},
    },
    "contrasts": [{"question": "q", "A": "a", "B": "b"}],
}


def validator() -> Draft7Validator:
    schema = suite_schema()
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def read(content: Any, tmp_path: Any) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    read_suite(str(path))


@pytest.mark.parametrize("name", shipped_suites())
def test_a_suite_that_ships_fits_and_names_the_schema(name: str) -> None:
    text = resources.files("heads").joinpath("suites", f"{name}.yaml").read_text(encoding="utf-8")
    assert text.splitlines()[0] == f"# yaml-language-server: $schema={FILE}"
    assert list(validator().iter_errors(yaml.safe_load(text))) == []


def test_the_schema_that_ships_is_that_of_the_code() -> None:
    shipped = json.loads(resources.files("heads").joinpath("suites", FILE).read_text(encoding="utf-8"))
    assert shipped == json.loads(json.dumps(suite_schema())), f"write it anew: erc schema > heads/suites/{FILE}"


def test_short_forms_patches_and_single_experiments_fit(tmp_path: Any) -> None:
    check = validator()
    assert list(check.iter_errors(SUITE)) == []
    read(SUITE, tmp_path)
    single = {"name": "mine", "inputs": {"text": "sentence"}, "loss": ["dice"], "stop": {"epochs": 3}}
    assert list(check.iter_errors(single)) == []
    read(single, tmp_path)


BROKEN = {
    "an unknown key of a suite": (["defualts"], {}),
    "an unknown key of an experiment": (["defaults", "optimiser"], {}),
    "an unknown loss": (["defaults", "loss"], "dise"),
    "an unknown fusion": (["experiments", "b", "fusion"], {"name": "atention"}),
    "a setting of another part": (["defaults", "fusion"], {"name": "concat", "heads": 2}),
    "an unknown setting": (["experiments", "b", "fusion"], {"head": 2}),
    "a setting of another type": (["defaults", "batch", "size"], "eight"),
    "a number beyond its limit": (["defaults", "speakers", "dropout"], 1.0),
    "a choice that there is not": (["defaults", "feedforward"], {"activation": "swish"}),
    "an unknown sampler": (["defaults", "batch", "sampler"], "random"),
    "an unknown normalisation": (["defaults", "normalise"], "zscore"),
    "an unknown modality": (["defaults", "inputs", "video"], ["resnet50"]),
    "a reader of another modality": (["defaults", "readers", "words"], "mean"),
    "no experiment": (["experiments"], {}),
    "half a contrast": (["contrasts"], [{"question": "q", "A": "a"}]),
}


@pytest.mark.parametrize("what", list(BROKEN))
def test_what_the_reader_refuses_does_not_fit(what: str, tmp_path: Any) -> None:
    path, value = BROKEN[what]
    broken = deepcopy(SUITE)
    place: Any = broken
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert list(validator().iter_errors(broken)), what
    with pytest.raises(ConfigError):
        read(broken, tmp_path)
