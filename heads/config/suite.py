"""Experiments as YAML: read, merged (heads/config/merge.py) and resolved.

A file is a suite (`baseline`, `defaults`, `experiments`, `contrasts`) or a single experiment (`inputs` and the rest at
the top).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from features.errors import ConfigError, nearest
from heads.config.experiment import Experiment
from heads.config.merge import canonical, merge, override_all
from heads.config.registry import Problems, Section, check, unknown_key
from heads.config.resolve import DEFAULT_PARTS, resolve
from heads.config.strict_yaml import parse_yaml

_SUITE_KEYS = ("title", "description", "baseline", "defaults", "experiments", "contrasts")
_SHOWN_PROBLEMS = 20


class Contrast(Section):
    """A question, and the two experiments that answer it. They differ in one factor."""

    question: str
    A: str
    B: str


@dataclass(frozen=True)
class Suite:
    """Experiments that are compared with each other, in the order of the file.

    baseline: name of the experiment whose score reports show beside the test score, or None
    """

    name: str
    experiments: tuple[Experiment, ...]
    title: str = ""
    description: str = ""
    contrasts: tuple[Contrast, ...] = ()
    baseline: str | None = None


def shipped_suites() -> list[str]:
    """Names of the suites in heads/suites/."""
    folder = resources.files("heads").joinpath("suites")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


@dataclass(frozen=True)
class SuiteText:
    """A suite file as it was read. source: as it was named; name: of the suite"""

    source: str
    name: str
    text: str


def read_suite(source: str | SuiteText, overrides: Sequence[str] = (), only: str | None = None) -> Suite:
    """Read a suite, or a file with one experiment (a suite of one), from a path or by the name of one that ships.

    source:    who resolves it several times gives its text (`suite_text`): a file may change meanwhile
    overrides: `dotted.key=value` with YAML values. They are applied after merging, to the experiment `only`, or to
               every experiment if `only` is None
    Raises ConfigError, which lists every problem with its path.
    """
    read = suite_text(source) if isinstance(source, str) else source
    source, name = read.source, read.name
    content = parse_yaml(read.text, source)
    if not isinstance(content, Mapping):
        raise ConfigError(f"{source}: must be a mapping with `experiments`, or with `inputs` for a single one")
    problems: Problems = []
    if "experiments" in content:
        suite = _suite(name, content, overrides, only, problems)
    else:
        suite = _single(name, content, overrides, problems)
    if problems:
        unique = list(dict.fromkeys(f"{path}: {problem}" if path else problem for path, problem in problems))
        more = f"; and {len(unique) - _SHOWN_PROBLEMS} more" if len(unique) > _SHOWN_PROBLEMS else ""
        count = f"{len(unique)} problem{'s' if len(unique) > 1 else ''}"
        raise ConfigError(f"{source}: {count}: {'; '.join(unique[:_SHOWN_PROBLEMS])}{more}")
    return suite


def suite_text(source: str) -> SuiteText:
    """The text of a suite file, or of a suite that ships. Raises ConfigError if there is none."""
    return SuiteText(source, *_find(source))


def _find(source: str) -> tuple[str, str]:
    """(name, text) of a suite file or of a suite that ships."""
    path = Path(source)
    if path.is_file():
        try:
            return path.stem, path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, OSError) as error:
            raise ConfigError(f"{source}: cannot be read: {error}") from error
    names = shipped_suites()
    if source in names:
        return source, resources.files("heads").joinpath("suites", f"{source}.yaml").read_text(encoding="utf-8")
    if path.suffix in {".yaml", ".yml"} or len(path.parts) > 1:
        raise ConfigError(f"no suite file {source}: give a path that exists, or a suite that ships: {', '.join(names)}")
    raise ConfigError(f"no suite {source!r}: {nearest(source, names)}")


def _single(name: str, content: Mapping[str, Any], overrides: Sequence[str], problems: Problems) -> Suite:
    body = {key: value for key, value in content.items() if key not in ("name", "title", "description")}
    name = str(content.get("name", name))
    experiment = resolve(name, None, override_all(merge(DEFAULT_PARTS, canonical(body)), overrides, problems), problems)
    return Suite(name, (experiment,) if experiment else ())


def _suite(
    name: str, content: Mapping[str, Any], overrides: Sequence[str], only: str | None, problems: Problems
) -> Suite:
    for key in content:
        if key not in _SUITE_KEYS:
            problems.append((str(key), unknown_key(key, _SUITE_KEYS)))
    defaults, bodies = content.get("defaults") or {}, content["experiments"]
    for path, value in (("defaults", defaults), ("experiments", bodies)):
        if not isinstance(value, Mapping):
            problems.append((path, f"must be a mapping, not {value!r}"))
    if not (isinstance(defaults, Mapping) and isinstance(bodies, Mapping)):
        return Suite(name, ())
    if not bodies:
        problems.append(("experiments", "is empty: give at least one"))
    base = canonical(defaults)
    start = merge(DEFAULT_PARTS, base)
    experiments = []
    for key, body in bodies.items():
        path = f"experiments.{key}"
        if not isinstance(body, Mapping | None):
            problems.append((path, f"must be a mapping, not {body!r}"))
            continue
        patch = canonical(body or {})
        override_problems: Problems = []
        applied = overrides if only in (None, str(key)) else ()
        merged = override_all(merge(start, patch), applied, override_problems)
        own: Problems = []
        experiments.append(resolve(str(key), name, merged, own))
        problems += override_problems
        problems += [(where if not where else _origin(where, path, base, patch), problem) for where, problem in own]
    names = [str(key) for key in bodies]
    contrasts = _contrasts(content.get("contrasts") or [], names, problems)
    return Suite(
        name,
        tuple(item for item in experiments if item is not None),
        str(content.get("title") or ""),
        str(content.get("description") or ""),
        contrasts,
        _baseline(content.get("baseline"), names, problems),
    )


def _baseline(name: Any, names: list[str], problems: Problems) -> str | None:
    if name is None:
        return None
    if not isinstance(name, str) or name not in names:
        problems.append(("baseline", f"no experiment {name!r}: {nearest(str(name), names)}"))
        return None
    return name


def _contrasts(items: Any, names: list[str], problems: Problems) -> tuple[Contrast, ...]:
    if not isinstance(items, list):
        problems.append(("contrasts", f"must be a list of question, A, B, not {items!r}"))
        return ()
    contrasts = []
    for index, item in enumerate(items):
        contrast = check(Contrast, item, f"contrasts.{index}", problems)
        if contrast is None:
            continue
        for side in ("A", "B"):
            if getattr(contrast, side) not in names:
                known = nearest(getattr(contrast, side), names)
                problems.append((f"contrasts.{index}.{side}", f"no experiment {getattr(contrast, side)!r}: {known}"))
        contrasts.append(contrast)
    return tuple(contrasts)


def _origin(where: str, path: str, base: Mapping[str, Any], patch: Mapping[str, Any]) -> str:
    """The path of a problem in the file: the experiment's own key if it has it, else the default it was merged from."""
    keys = where.split(".")
    return f"defaults.{where}" if not _has(patch, keys) and _has(base, keys) else f"{path}.{where}"


def _has(value: Any, keys: Sequence[str]) -> bool:
    for key in keys:
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and key.isascii() and int(key) < len(value):
            value = value[int(key)]
        else:
            return False
    return True
