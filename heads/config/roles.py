"""Feature names in a suite are roles: with `--use gpt2=sentence` another stored feature plays one, everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from features.errors import UsageError, nearest
from features.spec import Selector
from heads.config.experiment import Experiment


def parse_roles(items: Iterable[str]) -> dict[str, str]:
    """`ROLE=SELECTOR` each, as role -> selector. Raises UsageError for another form, or a role given twice."""
    roles: dict[str, str] = {}
    for item in items:
        role, equals, selector = (part.strip() for part in item.partition("="))
        if not (role and equals and selector):
            raise UsageError(f"--use {item!r} is not ROLE=FEATURE: write gpt2=sentence, or gpt2=sentence@1f3a")
        if roles.get(role, selector) != selector:
            raise UsageError(f"--use {role} is given as {roles[role]!r} and as {selector!r}: keep one")
        roles[role] = selector
    return roles


def use_features(
    experiments: Sequence[Experiment], roles: Mapping[str, str], suite: str
) -> tuple[list[Experiment], list[str]]:
    """The experiments with other features in these roles, all replaced at once, and notes on what fell together.

    A role is a selector as the suite writes it. Two roles of a modality that one feature plays are one input: it is
    kept once, at the first one's place. Raises UsageError for a role that no experiment has.
    """
    known = {item for experiment in experiments for item in _names(experiment)}
    for role in roles:
        if role not in known:
            raise UsageError(f"--use {role}: no experiment of {suite} has this feature: {nearest(role, known)}")
    changed, notes = [], []
    for experiment in experiments:
        inputs = {}
        for modality, selectors in experiment.inputs.items():
            played = [roles.get(item, item) if isinstance(item, str) else item for item in selectors]
            inputs[modality] = _each_once(played)
            for selector in inputs[modality]:
                merged = [str(old) for old, new in zip(selectors, played, strict=True) if new == selector]
                if len(merged) > 1:
                    notes.append(f"{experiment.name}: {' and '.join(merged)} are one input, {modality}/{selector}")
        changed.append(replace(experiment, inputs=inputs))
    return changed, notes


def _names(experiment: Experiment) -> list[str]:
    return [item for selectors in experiment.inputs.values() for item in selectors if isinstance(item, str)]


def _each_once(selectors: Sequence[Selector]) -> tuple[Selector, ...]:
    return tuple(item for place, item in enumerate(selectors) if item not in selectors[:place])
