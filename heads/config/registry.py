"""Tables of parts: a loud look-up, and the settings that a part's own signature declares.

A part (a fusion, a context, a loss) is a class or function whose keyword-only parameters are its settings in YAML. So a
new part is one class and one line in its table; its keys, types, limits and defaults are read from the signature.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from features.errors import ConfigError, nearest

Problems = list[tuple[str, str]]  # (path, what is wrong)
Part = TypeVar("Part")
Model = TypeVar("Model", bound=BaseModel)


class Section(BaseModel):
    """A mapping of a configuration: unknown keys are refused, numbers are finite, values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def look_up(table: Mapping[str, Part], name: str, what: str) -> Part:
    """The part of that name. Raises ConfigError that names the nearest and lists all."""
    if name not in table:
        raise ConfigError(f"unknown {what} {name!r}: {nearest(name, table)}")
    return table[name]


@cache
def settings_of(part: Callable[..., Any]) -> type[Section]:
    """The model of a part's settings: its keyword-only parameters, with their annotations and defaults."""
    function = part.__init__ if inspect.isclass(part) else part
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            fields[name] = (hints[name], default)
    return create_model(f"{part.__name__}Settings", __base__=Section, **fields)


def check(model: type[Model], values: Any, path: str, problems: Problems) -> Model | None:
    """`values` as a `model`, or None with every problem appended as (path, what is wrong)."""
    if not isinstance(values, Mapping):
        problems.append((path, f"must be a mapping with the keys {', '.join(model.model_fields)}, not {values!r}"))
        return None
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        for item in error.errors(include_url=False):
            where = ".".join([path, *map(str, item["loc"])]) if path else ".".join(map(str, item["loc"]))
            problems.append((where, _explain(item, model.model_fields)))
        return None


def _explain(item: Any, known: Iterable[str]) -> str:
    if item["type"] == "extra_forbidden":
        return unknown_key(item["loc"][-1], known)
    if item["type"] == "missing":
        return "is missing"
    message: str = item["msg"]
    return f"{message[0].lower()}{message[1:]}, not {item['input']!r}"


def unknown_key(key: Any, known: Iterable[str]) -> str:
    """The problem of a key that a mapping does not have."""
    names = list(known)
    return f"unknown key: {nearest(str(key), names)}" if names else "unknown key: this part takes no settings"
