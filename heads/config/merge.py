"""One configuration over another, and `key=value` over both.

Mappings merge key by key, lists replace, null removes; a part (`fusion`, `context`) of another name than the default's
replaces it whole, since its settings are others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from heads.config.registry import Problems
from heads.config.strict_yaml import parse_yaml


def canonical(body: Mapping[str, Any]) -> dict[str, Any]:
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


def override_all(body: dict[str, Any], overrides: Sequence[str], problems: Problems) -> dict[str, Any]:
    """`body` with each `dotted.key=value` set. A number in the path is a place in a list."""
    for override in overrides:
        path, equals, text = override.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            problems.append((override, "an override is key=value, with dots between keys: optim.lr=1e-3"))
            continue
        body = canonical(_set(body, keys, parse_yaml(text, override), override, problems))
    return body


def _set(body: Any, keys: Sequence[str], value: Any, override: str, problems: Problems) -> Any:
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    if isinstance(body, list):
        if not (key.isdecimal() and key.isascii()) or int(key) >= len(body):
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
