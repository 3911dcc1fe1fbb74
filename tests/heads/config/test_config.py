"""Suites as YAML: merging, overrides, and every problem named with its path."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.errors import ConfigError
from heads.config.merge import merge
from heads.config.resolve import experiment_from_dict
from heads.config.strict_yaml import parse_yaml
from heads.config.suite import read_suite, shipped_suites


def suite_file(folder: Path, text: str) -> str:
    path = folder / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def problems_of(folder: Path, text: str, overrides: tuple[str, ...] = ()) -> str:
    with pytest.raises(ConfigError, match="problem") as caught:
        read_suite(suite_file(folder, text), overrides)
    return str(caught.value)


def test_experiments_are_merged_into_defaults_and_lists_replace(tmp_path: Path) -> None:
    suite = read_suite(
        suite_file(
            tmp_path,
            """
            title: A title
            defaults:
              inputs: {text: [sentence, glove], audio: logmel}
              feedforward: {sizes: [64, 32], dropout: 0.5}
              loss: [{name: cross-entropy, smoothing: 0.1}]
            experiments:
              same: {}
              empty:
              other:
                inputs: {text: [glove], audio: null}
                feedforward: {sizes: [16]}
                loss: cross-entropy
                paper: {exp: 3, reported: 25}
            contrasts:
              - {question: "Which?", A: same, B: other}
            """,
        )
    )
    same, empty, other = suite.experiments
    assert suite.title == "A title"
    assert suite.contrasts[0].B == "other"
    assert same.inputs == empty.inputs == {"text": ("sentence", "glove"), "audio": ("logmel",)}
    assert same.feedforward.sizes == (64, 32)
    assert same.loss[0].settings == {"weights": "none", "power": 1.0, "smoothing": 0.1}
    assert other.inputs == {"text": ("glove",)}
    assert (other.feedforward.sizes, other.feedforward.dropout) == ((16,), 0.5)
    assert other.loss[0].settings["smoothing"] == 0.0
    assert other.paper is not None
    assert other.paper.exp == 3


def test_a_part_of_another_name_replaces_the_default_whole() -> None:
    base = {"fusion": {"name": "attention", "heads": 4, "dim": 8}, "optim": {"lr": 1}}
    assert merge(base, {"fusion": {"name": "mean"}})["fusion"] == {"name": "mean"}
    assert merge(base, {"fusion": {"dim": 9}})["fusion"] == {"name": "attention", "heads": 4, "dim": 9}
    assert base["fusion"] == {"name": "attention", "heads": 4, "dim": 8}


def test_all_problems_are_reported_at_once_with_path_and_nearest(tmp_path: Path) -> None:
    message = problems_of(
        tmp_path,
        """
        titel: x
        defaults:
          inputs: {text: [sentence]}
          optim: {learning_rate: 1}
        experiments:
          x:
            fusion: {name: concat, dimm: 4}
            loss: [{name: cross-entrophy}]
          y:
            normalise: standardize
            batch: {size: 0, sampler: shufle}
            feedforward: {dropout: 1.5}
            inputs: {text: [sentence], visuall: [hog-colour]}
          z:
            fusion: {name: meen}
            contxt: none
        contrasts:
          - {question: q, A: x, B: w}
        """,
    )
    for part in (
        "titel: unknown key: did you mean 'title'?",
        "defaults.optim.learning_rate: unknown key",
        "experiments.x.fusion.dimm: unknown key: did you mean 'dim'?",
        "experiments.x.loss.0.name: unknown loss 'cross-entrophy': did you mean 'cross-entropy'?",
        "experiments.y.normalise: unknown 'standardize': did you mean 'standardise'?",
        "experiments.y.batch.size: input should be greater than or equal to 1, not 0",
        "experiments.y.feedforward.dropout: input should be less than 1, not 1.5",
        "experiments.y.inputs.visuall: unknown key: did you mean 'visual'?",
        "experiments.z.fusion.name: unknown fusion 'meen': did you mean 'mean'?",
        "experiments.z.contxt: unknown key: did you mean 'context'?",
        "contrasts.0.B: no experiment 'w'",
    ):
        assert part in message
    assert message.count("learning_rate") == 1
    assert "\n" not in message


def test_a_sampler_is_looked_up_once_the_batch_is_well_formed(tmp_path: Path) -> None:
    message = problems_of(tmp_path, "inputs: {text: [sentence]}\nbatch: {sampler: shufle}\n")
    assert "batch.sampler: unknown sampler 'shufle': did you mean 'shuffle'?" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("experiments: {}", "experiments: is empty"),
        ("experiments: [a]", "experiments: must be a mapping"),
        ("experiments: {x: {}}", "experiments.x.inputs: is missing"),
        ("experiments: {x: {inputs: {text: []}}}", "experiments.x.inputs: is empty"),
        ("experiments: {x: 3}", "experiments.x: must be a mapping, not 3"),
        ("experiments: {a/b: {inputs: {text: s}}}", "experiment name 'a/b' is not usable"),
        ("{experiments: {x: {inputs: {text: s}}}, contrasts: {A: x}}", "contrasts: must be a list"),
        ("inputs: {text: [s, s]}", "inputs.text.0: 's' is named more than once"),
        ("inputs: {text: [{encoder: 3}]}", "inputs.text.0: encoder: must be text, not 3"),
        ("inputs: {text: s}\noptim: {lr: .nan}", "optim.lr: input should be a finite number, not nan"),
        ("inputs: {text: s}\nfusion: 3", "fusion: must be a mapping with a `name`"),
        ("inputs: {text: s}\nloss: []", "loss: must be a list of losses"),
        ("inputs: {text: s}\npaper: {row: 3}", "paper.row: unknown key"),
    ],
)
def test_one_problem(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in problems_of(tmp_path, text)


def test_duplicate_keys_and_broken_yaml_name_the_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"suite.yaml, line 2, column 1: key 'inputs' is given twice"):
        read_suite(suite_file(tmp_path, "inputs: {text: [a]}\ninputs: {text: [b]}\n"))
    with pytest.raises(ConfigError, match=r"line 1, column"):
        parse_yaml("a: [1", "there")
    with pytest.raises(ConfigError, match="could not determine a constructor"):
        parse_yaml("!!python/object/apply:os.getcwd []", "there")


def test_merge_keys_of_yaml_still_work() -> None:
    assert parse_yaml("a: &x {k: 1}\nb: {<<: *x, l: 2}", "there")["b"] == {"k": 1, "l": 2}


def test_overrides_are_dotted_yaml_values(tmp_path: Path) -> None:
    path = suite_file(tmp_path, "inputs: {text: [sentence]}\nfusion: {name: mean, dim: 4}\n")
    (experiment,) = read_suite(
        path, ["optim.lr=1e-4", "feedforward.sizes=[]", "fusion.dim=8", "loss.0.smoothing=0.2", "inputs.audio=logmel"]
    ).experiments
    assert experiment.name == "suite"
    assert experiment.optim.lr == 1e-4
    assert experiment.feedforward.sizes == ()
    assert experiment.fusion.settings["dim"] == 8
    assert experiment.loss[0].settings["smoothing"] == 0.2
    assert experiment.inputs == {"text": ("sentence",), "audio": ("logmel",)}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("optim.lrr=1", "optim.lrr: unknown key: did you mean 'lr'?"),
        ("optim", "an override is key=value"),
        (".lr=1", "an override is key=value"),
        ("loss.3.weight=1", "'3' is not a place in a list of 1"),
    ],
)
def test_a_wrong_override_is_named(tmp_path: Path, override: str, expected: str) -> None:
    assert expected in problems_of(tmp_path, "inputs: {text: [sentence]}", (override,))


def test_unknown_suite_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no suite 'meld-txt': did you mean 'meld-text'\?"):
        read_suite("meld-txt")
    with pytest.raises(ConfigError, match="no suite file"):
        read_suite(str(tmp_path / "none.yaml"))
    with pytest.raises(ConfigError, match="must be a mapping with"):
        read_suite(suite_file(tmp_path, "- 1"))


def test_resolved_experiment_reads_back_equal() -> None:
    assert set(shipped_suites()) >= {"demo", "meld-text", "modalities"}
    for name in ("demo", "meld-text", "modalities"):
        for experiment in read_suite(name).experiments:
            assert experiment_from_dict(experiment.to_dict(), "config.yaml") == experiment
    with pytest.raises(ConfigError, match=r"config.yaml: optim.lrr: unknown key"):
        experiment_from_dict(experiment.to_dict() | {"optim": {"lrr": 1}}, "config.yaml")
    with pytest.raises(ConfigError, match="must be a mapping"):
        experiment_from_dict([1], "config.yaml")
