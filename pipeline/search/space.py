"""The space of a search: YAML of dotted keys, each with the values that may be tried.

optim.lr:            {low: 1.0e-4, high: 1.0e-2, log: true}
feedforward.dropout: {low: 0.1, high: 0.6, step: 0.1}
feedforward.sizes:   {choices: [[256], [512], [256, 256]]}

A range of whole numbers gives whole numbers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from features.errors import ConfigError
from heads.config.registry import Problems, unknown_key
from heads.config.strict_yaml import parse_yaml

_SHOWN_PROBLEMS = 20
_RANGE_KEYS = ("low", "high", "log", "step")


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both among them. log: drawn evenly on a logarithmic scale."""

    key: str
    low: float
    high: float
    step: float | None = None
    log: bool = False

    def distribution(self) -> Any:
        """What Optuna draws from."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if all(isinstance(item, int) for item in (self.low, self.high, self.step) if item is not None):
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return FloatDistribution(float(self.low), float(self.high), log=self.log, step=self.step)

    def value(self, drawn: Any) -> Any:
        """The setting that Optuna's draw stands for."""
        return drawn

    def drawn(self, value: Any) -> Any:
        """The inverse of `value`."""
        return value

    def outermost(self) -> list[Any]:
        """The values that are checked before the search begins: every choice, or both ends."""
        return [self.low, self.high]


@dataclass(frozen=True)
class Choices:
    """Any of these YAML values. Optuna draws its place."""

    key: str
    choices: tuple[Any, ...]

    def distribution(self) -> Any:
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(list(range(len(self.choices))))

    def value(self, drawn: Any) -> Any:
        return self.choices[drawn]

    def drawn(self, value: Any) -> Any:
        return [_text(choice) for choice in self.choices].index(_text(value))

    def outermost(self) -> list[Any]:
        return list(self.choices)


Dimension = Range | Choices


def read_space(path: Path) -> tuple[list[Dimension], dict[str, Any]]:
    """The dimensions of a YAML file, and its content as it stands. Raises ConfigError that lists every problem."""
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, Mapping) or not content:
        raise ConfigError(
            f"{path}: must be a mapping of settings, as in optim.lr: {{low: 1e-4, high: 1e-2, log: true}}"
        )
    problems: Problems = []
    space = [_dimension(str(key), given, problems) for key, given in content.items()]
    problems += [
        (str(key), f"lies within {other}, which is searched, too: keep one")
        for key in content
        for other in content
        if str(key).startswith(f"{other}.")
    ]
    _raise(str(path), [f"{key}: {problem}" for key, problem in problems])
    return [dimension for dimension in space if dimension], {str(key): value for key, value in content.items()}


def check_space(space: Sequence[Dimension], where: str, try_out: Callable[[list[str]], object]) -> None:
    """Each dimension's outermost values, one at a time.

    try_out: resolves the experiment with these overrides, and raises ConfigError where they do not fit
    Raises ConfigError that lists every value that does not fit.
    """
    problems = []
    for dimension in space:
        for value in dimension.outermost():
            override = override_of(dimension.key, value)
            try:
                try_out([override])
            except ConfigError as error:
                problems.append(f"{override}: {error}")
    _raise(where, problems)


def override_of(key: str, value: Any) -> str:
    """`KEY=VALUE` as a command line gives it, with the value as YAML on one line."""
    text = yaml.safe_dump([value], default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False)
    return f"{key}={text.strip().removeprefix('[').removesuffix(']')}"


def _dimension(key: str, given: Any, problems: Problems) -> Dimension | None:
    if not all(key.split(".")):
        problems.append((key, "is not a setting: write dots between keys, as in optim.lr"))
    if not isinstance(given, Mapping) or not ("choices" in given or "low" in given or "high" in given):
        problems.append(
            (key, f"must be {{choices: [...]}} or {{low: ..., high: ...}}, with log: true or step: ..., not {given!r}")
        )
        return None
    return _choices(key, given, problems) if "choices" in given else _range(key, given, problems)


def _choices(key: str, given: Mapping[str, Any], problems: Problems) -> Choices | None:
    before = len(problems)
    problems += [(f"{key}.{name}", unknown_key(name, ["choices"])) for name in given if name != "choices"]
    choices = given["choices"]
    if not isinstance(choices, list) or not choices:
        problems.append((f"{key}.choices", f"must be a list of at least one value, not {choices!r}"))
        return None
    for place, choice in enumerate(choices):
        try:
            if _text(choice) in [_text(other) for other in choices[:place]]:
                problems.append((f"{key}.choices", f"{choice!r} is named more than once"))
        except (TypeError, ValueError):
            problems.append((f"{key}.choices", f"{choice!r} is not a number, text, list or mapping of such"))
            return None
    return Choices(key, tuple(choices)) if len(problems) == before else None


def _range(key: str, given: Mapping[str, Any], problems: Problems) -> Range | None:
    before = len(problems)
    problems += [(f"{key}.{name}", unknown_key(name, _RANGE_KEYS)) for name in given if name not in _RANGE_KEYS]
    numbers = {name: _number(key, name, given, problems) for name in ("low", "high", "step")}
    low, high, step = numbers["low"], numbers["high"], numbers["step"]
    log = given.get("log", False)
    problems += [(f"{key}.{name}", "is missing") for name in ("low", "high") if name not in given]
    if not isinstance(log, bool):
        problems.append((f"{key}.log", f"must be true or false, not {log!r}"))
    if low is not None and high is not None:
        if low >= high:
            problems.append((key, f"low ({low:g}) must be below high ({high:g})"))
        elif step is not None:
            problems += [(f"{key}.step", problem) for problem in _step_problems(low, high, step, bool(log))]
        if log is True and low <= 0:
            problems.append((f"{key}.low", f"must be above 0 where log is true, not {low:g}"))
    if len(problems) > before or low is None or high is None:
        return None
    return Range(key, low, high, step, log)


def _number(key: str, name: str, given: Mapping[str, Any], problems: Problems) -> float | None:
    value = given.get(name)
    if isinstance(value, str):  # YAML 1.1 takes 1e-4, which has no dot, for text
        try:
            value = float(value)
        except ValueError:
            value = given[name]
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf"):
        return value
    if value is not None or name in given:
        problems.append((f"{key}.{name}", f"must be a number, not {value!r}"))
    return None


def _step_problems(low: float, high: float, step: float, log: bool) -> list[str]:
    if log:
        return ["does not go with log: true: leave one out"]
    if step <= 0:
        return [f"must be above 0, not {step:g}"]
    # Decimal, since 0.1 + 0.2 is not 0.3 in floats.
    whole = (Decimal(str(high)) - Decimal(str(low))) // Decimal(str(step))
    last = Decimal(str(low)) + whole * Decimal(str(step))
    return [] if last == Decimal(str(high)) else [f"of {step:g} leads from {low:g} to {last}, not to {high:g}: say so"]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)


def _raise(where: str, problems: Sequence[str]) -> None:
    if problems:
        more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise ConfigError(f"{where}: {count}: {'; '.join(problems[:_SHOWN_PROBLEMS])}{more}")
