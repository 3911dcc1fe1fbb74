"""Encoders that other packages bring, by the entry point group `erc.encoders`."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from features.encoders.entry import Entry
from features.encoders.own import OwnEncoder
from features.errors import UsageError, first_line

GROUP = "erc.encoders"
_TARGET = "features.encoders.own_built:BuiltOwnEncoder"


@cache
def _found() -> dict[str, EntryPoint]:
    """Reads the metadata of all installed packages, once a process."""
    return {point.name: point for point in entry_points(group=GROUP)}


def own_names() -> list[str]:
    """The names that installed packages give. Imports none of them."""
    return sorted(_found())


@cache
def own_encoder(name: str) -> OwnEncoder:
    """The encoder of that name, its module imported.

    Raises UsageError with the package and what is wrong, where it cannot be imported or is something else.
    """
    point = _found()[name]
    try:
        loaded = point.load()
    except Exception as error:
        reason = f"{first_line(error)}"
        raise UsageError(f"encoder {name!r} of {package_of(name)} cannot be loaded: {reason}") from error
    if not isinstance(loaded, OwnEncoder):
        raise UsageError(
            f"encoder {name!r} of {package_of(name)}: {point.value} is {type(loaded).__name__}, not"
            " features.OwnEncoder: see docs/own-encoder.md"
        )
    return loaded


def own_entry(name: str) -> Entry:
    """What the command line needs to know of it. Raises as `own_encoder`."""
    encoder = own_encoder(name)
    return Entry(
        encoder.modality,
        _TARGET,
        encoder.summary or f"{package_of(name)}'s",
        {key: (default, f"of {package_of(name)}") for key, default in encoder.settings.items()},
        device=encoder.load is not None,
        signed=True,
    )


def package_of(name: str) -> str:
    """The package that brings an encoder, and its version, as in `erc-loudness 1.0`."""
    found = _found()[name].dist
    return f"{found.name} {found.version}" if found else "an unknown package"


def distribution_of(name: str) -> str:
    """The package that brings an encoder, without its version."""
    found = _found()[name].dist
    return found.name if found else ""
