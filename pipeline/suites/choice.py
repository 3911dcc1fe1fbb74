"""Which experiments a command line means: by name, and with other features in their roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from features.errors import UsageError, nearest
from heads.config.experiment import Experiment
from heads.config.roles import parse_roles, use_features
from heads.config.suite import Suite, SuiteText, read_suite
from pipeline.terminal.output import print_warning


def play_roles(suite: Suite, roles: Mapping[str, str], say: bool = True) -> Suite:
    """The suite with other features in these roles. say: on stderr, which of them fell together."""
    experiments, notes = use_features(suite.experiments, roles, suite.name)
    for note in notes if say else []:
        print_warning(note)
    return replace(suite, experiments=tuple(experiments))


def choose_experiments(suite: Suite, only: tuple[str, ...]) -> list[Experiment]:
    """The suite's experiments, or those of `only`, in the suite's order. Raises UsageError for an unknown name."""
    names = [experiment.name for experiment in suite.experiments]
    for name in only:
        if name not in names:
            raise UsageError(f"suite {suite.name} has no experiment {name!r}: {nearest(name, names)}")
    return [experiment for experiment in suite.experiments if not only or experiment.name in only]


def read_experiment(
    config: str | SuiteText, overrides: Sequence[str], only: str | None, use: tuple[str, ...], say: bool = True
) -> Experiment:
    """The one experiment that is meant. Raises UsageError where the file has several, or none of that name.

    say: on stderr, which of its roles fell together
    """
    suite = read_suite(config, overrides, only)
    where = config.source if isinstance(config, SuiteText) else config
    names = [item.name for item in suite.experiments]
    if only is not None and only not in names:
        raise UsageError(f"{where} has no experiment {only!r}: {nearest(only, names)}")
    if only is None and len(names) > 1:
        raise UsageError(f"{where} has {len(names)} experiments: choose one with --only NAME ({', '.join(names)})")
    played = play_roles(suite, parse_roles(use), say)
    return next(item for item in played.experiments if only in (None, item.name))
