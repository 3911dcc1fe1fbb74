"""Experiments as YAML: read, merged and resolved.

A file is a suite (`baseline`, `defaults`, `experiments`, `contrasts`) or a single experiment (`inputs` and the rest at
the top).
Merging: mappings merge key by key, lists replace, null removes; a part (`fusion`, `context`) of another name than the
default's replaces it whole, since its settings are others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from features.errors import ConfigError, nearest
from heads.config.experiment import DEFAULT_PARTS, Experiment, resolve
from heads.config.registry import Problems, Section, check, unknown_key

_SUITE_KEYS = ("title", "description", "baseline", "defaults", "experiments", "contrasts")
_SHOWN_PROBLEMS = 20


class Contrast(Section):
    """A question answered by two experiments that differ in one factor."""

    question: str
    A: str
    B: str


@dataclass(frozen=True)
class Suite:
    """Experiments that are compared with each other, in the order of the file.

    baseline: name of the experiment that a test score is shown beside, or None
    """

    name: str
    experiments: tuple[Experiment, ...]
    title: str = ""
    description: str = ""
    contrasts: tuple[Contrast, ...] = ()
    baseline: str | None = None


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None):
                raise yaml.constructor.ConstructorError(None, None, "a key must be text", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, where: str) -> Any:
    """Safe YAML without duplicate keys. Raises ConfigError with line and column."""
    try:
        loader = _StrictLoader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{where}{place}: {error.problem}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{where}: not YAML: {' '.join(str(error).split())}") from error


def shipped_suites() -> list[str]:
    """Names of the suites in heads/suites/."""
    folder = resources.files("heads").joinpath("suites")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def read_suite(source: str, overrides: Sequence[str] = (), only: str | None = None) -> Suite:
    """Read a suite, or a file with one experiment (a suite of one), from a path or by the name of one that ships.

    overrides: `dotted.key=value` with YAML values, applied after merging to every experiment, or to `only`.
    Raises ConfigError that lists every problem with its path.
    """
    name, text = _find(source)
    content = parse_yaml(text, source)
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
    experiment = resolve(name, None, _override(merge(DEFAULT_PARTS, _canonical(body)), overrides, problems), problems)
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
    base = _canonical(defaults)
    start = merge(DEFAULT_PARTS, base)
    experiments = []
    for key, body in bodies.items():
        path = f"experiments.{key}"
        if not isinstance(body, Mapping | None):
            problems.append((path, f"must be a mapping, not {body!r}"))
            continue
        patch = _canonical(body or {})
        override_problems: Problems = []
        applied = overrides if only in (None, str(key)) else ()
        merged = _override(merge(start, patch), applied, override_problems)
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
        elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return False
    return True


def _canonical(body: Mapping[str, Any]) -> dict[str, Any]:
    """Short forms written out: `fusion: concat`, `loss: cross-entropy`, `text: sentence`."""
    values = {str(key): value for key, value in body.items()}
    for key in ("fusion", "context", "modality_context"):
        if isinstance(values.get(key), str):
            values[key] = {"name": values[key]}
    if isinstance(values.get("readers"), Mapping):
        values["readers"] = {
            key: {"name": reader} if isinstance(reader, str) else reader for key, reader in values["readers"].items()
        }
    if isinstance(values.get("loss"), str | Mapping):
        values["loss"] = [values["loss"]]
    if isinstance(values.get("loss"), list):
        values["loss"] = [{"name": term} if isinstance(term, str) else term for term in values["loss"]]
    if isinstance(values.get("inputs"), Mapping):
        values["inputs"] = {
            key: [chosen] if isinstance(chosen, str | Mapping) else chosen for key, chosen in values["inputs"].items()
        }
    return values


def merge(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """`patch` over `base`: mappings merge, anything else replaces; a mapping with another `name` replaces too."""
    merged = dict(base)
    for key, value in patch.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            other_part = "name" in value and value["name"] != old.get("name")
            merged[key] = dict(value) if other_part else merge(old, value)
        else:
            merged[key] = value
    return merged


def _override(body: dict[str, Any], overrides: Sequence[str], problems: Problems) -> dict[str, Any]:
    """`body` with each `dotted.key=value` set. A number in the path is a place in a list."""
    for override in overrides:
        path, equals, text = override.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            problems.append((override, "an override is key=value, with dots between keys: optim.lr=1e-3"))
            continue
        body = _canonical(_set(body, keys, parse_yaml(text, override), override, problems))
    return body


def _set(body: Any, keys: Sequence[str], value: Any, override: str, problems: Problems) -> Any:
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    if isinstance(body, list):
        if not key.isdigit() or int(key) >= len(body):
            problems.append((override, f"{key!r} is not a place in a list of {len(body)}"))
            return body
        return [
            _set(item, rest, value, override, problems) if place == int(key) else item
            for place, item in enumerate(body)
        ]
    old = body if isinstance(body, Mapping) else {}
    if not rest:
        return merge(old, {key: value})
    return dict(old) | {key: _set(old.get(key), rest, value, override, problems)}
