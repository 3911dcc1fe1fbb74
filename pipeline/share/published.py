"""What of a run may be published: models that are paths of this machine are called by their last names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any


def published_names(models: Iterable[str | None]) -> dict[str, str]:
    """Models that are paths of this machine -> what they are called elsewhere: the last name, or as many as tell one
    from another, joined by `-`. Hub ids and `packaged:NAME` are not among them, nor a relative path that looks like a
    hub id: it tells nothing of a machine.
    """
    parts = {model: _parts(model) for model in models if model and _is_of_this_machine(model)}
    names: dict[str, str] = {}
    for model, own in parts.items():
        others = [other for other in parts.values() if other != own]
        count = next((count for count in range(1, len(own)) if all(own[-count:] != o[-count:] for o in others)), None)
        names[model] = "-".join(own[-count:] if count else own)
    return names


def renamed(model: str | None, names: Mapping[str, str]) -> str | None:
    return names.get(model, model) if model else model


def published_config(config: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A config whose `inputs` may choose a feature by its model."""
    inputs = {modality: [_selector(item, names) for item in items] for modality, items in config["inputs"].items()}
    return {**config, "inputs": inputs}


def _selector(selector: Any, names: Mapping[str, str]) -> Any:
    if isinstance(selector, Mapping) and "model" in selector:
        return {**selector, "model": renamed(selector["model"], names)}
    return selector


def _is_of_this_machine(model: str) -> bool:
    return (
        PurePosixPath(model).is_absolute()
        or PureWindowsPath(model).is_absolute()
        or model.startswith(("~", "."))
        or "\\" in model
        or model.count("/") > 1
    )


def _parts(model: str) -> tuple[str, ...]:
    """Names of the path without what it begins with: a drive, the root, `~` or dots."""
    path = PureWindowsPath(model)  # which splits at both kinds of slashes
    found = tuple(part for part in path.parts if part != path.anchor and part.strip(".") and not part.startswith("~"))
    return found or (Path(model).expanduser().resolve().name,)
