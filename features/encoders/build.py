"""How an encoder is built by its name: its settings resolved, its module imported, its weights loaded."""

from __future__ import annotations

import importlib
import math
from dataclasses import replace
from typing import Any

from features.encoders.protocol import Encoder, EncoderRequest
from features.encoders.table import entry, options_of
from features.errors import UsageError, nearest


def resolve_settings(name: str, given: dict[str, Any], as_published: bool = False) -> dict[str, Any]:
    """The encoder's defaults with `given` over them, each cast to its default's type.

    Raises UsageError for a key that the encoder does not have or a value of another type.
    """
    options = options_of(name, as_published)
    settings = {key: default for key, (default, _) in options.items()}
    for key, value in given.items():
        if key not in options:
            known = nearest(key, options) if options else "it takes no settings"
            published = " with --as-published" if as_published else ""
            raise UsageError(f"encoder {name!r} has no setting {key!r}{published}: {known}")
        settings[key] = _cast(name, key, value, options[key][0], entry(name).signed)
    return settings


def source_request(request: EncoderRequest) -> EncoderRequest | None:
    """What to build first for an encoder that derives from another: that one, with the settings meant for it.

    None for an encoder that does not. Raises UsageError as `resolve_settings` does.
    """
    source = entry(request.encoder).derives
    if source is None:
        return None
    settings = resolve_settings(request.encoder, request.settings, request.as_published)
    theirs = options_of(source, request.as_published)
    return replace(
        request,
        encoder=source,
        settings={key: value for key, value in settings.items() if key in theirs},
        model=settings["detector"] or None,
        alias=None,
        batch_size=None,
    )


def _cast(name: str, key: str, value: Any, default: Any, signed: bool) -> Any:
    kind = type(default)
    try:
        if kind is bool:
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[str(value).lower()]
        cast = kind(value)
    except (ValueError, KeyError):
        expected = {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "text")
        raise UsageError(f"{name}: {key}={value!r} is not {expected}") from None
    if signed and kind is float and not math.isfinite(cast):
        raise UsageError(f"{name}: {key}={value} must be a finite number")
    if not signed and kind in (int, float) and not 0 < cast < float("inf") and cast != default:
        least = "above 0" if default else "of at least 0"
        raise UsageError(f"{name}: {key}={value} must be a finite number {least}")
    return cast


def create(request: EncoderRequest) -> Encoder:
    """Import and build an encoder (this loads its weights).

    Raises UsageError for settings or a model that do not fit, WeightsError where the weights are not to be had.
    """
    line = entry(request.encoder)
    if request.model and not line.model:
        raise UsageError(f"encoder {request.encoder!r} has no weights: leave --model out")
    settings = resolve_settings(request.encoder, request.settings, request.as_published)
    if line.derives and request.source is None and (source := source_request(request)):
        request = replace(request, source=create(source).spec)
    module, _, attribute = line.target.partition(":")
    factory = getattr(importlib.import_module(module), attribute)
    built: Encoder = factory(request, settings)
    return built
